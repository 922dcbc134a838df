-- Access: USAGE on the schema opens the door, and is granted to nobody.  Behind it PUBLIC may call
-- what checks its caller, and nothing else.
DO $do$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'whisperer'::regnamespace
          AND (p.proname ~ '_as$'
               OR p.proname IN ('request_delivery', 'operator_hooks', 'refuse_delivery', 'require_range', 'replayable', 'set_privilege', 'set_paused', 'adopt', 'adopt_event_types', 'refresh_role_names', 'require_hook', 'worker_state',
                             'note_change',
                             'seal_secret', 'open_secret', 'secret_is_current', 'reseal_secret', 'require_secret_keeper'))
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
END
$do$;
