-- pg_restore --disable-triggers leaves our triggers as ordinary ones, or off if it did not end.
CREATE FUNCTION whisperer_internal.enable_triggers() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours record;
BEGIN
    FOR ours IN
        SELECT t.tgrelid::regclass AS relation, t.tgname, w.firing FROM pg_trigger t
        CROSS JOIN LATERAL (SELECT CASE WHEN t.tgname ~ 'arriv' THEN 'REPLICA' ELSE 'ALWAYS' END AS firing) AS w
        WHERE t.tgfoid IN ('whisperer_internal.note_change'::regproc, 'whisperer_internal.check_hook'::regproc, 'whisperer_internal.keep_auth'::regproc,
                           'whisperer_internal.hold_own_hooks'::regproc,
                           'whisperer_internal.ask_to_catch_up'::regproc, 'whisperer_internal.keep_headers_apart'::regproc, 'whisperer_internal.tell_secret'::regproc,
                           'whisperer_internal.tell_change'::regproc, 'whisperer_internal.refuse_fed'::regproc, 'whisperer_internal.take_message'::regproc,
                           'whisperer_internal.on_arrival'::regproc, 'whisperer_internal.mark_arrived'::regproc, 'whisperer_internal.on_arriving_truncate'::regproc)
          AND NOT t.tgisinternal AND t.tgenabled <> left(w.firing, 1)::"char"
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', ours.relation, ours.firing, ours.tgname);
    END LOOP;
    -- What was changed while they were off nobody has noted.
    INSERT INTO whisperer.request (kind, hook_id) VALUES ('hooks', -1);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.enable_triggers() IS
    'makes the triggers on our tables fire again where they are to, and all hooks be loaded again';

-- A restored or copied database has the other one's hooks, event types, privileges and API tokens.  They rest until
-- resume() makes them this database's own.  What the hooks still had to get the worker then finds in
-- the outbox and the ledger that came along.
CREATE FUNCTION whisperer_internal.adopt() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant bigint := whisperer_internal.my_incarnation();
    carried record;
    moved whisperer.hook_definition;
    other bigint;
    came_with bigint[] := '{}';
    came_from bigint;
    adopted integer := 0;
    adopted_from bigint[] := '{}';
    index text;
BEGIN
    PERFORM whisperer_internal.enable_triggers();
    -- A dump has nothing of nodes: this is a copy of a whole database, which has none and is none.
    IF EXISTS (SELECT FROM whisperer.hook_node n JOIN whisperer.hook_definition h ON h.id = n.hook_id WHERE h.incarnation NOT IN (0, mine)) THEN
        DELETE FROM whisperer.hook_node;
        DELETE FROM whisperer.node;
    END IF;
    PERFORM whisperer_internal.adopt_event_types();
    UPDATE whisperer.api_token_record t SET role = r.oid, incarnation = mine
    FROM pg_authid r WHERE r.rolname = t.role_name AND t.incarnation <> mine;
    -- In the order in which others hold those of several roles.
    PERFORM whisperer_internal.hold_hooks(r.owner)
    FROM (SELECT DISTINCT whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation) AS owner
          FROM whisperer.hook_definition h WHERE h.incarnation <> mine ORDER BY 1) r WHERE r.owner IS NOT NULL;
    FOR carried IN
        SELECT h.id, h.owner_name, h.name, h.incarnation, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation) AS owner
        FROM whisperer.hook_definition h WHERE h.incarnation <> mine ORDER BY h.incarnation, h.id
    LOOP
        IF carried.owner IS NULL THEN
            RAISE WARNING 'hook % stays paused: its owner, role "%", does not exist here', carried.id, carried.owner_name
                USING HINT = 'Create the role and call whisperer.resume() again.';
            CONTINUE;
        END IF;
        -- Hooks of one database may stand beside each other here as they did there.
        IF came_from IS DISTINCT FROM carried.incarnation THEN
            came_from := carried.incarnation;
            came_with := '{}';
        END IF;
        SELECT h.* INTO moved FROM whisperer.hook_definition h WHERE h.id = carried.id;
        moved.owner := carried.owner;
        moved.incarnation := mine;
        other := whisperer_internal.overlapping(moved, came_with);
        IF moved.is_active AND other IS NOT NULL THEN
            RAISE WARNING 'hook % stays paused: its owner has hook %, which sends events of the same types to the same URL', carried.id, other
                USING HINT = 'Delete one of the two, or change its event_type, and call whisperer.resume() again.';
            CONTINUE;
        END IF;
        BEGIN
            UPDATE whisperer.hook_definition h SET owner = carried.owner, incarnation = mine
            WHERE h.id = carried.id;
            -- Restored with our triggers disabled, it was not known when the first events were read.
            -- On a delivery node it had its events until the owner's role was missing.
            INSERT INTO whisperer.request (kind, hook_id, event_xid)
            SELECT 'catch_up', carried.id, (SELECT n.ownerless_from FROM whisperer.hook_node n WHERE n.hook_id = carried.id);
            UPDATE whisperer.hook_node n SET ownerless_from = NULL WHERE n.hook_id = carried.id AND n.ownerless_from IS NOT NULL;
            came_with := came_with || carried.id;
            adopted := adopted + 1;
            adopted_from := adopted_from || came_from;
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS index = CONSTRAINT_NAME;
            IF index = 'hook_definition_name' THEN
                RAISE WARNING 'hook % stays paused: its owner has another named "%"', carried.id, carried.name
                    USING HINT = 'Give that one another name, or delete one of the two, and call whisperer.resume() again.';
            ELSE
                RAISE;
            END IF;
        END;
    END LOOP;
    IF adopted > 0 THEN
        -- What those hooks were sent, or are now, is not to be recorded for them once more.
        UPDATE whisperer.event_key k SET arrived = false
        FROM whisperer.outbox o
        WHERE k.arrived AND (o.xid, o.id, o.slot) = (k.xid, k.event_id, k.slot) AND o.incarnation = ANY (adopted_from);
        RAISE NOTICE 'adopted hooks that a restore or copy carried here: %', adopted
            USING HINT = 'What they had not got yet is delivered now.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.adopt() IS
    'makes the hooks that a restore or copy carried here this database''s own';

CREATE FUNCTION whisperer_internal.adopt_event_types() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant bigint := whisperer_internal.my_incarnation();
BEGIN
    UPDATE whisperer.event_type t SET owner = r.oid, incarnation = mine
    FROM pg_authid r WHERE r.rolname = t.owner_name AND t.incarnation <> mine;
    WITH carried AS (
        DELETE FROM whisperer.event_type_privilege p USING pg_authid r
        WHERE r.rolname = p.role_name AND p.incarnation <> mine
        RETURNING p.event_type, r.oid AS role, p.role_name, p.privilege)
    INSERT INTO whisperer.event_type_privilege (event_type, role, role_name, privilege)
    SELECT c.event_type, c.role, c.role_name, c.privilege FROM carried c
    ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.adopt_event_types() IS
    'the same for event types and privileges; those of roles that do not exist here wait';
