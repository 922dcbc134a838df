-- A hook's format and its additional headers lie in two tables; here the format changes, in set_secret the headers.

-- As the extension's owner, and closed to everybody, like keep_auth_body.
CREATE FUNCTION whisperer_internal.keep_headers_apart_body() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT whisperer_internal.is_carried(TG_OP, NEW) THEN
        PERFORM whisperer_internal.check_beside_format(
            NEW.format, whisperer_internal.open_secret(s.hook_id, 'additional_headers', s.additional_headers)::jsonb)
        FROM whisperer.secret s WHERE s.hook_id = NEW.id;
    END IF;
    RETURN NEW;
END;
$$;
CREATE FUNCTION whisperer_internal.keep_headers_apart() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer_internal.keep_headers_apart() IS
    'trigger: refuses a format that sets headers which additional_headers set, too';

-- After check_hook, by its name.
CREATE TRIGGER keep_headers_apart BEFORE UPDATE OF format ON whisperer.hook_definition
    FOR EACH ROW WHEN (NEW.format IS DISTINCT FROM OLD.format)
    EXECUTE FUNCTION whisperer_internal.keep_headers_apart();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER keep_headers_apart;
