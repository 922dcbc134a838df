-- What a hook's owner may see of its secrets: the secret, its public key, which headers there are.

-- Null: there is none.
CREATE FUNCTION whisperer_internal.opened_secret_as(caller oid, hook_id bigint)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.require_hook(caller, opened_secret_as.hook_id);
    RETURN (SELECT nullif(whisperer_internal.open_secret(s.hook_id, 'secret_key', s.secret_key), '')
            FROM whisperer.secret s WHERE s.hook_id = opened_secret_as.hook_id);
END;
$$;

CREATE FUNCTION whisperer_internal.hook_secret_as(caller oid, hook_id bigint)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret constant text := whisperer_internal.opened_secret_as(caller, hook_secret_as.hook_id);
BEGIN
    IF secret ~ '^whs(ec|k)_' THEN
        RETURN secret;
    END IF;
    RETURN 'whsec_' || translate(encode(convert_to(secret, 'UTF8'), 'base64'), E'\n', '');
END;
$$;
CREATE FUNCTION whisperer.hook_secret(hook_id bigint)
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.hook_secret(bigint) IS 'the secret of a hook of yours, as Standard Webhooks libraries take it';
GRANT EXECUTE ON FUNCTION whisperer.hook_secret(bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.hook_public_key_as(caller oid, hook_id bigint)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret constant text := whisperer_internal.opened_secret_as(caller, hook_public_key_as.hook_id);
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
    'the whpk_ key that receivers verify v1a signatures of a hook of yours with';
GRANT EXECUTE ON FUNCTION whisperer.hook_public_key(bigint) TO PUBLIC;

-- For preview: which headers, not what they say.
CREATE FUNCTION whisperer_internal.masked_headers_as(caller oid, hook_id bigint)
    RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret constant text := whisperer_internal.opened_secret_as(caller, masked_headers_as.hook_id);
    is_ed25519 constant boolean := starts_with(secret, 'whsk_');
    hook whisperer.hook_definition;
    signatures jsonb := '{}';
BEGIN
    SELECT * INTO hook FROM whisperer.hook_definition h WHERE h.id = masked_headers_as.hook_id;
    IF secret IS NOT NULL AND ('standard' = ANY (hook.signatures)) IS NOT FALSE THEN
        signatures := jsonb_build_object('webhook-signature', CASE WHEN is_ed25519 THEN 'v1a,***' ELSE 'v1,***' END);
    END IF;
    IF NOT is_ed25519 AND ('whisperer' = ANY (hook.signatures)) IS NOT FALSE THEN
        signatures := signatures || '{"X-Whisperer-Signature": "sha256=***"}';
    END IF;
    IF NOT is_ed25519 AND hook.signing IS NOT NULL THEN
        signatures := signatures || jsonb_build_object(hook.signing->>'header',
            regexp_replace(hook.signing->>'value', '[{][[:alnum:]_]+[}]', '***', 'g'));
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(name, '***'), '{}')
            FROM whisperer.secret s, jsonb_object_keys(
                whisperer_internal.open_secret(s.hook_id, 'additional_headers', s.additional_headers)::jsonb) AS name
            WHERE s.hook_id = masked_headers_as.hook_id)
        || signatures;
END;
$$;
CREATE FUNCTION whisperer_internal.masked_headers(hook_id bigint)
    RETURNS jsonb LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer_internal.masked_headers(bigint) IS
    'names of a hook''s additional headers and signatures, values masked; 42704';
GRANT EXECUTE ON FUNCTION whisperer_internal.masked_headers(bigint) TO PUBLIC;
