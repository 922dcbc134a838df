-- Hooks as code: a role's hooks as a JSON array that is kept in a file, each known by a name of its owner's.
-- apply_hooks makes the hooks so, by create_hook and update_hook, with their checks; export_hooks shows them so.

-- What a definition need not say, and what it means then.  Secrets are not among them: unsaid, they stay.
CREATE FUNCTION whisperer_internal.hook_defaults() RETURNS jsonb
    LANGUAGE sql IMMUTABLE
RETURN jsonb '{"config": {}, "retry_countdown_config": null, "callback": null, "filter": null, "transform": null, "rate_limit": null,
    "ordering": "none", "description": null, "format": "whisperer", "payload_key": null, "signing": null, "signatures": null,
    "metadata_headers": null, "timeout": null, "max_in_flight": null, "batch": null, "encoding": null, "priority": "normal"}';
COMMENT ON FUNCTION whisperer_internal.hook_defaults() IS 'what a definition of a hook that does not say it means, by columns';
GRANT EXECUTE ON FUNCTION whisperer_internal.hook_defaults() TO PUBLIC;

-- As text: a parsed body would name the columns in their order, and that of an updated installation is another.
CREATE FUNCTION whisperer_internal.own_hooks() RETURNS SETOF whisperer.hook_definition
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.* FROM whisperer.hook_definition h
    WHERE h.owner = quote_ident(current_user)::regrole::oid AND h.incarnation = whisperer_internal.my_incarnation()
      AND h.is_active AND h.name IS NOT NULL;
$$;
COMMENT ON FUNCTION whisperer_internal.own_hooks() IS 'the named hooks of the current role';
GRANT EXECUTE ON FUNCTION whisperer_internal.own_hooks() TO PUBLIC;

CREATE FUNCTION whisperer_internal.export_hooks_body() RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', h.name, 'event_type', h.event_type, 'target_url', h.target_url) || (
               SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}')
               FROM jsonb_each(to_jsonb(h) || jsonb_build_object('config', h.config - 'auth')) AS c
               WHERE whisperer_internal.hook_defaults() ? c.key AND c.value <> whisperer_internal.hook_defaults()->c.key)
           ORDER BY h.name), '[]')
    FROM whisperer_internal.own_hooks() AS h;
$$;
CREATE FUNCTION whisperer.export_hooks() RETURNS jsonb
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.export_hooks() IS 'your hooks that have a name, as apply_hooks takes them, without secrets';
GRANT EXECUTE ON FUNCTION whisperer.export_hooks() TO PUBLIC;

-- With what is secret in it behind handles: no statement has it; see hidden().
CREATE FUNCTION whisperer_internal.read_definition(definition jsonb) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept jsonb := definition;
    known constant text[] := '{name,event_type,target_url,secret_key,additional_headers}' || ARRAY(SELECT jsonb_object_keys(whisperer_internal.hook_defaults()));
    bad_key text;
    needed text;
BEGIN
    IF jsonb_typeof(kept) <> 'object' OR coalesce(kept->>'name', '') = '' OR jsonb_typeof(kept->'name') <> 'string' THEN
        RAISE EXCEPTION 'a definition of a hook must be a JSON object with a name'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'definitions is an array: [{"name": ..., "event_type": ..., "target_url": ...}, ...].';
    END IF;
    PERFORM whisperer_internal.check_texts(kept);
    -- A null one is left alone.
    IF kept->>'secret_key' IS NULL THEN
        kept := kept - 'secret_key';
    ELSE
        kept := kept || jsonb_build_object('secret_key', whisperer_internal.hidden(kept->>'secret_key'));
    END IF;
    IF kept->>'additional_headers' IS NULL THEN
        kept := kept - 'additional_headers';
    ELSE
        kept := kept || jsonb_build_object('additional_headers', whisperer_internal.hidden(kept->'additional_headers'));
    END IF;
    IF kept->>'config' IS NOT NULL THEN
        kept := kept || jsonb_build_object('config', whisperer_internal.hidden_auth(kept->'config'));
    END IF;
    bad_key := jsonb_path_query_first(kept - known, '$.keyvalue().key') #>> '{}';
    IF bad_key IS NOT NULL THEN
        RAISE EXCEPTION 'unknown key "%" of hook "%"', bad_key, kept->>'name'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Known are those of whisperer.create_hook.';
    END IF;
    FOREACH needed IN ARRAY '{event_type,target_url}'::text[] LOOP
        IF kept->>needed IS NULL THEN
            RAISE EXCEPTION 'hook "%" lacks the key "%"', kept->>'name', needed
                USING ERRCODE = 'invalid_parameter_value', COLUMN = needed;
        END IF;
    END LOOP;
    -- Null is as if it were not said.
    RETURN whisperer_internal.hook_defaults()
        || (SELECT jsonb_object_agg(c.key, c.value) FROM jsonb_each(kept) AS c WHERE c.value <> 'null');
END;
$$;
COMMENT ON FUNCTION whisperer_internal.read_definition(jsonb) IS
    'a definition of a hook with all that it leaves out, its secrets behind handles of hidden(); 22023';
GRANT EXECUTE ON FUNCTION whisperer_internal.read_definition(jsonb) TO PUBLIC;

-- What the change of a hook comes to is seen when it is made: a value may be written in many ways.  One that comes to
-- nothing is undone, so that nobody hears of it.
CREATE FUNCTION whisperer_internal.apply_hook(hook bigint, definition jsonb) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unseen constant text[] := '{modified_at}';
    before constant jsonb := (SELECT to_jsonb(h) - unseen FROM whisperer.hook_definition h WHERE h.id = hook);
    wanted jsonb := definition;
BEGIN
    -- As it is shown it stays.
    IF before->'config' ? 'auth' AND NOT wanted->'config' ? 'auth' THEN
        wanted := wanted || jsonb_build_object('config', wanted->'config' || jsonb_build_object('auth', before->'config'->'auth'));
    END IF;
    PERFORM whisperer.update_hook(hook, wanted);
    IF NOT wanted ?| '{secret_key,additional_headers}' AND definition->'config'->>'auth' IS NULL
       AND before = (SELECT to_jsonb(h) - unseen FROM whisperer.hook_definition h WHERE h.id = hook) THEN
        RAISE SQLSTATE 'WHUND';
    END IF;
    RETURN true;
EXCEPTION WHEN SQLSTATE 'WHUND' THEN
    RETURN false;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.apply_hook(bigint, jsonb) IS 'changes a hook to what read_definition returned; false: it was so';
GRANT EXECUTE ON FUNCTION whisperer_internal.apply_hook(bigint, jsonb) TO PUBLIC;

-- Of hooks that change, one may be to get what another has until its turn comes; two may swap their URLs.  The other then
-- goes to a URL of its own first, at the host to which it is to go anyway.  Nobody sees it there.  places has what that
-- takes and no more: definitions may have secrets, and a log may have what a statement is given.
CREATE FUNCTION whisperer_internal.make_way(places jsonb) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hook record;
BEGIN
    FOR hook IN
        WITH wanted AS MATERIALIZED (
            SELECT d->>'name' AS name, whisperer_internal.normal_event_patterns(d->>'event_type') AS event_type,
                   whisperer_internal.sent_url(d->>'target_url') AS target_url
            FROM jsonb_array_elements(places) AS d)
        SELECT h.id, substring(w.target_url FROM '^[^:/]+://[^/?#]+') || '/' || gen_random_uuid() AS aside
        FROM whisperer_internal.own_hooks() AS h JOIN wanted w ON w.name = h.name
        WHERE (w.event_type, w.target_url) <> (h.event_type, h.target_url)
          AND EXISTS (SELECT FROM wanted o WHERE o.name <> h.name AND o.target_url = h.target_url
                                             AND whisperer_internal.overlap(o.event_type, h.event_type))
    LOOP
        UPDATE whisperer.hook_definition h SET target_url = coalesce(hook.aside, h.target_url) WHERE h.id = hook.id;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.make_way(jsonb) IS
    'moves hooks of yours aside whose place another definition is to get';
GRANT EXECUTE ON FUNCTION whisperer_internal.make_way(jsonb) TO PUBLIC;

CREATE FUNCTION whisperer_internal.apply_hooks_body(definitions jsonb, prune boolean, dry_run boolean)
    RETURNS TABLE (name text, hook_id bigint, action text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    count constant integer := CASE WHEN jsonb_typeof(definitions) = 'array' THEN jsonb_array_length(definitions) END;
    names text[] := '{}';
    places jsonb := '[]';
    results jsonb := '[]';
    definition jsonb;
    known bigint;
    at_hand text;
    problem text;
    told text;
    hint text;
    in_column text;
BEGIN
    IF prune IS NULL OR dry_run IS NULL THEN
        RAISE EXCEPTION 'prune and dry_run must not be null'
            USING ERRCODE = 'null_value_not_allowed', COLUMN = CASE WHEN prune IS NULL THEN 'prune' ELSE 'dry_run' END;
    END IF;
    IF count IS NULL THEN
        RAISE EXCEPTION 'definitions must be a JSON array' USING ERRCODE = 'invalid_parameter_value', HINT = 'whisperer.export_hooks() shows one.';
    END IF;
    FOR i IN 0 .. count - 1 LOOP
        IF definitions->i->>'name' = ANY (names) THEN
            RAISE EXCEPTION 'hook "%" is defined twice', definitions->i->>'name' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        names := names || (definitions->i->>'name');
        places := places || jsonb_build_object('name', definitions->i->'name', 'event_type', definitions->i->'event_type',
                                               'target_url', definitions->i->'target_url');
    END LOOP;
    PERFORM whisperer_internal.hold_hooks(quote_ident(current_user)::regrole::oid);
    BEGIN
        -- First, for what they have others may be given.
        FOR apply_hooks_body.name, known IN SELECT h.name, h.id FROM whisperer_internal.own_hooks() h WHERE prune AND h.name <> ALL (names) ORDER BY 1 LOOP
            PERFORM whisperer.delete_hook(known);
            results := results || jsonb_build_object('name', apply_hooks_body.name, 'hook_id', known, 'action', 'deleted');
        END LOOP;
        PERFORM whisperer_internal.make_way(places);
        FOR i IN 0 .. count - 1 LOOP
            at_hand := definitions->i->>'name';
            definition := whisperer_internal.read_definition(definitions->i);
            SELECT h.id INTO known FROM whisperer_internal.own_hooks() h WHERE h.name = definition->>'name';
            IF known IS NULL THEN
                known := whisperer.create_hook(definition->>'event_type', definition->>'target_url', definition->>'secret_key',
                                               definition->'additional_headers', definition->'config', name => definition->>'name');
                PERFORM whisperer.update_hook(known, definition - '{secret_key,additional_headers,config}'::text[]);
                results := results || jsonb_build_object('name', definition->>'name', 'action', 'created',
                                                         'hook_id', CASE WHEN NOT dry_run THEN known END);
            ELSE
                -- So a file that says the secret changes nothing each time.
                IF definition ? 'secret_key' AND coalesce(whisperer.hook_secret(known), '') IN (definitions->i->>'secret_key',
                       'whsec_' || translate(encode(convert_to(definitions->i->>'secret_key', 'UTF8'), 'base64'), E'\n', '')) THEN
                    definition := definition - 'secret_key';
                END IF;
                results := results || jsonb_build_object('name', definition->>'name', 'hook_id', known, 'action',
                    CASE WHEN whisperer_internal.apply_hook(known, definition) THEN 'changed' ELSE 'left' END);
            END IF;
        END LOOP;
        IF dry_run THEN
            RAISE SQLSTATE 'WHUND';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'WHUND' THEN
            NULL;
        WHEN OTHERS THEN
            -- The same, and of which of many definitions.
            IF at_hand IS NULL THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, told = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, in_column = COLUMN_NAME;
            RAISE EXCEPTION '%', problem
                USING ERRCODE = sqlstate, DETAIL = concat_ws(' ', nullif(told, ''), format('It is the definition of hook "%s".', at_hand)),
                      HINT = coalesce(nullif(hint, ''), 'No hook was changed.'), COLUMN = coalesce(nullif(in_column, ''), 'definitions');
    END;
    RETURN QUERY SELECT r.name, r.hook_id, r.action FROM jsonb_to_recordset(results) AS r (name text, hook_id bigint, action text);
END;
$$;
CREATE FUNCTION whisperer.apply_hooks(definitions jsonb, prune boolean DEFAULT false, dry_run boolean DEFAULT false)
    RETURNS TABLE (name text, hook_id bigint, action text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.apply_hooks(jsonb, boolean, boolean) IS
    'makes your named hooks what an array of definitions says, and tells what it did to each';
GRANT EXECUTE ON FUNCTION whisperer.apply_hooks(jsonb, boolean, boolean) TO PUBLIC;
