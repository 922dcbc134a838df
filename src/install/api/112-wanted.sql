-- Which hook wants which event: the rules of the worker (hooks/hook_set.cpp, read/page_match.cpp) for what tells people
-- of it.  The worker asks the first two.

-- Without a query of its own it is inlined.  Of a list each name gets a comma as its end, each prefix loses its star, and
-- the event type begins with one of them if it is given a comma, too: no name has one.  Nor has any a line break, which
-- takes the place of what stands between them: a space may be within a name.
CREATE FUNCTION whisperer_internal.names(pattern text, event_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
RETURN pattern = event_type OR (right(pattern, 1) = '*' AND starts_with(event_type, left(pattern, -1)))
    OR (strpos(pattern, ',') > 0
        AND (event_type || ',') ^@ ANY (string_to_array(
            left(replace(replace(pattern || ', ', '*, ', E'\n'), ', ', E',\n'), -1), E'\n')));
COMMENT ON FUNCTION whisperer_internal.names(text, text) IS
    'whether what a hook is subscribed to ("name", "prefix*", "*", several with ", " between) names an event type';
GRANT EXECUTE ON FUNCTION whisperer_internal.names(text, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.event_patterns(event_type text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
RETURN string_to_array(event_type, ', ');
COMMENT ON FUNCTION whisperer_internal.event_patterns(text) IS 'the names and prefixes that a hook is subscribed to';
GRANT EXECUTE ON FUNCTION whisperer_internal.event_patterns(text) TO PUBLIC;

-- Whose table recorded the event while nobody had registered its type.  That was noted then, because the name of the
-- table may be another's when the event is read.  A role of the database that the event was carried here from is nobody.
CREATE FUNCTION whisperer_internal.recorder(hook_id bigint, incarnation bigint) RETURNS oid
    LANGUAGE sql STABLE
RETURN CASE WHEN hook_id < -1 AND incarnation = whisperer_internal.my_incarnation() THEN (-hook_id)::oid END;
COMMENT ON FUNCTION whisperer_internal.recorder(bigint, bigint) IS
    'the owner of the table that recorded an event of a type which nobody had registered; else null';
GRANT EXECUTE ON FUNCTION whisperer_internal.recorder(bigint, bigint) TO PUBLIC;

-- Who registers a type decides who may have the events of his own tables alone.
CREATE FUNCTION whisperer_internal.may_have(role oid, event_type text, recorder oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Who may not use the schema is told nothing.
    SELECT has_schema_privilege('whisperer', 'USAGE')
       AND (coalesce(pg_has_role(may_have.role, may_have.recorder, 'MEMBER'), false)
            OR whisperer.may(may_have.role, may_have.event_type, 'subscribe')
               AND (may_have.recorder IS NULL
                    OR EXISTS (SELECT FROM whisperer.event_type t
                               WHERE t.name = may_have.event_type
                                 AND pg_has_role(whisperer.event_type_owner(t), may_have.recorder, 'MEMBER'))));
END;
COMMENT ON FUNCTION whisperer_internal.may_have(oid, text, oid) IS
    'whether a role may have events of a type; recorder: whose table recorded them unregistered';
GRANT EXECUTE ON FUNCTION whisperer_internal.may_have(oid, text, oid) TO PUBLIC;

-- What was recorded for one hook alone has been allowed by whoever recorded it.
CREATE FUNCTION whisperer_internal.is_for(hook whisperer.hook_definition, event whisperer.outbox) RETURNS boolean
    LANGUAGE sql STABLE
RETURN CASE WHEN (event).hook_id >= -1 THEN (event).hook_id = (hook).id
            ELSE whisperer_internal.names((hook).event_type, (event).event_type)
                 AND whisperer_internal.may_have(whisperer_internal.living_role((hook).owner, (hook).owner_name, (hook).incarnation),
                                                 (event).event_type,
                                                 whisperer_internal.recorder((event).hook_id, (event).incarnation)) END;
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
RETURN coalesce((event).hook_id, -2) < -1
   AND CASE WHEN (event).incarnation = (hook).since_incarnation THEN coalesce(pg_visible_in_snapshot((event).xid, (hook).since), false)
            ELSE (event).incarnation <> whisperer_internal.my_incarnation() AND (event).created_at <= (hook).created_at END;
COMMENT ON FUNCTION whisperer_internal.is_older(whisperer.outbox, whisperer.hook_definition) IS
    'whether an event was committed before a hook was made, which then does not get it';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_older(whisperer.outbox, whisperer.hook_definition) TO PUBLIC;

-- By the schema as it is now; the worker asked it when it read the event.
CREATE FUNCTION whisperer_internal.schema_fault(event whisperer.outbox) RETURNS text
    LANGUAGE sql STABLE
RETURN (SELECT whisperer.test_schema(t.schema, (event).data) FROM whisperer.event_type t WHERE t.name = (event).event_type);
COMMENT ON FUNCTION whisperer_internal.schema_fault(whisperer.outbox) IS
    'what of an event''s data does not fit the schema of its type; null: it fits';
GRANT EXECUTE ON FUNCTION whisperer_internal.schema_fault(whisperer.outbox) TO PUBLIC;

CREATE FUNCTION whisperer_internal.schema_refusal(event whisperer.outbox) RETURNS text
    LANGUAGE sql STABLE
RETURN (SELECT whisperer_internal.schema_fault(event) FROM whisperer.event_type t
        WHERE t.name = (event).event_type AND t.on_invalid = 'fail');
COMMENT ON FUNCTION whisperer_internal.schema_refusal(whisperer.outbox) IS
    'why an event is not sent because of the schema of its type; null: it is';
GRANT EXECUTE ON FUNCTION whisperer_internal.schema_refusal(whisperer.outbox) TO PUBLIC;

-- As the worker and whoever records has it (src/base/key_digest.cpp): no key is kept as it is beside its event.
CREATE FUNCTION whisperer_internal.key_digest(key text) RETURNS text
    LANGUAGE sql STABLE
RETURN encode(sha256(convert_to(key, 'UTF8')), 'hex');
COMMENT ON FUNCTION whisperer_internal.key_digest(text) IS 'what event_key and key_decision have of an idempotency key';
GRANT EXECUTE ON FUNCTION whisperer_internal.key_digest(text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.duplicate_of(key text, event_type text, event_id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.duplicate_of FROM whisperer.key_decision d
    WHERE d.key = whisperer_internal.key_digest(duplicate_of.key) AND d.event_type = duplicate_of.event_type AND d.event_id = duplicate_of.event_id
    ORDER BY d.incarnation = whisperer_internal.my_incarnation() DESC LIMIT 1;
END;
COMMENT ON FUNCTION whisperer_internal.duplicate_of(text, text, uuid) IS
    'the event with the same idempotency key that is delivered in its place; null: there is none';
GRANT EXECUTE ON FUNCTION whisperer_internal.duplicate_of(text, text, uuid) TO PUBLIC;

-- As the worker has it (src/read/key_decisions.cpp): what is for one hook alone was asked for once more.
CREATE FUNCTION whisperer_internal.duplicate_of(event whisperer.outbox) RETURNS uuid
    LANGUAGE sql STABLE
RETURN CASE WHEN event.hook_id IS NULL AND starts_with(event.meta::text, '{"idempotency_key":')
            THEN whisperer_internal.duplicate_of(event.meta->>'idempotency_key', event.event_type, event.id) END;
COMMENT ON FUNCTION whisperer_internal.duplicate_of(whisperer.outbox) IS
    'the event that is delivered in the place of this one; null: there is none';
GRANT EXECUTE ON FUNCTION whisperer_internal.duplicate_of(whisperer.outbox) TO PUBLIC;
