-- The extension installs, and every later test can show an error with its SQLSTATE.
CREATE EXTENSION whisperer;
SELECT extversion, nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'whisperer';

-- Runs a statement that should fail: SQLSTATE, message, hint.
CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, said, nullif(hint, ''));
END;
$$;

-- Nobody gets at the schema without being let in, and PUBLIC calls nothing internal.
SELECT nspacl FROM pg_namespace WHERE nspname ~ '^whisperer' ORDER BY nspname;
SELECT proname FROM pg_proc
WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace) AND has_function_privilege('public', oid, 'EXECUTE')
  AND (proname ~ '_as$' OR proname ~ '^set_p' OR proname IN ('announce', 'worker_state', 'require_hook', 'note_change'));

-- Every function that anybody may call says what it does; those for users in a line that fits beside \df+.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace) AND has_function_privilege('public', oid, 'EXECUTE')
  AND obj_description(oid, 'pg_proc') IS NULL;
SELECT p.oid::regprocedure, length(obj_description(oid, 'pg_proc')) FROM pg_proc p
WHERE pronamespace = 'whisperer'::regnamespace AND (length(obj_description(oid, 'pg_proc')) > 90 OR obj_description(oid, 'pg_proc') ~ ';');
-- What is for users anybody may call who may use the schema.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace = 'whisperer'::regnamespace AND NOT has_function_privilege('public', oid, 'EXECUTE');

-- Every function has its search_path pinned, is C or an aggregate of it, has a parsed body, or may not (it commits).
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = prolang
WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace) AND lanname <> 'c' AND prokind <> 'a' AND prosqlbody IS NULL
  AND NOT coalesce(proconfig::text ~ 'search_path', false) ORDER BY 1;

-- Every table that is not of this database alone is dumped.
SELECT c.relname FROM pg_class c
WHERE relnamespace = 'whisperer'::regnamespace AND relkind IN ('r', 'S')
  AND c.oid <> ALL (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'whisperer')
ORDER BY 1;
-- And has a primary key.
SELECT c.relname FROM pg_class c
WHERE relnamespace = 'whisperer'::regnamespace AND relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary);

-- A schema of somebody else's is refused, a superuser's is used.
CREATE ROLE regress_stranger;
DROP EXTENSION whisperer;
DROP SCHEMA IF EXISTS whisperer;
CREATE SCHEMA whisperer AUTHORIZATION regress_stranger;
SELECT failure('CREATE EXTENSION whisperer');
-- Nor is one that was given away with something in it.
SET ROLE regress_stranger;
CREATE FUNCTION whisperer.planted(name, name) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'planted code runs as %', current_user; END$$;
CREATE OPERATOR whisperer.~ (LEFTARG = name, RIGHTARG = name, FUNCTION = whisperer.planted);
GRANT CREATE ON SCHEMA whisperer TO PUBLIC;
RESET ROLE;
ALTER SCHEMA whisperer OWNER TO CURRENT_USER;
SELECT failure('CREATE EXTENSION whisperer');
SET client_min_messages = warning;
DROP FUNCTION whisperer.planted CASCADE;
RESET client_min_messages;

-- What the installing role's default privileges give away is not given away with the extension, and
-- what they withhold is there; also where it is made in a subtransaction, as frameworks do.
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_stranger;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_stranger;
ALTER DEFAULT PRIVILEGES GRANT ALL ON ROUTINES TO regress_stranger;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
BEGIN; SAVEPOINT s; CREATE EXTENSION whisperer; RELEASE s; COMMIT;
SELECT nspacl FROM pg_namespace WHERE nspname ~ '^whisperer' ORDER BY nspname;
SELECT c.oid::regclass FROM pg_class c, aclexplode(relacl) a
WHERE relnamespace = 'whisperer'::regnamespace AND grantee = 'regress_stranger'::regrole;
SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(proacl) a
WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace) AND grantee = 'regress_stranger'::regrole;
SELECT has_function_privilege('public', 'whisperer.register_event(text, text, jsonb, jsonb, text)', 'EXECUTE') AS may_register;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM regress_stranger;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM regress_stranger;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON ROUTINES FROM regress_stranger;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON ROUTINES TO PUBLIC;
SELECT count(*) AS default_privileges FROM pg_default_acl;
DROP ROLE regress_stranger;
SELECT failure('ALTER EXTENSION whisperer SET SCHEMA public');
