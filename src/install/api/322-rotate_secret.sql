-- A new secret for a hook; for a while the old one signs as well.

CREATE FUNCTION whisperer_internal.rotate_secret_as(caller oid, hook_id bigint, new_secret text,
                                           overlap interval)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    handle constant text := whisperer_internal.hidden(coalesce(new_secret, whisperer_internal.make_secret()));
    busy_until timestamptz;
BEGIN
    PERFORM whisperer_internal.require_hook(caller, rotate_secret_as.hook_id);
    PERFORM whisperer_internal.check_secret(whisperer_internal.revealed(handle));
    IF overlap IS NULL OR overlap < interval '0' THEN
        RAISE EXCEPTION 'overlap must be a positive interval'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'overlap';
    END IF;
    PERFORM FROM whisperer.hook_definition h WHERE h.id = rotate_secret_as.hook_id AND h.is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM whisperer_internal.refuse_hook(rotate_secret_as.hook_id);
    END IF;
    -- Two secrets sign at most: a receiver that knows the oldest alone would refuse everything.
    SELECT s.previous_expires_at INTO busy_until FROM whisperer.secret s
    WHERE s.hook_id = rotate_secret_as.hook_id AND s.previous_secret_key IS NOT NULL FOR UPDATE;
    IF busy_until > now() AND overlap > interval '0' THEN
        RAISE EXCEPTION 'the overlap of the last rotation lasts until %', date_trunc('second', busy_until)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Rotate again after it; an overlap of 0 gives up the older secrets at once.';
    END IF;
    -- A hook that came by INSERT has none yet.
    INSERT INTO whisperer.secret AS s (hook_id, secret_key)
    VALUES (rotate_secret_as.hook_id,
            whisperer_internal.seal_secret(rotate_secret_as.hook_id, 'secret_key', whisperer_internal.revealed(handle)))
    ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE
    SET secret_key = excluded.secret_key,
        previous_secret_key = whisperer_internal.seal_secret(s.hook_id, 'previous_secret_key',
            nullif(whisperer_internal.open_secret(s.hook_id, 'secret_key', s.secret_key), '')),
        previous_expires_at = now() + overlap;
    PERFORM whisperer_internal.check_signs(whisperer_internal.revealed(handle), h.signing, h.signatures)
    FROM whisperer.hook_definition h WHERE h.id = rotate_secret_as.hook_id;
    RETURN whisperer_internal.revealed(handle);
END;
$$;
CREATE FUNCTION whisperer.rotate_secret(hook_id bigint, new_secret text DEFAULT NULL,
                                        overlap interval DEFAULT '24 hours')
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.rotate_secret(bigint, text, interval) IS 'gives a hook a new secret and returns it';
GRANT EXECUTE ON FUNCTION whisperer.rotate_secret(bigint, text, interval) TO PUBLIC;
