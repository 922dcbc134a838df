-- watch and unwatch.
SELECT whisperer.pause();
CREATE TABLE parcel (id int PRIMARY KEY, v int);
CREATE VIEW seen AS SELECT event_type, data, object_id FROM whisperer.outbox WHERE source ~ 'parcel' ORDER BY id;
SELECT * FROM whisperer.watch('parcel');
SELECT * FROM whisperer.watch('parcel');
SELECT tgname, tgtype FROM pg_trigger WHERE tgrelid = 'parcel'::regclass ORDER BY 1;
INSERT INTO parcel VALUES (1, 1), (2, 2);
UPDATE parcel SET v = 3 WHERE id = 1;
DELETE FROM parcel WHERE id = 2;
SELECT * FROM seen;
-- Whatever a backslash means in the session; since PostgreSQL 19 it means one thing.
SELECT current_setting('server_version_num')::int < 190000 AS backslash_escapes \gset
\if :backslash_escapes
SET standard_conforming_strings = off;
\endif
SELECT count(*) FROM whisperer.watch('parcel');
SELECT reason FROM whisperer.status WHERE reason ~ 'preload';
SELECT whisperer.unwatch('parcel');
RESET standard_conforming_strings;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'parcel'::regclass;
SELECT name FROM whisperer.event_type WHERE name ~ '^parcel';

SELECT * FROM whisperer.watch('parcel', prefix => 'box', operations => '{insert}', options => '{columns=v}');
INSERT INTO parcel VALUES (4, 4);
SELECT * FROM seen WHERE event_type ~ 'box';
-- Once is enough, but not otherwise.
SELECT * FROM whisperer.watch('parcel', prefix => 'box', operations => '{insert}', options => '{columns=v}');
SELECT failure($$SELECT whisperer.watch('parcel', prefix => 'box')$$);
SELECT failure($$SELECT whisperer.watch('parcel', operations => '{insert}', options => '{columns=v}')$$) ~ '^55000' AS refused;
ALTER TABLE parcel DISABLE TRIGGER whisperer_created;
SELECT failure($$SELECT whisperer.watch('parcel', prefix => 'box', operations => '{insert}', options => '{columns=v}')$$) ~ '^55000' AS refused;
SELECT whisperer.unwatch('parcel');

CREATE TABLE parcel_p (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parcel_p1 PARTITION OF parcel_p FOR VALUES FROM (0) TO (10);
SELECT * FROM whisperer.watch('parcel_p', operations => '{insert}');
INSERT INTO parcel_p1 VALUES (1);
SELECT * FROM seen WHERE event_type ~ 'parcel_p';
SELECT whisperer.unwatch('parcel_p');

-- Children, by what is done to their parent.
CREATE TABLE parcel_i () INHERITS (parcel);
INSERT INTO parcel_i VALUES (6, 6);
SELECT * FROM whisperer.watch('parcel_p1');
SELECT * FROM whisperer.watch('parcel_i');
INSERT INTO parcel_p VALUES (2);
DELETE FROM parcel_p WHERE id = 2;
UPDATE parcel SET v = 7 WHERE id = 6;
SELECT * FROM seen WHERE event_type ~ 'parcel_(p1|i)';
SELECT failure($$SELECT whisperer.watch('parcel', operations => '{truncate}')$$);
SELECT failure($$SELECT whisperer.watch('nowhere')$$);
CREATE ROLE regress_visitor; GRANT USAGE ON SCHEMA whisperer TO regress_visitor;
SET ROLE regress_visitor;
SELECT failure($$SELECT whisperer.watch('parcel', prefix => 'visitor')$$);
RESET ROLE;
REVOKE USAGE ON SCHEMA whisperer FROM regress_visitor;
DROP ROLE regress_visitor;
DROP VIEW seen;
DROP TABLE parcel, parcel_p, parcel_i;
SELECT whisperer.resume();
