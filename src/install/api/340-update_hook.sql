-- Changes by name, so that a column left out stays as it is and null can mean null.

CREATE FUNCTION whisperer_internal.update_hook_body(hook_id bigint, changes jsonb) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- What is secret in it hidden: no statement below has it; see hidden().
    kept jsonb := changes;
    known constant text[] := '{event_type,target_url,secret_key,additional_headers,config,retry_countdown_config,callback,filter,transform,rate_limit,ordering,description,format,payload_key,signing,signatures,metadata_headers,timeout,max_in_flight,name,batch,encoding,priority}';
    -- Where it stands among its owner's hooks.
    place constant text[] := '{event_type,target_url,name}';
    bad_key text;
BEGIN
    IF changes IS NULL OR jsonb_typeof(changes) <> 'object' THEN
        RAISE EXCEPTION 'changes must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    bad_key := jsonb_path_query_first(changes - known, '$.keyvalue().key') #>> '{}';
    IF bad_key IS NOT NULL THEN
        RAISE EXCEPTION 'unknown key "%" in changes', bad_key
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Known are %s.', array_to_string(known, ', '));
    END IF;
    PERFORM whisperer_internal.check_texts(changes);
    IF changes->'event_type' = 'null' OR changes->'target_url' = 'null' THEN
        RAISE EXCEPTION 'event_type and target_url must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  COLUMN = CASE WHEN changes->'event_type' = 'null' THEN 'event_type' ELSE 'target_url' END;
    END IF;
    IF changes->>'secret_key' IS NOT NULL THEN
        kept := kept || jsonb_build_object('secret_key', whisperer_internal.hidden(changes->>'secret_key'));
    END IF;
    IF changes->>'additional_headers' IS NOT NULL THEN
        kept := kept || jsonb_build_object('additional_headers', whisperer_internal.hidden(changes->'additional_headers'));
    END IF;
    IF changes->>'config' IS NOT NULL THEN
        kept := kept || jsonb_build_object('config', whisperer_internal.hidden_auth(changes->'config'));
    END IF;
    -- Before any row is locked, so that two sessions take both in one order.
    IF kept ?| place THEN
        PERFORM whisperer_internal.hold_hooks(role)
        FROM whisperer.hook_definition h, CAST(quote_ident(current_user)::regrole AS oid) AS me,
             unnest(ARRAY[least(me, h.owner), greatest(me, h.owner)]) AS role
        WHERE h.id = update_hook_body.hook_id;
    END IF;
    -- A header may move from one to the other: the new ones are checked beside each other.
    IF kept ? 'additional_headers' AND kept ?| '{config,format,signing}' THEN
        PERFORM whisperer_internal.set_secret(update_hook_body.hook_id, NULL, '{}');
    END IF;
    -- Likewise a secret and what it is to sign: first the secret, for a hook that signs nothing of its own yet.
    IF kept ? 'secret_key' AND kept ?| '{signing,signatures}' THEN
        SELECT jsonb_build_object('signing', h.signing, 'signatures', h.signatures) || kept INTO kept
        FROM whisperer.hook_definition h WHERE h.id = update_hook_body.hook_id AND h.is_active;
        UPDATE whisperer.hook_definition h SET signing = NULL, signatures = NULL
        WHERE h.id = update_hook_body.hook_id AND h.is_active;
        IF NOT FOUND THEN
            PERFORM whisperer_internal.refuse_hook(update_hook_body.hook_id);
        END IF;
        PERFORM whisperer_internal.set_secret(update_hook_body.hook_id, coalesce(kept->>'secret_key', whisperer_internal.make_secret()), NULL);
        kept := kept - 'secret_key';
    END IF;
    -- Apart from the others: its trigger holds the role's hooks, which no other change need wait for.
    IF kept ?| place THEN
        UPDATE whisperer.hook_definition h
        SET event_type = coalesce(kept->>'event_type', h.event_type),
            target_url = coalesce(kept->>'target_url', h.target_url),
            name = CASE WHEN kept ? 'name' THEN kept->>'name' ELSE h.name END
        WHERE h.id = update_hook_body.hook_id AND h.is_active;
    END IF;
    IF kept - place <> '{}' OR NOT kept ?| place THEN
        UPDATE whisperer.hook_definition h
        SET config = CASE WHEN kept ? 'config' THEN coalesce(nullif(kept->'config', 'null'), '{}') ELSE h.config END,
            retry_countdown_config = CASE WHEN kept ? 'retry_countdown_config' THEN nullif(kept->'retry_countdown_config', 'null') ELSE h.retry_countdown_config END,
            callback = CASE WHEN kept ? 'callback' THEN kept->>'callback' ELSE h.callback END,
            filter = CASE WHEN kept ? 'filter' THEN nullif(kept->'filter', 'null') ELSE h.filter END,
            transform = CASE WHEN kept ? 'transform' THEN whisperer_internal.normal_transform(kept->>'transform') ELSE h.transform END,
            rate_limit = CASE WHEN kept ? 'rate_limit' THEN whisperer_internal.typed(kept->>'rate_limit', 'rate_limit', h.rate_limit) ELSE h.rate_limit END,
            ordering = CASE WHEN kept ? 'ordering' THEN coalesce(kept->>'ordering', 'none') ELSE h.ordering END,
            description = CASE WHEN kept ? 'description' THEN kept->>'description' ELSE h.description END,
            format = CASE WHEN kept ? 'format' THEN coalesce(kept->>'format', 'whisperer') ELSE h.format END,
            payload_key = CASE WHEN kept ? 'payload_key' THEN kept->>'payload_key' ELSE h.payload_key END,
            signing = CASE WHEN kept ? 'signing' THEN nullif(kept->'signing', 'null') ELSE h.signing END,
            signatures = CASE WHEN kept ? 'signatures' THEN whisperer_internal.names_from(kept->'signatures', 'signatures') ELSE h.signatures END,
            metadata_headers = CASE WHEN kept ? 'metadata_headers' THEN whisperer_internal.names_from(kept->'metadata_headers', 'metadata_headers')
                                    ELSE h.metadata_headers END,
            timeout = CASE WHEN kept ? 'timeout' THEN whisperer_internal.typed(kept->>'timeout', 'timeout', h.timeout) ELSE h.timeout END,
            max_in_flight = CASE WHEN kept ? 'max_in_flight' THEN whisperer_internal.typed(kept->>'max_in_flight', 'max_in_flight', h.max_in_flight) ELSE h.max_in_flight END,
            batch = CASE WHEN kept ? 'batch' THEN nullif(kept->'batch', 'null') ELSE h.batch END,
            encoding = CASE WHEN kept ? 'encoding' THEN kept->>'encoding' ELSE h.encoding END,
            priority = CASE WHEN kept ? 'priority' THEN coalesce(kept->>'priority', 'normal') ELSE h.priority END
        WHERE h.id = update_hook_body.hook_id AND h.is_active;
    END IF;
    IF NOT FOUND THEN
        PERFORM whisperer_internal.refuse_hook(update_hook_body.hook_id);
    END IF;
    IF kept ?| '{secret_key,additional_headers}' THEN
        PERFORM whisperer_internal.set_secret(update_hook_body.hook_id,
            CASE WHEN kept ? 'secret_key' THEN coalesce(kept->>'secret_key', whisperer_internal.make_secret()) END,
            CASE WHEN kept ? 'additional_headers' THEN coalesce(nullif(kept->'additional_headers', 'null'), '{}') END);
    END IF;
END;
$$;
CREATE FUNCTION whisperer.update_hook(hook_id bigint, changes jsonb) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.update_hook(bigint, jsonb) IS 'changes columns of a hook of yours, given as {"column": value}';
GRANT EXECUTE ON FUNCTION whisperer.update_hook(bigint, jsonb) TO PUBLIC;
