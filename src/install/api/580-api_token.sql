-- Tokens of the HTTP gateway.  A token is what_<id>_<43 characters>: 32 random bytes, of which the
-- database keeps a hash.  That of a portal link (582) begins with whap_.
CREATE VIEW whisperer.api_token WITH (security_barrier = true) AS
SELECT t.id, r.role, t.description, t.created_at, t.expires_at, t.last_used_at, t.revoked_at, t.kind
FROM whisperer.api_token_record t
CROSS JOIN LATERAL (SELECT whisperer_internal.living_role(t.role, t.role_name, t.incarnation)::regrole AS role) AS r
WHERE pg_has_role(coalesce(r.role, whisperer_internal.extension_owner()), 'MEMBER');
COMMENT ON VIEW whisperer.api_token IS
    'the tokens of your roles for the HTTP gateway: all but the token itself, which is not kept';
REVOKE ALL ON whisperer.api_token FROM PUBLIC; GRANT SELECT ON whisperer.api_token TO PUBLIC;

CREATE FUNCTION whisperer_internal.same_bytes(one bytea, other bytea) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_same_bytes';
COMMENT ON FUNCTION whisperer_internal.same_bytes(bytea, bytea) IS
    'equality in a time that does not depend on where the first difference is';

CREATE FUNCTION whisperer_internal.make_api_token(caller oid, role_name regrole, description text, expires_at timestamptz, kind text)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    random constant text := translate(substr(whisperer_internal.make_secret(), 7), '+/=', '-_');
    -- No statement has the token itself; see hidden().
    random_hash constant bytea := sha256(convert_to(random, 'UTF8'));
    made bigint;
BEGIN
    IF make_api_token.role_name IS NULL OR make_api_token.description IS NULL THEN
        RAISE EXCEPTION 'a token needs a role and a description' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT pg_has_role(caller, make_api_token.role_name, 'MEMBER') THEN
        RAISE EXCEPTION 'permission denied to create a token of role "%"', make_api_token.role_name
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only the role''s members may.';
    END IF;
    IF make_api_token.expires_at <= now() THEN
        RAISE EXCEPTION 'expires_at is in the past' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO whisperer.api_token_record (role, role_name, hash, description, expires_at, kind)
    SELECT r.oid, r.rolname, random_hash, make_api_token.description, make_api_token.expires_at, make_api_token.kind
    FROM pg_roles r WHERE r.oid = make_api_token.role_name
    RETURNING id INTO made;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" does not exist', make_api_token.role_name USING ERRCODE = 'undefined_object';
    END IF;
    RETURN format('%s_%s_%s', CASE kind WHEN 'portal' THEN 'whap' ELSE 'what' END, made, random);
END;
$$;
CREATE FUNCTION whisperer_internal.create_api_token_as(caller oid, role_name regrole, description text, expires_at timestamptz)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN whisperer_internal.make_api_token(caller, role_name, description, expires_at, 'api');
END;
$$;

CREATE FUNCTION whisperer.create_api_token(role_name regrole, description text, expires_at timestamptz DEFAULT NULL)
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.create_api_token(regrole, text, timestamptz) IS
    'makes a token with which an HTTP client acts as a role';
GRANT EXECUTE ON FUNCTION whisperer.create_api_token(regrole, text, timestamptz) TO PUBLIC;

CREATE FUNCTION whisperer_internal.revoke_api_token_as(caller oid, id bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE whisperer.api_token_record t SET revoked_at = coalesce(t.revoked_at, now())
    WHERE t.id = revoke_api_token_as.id
      AND pg_has_role(caller, coalesce(whisperer_internal.living_role(t.role, t.role_name, t.incarnation), whisperer_internal.extension_owner()), 'MEMBER');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'token % does not exist', coalesce(revoke_api_token_as.id::text, 'null')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT * FROM whisperer.api_token shows yours.';
    END IF;
END;
$$;

CREATE FUNCTION whisperer.revoke_api_token(id bigint) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.revoke_api_token(bigint) IS 'ends a token of one of your roles';
GRANT EXECUTE ON FUNCTION whisperer.revoke_api_token(bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.max_requests_of(role oid, OUT most integer, OUT of_database boolean)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_max_requests_of';
COMMENT ON FUNCTION whisperer_internal.max_requests_of(oid) IS
    'whisperer.max_requests_per_second for a role, and whether ALTER ROLE ... IN DATABASE has said it';
GRANT EXECUTE ON FUNCTION whisperer_internal.max_requests_of(oid) TO PUBLIC;

-- Asked by the gateway before it takes on the role.  Whoever could not take it on learns nothing.
CREATE FUNCTION whisperer_internal.api_token_role_as(caller oid, token text) RETURNS name
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts constant text[] := regexp_match(token, '^wha([tp])_([0-9]{1,18})_([A-Za-z0-9_-]{43})$');
    token_kind constant text := CASE parts[1] WHEN 'p' THEN 'portal' ELSE 'api' END;
    token_id constant bigint := parts[2]::bigint;
    found whisperer.api_token_record;
    held_by name;
BEGIN
    -- No statement has the token itself; see hidden().
    SELECT * INTO found FROM whisperer.api_token_record t
    WHERE t.id = token_id AND t.incarnation = whisperer_internal.my_incarnation()
      AND t.kind = token_kind;
    IF NOT coalesce(whisperer_internal.same_bytes(found.hash, sha256(convert_to(parts[3], 'UTF8'))), false)
       OR found.revoked_at IS NOT NULL OR found.expires_at <= clock_timestamp() THEN
        RETURN NULL;
    END IF;
    SELECT r.rolname INTO held_by FROM pg_roles r
    WHERE r.oid = found.role AND pg_has_role(caller, r.oid, 'MEMBER');
    -- Nobody who holds the row, and no read-only server, keeps a client from being let in.
    IF held_by IS NOT NULL AND NOT current_setting('transaction_read_only')::boolean
       AND coalesce(found.last_used_at < clock_timestamp() - interval '1 minute', true) THEN
        UPDATE whisperer.api_token_record t SET last_used_at = clock_timestamp()
        WHERE t.id IN (SELECT r.id FROM whisperer.api_token_record r WHERE r.id = found.id FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN held_by;
END;
$$;

CREATE FUNCTION whisperer.api_token_role(token text) RETURNS name
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.api_token_role(text) IS 'the role that a token stands for, null if it stands for none';
GRANT EXECUTE ON FUNCTION whisperer.api_token_role(text) TO PUBLIC;
