-- Access: USAGE on the schema opens the door, and is granted to nobody.  Behind it PUBLIC may call
-- what checks its caller and read what row-level security guards.  Nobody else is granted anything here,
-- also where the default privileges of the installing role say so, and PUBLIC's right to call does not
-- depend on them.
DO $do$
DECLARE
    object record;
BEGIN
    FOR object IN
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name, a.grantee
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.relnamespace = 'whisperer'::regnamespace AND a.grantee NOT IN (0, c.relowner)
        UNION
        SELECT 'ROUTINE', p.oid::regprocedure::text, a.grantee
        FROM pg_proc p, aclexplode(p.proacl) a
        WHERE p.pronamespace = 'whisperer'::regnamespace AND a.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', object.kind, object.name, object.grantee::regrole);
    END LOOP;
    FOR object IN
        SELECT p.oid::regprocedure AS name,
               p.proname ~ '_as$'
               OR p.proname IN ('request_delivery', 'operator_hooks', 'refuse_delivery', 'require_range', 'replayable', 'set_privilege', 'set_paused', 'adopt', 'adopt_event_types', 'refresh_role_names', 'require_hook', 'worker_state',
                                'note_change', 'wake_workers', 'announce', 'keep_auth',
                                'seal_secret', 'open_secret', 'secret_is_current', 'reseal_secret', 'require_secret_keeper') AS is_internal
        FROM pg_proc p WHERE p.pronamespace = 'whisperer'::regnamespace
    LOOP
        IF object.is_internal THEN
            EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', object.name);
        ELSE
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', object.name);
        END IF;
    END LOOP;
    -- Row-level security on what has no policy, partitions included: whoever may read all data, or was
    -- granted a table by its name, sees none of it.
    FOR object IN
        SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = 'whisperer'::regnamespace AND c.relkind IN ('r', 'p')
          AND NOT c.relrowsecurity AND c.relname <> 'event_type'
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', object.name);
    END LOOP;
END
$do$;
