-- Event types are made here, or by the worker when a trigger recorded one that nobody had made.

CREATE FUNCTION whisperer_internal.claim_owner(claim whisperer.event_type_claim) RETURNS oid
    LANGUAGE sql STABLE
RETURN coalesce(whisperer_internal.living_role((claim).owner, (claim).owner_name, (claim).incarnation),
                whisperer_internal.extension_owner());
COMMENT ON FUNCTION whisperer_internal.claim_owner(whisperer.event_type_claim) IS
    'whose the name of an event type is; the extension owner''s if that role does not exist here';
GRANT EXECUTE ON FUNCTION whisperer_internal.claim_owner(whisperer.event_type_claim) TO PUBLIC;

-- Of a type whose columns are to be so.  Nothing that is ignored when events are checked gets in.
CREATE FUNCTION whisperer_internal.check_event_type(schema jsonb, example jsonb, on_invalid text)
    RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fault text;
BEGIN
    PERFORM whisperer_internal.check_schema(check_event_type.schema);
    IF check_event_type.on_invalid IS NULL OR check_event_type.on_invalid NOT IN ('fail', 'send') THEN
        RAISE EXCEPTION 'on_invalid must be fail or send'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'on_invalid';
    END IF;
    IF octet_length(check_event_type.example::text) > 65536 THEN
        RAISE EXCEPTION 'example is longer than 65536 bytes'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'example';
    END IF;
    fault := whisperer.test_schema(check_event_type.schema, check_event_type.example::json);
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'example does not fit the schema: %', fault
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'example';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_event_type(jsonb, jsonb, text) IS
    'raises 22023, with the column, unless an event type may have these';

CREATE FUNCTION whisperer_internal.register_event_as(caller oid, event_type text, description text,
                                                     schema jsonb, example jsonb, on_invalid text)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used_by text;
BEGIN
    IF whisperer_internal.is_event_type_name(register_event_as.event_type) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid event type name "%"', register_event_as.event_type
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use 1 to 128 characters without a comma or control character, without space around them, and without * at the end.';
    END IF;
    -- In a database whose encoding takes any bytes; receivers are told of the name in UTF-8.
    PERFORM convert_to(register_event_as.event_type, 'UTF8');
    IF starts_with(register_event_as.event_type, 'whisperer-') THEN
        RAISE EXCEPTION 'event type "%" is reserved for operator events', register_event_as.event_type
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Choose a name that does not start with "whisperer-".';
    END IF;
    PERFORM whisperer_internal.check_event_type(register_event_as.schema, register_event_as.example, register_event_as.on_invalid);
    -- Whoever owns the type sees its events, so it must not be taken over the heads of those who record it.
    SELECT string_agg(format('trigger %I on %s', c.trigger_name, c.relation), ', ') INTO used_by
    FROM whisperer_internal.capture_triggers(register_event_as.event_type) c JOIN pg_class r ON r.oid = c.relation
    WHERE NOT pg_has_role(caller, r.relowner, 'MEMBER');
    IF used_by IS NOT NULL THEN
        RAISE EXCEPTION 'event type "%" is recorded by a table of somebody else', register_event_as.event_type
            USING ERRCODE = 'insufficient_privilege', DETAIL = format('Used by %s.', used_by),
                  HINT = 'The owner of the table can register it and call whisperer.allow.';
    END IF;
    -- ON CONFLICT also meets what is newer than the snapshot of a REPEATABLE READ transaction, and fails.
    INSERT INTO whisperer.event_type_claim AS c (event_type, owner, owner_name)
    SELECT register_event_as.event_type, r.oid, r.rolname FROM pg_roles r WHERE r.oid = caller
    ON CONFLICT ON CONSTRAINT event_type_claim_pkey DO UPDATE
    SET owner = excluded.owner, owner_name = excluded.owner_name, incarnation = excluded.incarnation
    WHERE pg_has_role(caller, whisperer_internal.claim_owner(c), 'MEMBER')
       OR NOT EXISTS (SELECT FROM whisperer.outbox o WHERE o.event_type = register_event_as.event_type);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event type "%" was somebody else''s, whose events are still in the log', register_event_as.event_type
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Choose another name, ask its former owner or a superuser to register it, or wait for whisperer.retention.';
    END IF;
    DELETE FROM whisperer.event_type_privilege p WHERE p.event_type = register_event_as.event_type;
    INSERT INTO whisperer.event_type AS t (name, owner, owner_name, description, schema, example, on_invalid)
    SELECT register_event_as.event_type, r.oid, r.rolname, register_event_as.description,
           register_event_as.schema, register_event_as.example, register_event_as.on_invalid
    FROM pg_roles r WHERE r.oid = caller;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'event type "%" is already registered', register_event_as.event_type
        USING ERRCODE = 'duplicate_object',
              DETAIL = (SELECT format('It belongs to role "%s".', t.owner_name)
                        FROM whisperer.event_type t WHERE t.name = register_event_as.event_type),
              HINT = 'Use it, or choose another name.';
END;
$$;

CREATE FUNCTION whisperer.register_event(event_type text, description text DEFAULT NULL, schema jsonb DEFAULT NULL,
                                         example jsonb DEFAULT NULL, on_invalid text DEFAULT 'fail')
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.register_event(text, text, jsonb, jsonb, text) IS 'makes an event type, owned by the current user';
GRANT EXECUTE ON FUNCTION whisperer.register_event(text, text, jsonb, jsonb, text) TO PUBLIC;

COMMENT ON TABLE whisperer.event_type IS
    'what may be recorded and subscribed to';
