-- What a role with USAGE on the schema must not get done: each of these was a way once, or looks like one.
SELECT whisperer.pause();
CREATE ROLE regress_owner; CREATE ROLE regress_eve; CREATE ROLE regress_writer;
GRANT USAGE ON SCHEMA whisperer TO regress_owner, regress_eve;
CREATE SCHEMA eve AUTHORIZATION regress_eve;
CREATE SCHEMA owned AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA eve, owned TO regress_owner, regress_eve, regress_writer;

-- The owner of a partition publishes as himself, not as the owner of the partitioned table.
CREATE TABLE owned.whole (id int) PARTITION BY RANGE (id);
CREATE TABLE eve.part PARTITION OF owned.whole FOR VALUES FROM (0) TO (10);
CREATE TRIGGER whole AFTER INSERT ON owned.whole FOR EACH ROW EXECUTE FUNCTION whisperer.capture('whole-made');
ALTER TABLE owned.whole OWNER TO regress_owner;
ALTER TABLE eve.part OWNER TO regress_eve;
SET ROLE regress_owner;
SELECT whisperer.register_event('whole-made');
INSERT INTO owned.whole VALUES (1);
SET ROLE regress_eve;
SELECT failure($$CREATE TRIGGER part AFTER INSERT ON eve.part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('whole-made')$$);
INSERT INTO eve.part VALUES (3);
SET ROLE regress_owner;
SELECT data, source FROM whisperer.outbox WHERE event_type = 'whole-made' ORDER BY id;
-- Whose the partitioned table is counts at once, also where a partition's trigger was used before.
RESET ROLE;
SELECT failure('ALTER TABLE owned.whole OWNER TO regress_eve');
DROP TABLE owned.whole;

-- A likely name taken early, and the table's owner let in, would show the rows of who watches the table.
SET ROLE regress_eve;
SELECT whisperer.register_event('parcel-created');
SELECT whisperer.allow('parcel-created', 'regress_owner', 'publish');
SET ROLE regress_owner;
CREATE TABLE owned.parcel (id int PRIMARY KEY);
SELECT failure($$SELECT whisperer.watch('owned.parcel')$$);
SELECT whisperer.watch('owned.parcel', prefix => 'owned-parcel', operations => '{insert}');
-- Nor may a type be taken that somebody's table records before anybody has registered it.
CREATE TRIGGER early AFTER INSERT ON owned.parcel FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parcel-early');
SET ROLE regress_eve;
SELECT failure($$SELECT whisperer.register_event('parcel-early')$$);
SET ROLE regress_owner;
SELECT whisperer.register_event('parcel-early');
-- Whoever watches a table of another lets its owner publish; the application must not fail.
RESET ROLE;
CREATE TABLE owned.box (id int PRIMARY KEY);
ALTER TABLE owned.box OWNER TO regress_owner;
SELECT whisperer.watch('owned.box', operations => '{insert}');
SET ROLE regress_owner;
INSERT INTO owned.box VALUES (1);

-- A serializer is found by its full name alone, or a writer's search_path would decide what he runs.
SELECT failure($$CREATE TRIGGER bare AFTER INSERT ON owned.box FOR EACH ROW EXECUTE FUNCTION whisperer.capture('box-created', 'serializer=as_json')$$);

-- What all hooks carry is held in memory by the worker, so it is bounded.
SET ROLE regress_eve;
SELECT failure($$SELECT whisperer.create_hook('parcel-created', 'https://example.com/', config => jsonb_build_object('x', repeat('x', 9000)))$$);
SELECT left(failure(format($$SELECT whisperer.create_hook('parcel-created', 'https://example.com/', transform => 'eve.%s')$$, repeat('f', 1000))), 60);

-- Forging an event of another's type, by hand, by a table of one's own, by a temporary one, by a hook.
SET ROLE regress_owner;
SELECT whisperer.register_event('parcel-sent');
SELECT whisperer.deliver_event('parcel-sent', '{"n": 1}') AS sent \gset
SELECT whisperer.create_hook('parcel-sent', 'https://example.com/owner') AS theirs \gset
CREATE TABLE owned.hidden (id int);
SET ROLE regress_eve;
SELECT failure($$SELECT whisperer.deliver_event('parcel-sent', '{}')$$);
SELECT failure($$SELECT whisperer.deliver_event('whisperer-hook-disabled', '{}')$$);
CREATE TABLE eve.parcel (id int);
SELECT failure($$CREATE TRIGGER forge AFTER INSERT ON eve.parcel FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parcel-sent')$$);
CREATE TEMP TABLE parcel (id int);
SELECT failure($$CREATE TRIGGER forge AFTER INSERT ON parcel FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parcel-sent')$$);
DROP TABLE parcel;
-- What is recorded without the right goes to nobody.
RESET ROLE;
SELECT whisperer.allow('parcel-sent', 'regress_eve', 'publish');
SET ROLE regress_eve;
CREATE TRIGGER forge AFTER INSERT ON eve.parcel FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parcel-sent');
RESET ROLE;
SELECT whisperer.disallow('parcel-sent', 'regress_eve', 'publish');
SET ROLE regress_eve;
INSERT INTO eve.parcel VALUES (1);
SET ROLE regress_owner;
SELECT count(*) AS forged FROM whisperer.outbox WHERE event_type = 'parcel-sent' AND source = 'eve.parcel';
RESET ROLE;
SELECT target_url FROM whisperer.outbox o, whisperer.preview(o.id) WHERE o.source = 'eve.parcel' AND o.event_type = 'parcel-sent';
SELECT whisperer.why(o.id, :theirs) FROM whisperer.outbox o WHERE o.source = 'eve.parcel' AND o.event_type = 'parcel-sent';
SET ROLE regress_eve;
DROP TRIGGER forge ON eve.parcel;
SELECT failure(format($$SELECT whisperer_internal.record_backfill(%s, 'x', '{"{}"}', '{k}')$$, :theirs)) ~ '^42704' AS refused;
SELECT failure(format($$SELECT whisperer_internal.record_backfill_as(%s, %s, 'x', '{"{}"}', '{k}')$$, 'regress_owner'::regrole::oid, :theirs));

-- Reading what is another's.
SELECT failure($$SELECT whisperer.create_hook('parcel-s*', 'https://example.com/')$$);
SELECT whisperer.create_hook('*', 'https://example.com/all') AS all \gset
SELECT whisperer.create_hook('parcel-created', 'https://example.com/mine') AS mine \gset
SELECT whisperer.replay(:all, '-infinity', dry_run => true) AS countable;
SELECT whisperer.why(:'sent', :all);
SELECT count(*) AS previewed FROM whisperer.preview(:'sent');
SELECT failure(format('SELECT whisperer.why(%L, %s)', :'sent', :theirs)) ~ '^42704' AS refused;
SELECT failure(format('SELECT whisperer.retry(%L)', :'sent')) ~ '^42704' AS refused;
SELECT whisperer.cancel(:'sent') AS cancelled;
SELECT failure(format($$SELECT whisperer.backfill(%s, 'owned.hidden')$$, :mine));
SELECT failure($$SELECT whisperer.watch('owned.hidden', prefix => 'hidden')$$);
SELECT failure($$SELECT whisperer.unwatch('owned.parcel')$$);
-- Rows that somebody backfills for a hook of his are no news to others who may have the type.
SET ROLE regress_owner;
SELECT whisperer.allow('parcel-sent', 'regress_eve', 'subscribe');
CREATE TABLE owned.diary (id int PRIMARY KEY);
INSERT INTO owned.diary VALUES (13);
SELECT whisperer.backfill(:theirs, 'owned.diary');
SELECT data FROM whisperer.outbox WHERE event_type = 'parcel-sent' ORDER BY id;
SET ROLE regress_eve;
SELECT data FROM whisperer.outbox WHERE event_type = 'parcel-sent' ORDER BY id;
SET ROLE regress_owner;
SELECT whisperer.disallow('parcel-sent', 'regress_eve', 'subscribe');
SET ROLE regress_eve;
-- Nor do statistics and plans tell.
SELECT count(*) AS statistics FROM pg_stats WHERE schemaname = 'whisperer' AND tablename ~ '^(outbox|delivery|past_attempt|hook|secret|request)';
CREATE FUNCTION eve.leak(x text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN RAISE NOTICE 'leaked %', x; RETURN true; END$$;
SELECT count(*) FROM whisperer.outbox WHERE eve.leak(data::text);
SELECT count(*) AS own FROM whisperer.hook WHERE eve.leak(CASE WHEN target_url ~ 'owner' THEN target_url ELSE 'own' END);
SELECT count(*) AS own FROM whisperer.hook_stats WHERE eve.leak(CASE WHEN target_url ~ 'owner' THEN target_url ELSE 'own' END);

-- A cast to json of somebody's type runs as the writer, or as who backfills, never as the extension's owner.
CREATE TYPE eve.mood AS ENUM ('calm');
CREATE FUNCTION eve.mood_json(eve.mood) RETURNS json LANGUAGE sql AS $$SELECT to_json('cast by ' || current_user)$$;
CREATE CAST (eve.mood AS json) WITH FUNCTION eve.mood_json(eve.mood);
CREATE FUNCTION eve.noted(eve.mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'generated by ' || current_user$$;
CREATE TABLE eve.felt (id int PRIMARY KEY, mood eve.mood, noted text GENERATED ALWAYS AS (eve.noted(mood)) STORED);
CREATE TRIGGER r AFTER INSERT ON eve.felt FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parcel-created');
CREATE TRIGGER s AFTER INSERT ON eve.felt REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('parcel-created');
GRANT ALL ON eve.felt TO regress_writer;
SET ROLE regress_writer;
INSERT INTO eve.felt VALUES (1, 'calm');
SET ROLE regress_eve;
SELECT whisperer.backfill(:mine, 'eve.felt');
SELECT data, object_id FROM whisperer.outbox WHERE source = 'eve.felt' ORDER BY id;

-- Functions, operators and types that are found first along the caller's path are not called.
CREATE FUNCTION eve.planted() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'planted code runs as %', current_user; END$$;
DO $do$
DECLARE
    t text; operator text;
BEGIN
    FOREACH t IN ARRAY '{text,name,oid,bigint,integer,uuid,timestamptz,jsonb,regrole,xid8}'::text[] LOOP
        EXECUTE format('CREATE FUNCTION eve.planted(%s, %1$s) RETURNS boolean LANGUAGE sql AS ''SELECT eve.planted()''', t);
        FOREACH operator IN ARRAY '{=,<>,<,>,<=,>=,~,||,+,-,/,@>,?}'::text[] LOOP
            EXECUTE format('CREATE OPERATOR eve.%s (LEFTARG = %s, RIGHTARG = %2$s, FUNCTION = eve.planted)', operator, t);
        END LOOP;
    END LOOP;
    FOREACH t IN ARRAY '{text,uuid,timestamptz,jsonb,json,oid,name,regclass,regrole,xid8}'::text[] LOOP
        EXECUTE format('CREATE DOMAIN eve.%I AS pg_catalog.%1$I CHECK (eve.planted())', t);
    END LOOP;
END;
$do$;
CREATE FUNCTION eve.now() RETURNS pg_catalog.timestamptz LANGUAGE sql AS 'SELECT clock_timestamp() WHERE eve.planted()';
CREATE FUNCTION eve.clock_timestamp() RETURNS pg_catalog.timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now() WHERE eve.planted()';
RESET ROLE;
CREATE TABLE owned.late (id int PRIMARY KEY);
INSERT INTO owned.late VALUES (1);
GRANT SELECT ON owned.late TO regress_owner;
-- In a session of its own, where nothing is compiled yet.
\c -
SET search_path = eve, pg_catalog, public;
SELECT whisperer.watch('owned.late', operations => '{insert}');
INSERT INTO owned.late VALUES (2);
SELECT whisperer.register_event('parcel-planted');
SELECT whisperer.allow('parcel-planted', 'regress_owner', 'publish');
SELECT whisperer.deliver_event('parcel-planted', '{}'::pg_catalog.json) IS NOT NULL AS recorded;
SELECT whisperer.create_hook('parcel-planted', 'https://example.com/planted') AS planted \gset
SELECT whisperer.update_hook(:planted, '{"description": "x"}');
SELECT whisperer.pause_hook(:planted), whisperer.resume_hook(:planted);
SELECT whisperer.rotate_secret(:planted) IS NOT NULL AS rotated;
SELECT whisperer.backfill(:planted, 'owned.late');
SELECT pg_catalog.count(*) FROM whisperer.preview();
SELECT whisperer.replay(:planted, '-infinity', dry_run => true);
SELECT whisperer.recover(:planted, '-infinity');
SELECT pg_catalog.count(*) FROM whisperer.hook_stats;
SELECT whisperer.delete_hook(:planted);
RESET search_path;
SELECT whisperer.unwatch('owned.late');
SELECT whisperer.unregister_event('parcel-planted');

RESET ROLE;
DELETE FROM whisperer.hook_definition;
SET client_min_messages = warning;
DROP SCHEMA eve, owned CASCADE;
RESET client_min_messages;
SELECT count(whisperer.unregister_event(name)) FROM whisperer.event_type WHERE owner::regrole::text ~ 'regress' OR name ~ '^(parcel|box)-';
REVOKE USAGE ON SCHEMA whisperer FROM regress_owner, regress_eve;
DROP ROLE regress_owner, regress_eve, regress_writer;
SELECT whisperer.resume();
