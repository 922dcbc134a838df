-- Tokens with which HTTP clients act as a role.
CREATE ROLE regress_token_ann; CREATE ROLE regress_token_bob;
CREATE ROLE regress_token_boss IN ROLE regress_token_ann;
CREATE ROLE regress_token_gateway NOINHERIT IN ROLE regress_token_ann;
GRANT USAGE ON SCHEMA whisperer TO regress_token_ann, regress_token_bob, regress_token_boss, regress_token_gateway;

-- Shown once, and kept as a hash.
SET ROLE regress_token_ann;
SELECT whisperer.create_api_token('regress_token_ann', 'subscriber''s script') AS token \gset
SELECT :'token' ~ '^what_[0-9]+_[A-Za-z0-9_-]{43}$' AS shape;
SELECT whisperer.create_api_token('regress_token_ann', 'another') AS other \gset
SELECT :'token' <> :'other' AS differs;
RESET ROLE;
SELECT count(*) AS stored_in_clear FROM whisperer.api_token_record t WHERE position(right(:'token', 43) IN t::text) > 0;
SELECT octet_length(hash) FROM whisperer.api_token_record WHERE description = 'another';

-- Who may make one, and of what.
SET ROLE regress_token_boss;
SELECT whisperer.create_api_token('regress_token_ann', 'made by the boss') LIKE 'what_%' AS made;
SET ROLE regress_token_bob;
SELECT failure($$SELECT whisperer.create_api_token('regress_token_ann', 'not mine')$$);
SELECT failure($$SELECT whisperer.create_api_token('regress_token_bob', NULL)$$);
SELECT failure($$SELECT whisperer.create_api_token('regress_token_bob', 'late', now() - interval '1 s')$$);
SELECT failure($$SELECT hash FROM whisperer.api_token_record$$);
SELECT failure($$SELECT whisperer_internal.same_bytes('a', 'a')$$);
SELECT description FROM whisperer.api_token;
SET ROLE regress_token_boss;
SELECT role, description, expires_at, last_used_at, revoked_at FROM whisperer.api_token ORDER BY id;

-- Which role it stands for: told to whoever could take that role on, and to nobody else.
SET ROLE regress_token_gateway;
SELECT whisperer.api_token_role(:'token');
SELECT whisperer.api_token_role(overlay(:'token' PLACING 'x' FROM length(:'token') FOR 1)) IS NOT DISTINCT FROM
       CASE WHEN :'token' LIKE '%x' THEN 'regress_token_ann'::name END AS last_byte_counts;
SELECT bad, whisperer.api_token_role(bad) FROM unnest(ARRAY['', 'what_1_', 'what_99999999999999999999_x', NULL,
    'what_1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'what_987654321_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'what_1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'' OR true']) bad;
SET ROLE regress_token_bob;
SELECT whisperer.api_token_role(:'token') AS told_to_a_stranger;
SET ROLE regress_token_ann;
SELECT description, last_used_at > now() - interval '1 minute' AS used FROM whisperer.api_token ORDER BY id;

-- It ends: revoked, expired, or with its role.
SELECT whisperer.revoke_api_token(split_part(:'other', '_', 2)::bigint);
SELECT whisperer.revoke_api_token(split_part(:'other', '_', 2)::bigint);
SELECT whisperer.api_token_role(:'other');
SELECT whisperer.create_api_token('regress_token_ann', 'short', clock_timestamp() + interval '50 ms') AS short \gset
SELECT pg_sleep_until(expires_at) FROM whisperer.api_token WHERE description = 'short';
SELECT whisperer.api_token_role(:'short');
SET ROLE regress_token_bob;
SELECT failure(format('SELECT whisperer.revoke_api_token(%s)', split_part(:'token', '_', 2)));
SELECT failure('SELECT whisperer.revoke_api_token(NULL)');
SELECT whisperer.create_api_token('regress_token_bob', 'orphan') AS orphan \gset
RESET ROLE;
REVOKE USAGE ON SCHEMA whisperer FROM regress_token_bob; DROP ROLE regress_token_bob;
SELECT whisperer.api_token_role(:'orphan') AS of_a_dropped_role;
SELECT whisperer.api_token_role(:'token');
SELECT failure('SELECT whisperer.create_api_token(987654321::regrole, ''nobody'')');

-- A link into the console: a token of another kind, which is no other by its letters alone, for a while.
SET ROLE regress_token_ann;
SELECT whisperer.create_portal_link('regress_token_ann') AS link \gset
SELECT substr(:'link', 17) AS portal \gset
SELECT :'link' ~ '^console/#portal=whap_[0-9]+_[A-Za-z0-9_-]{43}$' AS shape;
SELECT description, kind, expires_at - created_at AS valid FROM whisperer.api_token WHERE kind = 'portal';
SELECT whisperer.api_token_role(:'portal') AS opens, whisperer.api_token_role('what' || substr(:'portal', 5)) AS as_another,
       whisperer.api_token_role('whap' || substr(:'token', 5)) AS another_as_it;
SELECT failure($$SELECT whisperer.create_portal_link('regress_token_boss')$$);
SELECT failure(format('SELECT whisperer.create_portal_link(''regress_token_ann'', %L)', valid))
FROM unnest('{0,-1 s,25 hours,1200 months -35999 days,NULL}'::interval[]) AS valid;
RESET ROLE;
UPDATE whisperer.api_token_record SET expires_at = now() - interval '25 hours' WHERE kind = 'portal';
SELECT whisperer.api_token_role(:'portal') AS ended;
SELECT count(whisperer.create_portal_link('regress_token_ann', '5 min')) AS makes;
SELECT count(*) AS one_that_lives FROM whisperer.api_token_record WHERE kind = 'portal';

-- Where nothing may be written the use is not noted, and the client let in all the same.
UPDATE whisperer.api_token_record SET last_used_at = NULL WHERE description = 'subscriber''s script';
BEGIN READ ONLY; SELECT whisperer.api_token_role(:'token') AS read_only; COMMIT;
SELECT last_used_at FROM whisperer.api_token WHERE description = 'subscriber''s script';

-- Carried to another database it rests until resume() makes it this one's.
UPDATE whisperer.api_token_record SET incarnation = incarnation + 1 WHERE description = 'subscriber''s script';
SELECT whisperer.api_token_role(:'token') AS carried;
UPDATE whisperer.api_token_record SET role = 0 WHERE description = 'subscriber''s script';
SELECT whisperer.resume();
SELECT whisperer.api_token_role(:'token') AS adopted;

DELETE FROM whisperer.api_token_record;
REVOKE USAGE ON SCHEMA whisperer FROM regress_token_ann, regress_token_boss, regress_token_gateway;
DROP ROLE regress_token_boss, regress_token_gateway, regress_token_ann;
