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
CREATE TRIGGER part AFTER INSERT ON eve.part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('whole-made');
SELECT failure('INSERT INTO eve.part VALUES (2)');
DROP TRIGGER part ON eve.part;
INSERT INTO eve.part VALUES (3);
SET ROLE regress_owner;
SELECT data, source FROM whisperer.outbox WHERE event_type = 'whole-made' ORDER BY id;
-- Whose the partitioned table is counts at once, also where a partition's trigger was used before.
RESET ROLE;
ALTER TABLE owned.whole OWNER TO regress_eve;
SELECT failure('INSERT INTO eve.part VALUES (4)');
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
CREATE TRIGGER bare AFTER INSERT ON owned.box FOR EACH ROW EXECUTE FUNCTION whisperer.capture('box-created', 'serializer=as_json');
SELECT failure('INSERT INTO owned.box VALUES (2)');

RESET ROLE;
DELETE FROM whisperer.hook_definition;
SET client_min_messages = warning;
DROP SCHEMA eve, owned CASCADE;
RESET client_min_messages;
SELECT count(whisperer.unregister_event(name)) FROM whisperer.event_type WHERE owner::regrole::text ~ 'regress' OR name ~ '^(parcel|box)-';
REVOKE USAGE ON SCHEMA whisperer FROM regress_owner, regress_eve;
DROP ROLE regress_owner, regress_eve, regress_writer;
SELECT whisperer.resume();
