-- A subscription: the row, checked by its trigger, and its secrets.

-- The worker learns of the hook at its commit, and has then read what others committed since it was made.
CREATE FUNCTION whisperer_internal.ask_to_catch_up() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.incarnation = whisperer_internal.my_incarnation() THEN
        INSERT INTO whisperer.request (kind, hook_id) VALUES ('catch_up', NEW.id);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.ask_to_catch_up() IS
    'trigger: has the worker look for what was committed while a hook was being made';
CREATE TRIGGER ask_to_catch_up AFTER INSERT ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.ask_to_catch_up();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER ask_to_catch_up;

CREATE FUNCTION whisperer_internal.create_hook_body(
    event_type text, target_url text, secret_key text,
    additional_headers jsonb, config jsonb,
    retry_countdown_config jsonb, callback text,
    filter jsonb, transform text, description text,
    rate_limit double precision, ordering text, format text, payload_key text,
    signing jsonb, signatures text[], metadata_headers text[],
    timeout interval, max_in_flight integer, name text, batch jsonb, encoding text, priority text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hook_id bigint;
    -- See hidden(): no statement below has what these stand for.
    key_handle constant text := whisperer_internal.hidden(coalesce(create_hook_body.secret_key, whisperer_internal.make_secret()));
    headers_handle constant jsonb := whisperer_internal.hidden(coalesce(create_hook_body.additional_headers, '{}'));
    kept_config constant jsonb := whisperer_internal.hidden_auth(coalesce(create_hook_body.config, '{}'));
BEGIN
    INSERT INTO whisperer.hook_definition AS h
        (event_type, target_url, config, retry_countdown_config, callback, filter, transform,
         rate_limit, ordering, description, format, payload_key, signing, signatures,
         metadata_headers, timeout, max_in_flight, name, batch, encoding, priority)
    VALUES (create_hook_body.event_type, create_hook_body.target_url, kept_config,
            create_hook_body.retry_countdown_config, create_hook_body.callback, create_hook_body.filter,
            create_hook_body.transform, create_hook_body.rate_limit,
            coalesce(create_hook_body.ordering, 'none'), create_hook_body.description,
            coalesce(create_hook_body.format, 'whisperer'), create_hook_body.payload_key,
            create_hook_body.signing, create_hook_body.signatures, create_hook_body.metadata_headers,
            create_hook_body.timeout, create_hook_body.max_in_flight, create_hook_body.name, create_hook_body.batch,
            create_hook_body.encoding,
            coalesce(create_hook_body.priority, 'normal'))
    RETURNING h.id INTO hook_id;
    PERFORM whisperer_internal.set_secret(hook_id, key_handle, headers_handle);
    RETURN hook_id;
END;
$$;
CREATE FUNCTION whisperer.create_hook(
    event_type text, target_url text, secret_key text DEFAULT NULL,
    additional_headers jsonb DEFAULT '{}', config jsonb DEFAULT '{}',
    retry_countdown_config jsonb DEFAULT NULL, callback text DEFAULT NULL,
    filter jsonb DEFAULT NULL, transform text DEFAULT NULL, description text DEFAULT NULL,
    rate_limit double precision DEFAULT NULL, ordering text DEFAULT 'none',
    format text DEFAULT 'whisperer', payload_key text DEFAULT NULL,
    signing jsonb DEFAULT NULL, signatures text[] DEFAULT NULL, metadata_headers text[] DEFAULT NULL,
    timeout interval DEFAULT NULL, max_in_flight integer DEFAULT NULL, name text DEFAULT NULL, batch jsonb DEFAULT NULL,
    encoding text DEFAULT NULL,
    priority text DEFAULT 'normal') RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.create_hook(text, text, text, jsonb, jsonb, jsonb, text, jsonb, text, text, double precision, text, text, text, jsonb, text[], text[], interval, integer, text, jsonb, text, text) IS
    'subscribes a URL to event types and returns the id of the hook';
GRANT EXECUTE ON FUNCTION whisperer.create_hook(text, text, text, jsonb, jsonb, jsonb, text, jsonb, text, text, double precision, text, text, text, jsonb, text[], text[], interval, integer, text, jsonb, text, text) TO PUBLIC;
