-- What of a hook only its owner may know.  The table has row-level security and no policy; these
-- functions run as the extension's owner and decide by the caller.

-- What is stored and what it says, by the key file (whisperer.secret_key_file); which hook and which
-- column belong to it.
CREATE FUNCTION whisperer_internal.seal_secret(hook_id bigint, column_name text, value text) RETURNS text
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'whisperer_seal_secret';
COMMENT ON FUNCTION whisperer_internal.seal_secret(bigint, text, text) IS
    'a value as whisperer.secret stores it: encrypted if there is a key file; F0000';
CREATE FUNCTION whisperer_internal.open_secret(hook_id bigint, column_name text, stored text) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_open_secret';
COMMENT ON FUNCTION whisperer_internal.open_secret(bigint, text, text) IS
    'what a stored value says; F0000, 55000 without its key';

CREATE FUNCTION whisperer_internal.require_hook(caller oid, hook_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM whisperer.hook_definition h
    WHERE h.id = require_hook.hook_id
      AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'hook % does not exist', coalesce(require_hook.hook_id::text, 'null')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM whisperer.hook shows yours.';
    END IF;
END;
$$;

-- No hook goes unsigned that was to be signed.
CREATE FUNCTION whisperer_internal.check_signs(secret text, signing jsonb, signatures text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF signing IS NOT NULL AND coalesce(secret, '') = '' THEN
        RAISE EXCEPTION 'signing needs a secret, and the hook has none'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'signing',
                  HINT = 'Leave secret_key out for a new one, or give a hook one by whisperer.rotate_secret before its signing.';
    END IF;
    IF starts_with(secret, 'whsk_') AND (signing IS NOT NULL OR (signatures <> '{}' AND 'standard' <> ALL (signatures))) THEN
        RAISE EXCEPTION 'a whsk_ key makes no signature but webhook-signature'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = CASE WHEN signing IS NOT NULL THEN 'signing' ELSE 'signatures' END,
                  HINT = 'Take another secret for signing, and for signatures without standard.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_signs(text, jsonb, text[]) IS
    'raises 22023, with the column, for a secret that cannot make what signing and signatures ask for';

-- null leaves a value as it is; in a hook that has none yet a null secret becomes a new one.
CREATE FUNCTION whisperer_internal.set_secret_as(caller oid, hook_id bigint, secret_key text,
                                        additional_headers jsonb)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_handle constant text := whisperer_internal.hidden(set_secret_as.secret_key);
    headers_handle constant jsonb := whisperer_internal.hidden(set_secret_as.additional_headers);
BEGIN
    PERFORM whisperer_internal.require_hook(caller, set_secret_as.hook_id);
    IF whisperer_internal.revealed(key_handle) <> '' THEN
        PERFORM whisperer_internal.check_secret(whisperer_internal.revealed(key_handle));
    END IF;
    PERFORM whisperer_internal.check_headers(whisperer_internal.revealed(headers_handle));
    PERFORM whisperer_internal.check_auth(whisperer_internal.open_secret(s.hook_id, 'auth', s.auth)::jsonb, whisperer_internal.revealed(headers_handle))
    FROM whisperer.secret s WHERE s.hook_id = set_secret_as.hook_id;
    INSERT INTO whisperer.secret AS s (hook_id, secret_key, additional_headers)
    VALUES (set_secret_as.hook_id,
            whisperer_internal.seal_secret(set_secret_as.hook_id, 'secret_key',
                                  coalesce(whisperer_internal.revealed(key_handle), whisperer_internal.make_secret())),
            whisperer_internal.seal_secret(set_secret_as.hook_id, 'additional_headers',
                                  nullif(whisperer_internal.revealed(headers_handle), '{}')::text))
    ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE
    SET secret_key = CASE WHEN key_handle IS NULL THEN s.secret_key ELSE excluded.secret_key END,
        previous_secret_key = CASE WHEN key_handle IS NULL THEN s.previous_secret_key END,
        previous_expires_at = CASE WHEN key_handle IS NULL THEN s.previous_expires_at END,
        additional_headers = CASE WHEN headers_handle IS NULL THEN s.additional_headers
                                  ELSE excluded.additional_headers END;
    -- Who changes the hook at the same time has the secret's row: this comes when it is known what he did.
    PERFORM whisperer_internal.check_headers_beside(whisperer_internal.revealed(headers_handle), h.format, coalesce(h.signing, 'null'))
    FROM whisperer.hook_definition h WHERE h.id = set_secret_as.hook_id;
    PERFORM whisperer_internal.check_signs(whisperer_internal.revealed(key_handle), h.signing, h.signatures)
    FROM whisperer.hook_definition h WHERE h.id = set_secret_as.hook_id AND key_handle IS NOT NULL;
END;
$$;
CREATE FUNCTION whisperer_internal.set_secret(hook_id bigint, secret_key text, additional_headers jsonb)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer_internal.set_secret(bigint, text, jsonb) IS
    'secret and header values of a hook of yours; null leaves them as they are; 42704, 22023';
GRANT EXECUTE ON FUNCTION whisperer_internal.set_secret(bigint, text, jsonb) TO PUBLIC;
