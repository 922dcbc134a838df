-- Secrets on their way through our functions.  What an executed statement has as parameter or constant is
-- written to the log by auto_explain (nested statements, verbose) and pgaudit (log_parameter).  So a
-- function hides what it is given, in an expression that plpgsql evaluates without a statement, and
-- statements have the handle; revealed is volatile, so no planner evaluates it.
--
-- Nobody may call revealed: by its handle one would have another function's value.
CREATE FUNCTION whisperer_internal.hidden(value text) RETURNS text
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'whisperer_hidden_text';
COMMENT ON FUNCTION whisperer_internal.hidden(text) IS
    'a handle that stands for the value in this transaction, until some dozens more were made; of a handle, itself';
GRANT EXECUTE ON FUNCTION whisperer_internal.hidden(text) TO PUBLIC;
CREATE FUNCTION whisperer_internal.hidden(value jsonb) RETURNS jsonb
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'whisperer_hidden_jsonb';
COMMENT ON FUNCTION whisperer_internal.hidden(jsonb) IS
    'a JSON string that stands for the value in this transaction, until some dozens more were made; of a handle, itself';
GRANT EXECUTE ON FUNCTION whisperer_internal.hidden(jsonb) TO PUBLIC;
CREATE FUNCTION whisperer_internal.revealed(handle text) RETURNS text
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'whisperer_revealed_text';
COMMENT ON FUNCTION whisperer_internal.revealed(text) IS 'what a handle of hidden() stands for; XX000';
CREATE FUNCTION whisperer_internal.revealed(handle jsonb) RETURNS jsonb
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'whisperer_revealed_jsonb';
COMMENT ON FUNCTION whisperer_internal.revealed(jsonb) IS 'what a handle of hidden() stands for; XX000';

CREATE FUNCTION whisperer_internal.hidden_auth(config jsonb) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(config) <> 'object' OR coalesce(config->'auth', 'null') = 'null' THEN
        RETURN config;
    END IF;
    RETURN config || jsonb_build_object('auth', whisperer_internal.hidden(config->'auth'));
END;
$$;
COMMENT ON FUNCTION whisperer_internal.hidden_auth(jsonb) IS 'a hook''s config with its auth behind a handle of hidden()';
GRANT EXECUTE ON FUNCTION whisperer_internal.hidden_auth(jsonb) TO PUBLIC;
