-- Rows of these tables may come by logical replication: a publication FOR ALL TABLES has them too.  What
-- belongs to the other database is kept beside this one's own, as after a restore: it counts as carried.
-- What would take the place of this one's own, or has its key, is left out, for an error would stop the
-- subscription, and all the application's tables with it.
--
-- The triggers fire where rows are applied (ENABLE REPLICA), and cost nothing elsewhere.  Outbox, bookmark,
-- event_type_privilege and key_decision need none: their keys cannot meet.

CREATE FUNCTION whisperer_internal.is_arriving() RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'whisperer_is_arriving';
COMMENT ON FUNCTION whisperer_internal.is_arriving() IS
    'whether this process applies what another database replicates here';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_arriving() TO PUBLIC;

CREATE FUNCTION whisperer_internal.is_fed() RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'whisperer_is_fed';
COMMENT ON FUNCTION whisperer_internal.is_fed() IS
    'whether this process applies what a primary tells its delivery nodes';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_fed() TO PUBLIC;

-- What a trigger writes while rows are applied is this database's own.
-- Arguments: whose a row is, and its key.  here: of the database where it was written alone; incarnation: of
-- the one it names; hook: of its hook's.
CREATE FUNCTION whisperer_internal.on_arrival() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    arrived constant jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
    is_kept boolean;
BEGIN
    IF NOT whisperer_internal.is_arriving() OR pg_trigger_depth() > 1 THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    is_kept := CASE TG_ARGV[0]
        WHEN 'here' THEN true
        WHEN 'hook' THEN EXISTS (SELECT FROM whisperer.hook_definition h
                                 WHERE h.id = (arrived->>'hook_id')::bigint AND h.incarnation = whisperer_internal.my_incarnation())
        ELSE TG_OP <> 'INSERT' AND (to_jsonb(OLD)->>'incarnation')::bigint = whisperer_internal.my_incarnation() END;
    IF TG_OP = 'INSERT' AND NOT is_kept THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE (%s) = (SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1)))',
                       TG_RELID::regclass, TG_ARGV[1]) INTO is_kept USING arrived;
    END IF;
    IF is_kept THEN
        RETURN NULL;
    END IF;
    -- Or the next one made here would have its id.
    IF TG_OP = 'INSERT' AND TG_ARGV[1] = 'id' THEN
        PERFORM setval(s.oid, (arrived->>'id')::bigint)
        FROM (SELECT pg_get_serial_sequence(TG_RELID::regclass::text, 'id')::regclass AS oid) AS s
        WHERE (arrived->>'id')::bigint > coalesce(pg_sequence_last_value(s.oid), 0);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.on_arrival() IS
    'trigger: leaves out a replicated row that has the place of one of this database''s own';

-- Whoever records here is not to be given an event that another database delivers.
CREATE FUNCTION whisperer_internal.mark_arrived() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF whisperer_internal.is_arriving() AND pg_trigger_depth() = 1 THEN
        NEW.arrived := TG_OP = 'INSERT' OR OLD.arrived;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.mark_arrived() IS
    'trigger: marks an idempotency key that another database replicates here, which does not count';

-- A TRUNCATE that is replicated takes away what was replicated.
CREATE FUNCTION whisperer_internal.on_arriving_truncate() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_on_arriving_truncate';
COMMENT ON FUNCTION whisperer_internal.on_arriving_truncate() IS
    'trigger: keeps this database''s own rows through a replicated TRUNCATE';

CREATE FUNCTION whisperer_internal.guard_truncate(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'arrived_truncate') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER arriving_truncate BEFORE TRUNCATE ON %s EXECUTE FUNCTION whisperer_internal.on_arriving_truncate()', relation);
    EXECUTE format('CREATE TRIGGER arrived_truncate AFTER TRUNCATE ON %s EXECUTE FUNCTION whisperer_internal.on_arriving_truncate()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER arriving_truncate, ENABLE REPLICA TRIGGER arrived_truncate', relation);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.guard_truncate(regclass) IS
    'makes the triggers that keep this database''s own rows of a table through a replicated TRUNCATE';

CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.control
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('here', 'only_row');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.node
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('here', 'name');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.hook_node
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('here', 'hook_id');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.request
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('here', 'xid, id');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.event_type
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('incarnation', 'name');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.event_type_claim
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('incarnation', 'event_type');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('incarnation', 'id');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.api_token_record
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('incarnation', 'id');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.secret
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('hook', 'hook_id');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.hook_run
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('hook', 'hook_id');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE OR DELETE ON whisperer.hook_minute
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('hook', 'hook_id, minute');
-- A trigger for UPDATE would have the worker lock each row that it changes; what is changed there came
-- from there.
CREATE TRIGGER arrival BEFORE INSERT ON whisperer.delivery
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('hook', 'event_id, hook_id, slot');
CREATE TRIGGER arrival BEFORE INSERT ON whisperer.past_attempt
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.on_arrival('hook', 'event_id, hook_id, number, slot');
CREATE TRIGGER arrival BEFORE INSERT OR UPDATE ON whisperer.event_key
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.mark_arrived();

DO $do$
DECLARE
    own record;
BEGIN
    FOR own IN
        SELECT t.tgrelid::regclass AS name, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'whisperer'::regnamespace AND NOT t.tgisinternal AND t.tgparentid = 0
          AND t.tgname = 'arrival'
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER %I', own.name, own.tgname);
    END LOOP;
    FOR own IN
        SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = 'whisperer'::regnamespace AND c.relkind = 'r'
          AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                        AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'whisperer')
    LOOP
        -- An update waits for nobody who records events; what it leaves out retention makes up for.
        BEGIN
            EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE NOWAIT', own.name);
            PERFORM whisperer_internal.guard_truncate(own.name);
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END LOOP;
END
$do$;

-- The view whisperer.incarnation calls it with its reader's rights.
GRANT EXECUTE ON FUNCTION whisperer_internal.incarnation_number() TO PUBLIC;
