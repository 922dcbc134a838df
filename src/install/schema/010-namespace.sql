-- The schema may be there already (pg_dump creates it before the extension), but it must not belong
-- to somebody who could then replace what is in it, nor hold a function or operator that was put there
-- to be taken for one of ours.  The search_path for the whole script: nothing of that schema is found
-- without its name.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

DO $do$
DECLARE
    schema_owner name;
    grantee oid;
BEGIN
    SELECT rolname INTO schema_owner
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = 'whisperer' AND NOT r.rolsuper AND r.rolname <> current_user;
    IF FOUND THEN
        RAISE EXCEPTION 'schema "whisperer" belongs to role "%"', schema_owner
            USING ERRCODE = 'insufficient_privilege',
                  HINT = CASE WHEN pg_catalog.to_regprocedure('whisperer.clean_outbox()') IS NULL THEN 'Drop or rename that schema, and try again.'
                              ELSE 'It is the recorder''s: recorder/move-to-extension.sql makes the extension and takes over what there is.' END;
    END IF;
    FOR grantee IN
        SELECT a.grantee FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname = 'whisperer' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE CREATE ON SCHEMA whisperer FROM %s CASCADE',
                       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
    END LOOP;
    IF EXISTS (SELECT FROM pg_depend d
               WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'whisperer'::regnamespace
                 AND d.classid <> 'pg_extension'::regclass) THEN
        RAISE EXCEPTION 'schema "whisperer" is not empty'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Move or drop what is in it, and try again.';
    END IF;
END
$do$;
