-- Three signatures, so that json, jsonb and an untyped literal all work.
CREATE FUNCTION whisperer.deliver_event(event_type text, data json, config_filter jsonb DEFAULT NULL,
                                        object_id text DEFAULT NULL, headers jsonb DEFAULT NULL,
                                        deliver_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deliver_event_json';
CREATE FUNCTION whisperer.deliver_event(event_type text, data jsonb, config_filter jsonb DEFAULT NULL,
                                        object_id text DEFAULT NULL, headers jsonb DEFAULT NULL,
                                        deliver_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deliver_event_jsonb';
CREATE FUNCTION whisperer.deliver_event(event_type text, data text, config_filter jsonb DEFAULT NULL,
                                        object_id text DEFAULT NULL, headers jsonb DEFAULT NULL,
                                        deliver_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deliver_event_text';
COMMENT ON FUNCTION whisperer.deliver_event(text, json, jsonb, text, jsonb, timestamptz, timestamptz) IS 'records one event in this transaction and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.deliver_event(text, json, jsonb, text, jsonb, timestamptz, timestamptz) TO PUBLIC;
COMMENT ON FUNCTION whisperer.deliver_event(text, jsonb, jsonb, text, jsonb, timestamptz, timestamptz) IS 'records one event in this transaction and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.deliver_event(text, jsonb, jsonb, text, jsonb, timestamptz, timestamptz) TO PUBLIC;
COMMENT ON FUNCTION whisperer.deliver_event(text, text, jsonb, text, jsonb, timestamptz, timestamptz) IS 'records one event in this transaction and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.deliver_event(text, text, jsonb, text, jsonb, timestamptz, timestamptz) TO PUBLIC;
