-- A hook's additional headers and its secret lie in another table than what else sets headers, format and signing.  Here
-- those change, in set_secret and rotate_secret the others.

-- As the extension's owner, and closed to everybody, like keep_auth_body.
CREATE FUNCTION whisperer_internal.keep_headers_apart_body() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What arrives was checked where it was written.
    IF NOT whisperer_internal.is_arriving() AND NOT whisperer_internal.is_carried(TG_OP, NEW) THEN
        -- Who changes the secret at the same time has to wait, and then sees the hook as it is by now.
        PERFORM FROM whisperer.secret s WHERE s.hook_id = NEW.id FOR SHARE;
        PERFORM whisperer_internal.check_headers_beside(
            whisperer_internal.open_secret(s.hook_id, 'additional_headers', s.additional_headers)::jsonb,
            NEW.format, coalesce(NEW.signing, 'null'))
        FROM whisperer.secret s WHERE s.hook_id = NEW.id;
        IF NEW.signing IS DISTINCT FROM OLD.signing OR NEW.signatures IS DISTINCT FROM OLD.signatures THEN
            PERFORM whisperer_internal.check_signs(
                (SELECT whisperer_internal.open_secret(s.hook_id, 'secret_key', s.secret_key)
                 FROM whisperer.secret s WHERE s.hook_id = NEW.id),
                NEW.signing, NEW.signatures);
        END IF;
    END IF;
    RETURN NEW;
END;
$$;
CREATE FUNCTION whisperer_internal.keep_headers_apart() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer_internal.keep_headers_apart() IS
    'trigger: refuses a format or signing that sets headers which additional_headers set, too, and signatures that the secret cannot make';

-- After check_hook, by its name.
CREATE TRIGGER keep_headers_apart BEFORE UPDATE OF format, signing, signatures ON whisperer.hook_definition
    FOR EACH ROW WHEN (NEW.format IS DISTINCT FROM OLD.format OR NEW.signing IS DISTINCT FROM OLD.signing OR NEW.signatures IS DISTINCT FROM OLD.signatures)
    EXECUTE FUNCTION whisperer_internal.keep_headers_apart();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER keep_headers_apart;
