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
SELECT failure($$SELECT whisperer.deliver_event('made', NULL::json)$$);
SELECT failure($$SELECT whisperer.deliver_event(NULL, '{}')$$);
SELECT failure($$SELECT whisperer.deliver_event('made', '{bad'::text)$$);
SELECT failure($$SELECT whisperer.deliver_event('made', '{bad')$$);
SELECT whisperer.unregister_event('made');
SELECT whisperer.resume();
