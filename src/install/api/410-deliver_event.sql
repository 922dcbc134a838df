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

CREATE FUNCTION whisperer_internal.count_members(data json) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_count_members';
COMMENT ON FUNCTION whisperer_internal.count_members(json) IS
    'how many members the objects of a JSON text have, each as often as it is written';
CREATE FUNCTION whisperer_internal.count_members(data jsonb) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_count_jsonb_members';
COMMENT ON FUNCTION whisperer_internal.count_members(jsonb) IS
    'how many members the objects of a jsonb value have';

-- Whoever repeats a request may write the same value in another way.  What jsonb would lose, of a key that is written twice in an
-- object, or cannot have, is no value to compare: there the text counts.
CREATE FUNCTION whisperer_internal.is_same_json(one json, other json) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN one::text = other::text
        OR one::jsonb = other::jsonb
           AND whisperer_internal.count_members(one) = whisperer_internal.count_members(one::jsonb)
           AND whisperer_internal.count_members(other) = whisperer_internal.count_members(other::jsonb);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN false;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.is_same_json(json, json) IS 'whether two JSON texts stand for the same value';

CREATE FUNCTION whisperer_internal.content_difference(xid xid8, id uuid, slot smallint, data json, object_id text,
                                                      config_filter jsonb, headers jsonb)
    RETURNS text LANGUAGE sql VOLATILE
BEGIN ATOMIC
    -- Of what was expunged nobody can tell.
    SELECT CASE WHEN o.data IS NULL THEN NULL
                WHEN NOT whisperer_internal.is_same_json(o.data, content_difference.data) THEN 'data'
                WHEN o.object_id IS DISTINCT FROM content_difference.object_id THEN 'object_id'
                WHEN o.config_filter IS DISTINCT FROM content_difference.config_filter THEN 'config_filter'
                WHEN (o.meta->'headers')::text IS DISTINCT FROM content_difference.headers::text THEN 'headers' END
    FROM whisperer.outbox o
    WHERE o.xid = content_difference.xid AND o.id = content_difference.id AND o.slot = content_difference.slot;
END;
COMMENT ON FUNCTION whisperer_internal.content_difference(xid8, uuid, smallint, json, text, jsonb, jsonb) IS
    'what of a recorded event is other than what is to be recorded; null: nothing';
