-- Which hook wants which event: the rules of the worker (hooks/hook_set.cpp, read/page_match.cpp) for what tells people
-- of it.  The worker asks the first two.

-- Without a query of its own it is inlined.
CREATE FUNCTION whisperer_internal.names(pattern text, event_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
RETURN pattern = event_type OR (right(pattern, 1) = '*' AND starts_with(event_type, left(pattern, -1)));
COMMENT ON FUNCTION whisperer_internal.names(text, text) IS
    'whether what a hook is subscribed to ("name", "prefix*", "*") names an event type';
GRANT EXECUTE ON FUNCTION whisperer_internal.names(text, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.may_have(role oid, event_type text, source text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Who may not use the schema is told nothing.
    SELECT CASE WHEN NOT has_schema_privilege('whisperer', 'USAGE') THEN false
                WHEN EXISTS (SELECT FROM whisperer.event_type t WHERE t.name = may_have.event_type)
                THEN whisperer.may(may_have.role, may_have.event_type, 'subscribe')
                ELSE coalesce(pg_has_role(may_have.role, (SELECT c.relowner FROM pg_class c WHERE c.oid = to_regclass(may_have.source)), 'MEMBER'), false) END;
END;
COMMENT ON FUNCTION whisperer_internal.may_have(oid, text, text) IS
    'whether a role may have events of a type; one that nobody registered is the owner''s of the table that recorded it';
GRANT EXECUTE ON FUNCTION whisperer_internal.may_have(oid, text, text) TO PUBLIC;

-- What was recorded for one hook alone has been allowed by whoever recorded it.
CREATE FUNCTION whisperer_internal.is_for(hook whisperer.hook_definition, event whisperer.outbox) RETURNS boolean
    LANGUAGE sql STABLE
RETURN CASE WHEN (event).hook_id IS NOT NULL THEN (event).hook_id = (hook).id
            ELSE whisperer_internal.names((hook).event_type, (event).event_type)
                 AND whisperer_internal.may_have(whisperer_internal.living_role((hook).owner, (hook).owner_name, (hook).incarnation),
                                                 (event).event_type, (event).source) END;
COMMENT ON FUNCTION whisperer_internal.is_for(whisperer.hook_definition, whisperer.outbox) IS
    'whether an event is of a type that a hook is subscribed to and may have, or was recorded for it alone';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_for(whisperer.hook_definition, whisperer.outbox) TO PUBLIC;

CREATE FUNCTION whisperer_internal.is_let_through(hook whisperer.hook_definition, event whisperer.outbox) RETURNS boolean
    LANGUAGE sql STABLE
RETURN ((event).config_filter IS NULL OR (hook).config @> (event).config_filter)
   AND ((hook).filter IS NULL OR (event).event_type = 'whisperer-ping'
        OR whisperer_internal.json_contains((event).data, (hook).filter) IS NOT FALSE);
COMMENT ON FUNCTION whisperer_internal.is_let_through(whisperer.hook_definition, whisperer.outbox) IS
    'whether the event''s config_filter and the hook''s filter let an event through';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_let_through(whisperer.hook_definition, whisperer.outbox) TO PUBLIC;

CREATE FUNCTION whisperer_internal.is_older(event whisperer.outbox, hook whisperer.hook_definition) RETURNS boolean
    LANGUAGE sql STABLE
RETURN (event).hook_id IS NULL
   AND CASE WHEN (event).incarnation = (hook).since_incarnation THEN coalesce(pg_visible_in_snapshot((event).xid, (hook).since), false)
            ELSE (event).incarnation <> whisperer_internal.my_incarnation() AND (event).created_at <= (hook).created_at END;
COMMENT ON FUNCTION whisperer_internal.is_older(whisperer.outbox, whisperer.hook_definition) IS
    'whether an event was committed before a hook was made, which then does not get it';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_older(whisperer.outbox, whisperer.hook_definition) TO PUBLIC;
