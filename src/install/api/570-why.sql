-- Everything that may stand between an event and a hook, in the order in which it is decided.

CREATE FUNCTION whisperer_internal.status_rules(retry jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN concat_ws('; ',
    'an answer with a status of ' || nullif(btrim(retry->>'give_up', '[]'), '') || ' ends a delivery',
    CASE WHEN jsonb_typeof(retry->'only_if') = 'array'
         THEN 'of answers only those with a status of ' || coalesce(nullif(btrim(retry->>'only_if', '[]'), ''), 'nothing') || ' are followed by another attempt' END);
COMMENT ON FUNCTION whisperer_internal.status_rules(jsonb) IS
    'what give_up and only_if of a retry_countdown_config say, in words; empty: they say nothing';
GRANT EXECUTE ON FUNCTION whisperer_internal.status_rules(jsonb) TO PUBLIC;

-- 1 to 9 say why the next attempt is put off: see the comment of delivery.error_code.
CREATE FUNCTION whisperer_internal.last_error(event_id uuid, hook_id bigint, error text, error_code smallint) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN last_error.error_code BETWEEN 1 AND 9
            THEN (SELECT p.error FROM whisperer.past_attempt p
                  WHERE p.event_id = last_error.event_id AND p.hook_id = last_error.hook_id ORDER BY p.number DESC LIMIT 1)
            ELSE last_error.error END;
COMMENT ON FUNCTION whisperer_internal.last_error(uuid, bigint, text, smallint) IS
    'error of a delivery, or that of its last attempt where it says why the next one is put off';
GRANT EXECUTE ON FUNCTION whisperer_internal.last_error(uuid, bigint, text, smallint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.why_pending(delivery whisperer.delivery) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT concat_ws('; ',
        CASE WHEN s.paused THEN 'waits: all delivery is paused, see whisperer.resume()'
             WHEN h.state = 'deleted' THEN 'about to be cancelled: the hook is deleted'
             WHEN h.state <> 'active' THEN format('waits: the hook is %s (%s)', h.state, h.state_reason)
             WHEN r.circuit_opened_at IS NOT NULL THEN format('waits: the circuit is open, one attempt is made at %s', r.circuit_retry_at)
             WHEN delivery.next_attempt_at = 'infinity' THEN 'waits in line behind earlier events'
                 || CASE WHEN h.batch IS NOT NULL THEN ', or for others of its batch' ELSE '' END
             WHEN delivery.next_attempt_at <= now() THEN format('attempt %s is due', delivery.retry_count + 1)
             ELSE format('waits for attempt %s at %s', delivery.retry_count + 1, delivery.next_attempt_at) END,
        'last error: ' || whisperer_internal.last_error(delivery.event_id, delivery.hook_id, delivery.error, delivery.error_code))
    FROM (SELECT bool_or(state = 'paused') AS paused FROM whisperer.status) s,
         whisperer.hook h LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id
    WHERE h.id = delivery.hook_id;
END;
COMMENT ON FUNCTION whisperer_internal.why_pending(whisperer.delivery) IS 'what a pending delivery waits for';
GRANT EXECUTE ON FUNCTION whisperer_internal.why_pending(whisperer.delivery) TO PUBLIC;

-- By every worker, so says the stored bookmark, and nobody has asked to look once more.
CREATE FUNCTION whisperer_internal.is_passed(event whisperer.outbox, hook_id bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(bool_and(pg_visible_in_snapshot(event.xid, b.seen)
                             OR (pg_visible_in_snapshot(event.xid, b.reading)
                                 AND (event.xid, event.id) <= (b.place_xid, b.place_id))), false)
           AND NOT EXISTS (SELECT FROM whisperer.request q WHERE q.kind <> 'hooks' AND q.hook_id = is_passed.hook_id)
    FROM whisperer.bookmark b
    WHERE b.incarnation = event.incarnation AND event.incarnation = whisperer_internal.my_incarnation();
END;
COMMENT ON FUNCTION whisperer_internal.is_passed(whisperer.outbox, bigint) IS
    'whether the log has been read beyond an event, and a hook will not be offered it again';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_passed(whisperer.outbox, bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.other_node(hook_id bigint, event xid8) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN n.node <> '' THEN format('node "%s"', n.node) ELSE 'the primary' END
    FROM whisperer.hook_node n
    WHERE n.hook_id = other_node.hook_id
      AND (SELECT count(*) FROM unnest(n.turns) AS turn (began) WHERE NOT pg_visible_in_snapshot(other_node.event, turn.began)) % 2 = 0;
END;
COMMENT ON FUNCTION whisperer_internal.other_node(bigint, xid8) IS
    'the database that delivers an event of this transaction to a hook; null: this one';
GRANT EXECUTE ON FUNCTION whisperer_internal.other_node(bigint, xid8) TO PUBLIC;

CREATE FUNCTION whisperer_internal.why_not(event whisperer.outbox, hook whisperer.hook) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE
        WHEN event.hook_id = -1 THEN format('for nobody: the owner of table %s may not publish "%s"', event.source, event.event_type)
        WHEN event.hook_id > 0 AND event.hook_id <> hook.id THEN format('not for this hook: it was recorded for hook %s alone', event.hook_id)
        WHEN event.hook_id IS DISTINCT FROM hook.id AND NOT whisperer_internal.names(hook.event_type, event.event_type)
        THEN format('not subscribed: the event is "%s", the hook is for "%s"', event.event_type, hook.event_type)
        WHEN NOT whisperer_internal.is_for(d, event)
        THEN format('not allowed: role %s may not subscribe to "%s"', hook.owner, event.event_type)
        WHEN whisperer_internal.is_older(event, d) THEN 'older than the hook'
        WHEN event.data IS NULL THEN 'its data was expunged, so nobody gets it any more'
        WHEN NOT hook.config @> event.config_filter THEN 'filtered out: the hook''s config does not contain the event''s config_filter'
        WHEN NOT whisperer_internal.is_let_through(d, event) THEN 'filtered out by the hook''s filter'
        WHEN hook.state = 'deleted' THEN 'the hook is deleted'
        WHEN event.hook_id < -1 AND whisperer_internal.other_node(hook.id, event.xid) IS NOT NULL
        THEN format('not published: nobody had registered "%s" when it was recorded, so %s, which delivers the hook, does not have it; a replay with new ids publishes it',
                    event.event_type, whisperer_internal.other_node(hook.id, event.xid))
        -- Operator events are the database's own.
        WHEN whisperer_internal.other_node(hook.id, event.xid) IS NOT NULL
             AND (event.event_type NOT LIKE 'whisperer-%' OR event.event_type = 'whisperer-ping')
        THEN format('not delivered here: %s delivers the hook, and knows more', whisperer_internal.other_node(hook.id, event.xid))
        WHEN whisperer_internal.duplicate_of(event) IS NOT NULL
        THEN format('duplicate of %s: that one was recorded with the same idempotency_key, and was read first', whisperer_internal.duplicate_of(event))
        WHEN whisperer_internal.is_passed(event, hook.id) THEN 'not for the hook as it was when the event was read: it has been changed since'
        -- What the answer to its first attempt, which may be under way, will mean.
        ELSE concat_ws('; ', CASE
                 WHEN s.paused THEN 'waits: all delivery is paused, see whisperer.resume()'
                 WHEN s.down IS NOT NULL THEN 'waits: no worker delivers here: ' || s.down
                 WHEN hook.state <> 'active' THEN format('waits: the hook is %s (%s)', hook.state, hook.state_reason)
                 ELSE 'not handed out yet, or in its first attempt' END,
             nullif(whisperer_internal.status_rules(d.retry_countdown_config), '')) END
    FROM whisperer.hook_definition d,
         (SELECT bool_or(state = 'paused') AS paused, max(reason) FILTER (WHERE state = 'down') AS down FROM whisperer.status) s
    WHERE d.id = hook.id;
END;
COMMENT ON FUNCTION whisperer_internal.why_not(whisperer.outbox, whisperer.hook) IS
    'why an event has no delivery to a hook';
GRANT EXECUTE ON FUNCTION whisperer_internal.why_not(whisperer.outbox, whisperer.hook) TO PUBLIC;

CREATE FUNCTION whisperer_internal.why_body(event_id uuid, hook_id bigint) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    h whisperer.hook;
    d whisperer.delivery;
    e whisperer.outbox;
BEGIN
    SELECT * INTO h FROM whisperer.hook WHERE id = why_body.hook_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'hook % does not exist', coalesce(why_body.hook_id::text, 'null')
            USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM whisperer.hook shows yours.';
    END IF;
    SELECT * INTO d FROM whisperer.delivery x WHERE x.event_id = why_body.event_id AND x.hook_id = why_body.hook_id;
    IF FOUND THEN
        RETURN concat_ws('; ', CASE d.state
            WHEN 'delivered' THEN format('delivered at %s by attempt %s (HTTP status %s)', d.modified_at, d.retry_count, d.response_http_status)
                || CASE WHEN d.next_attempt_at IS NOT NULL THEN '; its callback is due' ELSE '' END
            WHEN 'failed' THEN format('failed after %s attempts: %s', d.retry_count, d.error)
                || CASE WHEN d.next_attempt_at IS NOT NULL THEN '; its callback is due' ELSE '' END
            WHEN 'cancelled' THEN concat_ws(': ', 'cancelled', d.error)
            ELSE whisperer_internal.why_pending(d) END,
            -- What ends it, or has ended it.
            CASE WHEN d.state = 'pending' OR d.state = 'failed' AND d.retry_count > 0
                 THEN nullif(whisperer_internal.status_rules(h.retry_countdown_config), '') END,
            (SELECT 'its data does not fit the schema of its type, which has it sent all the same: ' || whisperer_internal.schema_fault(x)
             FROM whisperer.outbox x JOIN whisperer.event_type t ON t.name = x.event_type
             WHERE d.state IN ('delivered', 'pending') AND t.on_invalid = 'send' AND x.xid = d.xid AND x.id = d.event_id AND x.slot = d.slot),
            (SELECT format('its data was expunged at %s', x.meta->>'expunged_at')
             FROM whisperer.outbox x WHERE x.xid = d.xid AND x.id = d.event_id AND x.slot = d.slot AND x.data IS NULL),
            (SELECT format('it has no object_id, so it waits in no line, like %s within the last hour', s.without_key)
             FROM whisperer.outbox x, whisperer.hook_stats s
             WHERE h.ordering = 'key' AND x.xid = d.xid AND x.id = d.event_id AND x.slot = d.slot AND x.object_id IS NULL
               AND x.event_type <> 'whisperer-ping' AND s.hook_id = h.id));
    END IF;
    SELECT * INTO e FROM whisperer_internal.event(why_body.event_id) x;
    IF NOT FOUND THEN
        RETURN 'there is no such event that you may see; it may be past whisperer.retention';
    END IF;
    RETURN whisperer_internal.why_not(e, h);
END;
$$;
CREATE FUNCTION whisperer.why(event_id uuid, hook_id bigint) RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.why(uuid, bigint) IS 'what became of an event at a hook of yours, or what it waits for';
GRANT EXECUTE ON FUNCTION whisperer.why(uuid, bigint) TO PUBLIC;
