-- Tables whose capture triggers name the event type.
CREATE FUNCTION whisperer_internal.capture_triggers(event_type text)
    RETURNS TABLE (relation regclass, trigger_name name)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.tgrelid::regclass, t.tgname
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE p.pronamespace = 'whisperer'::regnamespace AND p.proname = 'capture'
      AND t.tgparentid = 0
      AND t.tgnargs > 0
      -- A child's trigger that is its parent's records nothing without that one: as=parent.
      AND position(decode('0061733d706172656e7400', 'hex') IN t.tgargs) = 0
      AND starts_with(encode(t.tgargs, 'hex'),
                      encode(convert_to(capture_triggers.event_type, getdatabaseencoding()), 'hex') || '00');
END;
COMMENT ON FUNCTION whisperer_internal.capture_triggers(text) IS
    'the triggers that record events of this type';
GRANT EXECUTE ON FUNCTION whisperer_internal.capture_triggers(text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.unregister_event_as(caller oid, event_type text)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type_owner oid;
    used_by text;
BEGIN
    -- Twice: who may not does not wait for, or hold up, who holds the type.
    SELECT whisperer.event_type_owner(t) INTO type_owner FROM whisperer.event_type t
    WHERE t.name = unregister_event_as.event_type;
    IF NOT FOUND OR pg_has_role(caller, type_owner, 'MEMBER') THEN
        SELECT whisperer.event_type_owner(t) INTO type_owner FROM whisperer.event_type t
        WHERE t.name = unregister_event_as.event_type FOR UPDATE;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event type "%" is not registered', unregister_event_as.event_type
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM whisperer.event_type shows what is registered.';
    END IF;
    IF NOT pg_has_role(caller, type_owner, 'MEMBER') THEN
        RAISE EXCEPTION 'must be owner of event type "%"', unregister_event_as.event_type
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT string_agg(u, ', ') INTO used_by FROM (
        SELECT format('hook %s', h.id) FROM whisperer.hook_definition h
        WHERE h.is_active AND unregister_event_as.event_type = ANY (whisperer_internal.event_patterns(h.event_type))
        UNION ALL
        SELECT format('trigger %I on %s', c.trigger_name, c.relation)
        FROM whisperer_internal.capture_triggers(unregister_event_as.event_type) c) AS users(u);
    IF used_by IS NOT NULL THEN
        RAISE EXCEPTION 'event type "%" is in use', unregister_event_as.event_type
            USING ERRCODE = 'object_in_use', DETAIL = format('Used by %s.', used_by),
                  HINT = 'Delete the hooks and drop the triggers first.';
    END IF;
    INSERT INTO whisperer.event_type_claim AS c (event_type, owner, owner_name)
    SELECT unregister_event_as.event_type, r.oid, r.rolname FROM pg_roles r
    WHERE r.oid = type_owner
    ON CONFLICT ON CONSTRAINT event_type_claim_pkey DO UPDATE
    SET owner = excluded.owner, owner_name = excluded.owner_name, incarnation = excluded.incarnation;
    DELETE FROM whisperer.event_type_privilege p WHERE p.event_type = unregister_event_as.event_type;
    DELETE FROM whisperer.event_type t WHERE t.name = unregister_event_as.event_type;
END;
$$;

CREATE FUNCTION whisperer.unregister_event(event_type text)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.unregister_event(text) IS 'removes an event type that nothing uses';
GRANT EXECUTE ON FUNCTION whisperer.unregister_event(text) TO PUBLIC;
