-- Hooks and undelivered events of dj-whisperer: the tables are as its migrations make them (0.2), with rows of every kind.
SELECT whisperer.pause();
CREATE SCHEMA dj;
CREATE TABLE dj.whisperer_webhook (
    id serial PRIMARY KEY, created_date timestamptz NOT NULL DEFAULT now(), modified_date timestamptz NOT NULL DEFAULT now(),
    target_url varchar(255) NOT NULL, is_active boolean NOT NULL DEFAULT true, secret_key varchar(124), event_type varchar(124) NOT NULL,
    callback varchar(64), user_id integer NOT NULL, retry_countdown_config jsonb NOT NULL, additional_headers jsonb NOT NULL DEFAULT '{}',
    config jsonb NOT NULL DEFAULT '{}', UNIQUE (user_id, target_url, event_type));
CREATE TABLE dj.whisperer_webhookevent (
    id serial PRIMARY KEY, created_date timestamptz NOT NULL DEFAULT now(), modified_date timestamptz NOT NULL DEFAULT now(), uuid uuid NOT NULL UNIQUE,
    request_payload jsonb NOT NULL, response_content text NOT NULL DEFAULT '', response_http_status integer NOT NULL DEFAULT 500, delivered boolean NOT NULL DEFAULT false,
    request_datetimes timestamptz[] NOT NULL DEFAULT '{}', webhook_id integer NOT NULL REFERENCES dj.whisperer_webhook, retry_count integer,
    content_type_id integer, object_id integer, response_time interval);
CREATE TABLE dj.whisperer_eventqueue (
    id serial PRIMARY KEY, created_date timestamptz NOT NULL DEFAULT now(), modified_date timestamptz NOT NULL DEFAULT now(), uuid uuid NOT NULL UNIQUE,
    hook_id integer NOT NULL, event_type varchar(124) NOT NULL, app_label varchar(124), model_name varchar(124), object_id varchar(124), instance_dict jsonb NOT NULL DEFAULT '{}');
CREATE ROLE regress_shop; CREATE ROLE regress_partner;
INSERT INTO dj.whisperer_webhook (id, target_url, is_active, secret_key, event_type, callback, user_id, retry_countdown_config, additional_headers, config) VALUES
    (1000103, 'https://example.com/a', true, 's3cret', 'package-created', NULL, 1, '{"choice": "exponential", "kwargs": {"base": 2, "limit": null}}', '{"X-Shop": "1"}', '{"region": "eu", "auth": {"auth_type": "basic", "username": "u", "password": "p"}}'),
    (1000104, 'https://example.com/b', false, '', 'package-created', NULL, 2, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{}'),
    (1000106, 'https://example.com/c', true, NULL, 'order,created', 'shop.hooks.done', 2, '{"choice": "custom", "kwargs": {"factor": 5}}', '{}', '{"auth": {}}'),
    (1000107, 'https://example.com/d', true, NULL, 'order_created', NULL, 2, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{}'),
    (1000108, 'ftp://example.com/', true, NULL, 'package-created', NULL, 2, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{}'),
    (1000109, 'https://example.com/e', true, 'k', 'package-created', NULL, 9, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{"auth": {"auth_type": "digest"}}'),
    (1000111, 'https://example.com/f', true, 'k', rpad(E'Bestellung "\u2116 5" angelegt: 50 % \\ * ', 124, U&'\00fc'), NULL, 2, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{}');
INSERT INTO dj.whisperer_webhookevent (uuid, created_date, request_payload, delivered, webhook_id, retry_count, object_id) VALUES
    ('00000000-0000-4000-8000-000000000001', now() - interval '2 hours', '{"event": {"type": "package-created", "uuid": "x"}, "payload": {"id": 61}}', false, 1000103, 4, 61),
    ('00000000-0000-4000-8000-000000000002', now() - interval '1 hour', '{"event": {"type": "package-created", "uuid": "y"}, "payload": {"id": 62}}', true, 1000103, 1, 62),
    ('00000000-0000-4000-8000-000000000003', now() - interval '3 hours', '{"event": {"type": "package-created", "uuid": "z"}, "payload": {"id": 60}}', false, 1000103, 19, 60),
    ('00000000-0000-4000-8000-000000000004', now() - interval '400 days', '{"payload": {"id": 1}}', false, 1000103, 2, 1),
    ('00000000-0000-4000-8000-000000000005', now(), '{"payload": {"id": 2}}', false, 1000104, 2, 2);
INSERT INTO dj.whisperer_eventqueue (uuid, hook_id, event_type, app_label, model_name, object_id, instance_dict) VALUES
    ('00000000-0000-4000-8000-00000000000a', 1000103, 'package-created', 'shop', 'package', '63', '{}'),
    ('00000000-0000-4000-8000-00000000000b', 1000103, 'package-created', NULL, NULL, NULL, '{"id": 64}');

-- Nothing of who made the tables runs as who imports.
CREATE TYPE dj.colour AS ENUM ('red');
CREATE TABLE dj.ran (as_whom text);
CREATE FUNCTION dj.as_json(dj.colour) RETURNS json LANGUAGE sql AS $$INSERT INTO dj.ran VALUES (current_user); SELECT json '1'$$;
CREATE CAST (dj.colour AS json) WITH FUNCTION dj.as_json(dj.colour);
ALTER TABLE dj.whisperer_webhook ADD COLUMN colour dj.colour DEFAULT 'red';
SELECT failure($$SELECT whisperer.import_dj_whisperer('dj', '{}', dry_run => false)$$);
ALTER TABLE dj.whisperer_webhook DROP COLUMN colour;
ALTER TABLE dj.whisperer_eventqueue RENAME TO queue;
CREATE VIEW dj.whisperer_eventqueue AS SELECT q.*, dj.as_json('red') FROM dj.queue q;
SELECT failure($$SELECT whisperer.import_dj_whisperer('dj', '{}', dry_run => false)$$);
DROP VIEW dj.whisperer_eventqueue;
ALTER TABLE dj.queue RENAME TO whisperer_eventqueue;
SELECT as_whom = current_user AS ran FROM dj.ran;

-- What stands in the tables gives nobody a right to somebody's event type.
CREATE ROLE regress_payroll; GRANT USAGE ON SCHEMA whisperer TO regress_payroll;
SET ROLE regress_payroll; SELECT whisperer.register_event('salary-paid'); RESET ROLE;
INSERT INTO dj.whisperer_webhook (id, target_url, secret_key, event_type, user_id, retry_countdown_config) VALUES (1000102, 'https://example.com/salary', 'k', 'salary-paid', 1, '{"choice": "fixed", "kwargs": {"seconds": 5}}');
SELECT done, problem FROM whisperer.import_dj_whisperer('dj', '{"1": "regress_shop"}') WHERE object = 'hook' AND id = '1000102';
SELECT whisperer.allow('salary-paid', 'regress_shop', 'subscribe');
SELECT done, problem FROM whisperer.import_dj_whisperer('dj', '{"1": "regress_shop"}') WHERE object = 'hook' AND id = '1000102';
DELETE FROM dj.whisperer_webhook WHERE id = 1000102;
SELECT whisperer.unregister_event('salary-paid');
-- What differed there may be one here.
INSERT INTO dj.whisperer_webhook (id, target_url, event_type, user_id, retry_countdown_config) VALUES (1000110, 'https://EXAMPLE.com:443/d', 'order_created', 2, '{"choice": "fixed", "kwargs": {"seconds": 5}}');
CREATE UNIQUE INDEX one_description ON whisperer.hook_definition (description) WHERE id IN (1000103, 1000106);
SELECT id, done, problem FROM whisperer.import_dj_whisperer('dj', '{"1": "regress_shop", "2": "regress_partner"}') WHERE object = 'hook' AND id IN ('1000106', '1000107', '1000110');
DROP INDEX whisperer.one_description;
DELETE FROM dj.whisperer_webhook WHERE id = 1000110;
REVOKE USAGE ON SCHEMA whisperer FROM regress_payroll;
DROP ROLE regress_payroll;

-- A trial changes nothing.
SELECT * FROM whisperer.import_dj_whisperer('dj', '{"1": "regress_shop", "2": "regress_nobody"}');
SELECT (SELECT count(*) FROM whisperer.hook_definition h WHERE h.id IN (SELECT id FROM dj.whisperer_webhook)), (SELECT count(*) FROM whisperer.event_type WHERE name ~ '^(package|order)');

SELECT * FROM whisperer.import_dj_whisperer('dj', '{"1": "regress_shop", "*": "regress_partner"}', dry_run => false);
SELECT h.id, h.owner, left(h.event_type, 45) AS event_type, char_length(h.event_type) AS characters, h.target_url, h.config, h.retry_countdown_config, h.payload_key, h.state FROM whisperer.hook h WHERE h.description = 'from dj-whisperer' ORDER BY h.id;
SELECT s.hook_id, s.secret_key, s.additional_headers, s.auth FROM whisperer.secret s JOIN whisperer.hook h ON h.id = s.hook_id WHERE h.description = 'from dj-whisperer' ORDER BY 1;
SELECT o.event_type, o.data, o.object_id, o.hook_id, o.created_at = e.created_date AS at_its_time,
       ('x' || substr(replace(o.id::text, '-', ''), 1, 12))::bit(48)::bigint = floor(extract(epoch FROM e.created_date) * 1000) AS id_of_its_time
FROM whisperer.outbox o LEFT JOIN dj.whisperer_webhookevent e ON o.id = whisperer_internal.event_id_of(e.created_date, e.uuid::text)
WHERE o.hook_id = 1000103 ORDER BY o.id;
SELECT nextval('whisperer.hook_definition_id_seq') > 1000106 AS goes_on_behind_them;
-- Once more: what is there stays as it is.
SELECT object, count(*) FILTER (WHERE done) AS done, count(*) FROM whisperer.import_dj_whisperer('dj', '{"*": "regress_shop"}', dry_run => false) GROUP BY 1 ORDER BY 1;

-- The numbers of inactive hooks are taken, too.
DELETE FROM dj.whisperer_webhookevent; DELETE FROM dj.whisperer_eventqueue; DELETE FROM dj.whisperer_webhook WHERE is_active;
UPDATE dj.whisperer_webhook SET id = 1000200;
SELECT * FROM whisperer.import_dj_whisperer('dj', '{"*": "regress_partner"}', dry_run => false);
SELECT nextval('whisperer.hook_definition_id_seq') > 1000200 AS goes_on_behind_them;

SELECT failure($$SELECT whisperer.import_dj_whisperer('public', '{}')$$);
SELECT failure($$SELECT whisperer.import_dj_whisperer('dj', '[]')$$);
GRANT USAGE ON SCHEMA whisperer TO regress_shop;
SET ROLE regress_shop;
SELECT failure($$SELECT whisperer.import_dj_whisperer('dj', '{}')$$);
RESET ROLE;

SELECT whisperer.delete_hook(h.id) FROM whisperer.hook h WHERE h.description = 'from dj-whisperer' AND h.state <> 'deleted';
SELECT whisperer.unregister_event(t.name) FROM whisperer.event_type t WHERE t.description LIKE 'dj-whisperer: %';
SET client_min_messages = warning;
DROP SCHEMA dj CASCADE;
REVOKE USAGE ON SCHEMA whisperer FROM regress_shop;
DROP ROLE regress_shop, regress_partner;
RESET client_min_messages;
SELECT whisperer.resume();
