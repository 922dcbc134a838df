-- What of a hook only its owner may know.  The table has row-level security and no policy; these
-- functions run as the extension's owner and decide by the caller.

-- What is stored and what it says, by the key file (whisperer.secret_key_file); which hook and which
-- column belong to it.
CREATE FUNCTION whisperer.seal_secret(hook_id bigint, column_name text, value text) RETURNS text
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'whisperer_seal_secret';
COMMENT ON FUNCTION whisperer.seal_secret(bigint, text, text) IS
    'a value as whisperer.secret stores it: encrypted if there is a key file; F0000';
CREATE FUNCTION whisperer.open_secret(hook_id bigint, column_name text, stored text) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_open_secret';
COMMENT ON FUNCTION whisperer.open_secret(bigint, text, text) IS
    'what a stored value says; F0000, 55000 without its key';

CREATE FUNCTION whisperer.require_hook(caller oid, hook_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM whisperer.hook_definition h
    WHERE h.id = require_hook.hook_id
      AND pg_has_role(caller, whisperer.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'hook % does not exist', coalesce(require_hook.hook_id::text, 'null')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM whisperer.hook shows yours.';
    END IF;
END;
$$;

-- null leaves a value as it is; in a hook that has none yet a null secret becomes a new one.
CREATE FUNCTION whisperer.set_secret_as(caller oid, hook_id bigint, secret_key text,
                                        additional_headers jsonb)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sealed_key text;
    sealed_headers text;
BEGIN
    PERFORM whisperer.require_hook(caller, set_secret_as.hook_id);
    IF set_secret_as.secret_key <> '' THEN
        PERFORM whisperer.check_secret(set_secret_as.secret_key);
    END IF;
    PERFORM whisperer.check_headers(set_secret_as.additional_headers);
    PERFORM whisperer.check_auth(whisperer.open_secret(s.hook_id, 'auth', s.auth)::jsonb, set_secret_as.additional_headers)
    FROM whisperer.secret s WHERE s.hook_id = set_secret_as.hook_id;
    sealed_key := whisperer.seal_secret(set_secret_as.hook_id, 'secret_key', set_secret_as.secret_key);
    sealed_headers := whisperer.seal_secret(set_secret_as.hook_id, 'additional_headers',
                                            nullif(set_secret_as.additional_headers, '{}')::text);
    INSERT INTO whisperer.secret AS s (hook_id, secret_key, additional_headers)
    VALUES (set_secret_as.hook_id,
            coalesce(sealed_key, whisperer.seal_secret(set_secret_as.hook_id, 'secret_key', whisperer.make_secret())),
            sealed_headers)
    ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE
    SET secret_key = coalesce(sealed_key, s.secret_key),
        previous_secret_key = CASE WHEN sealed_key IS NULL THEN s.previous_secret_key END,
        previous_expires_at = CASE WHEN sealed_key IS NULL THEN s.previous_expires_at END,
        additional_headers = CASE WHEN set_secret_as.additional_headers IS NULL THEN s.additional_headers
                                  ELSE sealed_headers END;
END;
$$;
CREATE FUNCTION whisperer.set_secret(hook_id bigint, secret_key text, additional_headers jsonb)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.set_secret(bigint, text, jsonb) IS
    'secret and header values of a hook of yours; null leaves them as they are; 42704, 22023';

CREATE FUNCTION whisperer.rotate_secret_as(caller oid, hook_id bigint, new_secret text,
                                           overlap interval)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret text := coalesce(new_secret, whisperer.make_secret());
    busy_until timestamptz;
BEGIN
    PERFORM whisperer.require_hook(caller, rotate_secret_as.hook_id);
    PERFORM whisperer.check_secret(secret);
    IF overlap IS NULL OR overlap < interval '0' THEN
        RAISE EXCEPTION 'overlap must be a positive interval'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM FROM whisperer.hook_definition h WHERE h.id = rotate_secret_as.hook_id AND h.is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM whisperer.refuse_hook(rotate_secret_as.hook_id);
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
    VALUES (rotate_secret_as.hook_id, whisperer.seal_secret(rotate_secret_as.hook_id, 'secret_key', secret))
    ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE
    SET secret_key = excluded.secret_key,
        previous_secret_key = whisperer.seal_secret(s.hook_id, 'previous_secret_key',
            nullif(whisperer.open_secret(s.hook_id, 'secret_key', s.secret_key), '')),
        previous_expires_at = now() + overlap;
    RETURN secret;
END;
$$;
CREATE FUNCTION whisperer.rotate_secret(hook_id bigint, new_secret text DEFAULT NULL,
                                        overlap interval DEFAULT '24 hours')
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.rotate_secret(bigint, text, interval) IS
    'gives a hook a new secret (made if null) and returns it; both sign until the overlap ends; 42704, 22023, 55000 for a deleted hook or while an earlier overlap lasts';

-- Null: there is none.
CREATE FUNCTION whisperer.opened_secret_as(caller oid, hook_id bigint)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer.require_hook(caller, opened_secret_as.hook_id);
    RETURN (SELECT nullif(whisperer.open_secret(s.hook_id, 'secret_key', s.secret_key), '')
            FROM whisperer.secret s WHERE s.hook_id = opened_secret_as.hook_id);
END;
$$;

CREATE FUNCTION whisperer.hook_secret_as(caller oid, hook_id bigint)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret constant text := whisperer.opened_secret_as(caller, hook_secret_as.hook_id);
BEGIN
    IF secret ~ '^whs(ec|k)_' THEN
        RETURN secret;
    END IF;
    RETURN 'whsec_' || translate(encode(convert_to(secret, 'UTF8'), 'base64'), E'\n', '');
END;
$$;
CREATE FUNCTION whisperer.hook_secret(hook_id bigint)
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.hook_secret(bigint) IS
    'the secret of a hook of yours in the form that Standard Webhooks libraries take (whsec_ or whsk_ and base64); null: unsigned; 42704, 55000';

CREATE FUNCTION whisperer.hook_public_key_as(caller oid, hook_id bigint)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret constant text := whisperer.opened_secret_as(caller, hook_public_key_as.hook_id);
BEGIN
    IF NOT starts_with(secret, 'whsk_') THEN
        RETURN NULL;
    END IF;
    RETURN 'whpk_' || encode(substr(decode(substr(secret, 6), 'base64'), 33), 'base64');
END;
$$;
CREATE FUNCTION whisperer.hook_public_key(hook_id bigint)
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.hook_public_key(bigint) IS
    'what receivers verify v1a signatures of a hook of yours with (whpk_ and base64); null: its secret is no whsk_ key; 42704, 55000';

-- For preview: which headers, not what they say.
CREATE FUNCTION whisperer.masked_headers_as(caller oid, hook_id bigint)
    RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret constant text := whisperer.opened_secret_as(caller, masked_headers_as.hook_id);
BEGIN
    RETURN (SELECT coalesce(jsonb_object_agg(name, '***'), '{}')
            FROM whisperer.secret s, jsonb_object_keys(
                whisperer.open_secret(s.hook_id, 'additional_headers', s.additional_headers)::jsonb) AS name
            WHERE s.hook_id = masked_headers_as.hook_id)
        || CASE WHEN secret IS NULL THEN '{}'::jsonb
                WHEN starts_with(secret, 'whsk_') THEN '{"webhook-signature": "v1a,***"}'
                ELSE '{"webhook-signature": "v1,***", "X-Whisperer-Signature": "sha256=***"}' END;
END;
$$;
CREATE FUNCTION whisperer.masked_headers(hook_id bigint)
    RETURNS jsonb LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.masked_headers(bigint) IS
    'names of a hook''s additional headers and signatures, values masked; 42704';
