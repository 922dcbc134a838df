-- Every way in which a row becomes an event and an event a delivery, each some times: for servers that check
-- themselves, where time is dear.  Prints "ok" or "not ok" for each thing that it sees.
--
--     psql -At -v url=http://127.0.0.1:PORT -v rows=150 -v wait=120 -v discard=0 -f tests/lib/paths.sql
--
-- url: of receiver/receiver.mjs; rows: of a statement, enough for a transition table on disk; wait: for one thing
-- at most, in seconds; discard: debug_discard_caches while something is recorded.  The extension is there, and work_mem
-- is 64kB.
SET debug_discard_caches = 0;
CREATE SCHEMA app;
CREATE FUNCTION app.see(what text, condition text, seconds int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    reached boolean;
    until timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO reached;
        EXIT WHEN reached OR clock_timestamp() > until;
        PERFORM pg_sleep(0.02);
    END LOOP;
    RETURN CASE WHEN reached THEN 'ok - ' ELSE 'not ok - ' END || what;
END $$;
CREATE FUNCTION app.recorded(type text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM whisperer.outbox WHERE event_type = type';
CREATE FUNCTION app.ended(path text, how text) RETURNS bigint LANGUAGE sql AS
    'SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.target_url LIKE ''%'' || path AND d.state = how';

-- --- recording --------------------------------------------------------------------------------------
SELECT whisperer.register_event(e) FROM unnest('{row,serialized,statement,hand,lined,called}'::text[]) e \g /dev/null
SELECT whisperer.create_hook('row', :'url' || '/ok/row', secret_key => 'secret', additional_headers => '{"X-A": "b"}') AS row_hook \gset
CREATE TABLE app.item (id int PRIMARY KEY, name text, fill text);
ALTER TABLE app.item ALTER COLUMN fill SET STORAGE EXTERNAL;
CREATE FUNCTION app.as_json(i app.item) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''n'', 10 / i.id, ''fill'', i.fill)';
CREATE FUNCTION app.as_jsonb(i app.item) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_build_object('n', 10 / i.id, 'fill', i.fill);
EXCEPTION WHEN division_by_zero THEN
    RETURN '{"n": null}';
END $$;
CREATE TRIGGER a AFTER INSERT OR DELETE ON app.item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('row');
CREATE TRIGGER b AFTER UPDATE ON app.item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('row', 'include=old', 'changed=name', 'columns=id,name', 'key=name,id');
CREATE TRIGGER c AFTER INSERT ON app.item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('serialized', 'serializer=app.as_jsonb');

SET debug_discard_caches = :discard;
INSERT INTO app.item VALUES (1, 'one', 'x'), (2, NULL, repeat('x', 20000)), (0, '', NULL);
UPDATE app.item SET fill = fill || 'y';
UPDATE app.item SET name = 'two' WHERE id > 0;
INSERT INTO app.item VALUES (2, 'zwei') ON CONFLICT (id) DO UPDATE SET name = excluded.name;
MERGE INTO app.item i USING (VALUES (1, 'un'), (3, 'trois')) v(id, name) ON i.id = v.id
    WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.name);
DELETE FROM app.item WHERE id = 2;
COPY app.item FROM stdin;
4	vier	\N
5	cinq	xyz
\.
BEGIN; INSERT INTO app.item VALUES (6); SAVEPOINT s; INSERT INTO app.item VALUES (7); ROLLBACK TO s; INSERT INTO app.item VALUES (8); COMMIT;
BEGIN; INSERT INTO app.item VALUES (9); ROLLBACK;
BEGIN; INSERT INTO app.item VALUES (10); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';
-- What the trigger knows of the table is out of date, within a transaction, too.
BEGIN; INSERT INTO app.item VALUES (11); ALTER TABLE app.item ADD COLUMN more jsonb DEFAULT '{}'; INSERT INTO app.item VALUES (12); COMMIT;
DROP TRIGGER c ON app.item;
CREATE TRIGGER c AFTER INSERT ON app.item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('serialized', 'serializer=app.as_json');
-- An error in the middle of a statement, and the same trigger afterwards.
DO $$ BEGIN DELETE FROM app.item; INSERT INTO app.item VALUES (1), (0); EXCEPTION WHEN division_by_zero THEN INSERT INTO app.item VALUES (13); END $$;
SET debug_discard_caches = 0;
SELECT app.see('rows', $$app.recorded('row') = 17$$, 1);
SELECT app.see('rows by a serializer', $$app.recorded('serialized') = 12$$, 1);

CREATE TABLE app.bulk (id int PRIMARY KEY, v int, fill text);
ALTER TABLE app.bulk ALTER COLUMN fill SET STORAGE PLAIN;
CREATE TRIGGER i AFTER INSERT ON app.bulk REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('statement');
CREATE TRIGGER u AFTER UPDATE ON app.bulk REFERENCING NEW TABLE AS n OLD TABLE AS o FOR EACH STATEMENT
    EXECUTE FUNCTION whisperer.capture('statement', 'include=old', 'changed=v');
CREATE FUNCTION app.of_bulk(b app.bulk) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''id'', b.id, ''fill'', b.fill)';
CREATE TRIGGER d AFTER DELETE ON app.bulk REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('statement', 'serializer=app.of_bulk');
SET debug_discard_caches = :discard;
INSERT INTO app.bulk SELECT g, g, repeat('x', 7000) FROM generate_series(1, :rows) g;
UPDATE app.bulk SET v = v + (id % 2);
DELETE FROM app.bulk WHERE id > 1;
INSERT INTO app.bulk SELECT 1, 1 WHERE false;
SET debug_discard_caches = 0;
SELECT app.see('statements', format($$app.recorded('statement') = %s$$, :rows + (:rows + 1) / 2 + :rows - 1), 1);

SELECT whisperer.watch('app.bulk') \g /dev/null
INSERT INTO app.bulk SELECT g, g, '' FROM generate_series(1001, 1005) g;
SELECT whisperer.unwatch('app.bulk') \g /dev/null
CREATE TABLE app.part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (10);
CREATE TRIGGER c AFTER INSERT ON app.part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('lined');
SET debug_discard_caches = :discard;
INSERT INTO app.part VALUES (1), (2);
SELECT count(whisperer.deliver_event('hand', json_build_object('n', g % 3, 'fill', repeat('x', g)))) FROM generate_series(1, 6) g \g /dev/null
SET debug_discard_caches = 0;
CALL whisperer.wait_idle(make_interval(secs => :wait));
SELECT app.see('rows are delivered', $$app.ended('/ok/row', 'delivered') = 17$$, :wait);

-- --- delivering -------------------------------------------------------------------------------------
CREATE TABLE app.call (response jsonb, payload json);
CREATE FUNCTION app.shape(event json) RETURNS json LANGUAGE sql AS 'SELECT event->''data''';
CREATE FUNCTION app.told(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'INSERT INTO app.call VALUES (response, payload)';
CREATE FUNCTION app.later(retry_count int, kwargs jsonb) RETURNS interval LANGUAGE sql AS 'SELECT interval ''0.1 s''';
CREATE FUNCTION app.broken(event json) RETURNS json LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END';
-- Few failures where the end of a delivery is waited for, or a circuit opens meanwhile; and what never succeeds is not
-- due again, or a slow worker is never idle.
SELECT whisperer.create_hook(t, :'url' || p, filter => f::jsonb, transform => tr, callback => c, ordering => o, retry_countdown_config => r::jsonb)
FROM (VALUES
    ('hand', '/ok/filtered', '{"n": 1}', NULL, NULL, 'none', NULL),
    ('called', '/ok/shaped', NULL, 'app.shape', NULL, 'none', NULL),
    ('called', '/ok/told', NULL, 'app.shape', 'app.told', 'none', NULL),
    ('called', '/ok/broken', NULL, 'app.broken', NULL, 'none', '{"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 1}'),
    ('called', '/status/500/called', NULL, NULL, 'app.told', 'none', '{"choice": "custom", "kwargs": {"function": "app.later"}, "max_retries": 1}'),
    ('lined', '/ok/lined', NULL, NULL, NULL, 'hook', NULL),
    ('lined', '/fail-first/2/500/keyed', NULL, NULL, NULL, 'key', '{"choice": "fixed", "kwargs": {"seconds": 0.1}}'),
    ('hand', '/status/500/hand', NULL, NULL, NULL, 'none', '{"choice": "fixed", "kwargs": {"seconds": 3600}}'),
    ('hand', '/headers/2000', NULL, NULL, NULL, 'none', '{"choice": "fixed", "kwargs": {"seconds": 3600}}'),
    ('hand', '/hang', '{"n": 1}', NULL, NULL, 'none', '{"choice": "fixed", "kwargs": {"seconds": 3600}}')) v(t, p, f, tr, c, o, r) \g /dev/null
SELECT count(whisperer.deliver_event('hand', json_build_object('n', g % 3, 'fill', repeat('x', g)))) FROM generate_series(1, 12) g \g /dev/null
SELECT count(whisperer.deliver_event('called', json_build_object('n', g, 'fill', repeat('x', g * 1000)))) FROM generate_series(1, 2) g \g /dev/null
INSERT INTO app.part SELECT id FROM generate_series(3, 6) id;
CALL whisperer.wait_idle(make_interval(secs => :wait));
SELECT app.see('filtered', $$app.ended('/ok/filtered', 'delivered') = 4$$, :wait);
SELECT app.see('transformed', $$app.ended('/ok/shaped', 'delivered') = 2$$, :wait);
SELECT app.see('a transform that fails', $$app.ended('/ok/broken', 'failed') = 2$$, :wait);
SELECT app.see('a countdown of its own', $$app.ended('/500/called', 'failed') = 2$$, :wait);
SELECT app.see('callbacks', $$count(*) = 4 FROM app.call$$, :wait);
SELECT app.see('in order', $$app.ended('/ok/lined', 'delivered') = 4 AND app.ended('/keyed', 'delivered') = 4$$, :wait);

-- --- what people ask for ----------------------------------------------------------------------------
ALTER SYSTEM SET whisperer.max_in_flight = 100;
SELECT pg_reload_conf() \g /dev/null
SELECT whisperer.rotate_secret(:row_hook, 'another') \g /dev/null
SELECT whisperer.retry(event_id, hook_id, true) FROM whisperer.delivery WHERE hook_id = :row_hook LIMIT 5 \g /dev/null
SELECT whisperer.replay(:row_hook, now() - interval '1 hour') \g /dev/null
SELECT whisperer.recover(h.id, now() - interval '1 hour') FROM whisperer.hook h WHERE target_url LIKE '%/500/called' \g /dev/null
SELECT whisperer.cancel(event_id, hook_id) FROM whisperer.delivery WHERE state = 'pending' \g /dev/null
SELECT whisperer.pause_hook(:row_hook) \g /dev/null
SELECT whisperer.resume_hook(:row_hook) \g /dev/null
CALL whisperer.wait_idle(make_interval(secs => :wait));
SELECT app.see('cancelled', $$app.ended('/500/hand', 'pending') = 0$$, :wait);
SELECT app.see('recovered', $$(SELECT bool_and(retry_count = 4) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE target_url LIKE '%/500/called')$$, :wait);
CALL whisperer.ping_hook(:row_hook) \g /dev/null
CALL whisperer.deliver_now('row', '{}') \g /dev/null
SELECT whisperer.why(event_id, hook_id) FROM whisperer.delivery \g /dev/null
SELECT s, q, r FROM whisperer.status s, whisperer.hook_stats q, whisperer.delivery_rate r \g /dev/null

-- Ended with requests in flight.
SELECT whisperer.deliver_event('hand', '{"n": 1}') \g /dev/null
SELECT pg_terminate_backend(pid) FROM whisperer.status WHERE pid IS NOT NULL \g /dev/null
SELECT whisperer.deliver_event('row', '{"after": "restart"}') \g /dev/null
CALL whisperer.wait_idle(make_interval(secs => :wait));
SELECT app.see('delivered after a restart of the worker', $$app.ended('/ok/row', 'delivered') = 20$$, :wait);

-- --- one hook that has all of it ---------------------------------------------------------------------
SELECT whisperer.delete_hook(id) FROM whisperer.hook \g /dev/null
SELECT whisperer.register_event('last') \g /dev/null
SELECT whisperer.create_hook('last', :'url' || '/fail-first/1/500/last', transform => 'app.shape', callback => 'app.told', ordering => 'hook',
    retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}}') \g /dev/null
SELECT whisperer.deliver_event('last', '{"n": 1}'), whisperer.deliver_event('last', '{"n": 2}') \g /dev/null
SELECT app.see('at last', $$app.ended('/last', 'delivered') = 2 AND count(*) = 2 FROM app.call WHERE payload::text !~ 'fill'$$, :wait);
