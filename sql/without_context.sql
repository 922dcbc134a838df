-- An error that one of our functions raises shows what the caller did, not what the function is made of.
-- A number that is the same whatever ran before.
SELECT setval(pg_get_serial_sequence('whisperer.hook_definition', 'id'), 999999) > 0 AS far;
SELECT whisperer.register_event('context');
SELECT whisperer.create_hook('nothing', 'http://127.0.0.1/');
SELECT whisperer.create_hook('context', 'ftp://127.0.0.1/');
SELECT whisperer.create_hook('context', 'http://127.0.0.1/', additional_headers => '{"Host": "x"}');
SELECT whisperer.create_hook('context', 'http://127.0.0.1/', config => '{"auth": {"type": "none of them"}}');
SELECT whisperer.create_hook('context', 'http://127.0.0.1/') AS hook \gset
SELECT whisperer.create_hook('context', 'http://127.0.0.1/');
INSERT INTO whisperer.hook (event_type, target_url) VALUES ('context', 'nowhere');
UPDATE whisperer.hook SET config = '{"auth": {"type": "none of them"}}';
SELECT whisperer.update_hook(:hook, '{"rate_limit": 0}');
SELECT whisperer.pause_hook(0);
SELECT whisperer.resume_hook(0);
SELECT whisperer.delete_hook(0);
SELECT whisperer.rotate_secret(0);
SELECT whisperer.retry('00000000-0000-0000-0000-000000000000');
SELECT whisperer.why('00000000-0000-0000-0000-000000000000', 0);
SELECT whisperer.watch('pg_class', operations => '{truncate}');
SELECT whisperer.unwatch(0);
BEGIN;
CALL whisperer.wait_idle();
ROLLBACK;
CALL whisperer.ping_hook(0);
CALL whisperer.deliver_now('nothing', '{}');
SELECT whisperer.backfill(:hook, 'pg_class', 'no such thing');

-- What the caller's own functions were doing stays: those that call ours, and those that ours call.
CREATE FUNCTION subscribe() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM whisperer.create_hook('nothing', 'http://127.0.0.1/'); END $$;
SELECT subscribe();
CREATE FUNCTION pick(name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no choice'; END $$;
SELECT whisperer.backfill(:hook, 'pg_class', 'pick(relname)');
DROP FUNCTION subscribe, pick;

-- Who may not use schema whisperer does nothing behind it either.
CREATE ROLE regress_outside;
SET ROLE regress_outside;
SELECT whisperer_internal.masked_headers(1);
SELECT whisperer_internal.set_secret(1, '', '{}');
SELECT whisperer_internal.hold_event_type('context');
SELECT whisperer_internal.record_backfill(1, 'x', '{"{}"}', '{k}');
SELECT whisperer_internal.idle_ticket();
RESET ROLE;
DROP ROLE regress_outside;
SELECT whisperer.delete_hook(:hook);
SELECT whisperer.unregister_event('context');
