-- What is said of an event when it is recorded: whisperer.context, and only of the transaction that set it.
SELECT whisperer.pause();
SELECT whisperer.register_event('said');
CREATE TABLE saying (id int PRIMARY KEY);
CREATE TRIGGER by_row AFTER INSERT ON saying FOR EACH ROW EXECUTE FUNCTION whisperer.capture('said');
CREATE TRIGGER by_statement AFTER INSERT ON saying REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('said');
CREATE VIEW heard AS SELECT data, meta FROM whisperer.outbox WHERE event_type = 'said' AND xid = pg_current_xact_id() ORDER BY id;
BEGIN;
SET LOCAL whisperer.context = '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "actor":"ann"}';
INSERT INTO saying VALUES (1);
SELECT whisperer.deliver_event('said', '{"by":"hand"}') IS NOT NULL AS recorded;
SAVEPOINT other;
SET LOCAL whisperer.context = '{"actor":"bob"}';
SELECT whisperer.deliver_event('said', '{"by":"bob"}') IS NOT NULL AS recorded;
ROLLBACK TO other;
SELECT whisperer.deliver_event('said', '{"by":"ann again"}') IS NOT NULL AS recorded;
SET LOCAL whisperer.context = '';
SELECT whisperer.deliver_event('said', '{"by":"nobody"}') IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
-- The session goes on, with somebody else at its other end.
BEGIN;
SELECT whisperer.deliver_event('said', '{"then":"nothing"}') IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
SET whisperer.context = '{"actor":"a stranger"}';
BEGIN;
SELECT whisperer.deliver_event('said', '{"then":"nothing of the session"}') IS NOT NULL AS recorded;
SAVEPOINT inner_one;
SET LOCAL whisperer.context = '{"actor":"ann"}';
SELECT whisperer.deliver_event('said', '{"then":"ann"}') IS NOT NULL AS recorded;
ROLLBACK TO inner_one;
SHOW whisperer.context;
SELECT whisperer.deliver_event('said', '{"then":"nothing that came back"}') IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT AND CHAIN;
SELECT whisperer.deliver_event('said', '{"then":"nothing in what is chained"}') IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
RESET whisperer.context;
-- What a function sets is said while it runs.
CREATE FUNCTION say() RETURNS boolean LANGUAGE sql SET whisperer.context = '{"actor":"function"}'
AS $$ SELECT whisperer.deliver_event('said', '{"within":"the function"}') IS NOT NULL $$;
BEGIN;
SELECT say();
SELECT whisperer.deliver_event('said', '{"within":"the caller"}') IS NOT NULL AS recorded;
SELECT set_config('whisperer.context', '{"actor":"for long"}', false);
SELECT whisperer.deliver_event('said', '{"within":"set_config"}') IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
BEGIN;
SELECT whisperer.deliver_event('said', '{"after":"set_config"}') IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
RESET whisperer.context;
-- What it may be.
SELECT failure($$SELECT set_config('whisperer.context', '[1]', true)$$);
SELECT failure($$SELECT set_config('whisperer.context', 'secret of ann', true)$$);
SELECT failure($$SELECT set_config('whisperer.context', '{"traceparent":"00-x"}', true)$$);
SELECT failure($$SELECT set_config('whisperer.context', '{"tracestate":"a=1"}', true)$$);
SELECT failure($$SELECT set_config('whisperer.context', json_build_object('a', repeat('x', 1024))::text, true)$$);
SELECT set_config('whisperer.context', '', true);
ALTER SYSTEM SET whisperer.context = '{}';
-- Headers of one event.
BEGIN;
SELECT whisperer.deliver_event('said', d, headers => '{"X-Tenant":"7"}') IS NOT NULL AS recorded FROM (VALUES ('{"n":1}'::json)) v(d);
SELECT whisperer.deliver_event('said', d, headers => '{"X-Tenant":"7"}') IS NOT NULL AS recorded FROM (VALUES ('{"n":2}'::jsonb)) v(d);
SET LOCAL whisperer.context = '{"actor":"ann"}';
SELECT whisperer.deliver_event('said', '{"n":3}', headers => '{"X-Tenant":"7","X-Empty":""}') IS NOT NULL AS recorded;
SELECT whisperer.deliver_event('said', '{"n":4}', headers => NULL) IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
SELECT failure(format($$SELECT whisperer.deliver_event('said', '{}', headers => %L)$$, h))
FROM unnest('{"[]","{\"a\":1}","{\"webhook-id\":\"x\"}","{\"Content-Type\":\"x\"}","{\"a\":\"x\\ny\"}","{\"a b\":\"\"}"}'::text[]) h;
-- Later, and not after.
BEGIN;
SELECT whisperer.deliver_event('said', '{"n":5}', deliver_at => '2020-01-02 03:04:05.5+00', expires_at => '2020-01-02 05:04:06+01') IS NOT NULL AS recorded;
SELECT whisperer.deliver_event('said', '{"n":6}', deliver_at => NULL, expires_at => NULL) IS NOT NULL AS recorded;
SELECT * FROM heard;
COMMIT;
-- The moments that are zero somewhere.
BEGIN;
SELECT count(whisperer.deliver_event('said', '{"n":7}', expires_at => t)) FROM unnest('{epoch,2000-01-01 00:00:00+00}'::timestamptz[]) t;
SELECT * FROM heard;
COMMIT;
SELECT failure($$SELECT whisperer.deliver_event('said', '{}', deliver_at => now() + '31 days')$$);
SELECT failure($$SELECT whisperer.deliver_event('said', '{}', deliver_at => 'infinity')$$);
SELECT failure($$SELECT whisperer.deliver_event('said', '{}', deliver_at => '-infinity')$$);
SELECT failure($$SELECT whisperer.deliver_event('said', '{}', expires_at => 'infinity')$$);
SELECT failure($$SELECT whisperer.deliver_event('said', '{}', deliver_at => '2020-01-02', expires_at => '2020-01-02')$$);
-- What a preview shows of it.
SELECT whisperer.create_hook('said', 'http://127.0.0.1:9/' || f, secret_key => '', format => f) > 0 AS made FROM unnest('{whisperer,cloudevents}'::text[]) f;
BEGIN;
SET LOCAL whisperer.context = '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "actor":"ann"}';
SELECT whisperer.update_hook(id, '{"additional_headers": {"x-tenant": "mine"}}') FROM whisperer.hook WHERE target_url LIKE '%/cloudevents';
SELECT whisperer.deliver_event('said', '{}', headers => '{"X-Tenant":"7","X-Empty":""}') IS NOT NULL AS recorded;
SELECT target_url, headers->'X-Tenant' AS tenant, headers->'x-tenant' AS own, headers->'X-Empty' AS empty, headers->>'traceparent' AS traceparent, headers->>'X-Whisperer-Context' AS context, body::jsonb - 'id' - 'time' - 'event' AS body
FROM whisperer.preview() ORDER BY hook_id;
ROLLBACK;
DELETE FROM whisperer.hook_definition WHERE event_type = 'said';
DROP FUNCTION say();
DROP VIEW heard;
DROP TABLE saying;
SELECT whisperer.unregister_event('said');
SELECT whisperer.resume();
