-- What is said of an event type, changed by name, as update_hook does.  Its name and owner stay.

CREATE FUNCTION whisperer_internal.update_event_as(caller oid, event_type text, changes jsonb)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known constant text[] := '{description,schema,example,on_invalid}';
    bad_key text;
    wanted whisperer.event_type;
BEGIN
    IF changes IS NULL OR jsonb_typeof(changes) <> 'object' THEN
        RAISE EXCEPTION 'changes must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    bad_key := jsonb_path_query_first(changes - known, '$.keyvalue().key') #>> '{}';
    IF bad_key IS NOT NULL THEN
        RAISE EXCEPTION 'unknown key "%" in changes', bad_key
            USING ERRCODE = 'invalid_parameter_value', HINT = format('Known are %s.', array_to_string(known, ', '));
    END IF;
    IF jsonb_typeof(changes->'description') NOT IN ('string', 'null') THEN
        RAISE EXCEPTION 'description must be a JSON string, not of type %', jsonb_typeof(changes->'description')
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'description';
    END IF;
    -- Twice: who may not does not wait for, or hold up, who holds the type.
    SELECT * INTO wanted FROM whisperer.event_type t WHERE t.name = update_event_as.event_type;
    IF FOUND AND pg_has_role(caller, whisperer.event_type_owner(wanted), 'MEMBER') THEN
        SELECT * INTO wanted FROM whisperer.event_type t WHERE t.name = update_event_as.event_type FOR UPDATE;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event type "%" is not registered', update_event_as.event_type
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM whisperer.event_type shows what is registered.';
    END IF;
    IF NOT pg_has_role(caller, whisperer.event_type_owner(wanted), 'MEMBER') THEN
        RAISE EXCEPTION 'must be owner of event type "%"', update_event_as.event_type
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF changes ? 'description' THEN
        wanted.description := changes->>'description';
    END IF;
    IF changes ? 'schema' THEN
        wanted.schema := nullif(changes->'schema', 'null');
    END IF;
    IF changes ? 'example' THEN
        wanted.example := nullif(changes->'example', 'null');
    END IF;
    IF changes ? 'on_invalid' THEN
        wanted.on_invalid := coalesce(changes->>'on_invalid', 'fail');
    END IF;
    PERFORM whisperer_internal.check_event_type(wanted.schema, wanted.example, wanted.on_invalid);
    UPDATE whisperer.event_type t
    SET description = wanted.description, schema = wanted.schema, example = wanted.example, on_invalid = wanted.on_invalid
    WHERE t.name = wanted.name;
END;
$$;
CREATE FUNCTION whisperer.update_event(event_type text, changes jsonb)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.update_event(text, jsonb) IS 'changes what is said of an event type of yours, column by column';
GRANT EXECUTE ON FUNCTION whisperer.update_event(text, jsonb) TO PUBLIC;
