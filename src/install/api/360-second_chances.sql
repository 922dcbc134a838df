-- retry, recover, replay, cancel: each checks its caller, counts, and appends to the request log what
-- the worker is to do.  Nothing here locks a row of the ledger.  Where delivery nodes have the hooks, they are asked,
-- too: whether there is anything to do only their ledgers know.

CREATE FUNCTION whisperer_internal.ask_nodes(asked jsonb) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.tell_nodes('request', asked);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.ask_nodes(jsonb) IS 'asks the delivery nodes for what was asked for here; returns null for how many deliveries they have';

-- Whom the worker will have wait for a later event, when it has read it.  The log is looked through from where the
-- worker is.
CREATE FUNCTION whisperer_internal.not_read_yet(event_id uuid, OUT hook_id bigint, OUT event_xid xid8) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT h.id, o.xid
    FROM whisperer.outbox o JOIN whisperer.hook_definition h
      ON whisperer_internal.is_for(h, o) AND whisperer_internal.is_let_through(h, o) AND NOT whisperer_internal.is_older(o, h)
    WHERE o.id = not_read_yet.event_id AND o.incarnation = whisperer_internal.my_incarnation()
      AND o.xid >= (SELECT min(pg_snapshot_xmin(b.seen)) FROM whisperer.bookmark b WHERE b.incarnation = whisperer_internal.my_incarnation())
      AND o.meta->>'deliver_at' IS NOT NULL AND h.is_active
      AND NOT EXISTS (SELECT FROM whisperer.delivery d WHERE d.event_id = o.id AND d.hook_id = h.id);
END;
COMMENT ON FUNCTION whisperer_internal.not_read_yet(uuid) IS
    'the hooks that an event with a deliver_at, which has no row in the ledger yet, is for';

-- One request for each delivery of the event to a hook of the caller's.  Returns how many there are; null: the nodes know.
CREATE FUNCTION whisperer_internal.request_delivery(caller oid, kind text, event_id uuid, hook_id bigint,
                                           states text[], force boolean)
    RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    requested bigint;
    unread bigint := 0;
    hooks jsonb;
BEGIN
    INSERT INTO whisperer.request (kind, hook_id, event_id, force)
    SELECT request_delivery.kind, d.hook_id, d.event_id, request_delivery.force
    FROM whisperer.delivery d JOIN whisperer.hook_definition h ON h.id = d.hook_id
    WHERE d.event_id = request_delivery.event_id
      AND (request_delivery.hook_id IS NULL OR d.hook_id = request_delivery.hook_id)
      AND d.state = ANY (states) AND h.is_active
      AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER');
    GET DIAGNOSTICS requested = ROW_COUNT;
    IF request_delivery.kind = 'cancel' THEN
        INSERT INTO whisperer.request (kind, hook_id, event_id, event_xid)
        SELECT 'cancel', n.hook_id, request_delivery.event_id, n.event_xid
        FROM whisperer_internal.not_read_yet(request_delivery.event_id) n JOIN whisperer.hook_definition h ON h.id = n.hook_id
        WHERE n.hook_id = coalesce(request_delivery.hook_id, n.hook_id)
          AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER');
        GET DIAGNOSTICS unread = ROW_COUNT;
    END IF;
    IF requested + unread > 0 THEN
        PERFORM whisperer_internal.wake_workers();
    END IF;
    IF EXISTS (SELECT FROM whisperer.node) THEN
        SELECT jsonb_agg(h.id) INTO hooks FROM whisperer.hook_definition h
        WHERE h.is_active AND h.id = coalesce(request_delivery.hook_id, h.id)
          AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER');
        IF hooks IS NOT NULL THEN
            RETURN whisperer_internal.ask_nodes(jsonb_build_object('kind', request_delivery.kind, 'event_id', request_delivery.event_id,
                                                                   'hook_ids', hooks, 'states', states, 'force', request_delivery.force));
        END IF;
    END IF;
    RETURN requested + unread;
END;
$$;

-- Says why there was nothing to do for an event.
CREATE FUNCTION whisperer_internal.refuse_delivery(caller oid, event_id uuid, hook_id bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    states text[];
BEGIN
    SELECT array_agg(DISTINCT d.state) INTO states
    FROM whisperer.delivery d JOIN whisperer.hook_definition h ON h.id = d.hook_id
    WHERE d.event_id = refuse_delivery.event_id AND h.is_active
      AND (refuse_delivery.hook_id IS NULL OR d.hook_id = refuse_delivery.hook_id)
      AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER');
    IF 'pending' = ANY (states) THEN
        RAISE EXCEPTION 'event is still in retry process'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'force => true tries again at once.';
    ELSIF 'delivered' = ANY (states) THEN
        RAISE EXCEPTION 'event already delivered'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'force => true delivers it again, with the same webhook-id.';
    END IF;
    IF EXISTS (SELECT FROM whisperer.delivery d JOIN whisperer.hook_definition h ON h.id = d.hook_id
               WHERE d.event_id = refuse_delivery.event_id AND d.hook_id = refuse_delivery.hook_id AND NOT h.is_active
                 AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER')) THEN
        PERFORM whisperer_internal.refuse_hook(refuse_delivery.hook_id);
    END IF;
    RAISE EXCEPTION 'event % has no delivery to an undeleted hook of yours', coalesce(refuse_delivery.event_id::text, 'null')
        USING ERRCODE = 'undefined_object',
              HINT = 'SELECT whisperer.why(event_id, hook_id) says what became of it.';
END;
$$;

-- By the key of the ledger: of what was never delivered here it is not known.
CREATE FUNCTION whisperer_internal.is_expunged(event_id uuid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM whisperer.delivery d JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id AND o.slot = d.slot
               WHERE d.event_id = is_expunged.event_id AND o.data IS NULL);
COMMENT ON FUNCTION whisperer_internal.is_expunged(uuid) IS 'whether the data of an event that has a delivery is gone';

CREATE FUNCTION whisperer_internal.retry_as(caller oid, event_id uuid, hook_id bigint, force boolean)
    RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    requested bigint := whisperer_internal.request_delivery(caller, 'retry', event_id, hook_id,
        CASE WHEN force THEN '{failed,cancelled,delivered,pending}' ELSE '{failed,cancelled}' END::text[],
        coalesce(force, false));
BEGIN
    IF whisperer_internal.is_expunged(event_id) AND (requested IS NULL OR requested > 0 OR EXISTS (
           SELECT FROM whisperer.delivery d JOIN whisperer.hook_definition h ON h.id = d.hook_id
           WHERE d.event_id = retry_as.event_id AND d.hook_id = coalesce(retry_as.hook_id, d.hook_id)
             AND pg_has_role(caller, whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), 'MEMBER'))) THEN
        PERFORM whisperer_internal.refuse_expunged(event_id);
    ELSIF requested = 0 THEN
        PERFORM whisperer_internal.refuse_delivery(caller, event_id, hook_id);
    END IF;
    RETURN requested;
END;
$$;
CREATE FUNCTION whisperer.retry(event_id uuid, hook_id bigint DEFAULT NULL, force boolean DEFAULT false)
    RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.retry(uuid, bigint, boolean) IS
    'queues the failed and cancelled deliveries of an event again and returns how many';
GRANT EXECUTE ON FUNCTION whisperer.retry(uuid, bigint, boolean) TO PUBLIC;

CREATE FUNCTION whisperer_internal.cancel_as(caller oid, event_id uuid, hook_id bigint)
    RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.request_delivery(caller, 'cancel', event_id, hook_id, '{pending}', false);
END;
CREATE FUNCTION whisperer.cancel(event_id uuid, hook_id bigint DEFAULT NULL)
    RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.cancel(uuid, bigint) IS 'ends the pending deliveries of an event as cancelled and returns how many';
GRANT EXECUTE ON FUNCTION whisperer.cancel(uuid, bigint) TO PUBLIC;

-- A range of time for the two that take one.
CREATE FUNCTION whisperer_internal.require_range(caller oid, hook_id bigint, since timestamptz, until timestamptz)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.require_hook(caller, require_range.hook_id);
    PERFORM FROM whisperer.hook_definition h WHERE h.id = require_range.hook_id AND h.is_active;
    IF NOT FOUND THEN
        PERFORM whisperer_internal.refuse_hook(require_range.hook_id);
    END IF;
    IF since IS NULL OR until IS NULL OR since > until THEN
        RAISE EXCEPTION 'since and until must be a range of time'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'since', HINT = 'Events recorded from since on and before until are meant.';
    END IF;
END;
$$;

CREATE FUNCTION whisperer_internal.is_gone(delivery whisperer.delivery) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM whisperer.outbox o
               WHERE o.xid = delivery.xid AND o.id = delivery.event_id AND o.slot = delivery.slot AND o.data IS NULL);
COMMENT ON FUNCTION whisperer_internal.is_gone(whisperer.delivery) IS 'whether the data of a delivery''s event was expunged';

CREATE FUNCTION whisperer_internal.recover_as(caller oid, hook_id bigint, since timestamptz, until timestamptz)
    RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failed bigint;
BEGIN
    PERFORM whisperer_internal.require_range(caller, recover_as.hook_id, since, until);
    -- Until now means all that there is: ids are ahead of a clock that was set back.
    IF until >= now() THEN
        until := 'infinity';
    END IF;
    SELECT count(*) INTO failed FROM whisperer.delivery d
    WHERE d.hook_id = recover_as.hook_id AND d.state = 'failed' AND NOT whisperer_internal.is_gone(d)
      AND d.event_id >= whisperer.event_id_bound(since) AND d.event_id < whisperer.event_id_bound(until);
    IF failed > 0 THEN
        INSERT INTO whisperer.request (kind, hook_id, since, until)
        VALUES ('recover', recover_as.hook_id, recover_as.since, recover_as.until);
        PERFORM whisperer_internal.wake_workers();
    END IF;
    IF EXISTS (SELECT FROM whisperer.node) THEN
        RETURN whisperer_internal.ask_nodes(jsonb_build_object('kind', 'recover', 'hook_id', recover_as.hook_id, 'since', since, 'until', until));
    END IF;
    RETURN failed;
END;
$$;
CREATE FUNCTION whisperer.recover(hook_id bigint, since timestamptz, until timestamptz DEFAULT clock_timestamp())
    RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.recover(bigint, timestamptz, timestamptz) IS
    'queues again a hook''s failed deliveries, of events recorded within a range of time';
GRANT EXECUTE ON FUNCTION whisperer.recover(bigint, timestamptz, timestamptz) TO PUBLIC;

CREATE FUNCTION whisperer_internal.is_delivered_here(hook_id bigint) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN coalesce((SELECT cardinality(n.turns) % 2 = 1 FROM whisperer.hook_node n WHERE n.hook_id = is_delivered_here.hook_id), true);
COMMENT ON FUNCTION whisperer_internal.is_delivered_here(bigint) IS 'whether no other database delivers the hook now';

-- What the worker will find to replay.  A ping is no news the second time.
CREATE FUNCTION whisperer_internal.replayable(hook_id bigint, since timestamptz, until timestamptz)
    RETURNS SETOF whisperer.outbox LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT o.*
    FROM whisperer.hook_definition h JOIN whisperer.outbox o
      ON (o.hook_id IS NULL OR o.hook_id < -1 OR o.hook_id = h.id) AND o.event_type <> 'whisperer-ping'
     AND whisperer_internal.names(h.event_type, o.event_type)
     AND whisperer_internal.may_have(whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), o.event_type,
                                     whisperer_internal.recorder(o.hook_id, o.incarnation))
     AND whisperer_internal.is_let_through(h, o) AND whisperer_internal.duplicate_of(o) IS NULL
    WHERE h.id = replayable.hook_id AND o.data IS NOT NULL
      AND o.created_at >= replayable.since AND o.created_at < replayable.until;
END;
COMMENT ON FUNCTION whisperer_internal.replayable(bigint, timestamptz, timestamptz) IS
    'recorded events of the range that match a hook';

CREATE FUNCTION whisperer_internal.expunged_within(hook_id bigint, since timestamptz, until timestamptz) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*)
    FROM whisperer.hook_definition h JOIN whisperer.outbox o
      ON o.data IS NULL AND o.created_at >= expunged_within.since AND o.created_at < expunged_within.until
     AND o.event_type <> 'whisperer-ping' AND whisperer_internal.is_for(h, o)
    WHERE h.id = expunged_within.hook_id;
END;
COMMENT ON FUNCTION whisperer_internal.expunged_within(bigint, timestamptz, timestamptz) IS
    'how many events of a range, of those that you may see, a replay leaves out because their data is gone';
GRANT EXECUTE ON FUNCTION whisperer_internal.expunged_within(bigint, timestamptz, timestamptz) TO PUBLIC;

CREATE FUNCTION whisperer_internal.tell_of_expunged(hook_id bigint, since timestamptz, until timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expunged constant bigint := whisperer_internal.expunged_within(hook_id, since, until);
BEGIN
    IF expunged > 0 THEN
        RAISE NOTICE 'events of the range that stay out, because their data was expunged: at most %', expunged;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.tell_of_expunged(bigint, timestamptz, timestamptz) IS
    'says how many events of a range a replay leaves out because their data is gone';

CREATE FUNCTION whisperer_internal.replay_as(caller oid, hook_id bigint, since timestamptz, until timestamptz,
                                    dry_run boolean, new_ids boolean)
    RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    matching bigint;
BEGIN
    PERFORM whisperer_internal.require_range(caller, replay_as.hook_id, since, until);
    IF dry_run IS NULL OR new_ids IS NULL THEN
        RAISE EXCEPTION 'dry_run and new_ids must not be null'
            USING ERRCODE = 'null_value_not_allowed', COLUMN = CASE WHEN dry_run IS NULL THEN 'dry_run' ELSE 'new_ids' END;
    END IF;
    PERFORM whisperer_internal.tell_of_expunged(replay_as.hook_id, since, until);
    IF new_ids AND NOT dry_run THEN
        INSERT INTO whisperer.outbox (id, event_type, data, source, object_id, config_filter, hook_id, meta)
        SELECT whisperer_internal.new_event_id(), o.event_type, o.data, o.source, o.object_id, o.config_filter,
               replay_as.hook_id,
               -- Asked for now and once more.
               (SELECT json_object_agg(m.key, m.value) FROM json_each(o.meta) AS m
                WHERE m.key NOT IN ('deliver_at', 'expires_at', 'idempotency_key', 'key_until'))
        FROM whisperer_internal.replayable(replay_as.hook_id, since, until) o ORDER BY o.id;
        GET DIAGNOSTICS matching = ROW_COUNT;
    ELSE
        SELECT count(*) INTO matching FROM whisperer_internal.replayable(replay_as.hook_id, since, until);
        -- A node may have what is past the retention here.
        IF NOT dry_run AND EXISTS (SELECT FROM whisperer.node) THEN
            PERFORM whisperer_internal.ask_nodes(jsonb_build_object('kind', 'replay', 'hook_id', replay_as.hook_id, 'since', since, 'until', until));
        END IF;
        IF matching > 0 AND NOT dry_run AND whisperer_internal.is_delivered_here(replay_as.hook_id) THEN
            INSERT INTO whisperer.request (kind, hook_id, since, until)
            VALUES ('replay', replay_as.hook_id, replay_as.since, replay_as.until);
        END IF;
    END IF;
    PERFORM whisperer_internal.wake_workers();
    RETURN matching;
END;
$$;
CREATE FUNCTION whisperer.replay(hook_id bigint, since timestamptz, until timestamptz DEFAULT clock_timestamp(),
                                 dry_run boolean DEFAULT false, new_ids boolean DEFAULT false)
    RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.replay(bigint, timestamptz, timestamptz, boolean, boolean) IS
    'delivers the events of a range of time to a hook again, or for the first time';
GRANT EXECUTE ON FUNCTION whisperer.replay(bigint, timestamptz, timestamptz, boolean, boolean) TO PUBLIC;
