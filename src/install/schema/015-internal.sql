-- What is for users is in whisperer.  Functions that only triggers, views and other functions call are here.
-- Who may use whisperer is decided there: PUBLIC may use this one, because what runs with its caller's rights
-- finds the others by name, and what does anything for its caller asks for USAGE on whisperer.
CREATE SCHEMA whisperer_internal;
COMMENT ON SCHEMA whisperer_internal IS 'what the functions and views of schema whisperer are made of; may change with any release';
DO $do$
DECLARE
    grantee oid;
BEGIN
    -- Default privileges may have let somebody in.
    FOR grantee IN
        SELECT DISTINCT a.grantee FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname = 'whisperer_internal' AND a.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA whisperer_internal FROM %s CASCADE',
                       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
    END LOOP;
END
$do$;
GRANT USAGE ON SCHEMA whisperer_internal TO PUBLIC;
