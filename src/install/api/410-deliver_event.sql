-- Three signatures, so that json, jsonb and an untyped literal all work.
CREATE FUNCTION whisperer.deliver_event(event_type text, data json, config_filter jsonb DEFAULT NULL,
                                        object_id text DEFAULT NULL, headers jsonb DEFAULT NULL,
                                        deliver_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
                                        idempotency_key text DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deliver_event_json';
CREATE FUNCTION whisperer.deliver_event(event_type text, data jsonb, config_filter jsonb DEFAULT NULL,
                                        object_id text DEFAULT NULL, headers jsonb DEFAULT NULL,
                                        deliver_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
                                        idempotency_key text DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deliver_event_jsonb';
CREATE FUNCTION whisperer.deliver_event(event_type text, data text, config_filter jsonb DEFAULT NULL,
                                        object_id text DEFAULT NULL, headers jsonb DEFAULT NULL,
                                        deliver_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
                                        idempotency_key text DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deliver_event_text';
COMMENT ON FUNCTION whisperer.deliver_event(text, json, jsonb, text, jsonb, timestamptz, timestamptz, text) IS 'records one event in this transaction and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.deliver_event(text, json, jsonb, text, jsonb, timestamptz, timestamptz, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer.deliver_event(text, jsonb, jsonb, text, jsonb, timestamptz, timestamptz, text) IS 'records one event in this transaction and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.deliver_event(text, jsonb, jsonb, text, jsonb, timestamptz, timestamptz, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer.deliver_event(text, text, jsonb, text, jsonb, timestamptz, timestamptz, text) IS 'records one event in this transaction and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.deliver_event(text, text, jsonb, text, jsonb, timestamptz, timestamptz, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.content_difference(xid xid8, id uuid, slot smallint, data json, object_id text,
                                                      config_filter jsonb, headers jsonb)
    RETURNS text LANGUAGE sql VOLATILE
BEGIN ATOMIC
    -- Of what was expunged nobody can tell.
    SELECT CASE WHEN o.data IS NULL THEN NULL
                WHEN o.data::text <> content_difference.data::text THEN 'data'
                WHEN o.object_id IS DISTINCT FROM content_difference.object_id THEN 'object_id'
                WHEN o.config_filter IS DISTINCT FROM content_difference.config_filter THEN 'config_filter'
                WHEN (o.meta->'headers')::text IS DISTINCT FROM content_difference.headers::text THEN 'headers' END
    FROM whisperer.outbox o
    WHERE o.xid = content_difference.xid AND o.id = content_difference.id AND o.slot = content_difference.slot;
END;
COMMENT ON FUNCTION whisperer_internal.content_difference(xid8, uuid, smallint, json, text, jsonb, jsonb) IS
    'what of a recorded event is other than what is to be recorded; null: nothing';
