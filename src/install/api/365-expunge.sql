-- expunge: the data of an event goes, with what was said of it beside the data, and what the ledger has of both.  Its id,
-- type, source, object_id and times stay, and what became of it.  data IS NULL says that it was so.
--
-- The log is changed by its caller's transaction, and one partition of it, by its name: one that does not end must
-- not have a lock on the others.  The ledger is the worker's, which is asked.

-- By the key of the ledger or, before it has the event, in the log.
CREATE FUNCTION whisperer_internal.find_event(event_id uuid, OUT xid xid8, OUT slot smallint)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT d.xid, d.slot INTO xid, slot FROM whisperer.delivery d WHERE d.event_id = find_event.event_id LIMIT 1;
    IF NOT FOUND THEN
        SELECT o.xid, o.slot INTO xid, slot FROM whisperer_internal.event(find_event.event_id) o;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.find_event(uuid) IS 'where the row of an event is in the outbox; null: nowhere';

-- True: it had data until now.  Asked of the worker is what it may have of the event, or get: for hooks that it is for, for
-- those that were changed since, even by a transaction that began before, and for those of the ledger.
CREATE FUNCTION whisperer_internal.expunge_event(event_id uuid) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place constant record := whisperer_internal.find_event(event_id);
    event record;
    had_data boolean;
BEGIN
    IF place.slot IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('UPDATE whisperer.outbox_%s SET data = NULL, config_filter = NULL, meta = json_build_object(''expunged_at'', now()) '
                   'WHERE xid = $1 AND id = $2 AND slot = $3 AND data IS NOT NULL', place.slot)
    USING place.xid, event_id, place.slot;
    GET DIAGNOSTICS had_data = ROW_COUNT;
    SELECT o.event_type, o.hook_id, o.created_at INTO event
    FROM whisperer.outbox o WHERE o.xid = place.xid AND o.id = expunge_event.event_id AND o.slot = place.slot;
    INSERT INTO whisperer.request (kind, hook_id, event_id)
    SELECT 'expunge', h.id, expunge_event.event_id FROM whisperer.hook_definition h
    WHERE whisperer_internal.names(h.event_type, event.event_type) OR h.id = event.hook_id OR h.modified_at > event.created_at - interval '1 day'
    UNION
    SELECT 'expunge', d.hook_id, expunge_event.event_id FROM whisperer.delivery d WHERE d.event_id = expunge_event.event_id;
    IF FOUND THEN
        PERFORM whisperer_internal.wake_workers();
    END IF;
    RETURN had_data;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.expunge_event(uuid) IS 'expunges an event of this database, whoever asks';

-- Whom the data of an event is of: the owner of its type and, of one that was recorded for one hook alone, that hook's.  Of a type
-- that is not registered: who owned the table that recorded it.
CREATE FUNCTION whisperer_internal.may_expunge(caller oid, event_type text, hook_id bigint, incarnation bigint) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN pg_has_role(caller, whisperer_internal.extension_owner(), 'MEMBER')
    OR EXISTS (SELECT FROM whisperer.event_type t
               WHERE t.name = may_expunge.event_type AND pg_has_role(caller, whisperer.event_type_owner(t), 'MEMBER'))
    OR coalesce(pg_has_role(caller, whisperer_internal.recorder(hook_id, incarnation), 'MEMBER'), false)
    OR EXISTS (SELECT FROM whisperer.hook_definition h
               WHERE h.id = may_expunge.hook_id
                 AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER'));
COMMENT ON FUNCTION whisperer_internal.may_expunge(oid, text, bigint, bigint) IS 'whether a role may expunge an event';

CREATE FUNCTION whisperer_internal.expunge_as(caller oid, event_id uuid) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place constant record := whisperer_internal.find_event(event_id);
    event record;
    had_data boolean;
BEGIN
    SELECT o.event_type, o.hook_id, o.incarnation INTO event
    FROM whisperer.outbox o WHERE o.xid = place.xid AND o.id = expunge_as.event_id AND o.slot = place.slot;
    IF NOT FOUND OR NOT whisperer_internal.may_expunge(caller, event.event_type, event.hook_id, event.incarnation) THEN
        -- Who has nothing to do with the type learns no more than that of an id that nothing has.
        IF whisperer.may(caller, event.event_type, 'publish') OR whisperer.may(caller, event.event_type, 'subscribe') THEN
            RAISE EXCEPTION 'must be owner of event type "%"', event.event_type
                USING ERRCODE = 'insufficient_privilege', HINT = 'The data of an event is its type''s owner''s; so is what to do with it.';
        END IF;
        RAISE EXCEPTION 'there is no event % that you may expunge', coalesce(event_id::text, 'null')
            USING ERRCODE = 'undefined_object', HINT = 'It may be past whisperer.retention; then nothing of it is left.';
    END IF;
    had_data := whisperer_internal.expunge_event(event_id);
    IF EXISTS (SELECT FROM whisperer.node) THEN
        PERFORM whisperer_internal.ask_nodes(jsonb_build_object('kind', 'expunge', 'event_id', event_id));
    END IF;
    RETURN had_data;
END;
$$;
CREATE FUNCTION whisperer.expunge(event_id uuid) RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.expunge(uuid) IS 'forgets the data of an event and the answers to it, and says whether there was any';
GRANT EXECUTE ON FUNCTION whisperer.expunge(uuid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.refuse_expunged(event_id uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the data of event % has been expunged', event_id
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'It cannot be sent any more. Record a new event for what the receiver still needs.';
END;
$$;
COMMENT ON FUNCTION whisperer_internal.refuse_expunged(uuid) IS 'raises 55000';
GRANT EXECUTE ON FUNCTION whisperer_internal.refuse_expunged(uuid) TO PUBLIC;
