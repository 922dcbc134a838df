-- ping_hook and deliver_now: record, commit, wait for the result.  Both deliver as everything is
-- delivered, so what they show is what production does.

CREATE FUNCTION whisperer_internal.record_ping_as(caller oid, hook_id bigint, event_type text) RETURNS uuid
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id uuid := whisperer_internal.new_event_id();
    hook_state text;
    -- Without an event type the ping tells of itself.
    shown json := json_build_object('hook', record_ping_as.hook_id, 'at', now());
BEGIN
    PERFORM whisperer_internal.require_hook(caller, record_ping_as.hook_id);
    SELECT h.state INTO hook_state FROM whisperer.hook h WHERE h.id = record_ping_as.hook_id;
    IF hook_state = 'deleted' THEN
        PERFORM whisperer_internal.refuse_hook(record_ping_as.hook_id);
    ELSIF hook_state <> 'active' THEN
        RAISE EXCEPTION 'hook % is %', record_ping_as.hook_id, hook_state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Only an active hook can be pinged; see whisperer.resume_hook.';
    END IF;
    IF record_ping_as.event_type IS NOT NULL THEN
        SELECT t.example INTO shown FROM whisperer.event_type t WHERE t.name = record_ping_as.event_type;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'event type "%" is not registered', record_ping_as.event_type
                USING ERRCODE = 'undefined_object', COLUMN = 'event_type',
                      HINT = 'SELECT name FROM whisperer.event_type shows what is registered.';
        ELSIF shown IS NULL THEN
            RAISE EXCEPTION 'event type "%" has no example', record_ping_as.event_type
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = format('Its owner gives it one: SELECT whisperer.update_event(%L, ''{"example": ...}'').', record_ping_as.event_type);
        END IF;
    END IF;
    -- A ping all the same: sent once, to this hook, whatever its filter says.
    INSERT INTO whisperer.outbox (id, event_type, data, hook_id, meta)
    VALUES (id, 'whisperer-ping', shown, record_ping_as.hook_id,
            CASE WHEN record_ping_as.event_type IS NOT NULL THEN json_build_object('ping_of', record_ping_as.event_type) END);
    PERFORM whisperer_internal.wake_workers();
    RETURN id;
END;
$$;
CREATE FUNCTION whisperer.record_ping(hook_id bigint, event_type text DEFAULT NULL)
    RETURNS uuid LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.record_ping(bigint, text) IS 'records what ping_hook sends, and returns its id';
GRANT EXECUTE ON FUNCTION whisperer.record_ping(bigint, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.is_pinged_here(hook_id bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN whisperer_internal.is_delivered_here(is_pinged_here.hook_id);
COMMENT ON FUNCTION whisperer_internal.is_pinged_here(bigint) IS 'whether the result of a ping comes to be known in this database';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_pinged_here(bigint) TO PUBLIC;

-- Long enough for the one attempt that a ping is, and for what it may have to wait for before.
CREATE FUNCTION whisperer_internal.ping_patience(hook_id bigint) RETURNS interval
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN greatest('60 s', interval '10 s' + coalesce(
    (SELECT h.timeout FROM whisperer.hook_definition h WHERE h.id = ping_patience.hook_id),
    current_setting('whisperer.request_timeout')::interval));
COMMENT ON FUNCTION whisperer_internal.ping_patience(bigint) IS 'how long ping_hook waits for a result';
GRANT EXECUTE ON FUNCTION whisperer_internal.ping_patience(bigint) TO PUBLIC;

-- No SET clause: a procedure that has one may not commit.  So every name and operator is qualified.
CREATE PROCEDURE whisperer_internal.ping_hook_body(
    hook_id bigint, INOUT ok boolean, INOUT http_status integer,
    INOUT response_time interval, INOUT response_content text,
    INOUT error text, event_type text)
    LANGUAGE plpgsql
AS $$
DECLARE
    hook bigint := ping_hook_body.hook_id;
    patience pg_catalog.interval := whisperer_internal.ping_patience(hook);
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) patience;
    event pg_catalog.uuid;
    result record;
BEGIN
    IF whisperer_internal.in_transaction_block() THEN
        RAISE EXCEPTION 'whisperer.ping_hook cannot run inside a transaction block'
            USING ERRCODE = 'active_sql_transaction',
                  HINT = 'A ping is sent when its event is committed.';
    END IF;
    event := whisperer.record_ping(hook, event_type);
    IF NOT whisperer_internal.is_pinged_here(hook) THEN
        RAISE EXCEPTION 'hook % is delivered by a node', hook
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = pg_catalog.format('SELECT whisperer.record_ping(%s) sends a ping; its result is in the ledger of the node.', hook);
    END IF;
    LOOP
        COMMIT;
        SELECT d.state, d.response_http_status, d.response_time, d.response_content, d.error INTO result
        FROM whisperer.delivery d
        WHERE d.event_id OPERATOR(pg_catalog.=) event AND d.hook_id OPERATOR(pg_catalog.=) hook
          AND d.state OPERATOR(pg_catalog.<>) 'pending';
        EXIT WHEN FOUND;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline THEN
            RAISE EXCEPTION 'the ping has no result after %: %', patience, whisperer.why(event, hook)
                USING ERRCODE = 'query_canceled', HINT = 'SELECT * FROM whisperer.status shows what the workers do.';
        END IF;
        PERFORM pg_catalog.pg_sleep(0.01);
    END LOOP;
    ok := result.state OPERATOR(pg_catalog.=) 'delivered';
    http_status := result.response_http_status;
    response_time := result.response_time;
    response_content := result.response_content;
    error := result.error;
END;
$$;
CREATE PROCEDURE whisperer.ping_hook(
    hook_id bigint, INOUT ok boolean DEFAULT NULL, INOUT http_status integer DEFAULT NULL,
    INOUT response_time interval DEFAULT NULL, INOUT response_content text DEFAULT NULL,
    INOUT error text DEFAULT NULL, event_type text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON PROCEDURE whisperer.ping_hook(bigint, boolean, integer, interval, text, text, text) IS
    'sends a ping or an event type''s example to a hook of yours and shows the answer';
GRANT EXECUTE ON PROCEDURE whisperer.ping_hook(bigint, boolean, integer, interval, text, text, text) TO PUBLIC;

CREATE PROCEDURE whisperer_internal.deliver_now_body(
    event_type text, data json, config_filter jsonb, timeout interval,
    INOUT deliveries jsonb, object_id text, headers jsonb, idempotency_key text)
    LANGUAGE plpgsql
AS $$
DECLARE
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    event pg_catalog.uuid;
    ticket bigint := 0;
    waiting bigint;
BEGIN
    IF whisperer_internal.in_transaction_block() THEN
        RAISE EXCEPTION 'whisperer.deliver_now cannot run inside a transaction block'
            USING ERRCODE = 'active_sql_transaction',
                  HINT = 'Use whisperer.deliver_event there; it is delivered after COMMIT.';
    END IF;
    event := whisperer.deliver_event(event_type, data, config_filter, object_id, headers,
                                     idempotency_key => deliver_now_body.idempotency_key);
    LOOP
        COMMIT;
        IF ticket OPERATOR(pg_catalog.=) 0 THEN
            ticket := whisperer_internal.idle_ticket();
        ELSIF whisperer_internal.idle_ticket_done(ticket) THEN
            IF idempotency_key IS NOT NULL THEN
                event := COALESCE(whisperer_internal.duplicate_of(idempotency_key, event_type, event), event);
            END IF;
            SELECT pg_catalog.count(*) INTO waiting FROM whisperer.delivery d
            JOIN whisperer.hook h ON h.id OPERATOR(pg_catalog.=) d.hook_id
            LEFT JOIN whisperer.hook_run r ON r.hook_id OPERATOR(pg_catalog.=) d.hook_id
            WHERE d.event_id OPERATOR(pg_catalog.=) event AND r.circuit_opened_at IS NULL AND h.state OPERATOR(pg_catalog.=) 'active'
              -- What takes longer than whisperer.park_after counts as an attempt, and has no error yet.
              AND d.state OPERATOR(pg_catalog.=) 'pending' AND (d.retry_count OPERATOR(pg_catalog.=) 0 OR d.error IS NULL);
            EXIT WHEN waiting OPERATOR(pg_catalog.=) 0;
        END IF;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline THEN
            RAISE EXCEPTION 'event % is recorded but not delivered after %', event, timeout
                USING ERRCODE = 'query_canceled',
                      HINT = 'It is delivered as soon as possible; see whisperer.delivery.';
        END IF;
        PERFORM pg_catalog.pg_sleep(0.005);
    END LOOP;
    SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'hook_id', d.hook_id, 'delivered', d.state OPERATOR(pg_catalog.=) 'delivered',
               'http_status', d.response_http_status, 'response_time', d.response_time,
               'response_content', d.response_content, 'error', d.error) ORDER BY d.hook_id)
    INTO deliveries FROM whisperer.delivery d WHERE d.event_id OPERATOR(pg_catalog.=) event;
    deliveries := COALESCE(deliveries, '[]');
END;
$$;
-- As deliver_event has it: json, jsonb and an untyped literal all work.
CREATE PROCEDURE whisperer_internal.deliver_now_body(
    event_type text, data jsonb, config_filter jsonb, timeout interval,
    INOUT deliveries jsonb, object_id text, headers jsonb, idempotency_key text)
    LANGUAGE plpgsql
AS $$
BEGIN
    CALL whisperer_internal.deliver_now_body(event_type, data::pg_catalog.json, config_filter, timeout, deliveries, object_id, headers, idempotency_key);
END;
$$;
CREATE PROCEDURE whisperer_internal.deliver_now_body(
    event_type text, data text, config_filter jsonb, timeout interval,
    INOUT deliveries jsonb, object_id text, headers jsonb, idempotency_key text)
    LANGUAGE plpgsql
AS $$
BEGIN
    CALL whisperer_internal.deliver_now_body(event_type, data::pg_catalog.json, config_filter, timeout, deliveries, object_id, headers, idempotency_key);
END;
$$;
CREATE PROCEDURE whisperer.deliver_now(
    event_type text, data json, config_filter jsonb DEFAULT NULL, timeout interval DEFAULT '10 s',
    INOUT deliveries jsonb DEFAULT NULL, object_id text DEFAULT NULL,
    headers jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON PROCEDURE whisperer.deliver_now(text, json, jsonb, interval, jsonb, text, jsonb, text) IS
    'records one event, commits, waits for its first results and shows them';
GRANT EXECUTE ON PROCEDURE whisperer.deliver_now(text, json, jsonb, interval, jsonb, text, jsonb, text) TO PUBLIC;
CREATE PROCEDURE whisperer.deliver_now(
    event_type text, data jsonb, config_filter jsonb DEFAULT NULL, timeout interval DEFAULT '10 s',
    INOUT deliveries jsonb DEFAULT NULL, object_id text DEFAULT NULL,
    headers jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON PROCEDURE whisperer.deliver_now(text, jsonb, jsonb, interval, jsonb, text, jsonb, text) IS
    'records one event, commits, waits for its first results and shows them';
GRANT EXECUTE ON PROCEDURE whisperer.deliver_now(text, jsonb, jsonb, interval, jsonb, text, jsonb, text) TO PUBLIC;
CREATE PROCEDURE whisperer.deliver_now(
    event_type text, data text, config_filter jsonb DEFAULT NULL, timeout interval DEFAULT '10 s',
    INOUT deliveries jsonb DEFAULT NULL, object_id text DEFAULT NULL,
    headers jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON PROCEDURE whisperer.deliver_now(text, text, jsonb, interval, jsonb, text, jsonb, text) IS
    'records one event, commits, waits for its first results and shows them';
GRANT EXECUTE ON PROCEDURE whisperer.deliver_now(text, text, jsonb, interval, jsonb, text, jsonb, text) TO PUBLIC;
