-- config.auth: what people write of it goes into whisperer.secret; the hook's config keeps only that
-- there is one, and of which type.

CREATE FUNCTION whisperer_internal.masked_auth(auth jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not a function in SQL, whose statements have the value as a parameter; see hidden().
    RETURN CASE WHEN auth->>'type' IS NOT NULL THEN jsonb_build_object('type', auth->'type')
                WHEN auth->>'auth_type' IS NOT NULL THEN jsonb_build_object('auth_type', auth->'auth_type') ELSE '{}' END
        || CASE WHEN auth->>'client_certificate' IS NOT NULL THEN '{"client_certificate": "***"}'::jsonb ELSE '{}' END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.masked_auth(jsonb) IS
    'what of config.auth stays in a hook''s config: its type, and whether there is a client certificate';
GRANT EXECUTE ON FUNCTION whisperer_internal.masked_auth(jsonb) TO PUBLIC;

-- Runs as the extension's owner, whoever writes; that he may write the row is decided by its
-- privileges and row-level security.  Nobody can call it or attach it to a table of his own: see
-- 900-access.  An INSERT finds no secret: ids are not reused.
CREATE FUNCTION whisperer_internal.keep_auth_body() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_auth jsonb := nullif(NEW.config->'auth', 'null');
BEGIN
    -- The secret comes by itself.  check_hook, which was here before, has given a hook that is made here its since.
    IF whisperer_internal.is_carried(TG_OP, NEW)
       AND (NEW.incarnation <> whisperer_internal.my_incarnation() OR new_auth IS NOT DISTINCT FROM whisperer_internal.masked_auth(new_auth)) THEN
        RETURN NEW;
    END IF;
    new_auth := whisperer_internal.hidden(new_auth);
    IF TG_OP = 'UPDATE' AND whisperer_internal.revealed(new_auth) = OLD.config->'auth' THEN
        NEW.config := NEW.config || jsonb_build_object('auth', OLD.config->'auth');
        RETURN NEW;
    END IF;
    NEW.config := NEW.config - 'auth';
    IF new_auth IS NULL THEN
        UPDATE whisperer.secret s SET auth = NULL WHERE s.hook_id = NEW.id AND s.auth IS NOT NULL;
        RETURN NEW;
    END IF;
    PERFORM whisperer_internal.check_auth(whisperer_internal.revealed(new_auth), coalesce(
        (SELECT whisperer_internal.open_secret(s.hook_id, 'additional_headers', s.additional_headers)::jsonb
         FROM whisperer.secret s WHERE s.hook_id = NEW.id), '{}'));
    PERFORM whisperer_internal.check_reach(whisperer_internal.revealed(new_auth)->>k.url, 'config') FROM unnest('{url,token_url}'::text[]) AS k(url);
    INSERT INTO whisperer.secret (hook_id, auth)
    VALUES (NEW.id, whisperer_internal.seal_secret(NEW.id, 'auth', whisperer_internal.revealed(new_auth)::text))
    ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE SET auth = excluded.auth;
    NEW.config := NEW.config || jsonb_build_object('auth', whisperer_internal.masked_auth(whisperer_internal.revealed(new_auth)));
    RETURN NEW;
END;
$$;
CREATE FUNCTION whisperer_internal.keep_auth() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer_internal.keep_auth() IS
    'trigger: moves config.auth to where secrets are kept; left as it is shown, it stays as it was';

-- After check_hook, by its name.
CREATE TRIGGER keep_auth BEFORE INSERT OR UPDATE OF config ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.keep_auth();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER keep_auth;

COMMENT ON COLUMN whisperer.hook.config IS
    'a JSON object of yours, which config_filter of an event is compared with; its key auth holds credentials for the receiver, is kept with the secrets and shown by type only';
