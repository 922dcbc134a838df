-- How the secrets of all hooks are stored, for those who look after the database.

CREATE FUNCTION whisperer_internal.require_secret_keeper(caller oid) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role(caller, current_user, 'MEMBER') THEN
        RAISE EXCEPTION 'permission denied to see or change how secrets are stored'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Only superusers and members of the extension''s owner may.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.require_secret_keeper(oid) IS
    'raises 42501 unless the role may see and change how secrets are stored';

CREATE FUNCTION whisperer_internal.secret_is_current(stored text) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_secret_is_current';
COMMENT ON FUNCTION whisperer_internal.secret_is_current(text) IS
    'whether a stored value is encrypted with the current key or, without a key file, not at all; F0000';

CREATE FUNCTION whisperer_internal.reseal_secret(hook_id bigint, column_name text, stored text) RETURNS text
    LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not a function in SQL, whose statements have the value as a parameter; see hidden().
    RETURN CASE WHEN whisperer_internal.secret_is_current(stored) THEN stored
                ELSE whisperer_internal.seal_secret(hook_id, column_name, whisperer_internal.open_secret(hook_id, column_name, stored)) END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.reseal_secret(bigint, text, text) IS
    'a stored value as seal_secret would store it now; F0000, 55000';

-- What cannot be opened stays as it is: whichever key it waits for is not among those that may go.
CREATE FUNCTION whisperer_internal.reencrypt_secrets_as(caller oid) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hook bigint;
    changed bigint := 0;
BEGIN
    PERFORM whisperer_internal.require_secret_keeper(caller);
    FOR hook IN
        SELECT s.hook_id FROM whisperer.secret s
        WHERE NOT (whisperer_internal.secret_is_current(s.secret_key)
                   AND coalesce(whisperer_internal.secret_is_current(s.previous_secret_key), true)
                   AND coalesce(whisperer_internal.secret_is_current(s.additional_headers), true)
                   AND coalesce(whisperer_internal.secret_is_current(s.auth), true))
        ORDER BY s.hook_id
    LOOP
        BEGIN
            UPDATE whisperer.secret s
            SET secret_key = whisperer_internal.reseal_secret(s.hook_id, 'secret_key', s.secret_key),
                previous_secret_key = whisperer_internal.reseal_secret(s.hook_id, 'previous_secret_key', s.previous_secret_key),
                additional_headers = whisperer_internal.reseal_secret(s.hook_id, 'additional_headers', s.additional_headers),
                auth = whisperer_internal.reseal_secret(s.hook_id, 'auth', s.auth)
            WHERE s.hook_id = hook;
            changed := changed + 1;
        EXCEPTION WHEN object_not_in_prerequisite_state THEN
            RAISE WARNING '%; left as it is', sqlerrm
                USING HINT = 'Put its key back and call whisperer.reencrypt_secrets() again, or have the hook''s owner write a new value.';
        END;
    END LOOP;
    RETURN changed;
END;
$$;
CREATE FUNCTION whisperer.reencrypt_secrets() RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.reencrypt_secrets() IS 'stores all secrets anew with the current key of whisperer.secret_key_file';
GRANT EXECUTE ON FUNCTION whisperer.reencrypt_secrets() TO PUBLIC;

CREATE FUNCTION whisperer_internal.secret_storage_as(caller oid)
    RETURNS TABLE (storage text, key_id text, hooks bigint)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.require_secret_keeper(caller);
    RETURN QUERY
        SELECT CASE WHEN starts_with(v.stored, 'sealed:') THEN 'sealed' ELSE 'plain' END,
               CASE WHEN starts_with(v.stored, 'sealed:') THEN split_part(v.stored, ':', 3) END,
               count(DISTINCT s.hook_id)
        FROM whisperer.secret s, unnest(ARRAY[s.secret_key, s.previous_secret_key, s.additional_headers, s.auth]) AS v (stored)
        WHERE v.stored <> ''
        GROUP BY 1, 2 ORDER BY 1, 2;
END;
$$;
CREATE FUNCTION whisperer.secret_storage(OUT storage text, OUT key_id text, OUT hooks bigint)
    RETURNS SETOF record LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.secret_storage() IS 'how many hooks have secrets stored plain, or sealed under which key';
GRANT EXECUTE ON FUNCTION whisperer.secret_storage() TO PUBLIC;
