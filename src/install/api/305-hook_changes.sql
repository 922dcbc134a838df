-- What may become of a hook, whoever writes it and how: delete_hook, pause_hook and resume_hook are an UPDATE
-- each, and an UPDATE obeys what they obey.

-- before: null for a new one.
CREATE FUNCTION whisperer_internal.check_hook_state(before whisperer.hook_definition, after whisperer.hook_definition)
    RETURNS integer LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_resumed constant boolean := after.is_active AND NOT after.is_paused
        AND (before.is_paused OR after.resumes <> before.resumes);
BEGIN
    IF before.id IS NULL THEN
        IF NOT after.is_active THEN
            RAISE EXCEPTION 'a new hook cannot be deleted already'
                USING ERRCODE = 'invalid_parameter_value', COLUMN = 'is_active',
                      HINT = 'is_paused makes one whose deliveries wait for whisperer.resume_hook.';
        END IF;
        RETURN after.resumes;
    END IF;
    IF NOT before.is_active
       AND (after.is_active OR after.is_paused OR after.resumes <> before.resumes
            OR (after.event_type, after.target_url, after.config, after.retry_countdown_config, after.callback, after.filter,
                after.transform, after.rate_limit, after.ordering, after.description, after.format, after.payload_key,
                after.signing, after.signatures, after.metadata_headers, after.timeout, after.max_in_flight, after.name, after.batch,
                after.encoding, after.priority)
               IS DISTINCT FROM
               (before.event_type, before.target_url, before.config, before.retry_countdown_config, before.callback, before.filter,
                before.transform, before.rate_limit, before.ordering, before.description, before.format, before.payload_key,
                before.signing, before.signatures, before.metadata_headers, before.timeout, before.max_in_flight, before.name, before.batch,
                before.encoding, before.priority)) THEN
        PERFORM whisperer_internal.refuse_hook(before.id);
    END IF;
    IF is_resumed AND after.incarnation <> whisperer_internal.my_incarnation() THEN
        RAISE EXCEPTION 'hook % was carried here by a restore or copy of another database', before.id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT whisperer.resume() adopts all that was carried here.';
    END IF;
    RETURN before.resumes + is_resumed::integer;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_hook_state(whisperer.hook_definition, whisperer.hook_definition) IS
    'raises 55000 for a change of a hook that is deleted or carried, 22023 for one that is made deleted; how often it was resumed';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_hook_state(whisperer.hook_definition, whisperer.hook_definition) TO PUBLIC;
