-- Waiting until what is committed has been tried: for tests and for maintenance.

CREATE FUNCTION whisperer_internal.idle_ticket() RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_idle_ticket';
COMMENT ON FUNCTION whisperer_internal.idle_ticket() IS
    'asks the workers to say when all that is committed by now is handed out; 0: there is no worker';
GRANT EXECUTE ON FUNCTION whisperer_internal.idle_ticket() TO PUBLIC;
CREATE FUNCTION whisperer_internal.idle_ticket_done(ticket bigint) RETURNS boolean
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'whisperer_idle_ticket_done';
COMMENT ON FUNCTION whisperer_internal.idle_ticket_done(bigint) IS
    'whether the ticket''s events are all in the ledger';
GRANT EXECUTE ON FUNCTION whisperer_internal.idle_ticket_done(bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.is_for_later(delivery whisperer.delivery) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT delivery.next_attempt_at > now() AND delivery.next_attempt_at < 'infinity' AND EXISTS (
        SELECT FROM whisperer.outbox o
        WHERE o.xid = delivery.xid AND o.id = delivery.event_id AND o.slot = delivery.slot AND o.meta->>'deliver_at' IS NOT NULL);
END;
COMMENT ON FUNCTION whisperer_internal.is_for_later(whisperer.delivery) IS 'whether its event was recorded to be sent at a time that has not come';

-- Deliveries that have had no attempt (since somebody asked for another) and do not wait for a person,
-- requests, and hooks whose backlog from another database is still being looked for.  Hook by hook, by
-- the index: the backlog of a dead endpoint, whose circuit is open, is not walked.
CREATE FUNCTION whisperer_internal.unattempted() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT (SELECT count(*) FROM whisperer.request q
            WHERE q.kind <> 'hooks' AND q.incarnation = whisperer_internal.my_incarnation())
           + coalesce(sum((SELECT count(*) FROM whisperer.delivery d
                           WHERE d.hook_id = h.id AND d.state = 'pending' AND d.next_attempt_at IS NOT NULL
                             AND d.retry_count = d.round_start AND NOT whisperer_internal.is_for_later(d))), 0)::bigint
           + count(*) FILTER (WHERE h.since_incarnation <> whisperer_internal.my_incarnation()
                              AND r.taken_over IS DISTINCT FROM whisperer_internal.my_incarnation())
    FROM whisperer.hook_definition h
    LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id
    WHERE h.is_active AND NOT h.is_paused AND h.incarnation = whisperer_internal.my_incarnation()
      AND whisperer_internal.role_exists(h.owner) AND (h.ordering = 'none' OR whisperer_internal.waits_for(h.id) IS NULL)
      AND r.disabled_resumes IS DISTINCT FROM h.resumes AND r.circuit_opened_at IS NULL;
END;
COMMENT ON FUNCTION whisperer_internal.unattempted() IS
    'what wait_idle waits for beside the log: pending deliveries of active hooks without a result, but for those that are for later, requests not carried out, adopted hooks not taken over';
GRANT EXECUTE ON FUNCTION whisperer_internal.unattempted() TO PUBLIC;

-- No SET clause: a procedure that has one may not commit.  So every name and operator is qualified.
CREATE PROCEDURE whisperer_internal.wait_idle_body(timeout interval)
    LANGUAGE plpgsql
AS $$
DECLARE
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    ticket bigint := 0;
    looked_at pg_catalog.timestamptz;
BEGIN
    IF whisperer_internal.in_transaction_block() THEN
        RAISE EXCEPTION 'whisperer.wait_idle cannot run inside a transaction block'
            USING ERRCODE = 'active_sql_transaction',
                  HINT = 'What this transaction did is delivered only after it committed.';
    END IF;
    IF pg_catalog.pg_is_in_recovery() THEN
        RAISE EXCEPTION 'whisperer.wait_idle cannot run on a standby'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Its primary delivers: call it there.';
    END IF;
    LOOP
        -- Each look is a transaction of its own, or the wait would hold back vacuum.
        COMMIT;
        looked_at := pg_catalog.clock_timestamp();
        IF ticket OPERATOR(pg_catalog.=) 0 THEN
            ticket := whisperer_internal.idle_ticket();
        ELSIF whisperer_internal.idle_ticket_done(ticket)
              -- A proxy that is down or refuses us waits for a person, as a paused hook does.
              AND (whisperer_internal.unattempted() OPERATOR(pg_catalog.=) 0
                   OR EXISTS (SELECT FROM whisperer.status s WHERE s.reason OPERATOR(pg_catalog.~~) 'deliveries wait: %proxy%')) THEN
            RETURN;
        END IF;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline THEN
            RAISE EXCEPTION 'whisperer is not idle after %', timeout
                USING ERRCODE = 'query_canceled',
                      DETAIL = (SELECT pg_catalog.string_agg(pg_catalog.format(
                                           'Worker %s is %s%s, %s in flight, %s queued, %s events behind.',
                                           s.worker, s.state,
                                           pg_catalog.concat(' (' OPERATOR(pg_catalog.||) s.reason OPERATOR(pg_catalog.||) ')'),
                                           s.in_flight, s.queued, s.lag_events), ' ')
                                FROM whisperer.status s),
                      HINT = 'SELECT * FROM whisperer.status and whisperer.delivery show what it waits for.';
        END IF;
        -- Looking takes a fifth of the time at most, however much is pending.
        PERFORM pg_catalog.pg_sleep(greatest(0.01, 4 OPERATOR(pg_catalog.*) extract(epoch FROM
                                    pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) looked_at)));
    END LOOP;
END;
$$;
CREATE PROCEDURE whisperer.wait_idle(timeout interval DEFAULT '30 s')
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON PROCEDURE whisperer.wait_idle(interval) IS
    'returns when all that was committed before the call has had its first result';
GRANT EXECUTE ON PROCEDURE whisperer.wait_idle(interval) TO PUBLIC;
