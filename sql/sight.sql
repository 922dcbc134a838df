-- What a statement has found out about rights it remembers for its other rows (src/api/remembered.cpp), and an expression of
-- PL/pgSQL for longer: but not beyond what changes them.
SELECT whisperer.register_event('sight-made');
CREATE ROLE regress_seer; CREATE ROLE regress_group; CREATE ROLE regress_owner;
GRANT USAGE ON SCHEMA whisperer TO regress_seer, regress_owner;
SELECT whisperer.allow('sight-made', 'regress_owner', 'subscribe');
SET ROLE regress_owner;
SELECT whisperer.create_hook('sight-made', 'https://example.com/sight') AS hook \gset
RESET ROLE;
DO $$
DECLARE
    seer constant oid := 'regress_seer'::regrole;
    may boolean;
BEGIN
    FOR turn IN 0..7 LOOP
        may := whisperer.may(seer, 'sight-made', 'subscribe');
        ASSERT may = (turn IN (1, 3, 7)), turn;
        ASSERT NOT whisperer.may(seer, 'sight-made', 'publish'), turn;
        ASSERT whisperer.may(seer, NULL, 'subscribe') IS FALSE AND whisperer.may(NULL, 'sight-made', 'subscribe') IS FALSE, turn;
        CASE turn
            WHEN 0 THEN PERFORM whisperer.allow('sight-made', 'regress_seer', 'subscribe');
            WHEN 1 THEN PERFORM whisperer.disallow('sight-made', 'regress_seer', 'subscribe');
            WHEN 2 THEN GRANT regress_group TO regress_seer; PERFORM whisperer.allow('sight-made', 'regress_group', 'subscribe');
            WHEN 3 THEN REVOKE regress_group FROM regress_seer;
            WHEN 4 THEN
                BEGIN
                    GRANT regress_group TO regress_seer;
                    ASSERT whisperer.may(seer, 'sight-made', 'subscribe');
                    RAISE division_by_zero;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END;
            WHEN 6 THEN GRANT regress_group TO regress_seer;
            ELSE NULL;
        END CASE;
    END LOOP;
    REVOKE regress_group FROM regress_seer;
END
$$;
-- More rights than are remembered.
SELECT count(*) FILTER (WHERE whisperer.may('regress_group'::regrole, CASE WHEN g % 40 = 7 THEN 'sight-made' ELSE 'sight-' || g % 40 END, 'subscribe')) AS allowed
FROM generate_series(1, 400) g;
-- Of two roles in one statement each has its own.
SELECT r.rolname, whisperer.may(r.oid, 'sight-made', 'subscribe') FROM pg_roles r, generate_series(1, 2) WHERE r.rolname ~ '^regress_(seer|group|owner)$' ORDER BY 1;
-- Hooks: what is made, given away and taken by whoever asks.
CREATE TEMP TABLE asked AS SELECT :hook AS hook;
GRANT SELECT ON asked TO PUBLIC;
CREATE FUNCTION pg_temp.sees() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hook constant bigint := (SELECT a.hook FROM asked a);
    said text := '';
BEGIN
    FOR turn IN 0..5 LOOP
        PERFORM set_config('role', CASE WHEN turn % 2 = 0 THEN 'regress_seer' ELSE 'regress_owner' END, true);
        said := concat_ws(' ', said, whisperer_internal.sees_hook(hook), whisperer_internal.sees_hook(-1), whisperer_internal.sees_hook(NULL));
        PERFORM set_config('role', 'none', true);
        IF turn = 1 THEN
            GRANT regress_owner TO regress_seer;
        ELSIF turn = 3 THEN
            REVOKE regress_owner FROM regress_seer;
        END IF;
    END LOOP;
    RETURN said;
END;
$$;
SELECT pg_temp.sees();
-- A page of the ledger asks nothing of the hooks that is not about its own rows.
SET ROLE regress_seer;
EXPLAIN (COSTS OFF) SELECT retry_count FROM whisperer.delivery WHERE slot = 0 ORDER BY event_id, hook_id LIMIT 1;
RESET ROLE;
DELETE FROM whisperer.hook_definition WHERE id = :hook;
SELECT whisperer.unregister_event('sight-made');
REVOKE USAGE ON SCHEMA whisperer FROM regress_seer, regress_owner;
DROP ROLE regress_seer, regress_group, regress_owner;
