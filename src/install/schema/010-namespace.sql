-- The schema may be there already (pg_dump creates it before the extension), but it must not belong
-- to somebody who could then replace what is in it.
DO $do$
DECLARE
    schema_owner name;
BEGIN
    SELECT rolname INTO schema_owner
    FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = 'whisperer' AND NOT r.rolsuper AND r.rolname <> current_user;
    IF FOUND THEN
        RAISE EXCEPTION 'schema "whisperer" belongs to role "%"', schema_owner
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Drop or rename that schema, or give it to a superuser, and try again.';
    END IF;
END
$do$;
