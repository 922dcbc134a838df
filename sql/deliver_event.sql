-- deliver_event: json, jsonb, text and untyped literals; what it refuses.
SELECT whisperer.pause();
SELECT whisperer.register_event('made');
BEGIN;
SELECT whisperer.deliver_event('made', '{"b": 1,  "a": 1.0}') IS NOT NULL AS untyped;
SELECT whisperer.deliver_event('made', '{"b": 1,  "a": 1.0}'::json) IS NOT NULL AS json;
SELECT whisperer.deliver_event('made', '{"b": 1,  "a": 1.0}'::jsonb) IS NOT NULL AS jsonb;
SELECT whisperer.deliver_event('made', '{"nul": "\u0000"}'::text, config_filter => '{"x": 1}') IS NOT NULL AS text;
SELECT data, source, object_id, config_filter FROM whisperer.outbox WHERE xid = pg_current_xact_id() ORDER BY id;
-- Ids are UUIDv7 and ascend.
SELECT bool_and(substr(id::text, 15, 1) = '7') AS version_7, bool_and(id > before) IS NOT FALSE AS ascending
FROM (SELECT id, lag(id) OVER (ORDER BY ctid) AS before FROM whisperer.outbox WHERE xid = pg_current_xact_id()) AS ids;
COMMIT;
SELECT failure($$SELECT whisperer.deliver_event('unknown', '{}')$$);
-- Nobody is told to register what cannot be registered.
SELECT failure(format('SELECT whisperer.deliver_event(%L, %L)', wrong, '{}')) FROM unnest(ARRAY['', 'order *', 'order-*', 'a, b', 'whisperer-own', repeat('x', 129)]) AS wrong;
SELECT failure($$SELECT whisperer.deliver_event('made', NULL::json)$$);
SELECT failure($$SELECT whisperer.deliver_event(NULL, '{}')$$);
SELECT failure($$SELECT whisperer.deliver_event('made', '{bad'::text)$$);
SELECT failure($$SELECT whisperer.deliver_event('made', '{bad')$$);
-- Rows are put into the table without a statement, and are like any others all the same: they obey the
-- transaction, are in every index, are checked, and large ones are stored apart.
BEGIN READ ONLY;
SELECT failure($$SELECT whisperer.deliver_event('made', '{}')$$);
COMMIT;
CREATE INDEX regress_apart ON whisperer.outbox ((length(data::text))) WHERE event_type = 'made' AND length(data::text) > 1000;
BEGIN;
SELECT whisperer.deliver_event('made', json_build_object('large', repeat(md5('x'), 1000), 'digits', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i))) IS NOT NULL AS large;
SAVEPOINT undone;
SELECT whisperer.deliver_event('made', '{"undone": true}') IS NOT NULL AS undone;
ROLLBACK TO undone;
SELECT whisperer.deliver_event('made', '{"small": true}') IS NOT NULL AS small;
SELECT length(data::text), pg_column_size(data) > 8192 AS apart, left(data::text, 20) FROM whisperer.outbox WHERE xid = pg_current_xact_id() ORDER BY id;
SET LOCAL enable_seqscan = off;
SELECT count(*) AS in_the_index FROM whisperer.outbox WHERE event_type = 'made' AND length(data::text) > 1000;
COMMIT;
DROP INDEX whisperer.regress_apart;
ALTER TABLE whisperer.outbox ADD CONSTRAINT regress_checked CHECK (data::text <> '{"refused": true}');
SELECT left(failure($$SELECT whisperer.deliver_event('made', '{"refused": true}')$$), 5) AS refused;
ALTER TABLE whisperer.outbox DROP CONSTRAINT regress_checked;
-- A key, by which an ordered hook goes.
BEGIN;
SELECT count(whisperer.deliver_event('made', d, object_id => '7')) FROM (VALUES ('{"n": 1}'::json)) AS v(d);
SELECT count(whisperer.deliver_event('made', d, NULL, '7')) FROM (VALUES ('{"n": 2}'::jsonb)) AS v(d);
SELECT whisperer.deliver_event('made', '{"n": 3}', '{}', object_id => '') IS NOT NULL AS recorded;
SELECT whisperer.deliver_event('made', '{"n": 4}') IS NOT NULL AS recorded;
SELECT data, object_id FROM whisperer.outbox WHERE xid = pg_current_xact_id() ORDER BY id;
COMMIT;
SELECT whisperer.unregister_event('made');
SELECT whisperer.resume();
