-- Plain DML on hooks obeys what the functions obey, and where it may not do something it names the function
-- that does.
CREATE ROLE regress_ann;
GRANT USAGE ON SCHEMA whisperer TO regress_ann;
SELECT whisperer.register_event('order-paid'), whisperer.register_event('order-sent');
SELECT whisperer.allow('order-paid', 'regress_ann', 'subscribe');
SET ROLE regress_ann;
INSERT INTO whisperer.hook (event_type, target_url) VALUES ('order-paid', 'https://example.com/a') RETURNING state, is_active, is_paused;
SELECT id AS hook FROM whisperer.hook \gset
-- Paused, and resumed as by resume_hook, which ends what disabled it, too.
INSERT INTO whisperer.hook (event_type, target_url, is_paused) VALUES ('order-paid', 'https://example.com/b', true) RETURNING state;
UPDATE whisperer.hook SET is_paused = true WHERE id = :hook RETURNING state;
RESET ROLE;
INSERT INTO whisperer.hook_run (hook_id, disabled_at, disabled_reason, disabled_resumes)
SELECT id, now(), 'gone', resumes FROM whisperer.hook_definition WHERE id = :hook
ON CONFLICT (hook_id) DO UPDATE SET disabled_at = excluded.disabled_at, disabled_reason = excluded.disabled_reason, disabled_resumes = excluded.disabled_resumes;
SET ROLE regress_ann;
UPDATE whisperer.hook SET is_paused = false WHERE id = :hook RETURNING state;
UPDATE whisperer.hook_definition SET resumes = -7 WHERE id = :hook RETURNING resumes;
-- Deleted, for good.
UPDATE whisperer.hook SET is_active = false, is_paused = true WHERE id = :hook RETURNING state, is_paused;
SELECT regexp_replace(failure(format($$UPDATE whisperer.hook SET is_active = true WHERE id = %s$$, :hook)), 'hook \d+', 'hook N');
SELECT regexp_replace(failure(format($$UPDATE whisperer.hook SET is_paused = true WHERE id = %s$$, :hook)), 'hook \d+', 'hook N');
SELECT regexp_replace(failure(format($$UPDATE whisperer.hook SET description = 'x' WHERE id = %s$$, :hook)), 'hook \d+', 'hook N');
SELECT regexp_replace(failure(format($$UPDATE whisperer.hook SET target_url = 'https://example.com/c', is_active = true WHERE id = %s$$, :hook)), 'hook \d+', 'hook N');
SELECT regexp_replace(failure(format($$UPDATE whisperer.hook_definition SET resumes = 3 WHERE id = %s$$, :hook)), 'hook \d+', 'hook N');
UPDATE whisperer.hook SET is_active = false, description = description WHERE id = :hook RETURNING state;
INSERT INTO whisperer.hook (event_type, target_url, is_active) VALUES ('order-paid', 'https://example.com/d', false);
RESET ROLE;
SELECT regexp_replace(failure(format($$UPDATE whisperer.hook_definition SET is_active = true WHERE id = %s$$, :hook)), 'hook \d+', 'hook N');
-- Neither is null, as in the functions.
SET ROLE regress_ann;
SELECT failure(format('INSERT INTO whisperer.hook (event_type, target_url) VALUES (%L, %L)', t, u)) FROM (VALUES (NULL, 'https://example.com/n'), ('order-paid', NULL)) AS v (t, u);
SELECT failure(format('UPDATE whisperer.hook SET %I = NULL WHERE is_active', c)) FROM unnest('{event_type,target_url}'::text[]) AS c;
SELECT failure($$SELECT whisperer.create_hook(NULL, 'https://example.com/n')$$);
RESET ROLE;
-- Nor does what was carried here come to life by itself.
UPDATE whisperer.hook_definition SET incarnation = incarnation + 1, is_paused = true WHERE target_url ~ '/b$';
SELECT regexp_replace(failure($$UPDATE whisperer.hook_definition SET is_paused = false WHERE target_url ~ '/b$'$$), 'hook \d+', 'hook N');
SET ROLE regress_ann;
-- What is not written, and what is for others to write.
UPDATE whisperer.hook SET state = 'active';
INSERT INTO whisperer.hook (event_type, target_url, owner) VALUES ('order-paid', 'https://example.com/e', 'regress_ann');
INSERT INTO whisperer.hook (id, event_type, target_url) VALUES (1, 'order-paid', 'https://example.com/e');
UPDATE whisperer.hook SET since = '1:1:';
UPDATE whisperer.hook_definition SET owner = 10;
DELETE FROM whisperer.hook;
DELETE FROM whisperer.hook_definition;
INSERT INTO whisperer.event_type (name) VALUES ('order-lost');
UPDATE whisperer.event_type SET description = 'x';
INSERT INTO whisperer.outbox (event_type, data) VALUES ('order-paid', '{}');
DELETE FROM whisperer.delivery;
UPDATE whisperer.delivery_0 SET state = 'failed';
DELETE FROM whisperer.api_token;
UPDATE whisperer.control SET is_paused = true;
DELETE FROM whisperer.past_attempt;
DELETE FROM whisperer.nodes;
INSERT INTO whisperer.node (name) VALUES ('n');
DELETE FROM whisperer.status;
DELETE FROM whisperer.delivery_rate;
-- Whatever is refused has a hint.
SELECT c.relname AS without_hint FROM pg_class c
WHERE c.relnamespace = 'whisperer'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND failure(format('DELETE FROM whisperer.%I', c.relname)) !~ '^42501 . permission denied for (table|view) .+ . .+';
DELETE FROM whisperer.event_key;
DELETE FROM whisperer.key_decision_7;
DELETE FROM whisperer.event_type_claim;
DELETE FROM whisperer.bookmark;
DELETE FROM whisperer.hook_minute;
INSERT INTO whisperer.node_message DEFAULT VALUES;
DELETE FROM whisperer.incarnation;
SELECT failure($$INSERT INTO whisperer.hook_definition DEFAULT VALUES$$);
-- However a statement comes to write.
WITH gone AS (DELETE FROM whisperer.delivery RETURNING 1) SELECT count(*) FROM gone;
WITH added AS (INSERT INTO whisperer.event_type (name) VALUES ('order-lost') RETURNING 1) DELETE FROM whisperer.hook;
MERGE INTO whisperer.event_type t USING (VALUES (1)) AS v (n) ON false WHEN NOT MATCHED THEN INSERT (name) VALUES ('order-lost');
MERGE INTO whisperer.outbox o USING (VALUES (1)) AS v (n) ON true WHEN MATCHED THEN DELETE;
MERGE INTO whisperer.hook_definition h USING (VALUES (1)) AS v (n) ON true WHEN MATCHED THEN DO NOTHING;
RESET ROLE;
GRANT INSERT ON whisperer.event_type TO regress_ann;
SET ROLE regress_ann;
INSERT INTO whisperer.event_type (name) VALUES ('order-paid') ON CONFLICT (name) DO UPDATE SET description = 'x';
RESET ROLE;
REVOKE INSERT ON whisperer.event_type FROM regress_ann;
UPDATE whisperer.hook SET state = 'active';
UPDATE whisperer.hook SET (state, description) = (SELECT 'active', 'x');
SELECT whisperer.register_event('order-row');
SELECT whisperer.create_hook('order-row', 'https://example.com/row') AS row \gset
UPDATE whisperer.hook SET (description, priority) = (SELECT 'of a row', 'low') WHERE id = :row RETURNING description, priority;
-- Other tables are nobody's business.
CREATE TABLE event_type (name text);
SET ROLE regress_ann;
DELETE FROM public.event_type;
RESET ROLE;
DROP TABLE event_type;
DELETE FROM whisperer.hook_run;
DELETE FROM whisperer.hook_definition;
SELECT whisperer.unregister_event(name) FROM whisperer.event_type WHERE name ~ '^order-';
REVOKE USAGE ON SCHEMA whisperer FROM regress_ann;
DROP ROLE regress_ann;
