-- What a capture trigger records: rows of every kind of statement, each option, bad options.
SELECT whisperer.pause();
CREATE TABLE package (id int PRIMARY KEY, name text, weight numeric, sent date);
SELECT whisperer.register_event(e) FROM unnest('{created,updated,deleted,changed}'::text[]) e;
CREATE TRIGGER c AFTER INSERT ON package FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created');
CREATE TRIGGER u AFTER UPDATE ON package FOR EACH ROW EXECUTE FUNCTION whisperer.capture('updated', 'include=old');
CREATE TRIGGER d AFTER DELETE ON package FOR EACH ROW EXECUTE FUNCTION whisperer.capture('deleted', 'columns=name,id');
CREATE TRIGGER w AFTER UPDATE ON package FOR EACH ROW EXECUTE FUNCTION whisperer.capture('changed', 'changed=name', 'key=name,id');
CREATE VIEW recorded AS SELECT event_type, data, source, object_id FROM whisperer.outbox ORDER BY id;

INSERT INTO package VALUES (1, 'one', 1.50, '2026-01-31'), (2, NULL, 1e20, NULL);
UPDATE package SET weight = 2 WHERE id = 1;
UPDATE package SET name = 'uno' WHERE id = 1;
INSERT INTO package VALUES (2, 'zwei') ON CONFLICT (id) DO UPDATE SET name = excluded.name;
DELETE FROM package WHERE id = 2;
COPY package FROM stdin;
3	three	\N	\N
\.
MERGE INTO package p USING (VALUES (3, 'drei'), (4, 'vier')) v(id, name) ON p.id = v.id
WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.name);
SELECT * FROM recorded;

-- A rollback, and a rollback to a savepoint, leave nothing.
SELECT count(*) AS before FROM whisperer.outbox \gset
BEGIN; INSERT INTO package VALUES (5); ROLLBACK;
BEGIN; SAVEPOINT s; INSERT INTO package VALUES (6); ROLLBACK TO s; COMMIT;
SELECT count(*) - :before AS added FROM whisperer.outbox;

-- A trigger that is replaced keeps its oid.
CREATE TABLE replaced (id int PRIMARY KEY, name text);
CREATE TRIGGER r AFTER INSERT ON replaced FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created');
INSERT INTO replaced VALUES (1, 'one');
CREATE OR REPLACE TRIGGER r AFTER INSERT ON replaced FOR EACH ROW EXECUTE FUNCTION whisperer.capture('changed', 'columns=name', 'key=name');
INSERT INTO replaced VALUES (2, 'two');
SELECT * FROM recorded WHERE source = 'public.replaced';
DROP TABLE replaced;

-- Session settings do not show.
CREATE TABLE settings (id int, at timestamptz, day daterange, i interval, b bytea, f float8);
CREATE TRIGGER c AFTER INSERT ON settings FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created');
BEGIN;
SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German, DMY'; SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL bytea_output = 'escape'; SET LOCAL extra_float_digits = -15;
INSERT INTO settings VALUES (1, '2026-06-01 12:00+00', '[2026-01-01,2026-02-01)', '1 day 2 hours', '\x00ff', 0.1::float8 + 0.2);
SHOW TimeZone;
COMMIT;
SELECT data FROM recorded WHERE source = 'public.settings';

-- A serializer runs as the writing user.
CREATE ROLE regress_writer;
CREATE TABLE made (id int PRIMARY KEY);
CREATE FUNCTION public.as_json(m made) RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('n', m.id, 'by', current_user) $$;
CREATE FUNCTION public.as_jsonb(m made) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('n', m.id) $$;
CREATE TRIGGER j AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'serializer=public.as_json');
CREATE TRIGGER k AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'serializer=public.as_jsonb');
GRANT INSERT ON made TO regress_writer;
SET ROLE regress_writer;
INSERT INTO made VALUES (1);
RESET ROLE;
SELECT data, object_id FROM recorded WHERE source = 'public.made';

-- Statement level.
CREATE TABLE bulk (id int PRIMARY KEY, v int);
CREATE TRIGGER i AFTER INSERT ON bulk REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('created');
CREATE TRIGGER u AFTER UPDATE ON bulk REFERENCING NEW TABLE AS n OLD TABLE AS o FOR EACH STATEMENT
    EXECUTE FUNCTION whisperer.capture('updated', 'include=old', 'changed=v');
CREATE TRIGGER d AFTER DELETE ON bulk REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('deleted');
INSERT INTO bulk SELECT g, g FROM generate_series(1, 2500) g;
UPDATE bulk SET v = v + (id % 2) WHERE id <= 4;
DELETE FROM bulk WHERE id > 2498;
INSERT INTO bulk SELECT 1, 1 WHERE false;
SELECT event_type, count(*), count(DISTINCT object_id), min(data::text), max(object_id::int) FROM recorded WHERE source = 'public.bulk' GROUP BY 1 ORDER BY 1;

-- Partitions say whose they are.
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TRIGGER c AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created');
INSERT INTO part VALUES (1); INSERT INTO part_1 VALUES (2);
SELECT data, source FROM recorded WHERE source = 'public.part';

-- One may have a key that the others lack, also one that it gets later.
CREATE TABLE keyless (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE keyless_1 PARTITION OF keyless FOR VALUES FROM (0) TO (10);
CREATE TRIGGER c AFTER INSERT ON keyless FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created');
INSERT INTO keyless VALUES (1);
ALTER TABLE keyless_1 ADD PRIMARY KEY (id);
INSERT INTO keyless VALUES (2);
SELECT data, object_id FROM recorded WHERE source = 'public.keyless';

-- Types that nobody registered are recorded too.
CREATE TRIGGER x AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('part-made');
INSERT INTO part VALUES (3);
SELECT event_type, data FROM recorded WHERE event_type = 'part-made';

-- Mistakes name the trigger.
CREATE FUNCTION try(arguments text, firing text DEFAULT 'AFTER INSERT', level text DEFAULT 'FOR EACH ROW') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE tried (id int PRIMARY KEY, v int); CREATE TRIGGER tr %s ON tried %s EXECUTE FUNCTION whisperer.capture(%s)', firing, level, arguments);
    EXECUTE 'INSERT INTO tried VALUES (1, 1); UPDATE tried SET v = 2; DELETE FROM tried';
    RAISE EXCEPTION 'nothing failed';
END;
$$;
SELECT failure($$SELECT try('')$$);
SELECT failure($$SELECT try('''bad,name''')$$);
SELECT failure($$SELECT try('''whisperer-x''')$$);
SELECT failure($$SELECT try('''created'', ''colour=red''')$$);
SELECT failure($$SELECT try('''created'', ''columns''')$$);
SELECT failure($$SELECT try('''created'', ''columns=nope''')$$);
SELECT failure($$SELECT try('''created'', ''columns=ctid''')$$);
SELECT failure($$SELECT try('''created'', ''columns=a,,b''')$$);
SELECT failure($$SELECT try('''created'', ''include=new''')$$);
SELECT failure($$SELECT try('''created'', ''serializer=nope''')$$);
SELECT failure($$SELECT try('''created'', ''serializer=public.nope''')$$);
SELECT failure($$SELECT try('''created''', 'BEFORE INSERT')$$);
SELECT failure($$SELECT try('''created''', 'AFTER INSERT', 'FOR EACH STATEMENT')$$);
SELECT failure($$SELECT try('''updated'', ''include=old''', 'AFTER UPDATE', 'REFERENCING NEW TABLE AS n FOR EACH STATEMENT')$$);
SELECT failure($$SELECT try('''created''', 'AFTER TRUNCATE', 'FOR EACH STATEMENT')$$);
SELECT failure($$SELECT whisperer.capture()$$);

-- A trigger publishes with the rights of its table's owner.
CREATE TABLE theirs (id int);
CREATE TRIGGER c AFTER INSERT ON theirs FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created');
-- Refused where somebody looks; where nobody did, the writer is not the one who is told off: recorded for nobody.
SELECT failure('ALTER TABLE theirs OWNER TO regress_writer');
SELECT whisperer.allow('created', 'regress_writer', 'publish');
ALTER TABLE theirs OWNER TO regress_writer;
SELECT whisperer.disallow('created', 'regress_writer', 'publish');
BEGIN;
INSERT INTO theirs VALUES (1);
INSERT INTO theirs VALUES (1);
COMMIT;
SELECT o.hook_id, count(*) FROM whisperer.outbox o WHERE o.source = 'public.theirs' GROUP BY 1;
SELECT whisperer.allow('created', 'regress_writer', 'publish');
INSERT INTO theirs VALUES (2);
SELECT data FROM recorded WHERE source = 'public.theirs';

-- What a trigger names may go by CASCADE, or, of a trigger that an earlier version made, by DROP FUNCTION: the writer is
-- not the one who is told off.  The rest is recorded; where nothing is left, an event that fails and says why.
CREATE DOMAIN going AS int;
CREATE TABLE lessened (id int PRIMARY KEY, a going, b int, c int);
CREATE FUNCTION lessened_json(r lessened) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''id'', r.id)';
CREATE TRIGGER c1 AFTER INSERT OR UPDATE ON lessened FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'columns=a,b', 'key=a,id');
CREATE TRIGGER c2 AFTER INSERT OR UPDATE ON lessened FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'columns=a', 'key=a');
CREATE TRIGGER c3 AFTER INSERT ON lessened FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'serializer=public.lessened_json');
CREATE TRIGGER c4 AFTER UPDATE ON lessened REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('created', 'changed=a,c', 'include=old');
DELETE FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND refobjid = 'lessened_json'::regproc;
SET client_min_messages = warning;
DROP DOMAIN going CASCADE;
DROP FUNCTION lessened_json;
RESET client_min_messages;
BEGIN;
INSERT INTO lessened SELECT g, g, g FROM generate_series(1, 2) g;
UPDATE lessened SET b = 5;
UPDATE lessened SET c = 6 WHERE id = 2;
COMMIT;
SELECT o.data, o.object_id, o.hook_id FROM whisperer.outbox o WHERE o.source = 'public.lessened' ORDER BY o.id;
SELECT failure($$CREATE TRIGGER c5 AFTER INSERT ON lessened FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'key=a')$$);
DROP TABLE lessened;

-- on_error=record: what cannot be made fails as an event, with the row's key, and not the write.  What the serializer did
-- is undone.  A transaction that must be tried again fails as ever.
CREATE TABLE risky (id int PRIMARY KEY, a int);
CREATE TABLE risked (id int);
CREATE FUNCTION risky_json(r risky) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO risked VALUES (r.id);
    IF r.a = 1 THEN RAISE EXCEPTION E'"%" is a \\ too\nmany', r.a;
    ELSIF r.a = 2 THEN RETURN NULL;
    ELSIF r.a = 3 THEN RAISE serialization_failure; END IF;
    RETURN to_json(r.a);
END $$;
CREATE FUNCTION risky_ratio(r risky) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb(8 / r.a)';
CREATE TRIGGER r AFTER INSERT OR UPDATE ON risky FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'serializer=public.risky_json', 'on_error=record');
CREATE TRIGGER s AFTER INSERT ON risky REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('updated', 'serializer=public.risky_ratio', 'on_error=record');
\set VERBOSITY terse
INSERT INTO risky SELECT g, g % 3 FROM generate_series(0, 5) g;
UPDATE risky SET a = 3 WHERE id = 1;
\set VERBOSITY default
GRANT INSERT ON risky, risked TO regress_writer;
REVOKE EXECUTE ON FUNCTION risky_ratio FROM PUBLIC;
SET ROLE regress_writer;
INSERT INTO risky VALUES (6, 6);
RESET ROLE;
SELECT o.event_type, o.data, o.object_id FROM whisperer.outbox o WHERE o.source = 'public.risky' ORDER BY o.event_type, o.id;
SELECT id FROM risked ORDER BY id;
SELECT id, a FROM risky ORDER BY id;
SELECT failure($$SELECT try('''created'', ''on_error=ignore''')$$);

-- check_triggers says what is wrong with triggers that were whole when they were made, or that came with a dump.
CREATE DOMAIN going AS int;
CREATE TABLE "Checked" (id int PRIMARY KEY, a going);
CREATE TRIGGER c AFTER INSERT ON "Checked" FOR EACH ROW EXECUTE FUNCTION whisperer.capture('created', 'columns=a');
CREATE TRIGGER d AFTER INSERT ON "Checked" FOR EACH ROW EXECUTE FUNCTION whisperer.capture('cretaed');
SET client_min_messages = warning;
DROP DOMAIN going CASCADE;
RESET client_min_messages;
ALTER TABLE risky OWNER TO regress_writer;
SELECT whisperer.allow('updated', 'regress_writer', 'publish');
SELECT whisperer.disallow('created', 'regress_writer', 'publish');
\x
SELECT * FROM whisperer.check_triggers();
\x
SELECT whisperer.allow('created', 'regress_writer', 'publish');
DROP TABLE risky, risked, "Checked" CASCADE;

-- A change of a table makes what is known of its triggers invalid; the memory of that is freed.
INSERT INTO package VALUES (1000);
SELECT count(*) AS known FROM pg_backend_memory_contexts WHERE name = 'whisperer capture trigger' \gset
ALTER TABLE package SET (fillfactor = 90);
INSERT INTO package VALUES (1001);
ALTER TABLE package SET (fillfactor = 80);
INSERT INTO package VALUES (1002);
ALTER TABLE package SET (fillfactor = 70);
INSERT INTO package VALUES (1003);
SELECT count(*) BETWEEN 1 AND :known AS is_freed FROM pg_backend_memory_contexts WHERE name = 'whisperer capture trigger';

DROP VIEW recorded;
DROP TABLE package, settings, made, bulk, part, keyless, theirs CASCADE;
DROP FUNCTION try;
DROP ROLE regress_writer;
SELECT whisperer.resume();
