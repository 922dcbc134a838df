-- One event by its id.  The log has no index by that: its key begins with the transaction.  Where the caller has a delivery of the
-- event, the ledger says the rest of the key.  Else transactions and ids, which both ascend with time, are compared: the place
-- is found by halving, and looked around.  A transaction that was open for very long is not there, nor what another
-- database recorded: then all of the log is looked through.

CREATE FUNCTION whisperer_internal.xids_around(event_id uuid, OUT first_xid xid8, OUT last_xid xid8)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    around constant bigint := 10000;
    low bigint := (SELECT o.xid::text::bigint FROM whisperer.outbox o ORDER BY o.xid, o.id LIMIT 1);
    high bigint := (SELECT o.xid::text::bigint + 1 FROM whisperer.outbox o ORDER BY o.xid DESC, o.id DESC LIMIT 1);
    middle bigint;
    seen record;
BEGIN
    WHILE high - low > around LOOP
        middle := low + (high - low) / 2;
        SELECT o.xid::text::bigint AS xid, o.id INTO seen
        FROM whisperer.outbox o WHERE o.xid >= middle::text::xid8 ORDER BY o.xid, o.id LIMIT 1;
        IF seen.xid < high AND seen.id <= event_id THEN
            low := seen.xid;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    first_xid := greatest(low - around, 0)::text::xid8;
    last_xid := (high + around)::text::xid8;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.xids_around(uuid) IS
    'the transactions in which an event of this id was probably recorded; null: there are no events';
GRANT EXECUTE ON FUNCTION whisperer_internal.xids_around(uuid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.event(event_id uuid) RETURNS SETOF whisperer.outbox
    LANGUAGE plpgsql STABLE ROWS 1
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    around record;
BEGIN
    RETURN QUERY SELECT o.* FROM whisperer.delivery d JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id AND o.slot = d.slot
                 WHERE d.event_id = event.event_id LIMIT 1;
    IF NOT FOUND THEN
        SELECT * INTO around FROM whisperer_internal.xids_around(event_id);
        RETURN QUERY SELECT o.* FROM whisperer.outbox o
                     WHERE o.xid >= around.first_xid AND o.xid <= around.last_xid AND o.id = event.event_id;
        IF NOT FOUND THEN
            RETURN QUERY SELECT o.* FROM whisperer.outbox o WHERE o.id = event.event_id;
        END IF;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.event(uuid) IS 'the event of this id, if you may see it';
GRANT EXECUTE ON FUNCTION whisperer_internal.event(uuid) TO PUBLIC;
