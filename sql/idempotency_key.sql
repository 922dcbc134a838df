-- The same event, asked for twice with a key: recorded once.
SELECT whisperer.pause();
SELECT whisperer.register_event('keyed');
SELECT whisperer.register_event('keyed-too');
CREATE FUNCTION once(data text, key text, event_type text DEFAULT 'keyed') RETURNS uuid LANGUAGE sql
AS $$ SELECT whisperer.deliver_event($3, $1, idempotency_key => $2) $$;
CREATE VIEW of_now AS SELECT event_type, data FROM whisperer.outbox WHERE event_type ~ '^keyed' AND xid = pg_current_xact_id() ORDER BY id;
-- In one transaction, and in one statement.
BEGIN;
SELECT once('{"n": 1}', 'order-7-paid') = once('{"n": 1}', 'order-7-paid') AS the_first;
SELECT count(DISTINCT once('{"n": 2}', 'order-8-paid')) FROM generate_series(1, 3);
SELECT once('{"n": 1}', 'order-7-paid', 'keyed-too') <> once('{"n": 1}', 'order-7-paid') AS of_another_type;
SELECT once('{"n": 1}', 'ORDER-7-paid') <> once('{"n": 1}', 'order-7-paid') AS another_key;
SELECT once('{"n": 3}', NULL) <> once('{"n": 3}', NULL) AS without_one;
SELECT * FROM of_now;
COMMIT;
-- In another one; json, jsonb and text, by name and by place.
BEGIN;
SELECT once('{"n": 1}', 'order-7-paid') = (SELECT id FROM whisperer.outbox WHERE event_type = 'keyed' AND data::text = '{"n": 1}' ORDER BY id LIMIT 1) AS the_first;
SELECT whisperer.deliver_event('keyed', '{"n": 1}'::json, NULL, NULL, NULL, NULL, NULL, 'order-7-paid') = once('{"n": 1}', 'order-7-paid') AS json;
SELECT whisperer.deliver_event('keyed', '{"n": 1}'::jsonb, idempotency_key => 'order-7-paid') = once('{"n": 1}', 'order-7-paid') AS jsonb;
SELECT * FROM of_now;
COMMIT;
-- The same value, however it is written; what jsonb would lose of it counts as it is written.
BEGIN;
SELECT first, again, CASE WHEN whisperer_internal.is_same_json(first::json, again::json) THEN 'same' ELSE 'other' END FROM (VALUES
    ('{"a":1,"b":[1,2]}', '{ "b" : [ 1,2 ] , "a" : 1.0 }'), ('{"a":1e2}', '{"a":100}'), ('"ü"', '"\u00fc"'), ('null', ' null '), ('{}', '[]'), ('[1,2]', '[2,1]'),
    ('{"a":1,"a":2}', '{"a":2}'), ('{"a":2}', '{"a":1,"a":2}'), ('{"a":1,"a":2}', '{"a":3,"a":2}'), ('{"a":1,"a":2}', '{"a":1,"a":2}'), ('[{"a":[{"b":1,"b":1}]}]', '[{"a":[{"b":1}]}]'),
    ('{"a":"\u0000"}', '{"a":"\u0000"}'), ('{"a":"\u0000"}', '{"a": "\u0000"}'), ('{"a":1e200000}', '{"a":1e200000 }')) AS v (first, again);
SELECT whisperer.deliver_event('keyed', '{"b":[1,{"c":null}],"a":1}'::json, idempotency_key => 'written') = whisperer.deliver_event('keyed', '{"b":[1,{"c":null}],"a":1}'::jsonb, idempotency_key => 'written')
   AND whisperer.deliver_event('keyed', '{"a":1, "b":[1,{"c":null}]}', idempotency_key => 'written') = once('{"a":1.00,"b":[1,{"c":null}]}', 'written') AS the_first;
SELECT * FROM of_now;
COMMIT;
-- What is undone did not happen.
BEGIN;
SELECT once('{"n": 1}', 'undone') IS NOT NULL AS recorded;
ROLLBACK;
BEGIN;
SAVEPOINT tried;
SELECT once('{"n": 1}', 'undone') IS NOT NULL AS recorded;
ROLLBACK TO tried;
SELECT once('{"n": 2}', 'undone') IS NOT NULL AS recorded;
SAVEPOINT kept;
SELECT once('{"n": 3}', 'kept') IS NOT NULL AS recorded;
RELEASE kept;
SELECT once('{"n": 3}', 'kept') IS NOT NULL AS the_first;
SELECT * FROM of_now;
COMMIT;
-- Other content is another event; when it is sent may differ.
SELECT failure($$SELECT once('{"n": 9}', 'order-7-paid')$$);
SELECT failure($$SELECT whisperer.deliver_event('keyed', '{"n": 1}', object_id => '7', idempotency_key => 'order-7-paid')$$);
SELECT failure($$SELECT whisperer.deliver_event('keyed', '{"n": 1}', '{"a": 1}', idempotency_key => 'order-7-paid')$$);
SELECT failure($$SELECT whisperer.deliver_event('keyed', '{"n": 1}', headers => '{"X-A": "1"}', idempotency_key => 'order-7-paid')$$);
SELECT whisperer.deliver_event('keyed', '{"n": 1}', deliver_at => now() + '1 h', idempotency_key => 'order-7-paid') = once('{"n": 1}', 'order-7-paid') AS at_another_time;
SELECT whisperer.deliver_event('keyed', '{}', '{"a": 1}', '7', '{"X-A": "1", "X-B": "2"}', idempotency_key => 'all')
     = whisperer.deliver_event('keyed', '{}', '{"a": 1}', '7', '{"X-B": "2", "X-A": "1"}', idempotency_key => 'all') AS all_the_same;
SET whisperer.context = '{"actor": "ann"}';
SELECT once('{"n": 1}', 'order-7-paid') IS NOT NULL AS whoever_asks;
RESET whisperer.context;
-- Operators of somebody's path have no part in comparing.
CREATE SCHEMA lies;
CREATE FUNCTION lies.lie(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
CREATE OPERATOR lies.= (LEFTARG = text, RIGHTARG = text, FUNCTION = lies.lie);
CREATE OPERATOR lies.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = lies.lie);
SET search_path = lies, pg_catalog, public;
SELECT whisperer.deliver_event('keyed', '{}', '{"a": 1}', '7', '{"X-A": "1", "X-B": "2"}', idempotency_key => 'all') IS NOT NULL AS compared;
RESET search_path;
-- Keys.
SELECT once('{}', repeat('k', 255)) IS NOT NULL AS longest, once('{}', 'a "key" \ ü') IS NOT NULL AS odd, once('{}', ' ') <> once('{}', '  ') AS as_they_stand;
SELECT failure(format('SELECT once(''{}'', %L)', repeat('k', 256)));
SELECT failure(format('SELECT once(''{}'', %L)', repeat('ü', 128)));
SELECT failure($$SELECT once('{}', '')$$);
SELECT failure($$SELECT once('{}', E'a\nb')$$);
SELECT failure($$SELECT once('{}', E'a\x7f')$$);
BEGIN READ ONLY;
SELECT failure($$SELECT once('{"n": 1}', 'order-7-paid')$$);
COMMIT;
-- Whoever may publish the type shares its keys; nobody else learns of them.
CREATE ROLE regress_once;
GRANT USAGE ON SCHEMA whisperer TO regress_once;
SET ROLE regress_once;
SELECT failure($$SELECT once('{"n": 1}', 'order-7-paid')$$);
SELECT failure('TABLE whisperer.event_key');
SELECT failure('TABLE whisperer.key_decision');
RESET ROLE;
SELECT whisperer.allow('keyed', 'regress_once', 'publish');
SET ROLE regress_once;
SELECT once('{"n": 1}', 'order-7-paid') IS NOT NULL AS the_first;
RESET ROLE;
-- By the transaction's snapshot, without predicate locks, and in a slot or other.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT once('{"n": 1}', 'order-7-paid') = once('{"n": 1}', 'order-7-paid') AS the_first;
SELECT once('{"n": 1}', 'serializable') = once('{"n": 1}', 'serializable') AS its_own;
SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND relation::regclass::text ~ '^whisperer.event_key';
COMMIT;
-- It goes along with the event, whose slot it is in, until the window ends or the retention.
SELECT DISTINCT k.slot = o.slot AND k.xid = o.xid AS there, k.until - o.created_at BETWEEN '23 h 50 min' AND '24 h 10 min' AS for_a_day,
       (o.meta->>'key_until')::timestamptz = k.until AS as_said, whisperer_internal.key_digest(o.meta->>'idempotency_key') = k.key AS by_name
FROM whisperer.event_key k JOIN whisperer.outbox o ON o.id = k.event_id;
SELECT count(*) FROM whisperer.event_key k LEFT JOIN whisperer.outbox o ON o.id = k.event_id WHERE o.id IS NULL;
SELECT whisperer.unregister_event(t) FROM unnest('{keyed,keyed-too}'::text[]) AS t;
DROP VIEW of_now;
DROP FUNCTION once;
DROP SCHEMA lies CASCADE;
REVOKE USAGE ON SCHEMA whisperer FROM regress_once;
DROP ROLE regress_once;
SELECT whisperer.resume();
