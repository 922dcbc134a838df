-- A subscription: the row, checked by its trigger, and its secrets.

-- The worker learns of the hook at its commit, and has then read what others committed since it was made.
CREATE FUNCTION whisperer.ask_to_catch_up() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.incarnation = whisperer.my_incarnation() THEN
        INSERT INTO whisperer.request (kind, hook_id) VALUES ('catch_up', NEW.id);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer.ask_to_catch_up() IS
    'trigger: has the worker look for what was committed while a hook was being made';
CREATE TRIGGER ask_to_catch_up AFTER INSERT ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer.ask_to_catch_up();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER ask_to_catch_up;

CREATE FUNCTION whisperer.create_hook(
    event_type text, target_url text, secret_key text DEFAULT NULL,
    additional_headers jsonb DEFAULT '{}', config jsonb DEFAULT '{}',
    retry_countdown_config jsonb DEFAULT NULL, callback text DEFAULT NULL,
    filter jsonb DEFAULT NULL, transform text DEFAULT NULL, description text DEFAULT NULL,
    rate_limit double precision DEFAULT NULL, ordering text DEFAULT 'none')
    RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hook_id bigint;
    -- See hidden(): no statement below has what these stand for.
    key_handle constant text := whisperer.hidden(coalesce(create_hook.secret_key, whisperer.make_secret()));
    headers_handle constant jsonb := whisperer.hidden(coalesce(create_hook.additional_headers, '{}'));
    kept_config constant jsonb := whisperer.hidden_auth(coalesce(create_hook.config, '{}'));
BEGIN
    IF create_hook.event_type IS NULL OR create_hook.target_url IS NULL THEN
        RAISE EXCEPTION 'event_type and target_url must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    BEGIN
        INSERT INTO whisperer.hook_definition AS h
            (event_type, target_url, config, retry_countdown_config, callback, filter, transform,
             rate_limit, ordering, description)
        VALUES (create_hook.event_type, create_hook.target_url, kept_config,
                create_hook.retry_countdown_config, create_hook.callback, create_hook.filter,
                create_hook.transform, create_hook.rate_limit,
                coalesce(create_hook.ordering, 'none'), create_hook.description)
        RETURNING h.id INTO hook_id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'you have a hook for "%" at this URL already', create_hook.event_type
            USING ERRCODE = 'unique_violation',
                  HINT = 'Change it with whisperer.update_hook, or delete it first.';
    END;
    PERFORM whisperer.set_secret(hook_id, key_handle, headers_handle);
    RETURN hook_id;
END;
$$;
COMMENT ON FUNCTION whisperer.create_hook(text, text, text, jsonb, jsonb, jsonb, text, jsonb, text, text, double precision, text) IS
    'subscribes a URL to an event type ("name", "prefix*" or "*") and returns the hook''s id; secret_key null: one is made, '''': unsigned; transform and callback: functions with their schema, called as you; 42883, 42704, 42501, 23505, 22023';
GRANT EXECUTE ON FUNCTION whisperer.create_hook(text, text, text, jsonb, jsonb, jsonb, text, jsonb, text, text, double precision, text) TO PUBLIC;
