-- The engine's rules for what people write, as SQL.  Each raises 22023 (invalid_parameter_value)
-- with the reason, or returns nothing.
CREATE FUNCTION whisperer_internal.check_url(url text) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_url_sql';
CREATE FUNCTION whisperer_internal.check_reach(url text, in_column text) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_reach_sql';
CREATE FUNCTION whisperer_internal.sent_url(url text) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_sent_url_sql';
CREATE FUNCTION whisperer_internal.check_secret(secret text) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_secret_sql';
CREATE FUNCTION whisperer_internal.check_headers(headers jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_headers_sql';
CREATE FUNCTION whisperer_internal.check_auth(auth jsonb, headers jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_auth_sql';
CREATE FUNCTION whisperer_internal.check_retry_config(config jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_retry_config_sql';
CREATE FUNCTION whisperer_internal.make_secret() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'whisperer_make_secret';
CREATE FUNCTION whisperer.make_signing_key() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'whisperer_make_signing_key_sql';
CREATE FUNCTION whisperer_internal.check_format(format text) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_format_sql';
CREATE FUNCTION whisperer_internal.check_payload_key(payload_key text, format text) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_payload_key_sql';
CREATE FUNCTION whisperer_internal.check_signing(signing jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_signing_sql';
CREATE FUNCTION whisperer_internal.check_batch(batch jsonb, format text, metadata integer) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_batch_sql';
CREATE FUNCTION whisperer_internal.batch_of_one(batch jsonb, format text, event_id uuid, event_type text, member text,
                                       OUT headers jsonb, OUT body text)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_batch_of_one_sql';
CREATE FUNCTION whisperer_internal.is_gzipped(body text) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_is_gzipped_sql';
CREATE FUNCTION whisperer_internal.check_headers_beside(headers jsonb, format text, signing jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_headers_beside_sql';
CREATE FUNCTION whisperer_internal.formatted(format text, metadata integer, event_id uuid, event_type text, data json, recorded_at timestamptz,
                                    source text, object_id text, meta json, OUT headers jsonb, OUT body text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_formatted';
CREATE FUNCTION whisperer_internal.json_contains(data json, filter jsonb) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_json_contains_sql';
CREATE FUNCTION whisperer_internal.check_filter(filter jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_filter_sql';
CREATE FUNCTION whisperer.test_filter(filter jsonb, data json) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_test_filter';
-- As with deliver_event json, jsonb and an untyped literal all work.
CREATE FUNCTION whisperer.test_filter(filter jsonb, data jsonb) RETURNS boolean
    LANGUAGE sql STABLE STRICT
RETURN whisperer.test_filter(filter, data::json);
CREATE FUNCTION whisperer.test_filter(filter jsonb, data text) RETURNS boolean
    LANGUAGE sql STABLE STRICT
RETURN whisperer.test_filter(filter, data::json);
CREATE FUNCTION whisperer_internal.check_schema(schema jsonb) RETURNS void
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_check_schema_sql';
CREATE FUNCTION whisperer.test_schema(schema jsonb, data json) RETURNS text
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_test_schema';
CREATE FUNCTION whisperer.test_schema(schema jsonb, data jsonb) RETURNS text
    LANGUAGE sql STABLE STRICT
RETURN whisperer.test_schema(schema, data::json);
CREATE FUNCTION whisperer.test_schema(schema jsonb, data text) RETURNS text
    LANGUAGE sql STABLE STRICT
RETURN whisperer.test_schema(schema, data::json);
CREATE FUNCTION whisperer_internal.in_transaction_block() RETURNS boolean
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_in_transaction_block';

COMMENT ON FUNCTION whisperer_internal.check_url(text) IS 'raises 22023 unless this may be a target_url';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_url(text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_reach(text, text) IS
    'raises 22023, for a column, if the host is an address to which the settings let nothing be sent';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_reach(text, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.sent_url(text) IS
    'a target_url as it is sent: what is not ASCII percent-encoded';
GRANT EXECUTE ON FUNCTION whisperer_internal.sent_url(text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_secret(text) IS 'raises 22023 unless this may be a secret_key';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_secret(text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_headers(jsonb) IS
    'raises 22023 unless these may be additional_headers';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_headers(jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_auth(jsonb, jsonb) IS
    'raises 22023, naming the key, unless this may be the auth of a hook''s config beside these additional_headers';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_auth(jsonb, jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_retry_config(jsonb) IS
    'raises 22023, naming the key, unless this may be a retry_countdown_config';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_retry_config(jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.make_secret() IS 'a new whsec_ secret of 32 random bytes';
GRANT EXECUTE ON FUNCTION whisperer_internal.make_secret() TO PUBLIC;
COMMENT ON FUNCTION whisperer.make_signing_key() IS 'a new whsk_ secret, an ed25519 key whose public half hook_public_key shows';
GRANT EXECUTE ON FUNCTION whisperer.make_signing_key() TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.formatted(text, integer, uuid, text, json, timestamptz, text, text, json) IS
    'what a format ("whisperer:payload": with its payload_key) and metadata_bits make of an event; body null: the format makes none';
GRANT EXECUTE ON FUNCTION whisperer_internal.formatted(text, integer, uuid, text, json, timestamptz, text, text, json) TO PUBLIC;
-- As worker/engine.h has them: WhispererMetadata.
CREATE FUNCTION whisperer_internal.metadata_bits(metadata_headers text[]) RETURNS integer
    LANGUAGE sql IMMUTABLE
RETURN coalesce(('time' = ANY (metadata_headers))::integer + 2 * ('object' = ANY (metadata_headers))::integer
                + 4 * ('source' = ANY (metadata_headers))::integer + 8 * ('attempt' = ANY (metadata_headers))::integer, 0);
COMMENT ON FUNCTION whisperer_internal.metadata_bits(text[]) IS 'a hook''s metadata_headers as the engine knows them';
GRANT EXECUTE ON FUNCTION whisperer_internal.metadata_bits(text[]) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_format(text) IS 'raises 22023 unless this may be a hook''s format';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_format(text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_payload_key(text, text) IS
    'raises 22023 unless this may be the payload_key of a hook that has the format';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_payload_key(text, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_signing(jsonb) IS
    'raises 22023, naming the key, unless this may be a hook''s signing';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_signing(jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_batch(jsonb, text, integer) IS
    'raises 22023, naming the key, unless this may be the batch of a hook with the format and metadata_bits';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_batch(jsonb, text, integer) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.batch_of_one(jsonb, text, uuid, text, text) IS
    'a batch that has one event, of which the format makes the member; null: it cannot be batched';
GRANT EXECUTE ON FUNCTION whisperer_internal.batch_of_one(jsonb, text, uuid, text, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.is_gzipped(text) IS
    'whether a body of this length is compressed on its way to a hook whose encoding is gzip';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_gzipped(text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_headers_beside(jsonb, text, jsonb) IS
    'raises 22023 if additional_headers set a header that the format or the signing sets, too';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_headers_beside(jsonb, text, jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.json_contains(json, jsonb) IS
    'whether a stored filter lets data through, as the worker has it; null: undecided within its limits';
GRANT EXECUTE ON FUNCTION whisperer_internal.json_contains(json, jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_filter(jsonb) IS
    'raises 22023 unless this may be a hook''s filter';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_filter(jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer.test_filter(jsonb, json) IS
    'whether a filter lets data through, or null where the limits do not suffice';
GRANT EXECUTE ON FUNCTION whisperer.test_filter(jsonb, json) TO PUBLIC;
COMMENT ON FUNCTION whisperer.test_filter(jsonb, jsonb) IS
    'whether a filter lets data through, or null where the limits do not suffice';
GRANT EXECUTE ON FUNCTION whisperer.test_filter(jsonb, jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer.test_filter(jsonb, text) IS
    'whether a filter lets data through, or null where the limits do not suffice';
GRANT EXECUTE ON FUNCTION whisperer.test_filter(jsonb, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.check_schema(jsonb) IS
    'raises 22023, naming the keyword, unless this may be the schema of an event type';
COMMENT ON FUNCTION whisperer.test_schema(jsonb, json) IS
    'what of the data does not fit a schema, and by which keyword, or null';
GRANT EXECUTE ON FUNCTION whisperer.test_schema(jsonb, json) TO PUBLIC;
COMMENT ON FUNCTION whisperer.test_schema(jsonb, jsonb) IS
    'what of the data does not fit a schema, and by which keyword, or null';
GRANT EXECUTE ON FUNCTION whisperer.test_schema(jsonb, jsonb) TO PUBLIC;
COMMENT ON FUNCTION whisperer.test_schema(jsonb, text) IS
    'what of the data does not fit a schema, and by which keyword, or null';
GRANT EXECUTE ON FUNCTION whisperer.test_schema(jsonb, text) TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.in_transaction_block() IS
    'whether BEGIN was said; procedures that commit refuse to run then';
GRANT EXECUTE ON FUNCTION whisperer_internal.in_transaction_block() TO PUBLIC;
