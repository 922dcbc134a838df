-- Who delivers which hook, where nodes deliver the hooks of this database: rendezvous hashing, so that a node that
-- comes takes its share from all, one that goes leaves its own to all, and no other hook moves.

CREATE FUNCTION whisperer_internal.chosen_node(hook_id bigint) RETURNS text
    LANGUAGE sql STABLE
RETURN coalesce((SELECT n.name FROM whisperer.node n ORDER BY hashtextextended(n.name, chosen_node.hook_id) DESC, n.name LIMIT 1), '');
COMMENT ON FUNCTION whisperer_internal.chosen_node(bigint) IS 'which of the nodes is to deliver a hook; empty: there are none';

-- Notes who delivers a hook from now on, and so whether a turn of this database's begins or ends.  known: it
-- delivered the hook before anybody shared them.
CREATE FUNCTION whisperer_internal.give_hook(hook_id bigint, node text, waits_for text, is_fed boolean, known boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_mine constant boolean := CASE WHEN give_hook.node = '' THEN NOT give_hook.is_fed ELSE give_hook.node = current_setting('whisperer.node') END;
    was whisperer.hook_node;
    moment pg_snapshot := whisperer_internal.hook_since();
BEGIN
    INSERT INTO whisperer.hook_node (hook_id, node, is_fed, turns)
    VALUES (give_hook.hook_id, give_hook.node, give_hook.is_fed, CASE WHEN known THEN '{1:1:}' ELSE '{}' END::pg_snapshot[])
    ON CONFLICT ON CONSTRAINT hook_node_pkey DO NOTHING;
    SELECT * INTO was FROM whisperer.hook_node n WHERE n.hook_id = give_hook.hook_id FOR UPDATE;
    IF (cardinality(was.turns) % 2 = 1) = is_mine THEN
        UPDATE whisperer.hook_node n SET node = give_hook.node, waits_for = give_hook.waits_for
        WHERE n.hook_id = give_hook.hook_id AND (n.node, n.waits_for) IS DISTINCT FROM (give_hook.node, give_hook.waits_for);
        RETURN;
    END IF;
    -- In a primary, what is under way may come before or after this in the stream.  It is delivered by both rather
    -- than by none.  A node has no writers but the stream.
    IF NOT is_mine AND NOT was.is_fed THEN
        moment := format('%s:%1$s:', pg_snapshot_xmax(moment));
    END IF;
    -- Of turns that were long ago nothing is left to read.
    UPDATE whisperer.hook_node n
    SET node = give_hook.node, waits_for = give_hook.waits_for, turns = was.turns[CASE WHEN cardinality(was.turns) >= 8 THEN 3 ELSE 1 END:] || moment
    WHERE n.hook_id = give_hook.hook_id;
    -- What the worker read before it knew of the turn, it took for another's.
    IF is_mine AND NOT was.is_fed THEN
        INSERT INTO whisperer.request (kind, hook_id, force) VALUES ('catch_up', give_hook.hook_id, true);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.give_hook(bigint, text, text, boolean, boolean) IS 'has another database, or this one, deliver a hook from here on';

-- A hook that waits for another node stays where it is.  gone: a node that delivers nothing any more.
--
-- What is recorded and committed between the end of a turn of this database's and this transaction's own end comes
-- before it in the stream.  So whose turn begins is told to look for it: all of it has a later id than new_from.
CREATE FUNCTION whisperer_internal.share_anew(gone text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here constant text[] := ARRAY['', current_setting('whisperer.node')];
    new_from constant uuid := whisperer_internal.new_event_id();
    mine constant bigint[] := ARRAY(SELECT h.id FROM whisperer.hook_definition h WHERE whisperer_internal.is_delivered_here(h.id));
    moving record;
    moved bigint := 0;
BEGIN
    FOR moving IN
        SELECT h.id, h.is_active, h.ordering <> 'none' AS is_ordered, whisperer_internal.chosen_node(h.id) AS new_node,
               coalesce(n.node, '') AS old_node, n.waits_for, n.hook_id IS NOT NULL AS is_shared
        FROM whisperer.hook_definition h LEFT JOIN whisperer.hook_node n ON n.hook_id = h.id
        WHERE h.incarnation = whisperer_internal.my_incarnation()
          AND (n.waits_for IS NULL OR n.node = share_anew.gone OR n.waits_for = share_anew.gone)
        ORDER BY h.id
    LOOP
        CONTINUE WHEN moving.is_shared AND moving.new_node = moving.old_node AND gone IS NULL;
        PERFORM whisperer_internal.give_hook(moving.id, moving.new_node,
            CASE WHEN moving.is_ordered AND moving.is_active AND moving.new_node <> moving.old_node AND moving.old_node IS DISTINCT FROM gone
                      AND NOT ARRAY[moving.old_node, moving.new_node] <@ here
                 THEN moving.old_node
                 WHEN moving.waits_for <> gone THEN moving.waits_for END, false, true);
        moved := moved + (moving.is_active AND moving.new_node <> moving.old_node)::integer;
    END LOOP;
    PERFORM whisperer_internal.tell_all();
    PERFORM whisperer_internal.tell_nodes('begun', jsonb_build_object('hook_ids', m.hook_ids, 'new_from', new_from))
    FROM (SELECT jsonb_agg(id) FROM unnest(mine) AS id WHERE NOT whisperer_internal.is_delivered_here(id)) AS m (hook_ids) WHERE m.hook_ids IS NOT NULL;
    RETURN moved;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.share_anew(text) IS 'shares all hooks among the nodes that there are, and tells them; returns how many moved';

CREATE FUNCTION whisperer_internal.lock_hooks() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What follows must see what the locks waited for.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'nodes cannot be added or removed in a transaction that is %', current_setting('transaction_isolation')
            USING ERRCODE = 'active_sql_transaction', HINT = 'Use READ COMMITTED.';
    END IF;
    -- None is held while another is waited for: who has written one of them may be about to write the next.
    LOOP
        BEGIN
            LOCK TABLE whisperer.hook_definition, whisperer.secret, whisperer.event_type, whisperer.event_type_claim,
                       whisperer.event_type_privilege IN SHARE ROW EXCLUSIVE MODE NOWAIT;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.01);
        END;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.lock_hooks() IS 'keeps hooks and event types as they are until the transaction ends';

CREATE FUNCTION whisperer_internal.add_node_as(caller oid, node text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    PERFORM whisperer_internal.require_node_rights(caller);
    PERFORM whisperer_internal.check_node_name(node);
    IF node <> current_setting('whisperer.node')
       AND NOT EXISTS (SELECT FROM pg_replication_slots s
                       WHERE s.slot_name = concat('whisperer_', node) AND s.database = current_database()) THEN
        RAISE EXCEPTION 'node "%" is not subscribed', node
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Run on it what SELECT whisperer.subscription_command(%L, ''host=... dbname=... user=...'', hooks => true) prints here.', node);
    END IF;
    PERFORM whisperer_internal.publish_events_as(caller, true);
    PERFORM whisperer_internal.lock_hooks();
    INSERT INTO whisperer.node (name) VALUES (add_node_as.node) ON CONFLICT DO NOTHING;
    moved := whisperer_internal.share_anew(NULL);
    RETURN moved;
END;
$$;
CREATE FUNCTION whisperer.add_node(node text) RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.add_node(text) IS 'gives a delivery node its share of the hooks and returns how many moved';
GRANT EXECUTE ON FUNCTION whisperer.add_node(text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.remove_node_as(caller oid, node text, force boolean,
                                                  OUT hook_id bigint, OUT new_node text, OUT replay_from timestamptz) RETURNS SETOF record
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slot record;
    lost_from timestamptz;
BEGIN
    PERFORM whisperer_internal.require_node_rights(caller);
    IF force IS NULL THEN
        RAISE EXCEPTION 'force must not be null' USING ERRCODE = 'null_value_not_allowed', COLUMN = 'force';
    END IF;
    PERFORM whisperer_internal.lock_hooks();
    IF NOT EXISTS (SELECT FROM whisperer.node n WHERE n.name = remove_node_as.node) THEN
        RAISE EXCEPTION 'there is no node "%"', node
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM whisperer.nodes shows them.';
    END IF;
    SELECT s.active, (to_jsonb(s)->>'inactive_since')::timestamptz AS inactive_since INTO slot
    FROM pg_replication_slots s WHERE s.slot_name = concat('whisperer_', remove_node_as.node);
    IF force AND slot.active THEN
        RAISE EXCEPTION 'node "%" is connected', node
            USING ERRCODE = 'object_in_use', HINT = 'Remove it without force: it ends what it has begun.';
    END IF;
    IF force THEN
        -- Since when it is away PostgreSQL knows from 17 on; then its hooks lack what came since, else all there is.
        lost_from := coalesce(slot.inactive_since, (SELECT min(o.created_at) FROM whisperer.outbox o), now());
        PERFORM pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s WHERE s.slot_name = concat('whisperer_', remove_node_as.node);
    END IF;
    IF NOT force AND EXISTS (SELECT FROM whisperer.hook_node n JOIN whisperer.hook_definition h ON h.id = n.hook_id
                             WHERE n.node = remove_node_as.node AND n.waits_for IS NOT NULL AND h.is_active AND h.ordering <> 'none') THEN
        RAISE EXCEPTION 'node "%" has ordered hooks that were not handed over to it yet', node
            USING ERRCODE = 'object_in_use', HINT = 'See whisperer.hand_over.';
    END IF;
    DELETE FROM whisperer.node n WHERE n.name = remove_node_as.node;
    RETURN QUERY
        SELECT n.hook_id, whisperer_internal.chosen_node(n.hook_id), lost_from
        FROM whisperer.hook_node n JOIN whisperer.hook_definition h ON h.id = n.hook_id
        WHERE n.node = remove_node_as.node AND h.is_active ORDER BY n.hook_id;
    PERFORM whisperer_internal.share_anew(CASE WHEN force THEN node END);
END;
$$;
CREATE FUNCTION whisperer.remove_node(node text, force boolean DEFAULT false,
                                      OUT hook_id bigint, OUT new_node text, OUT replay_from timestamptz) RETURNS SETOF record
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.remove_node(text, boolean) IS
    'gives the hooks of a delivery node to the others and returns them';
GRANT EXECUTE ON FUNCTION whisperer.remove_node(text, boolean) TO PUBLIC;

-- Whether the old node has come to the end of its lines only its ledger says.  False: the hook waits for no node, or
-- for another one than node.
CREATE FUNCTION whisperer_internal.end_wait(hook_id bigint, node text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE whisperer.hook_node n SET waits_for = NULL
    WHERE n.hook_id = end_wait.hook_id AND n.waits_for = coalesce(end_wait.node, n.waits_for) AND NOT n.is_fed;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM whisperer_internal.tell_hook(h.id, to_jsonb(h)) FROM whisperer.hook_definition h WHERE h.id = end_wait.hook_id;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.end_wait(bigint, text) IS 'lets an ordered hook begin on its new node';

-- Called by the node that is waited for.  Who reads its slot speaks for it.
CREATE FUNCTION whisperer_internal.hand_line_over(hook_id bigint, node text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user)
       AND NOT EXISTS (SELECT FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
                       WHERE s.slot_name = concat('whisperer_', hand_line_over.node) AND s.database = current_database()
                         AND a.usename = session_user) THEN
        RAISE EXCEPTION 'role "%" does not read the slot of node "%"', session_user, node
            USING ERRCODE = 'insufficient_privilege', HINT = 'It is for the role with which the node subscribes, while its subscription is enabled.';
    END IF;
    -- A transaction that is about to tell of the hook is not waited for; the node asks again.
    PERFORM FROM whisperer.hook_node n WHERE n.hook_id = hand_line_over.hook_id FOR UPDATE SKIP LOCKED;
    RETURN FOUND AND whisperer_internal.end_wait(hook_id, node);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.hand_line_over(bigint, text) IS
    'lets an ordered hook begin on its new node: a node says that it has nothing left to deliver for it; 42501';
GRANT EXECUTE ON FUNCTION whisperer_internal.hand_line_over(bigint, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.hand_over_as(caller oid, hook_id bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.require_hook(caller, hand_over_as.hook_id);
    IF NOT whisperer_internal.end_wait(hand_over_as.hook_id, NULL) THEN
        RAISE EXCEPTION 'hook % waits for no node', hook_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'An ordered hook that has moved to another node waits, in the primary of both.';
    END IF;
END;
$$;
CREATE FUNCTION whisperer.hand_over(hook_id bigint) RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.hand_over(bigint) IS
    'lets an ordered hook begin on its new node without waiting for the old one';
GRANT EXECUTE ON FUNCTION whisperer.hand_over(bigint) TO PUBLIC;

-- PostgreSQL shows what a walsender has heard to few, and keeps the last lag while a node confirms nothing.  What that
-- node has not applied then is older by the time since its last word.
CREATE FUNCTION whisperer_internal.node_progress(node text, OUT seconds_behind double precision, OUT heard_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN r.replay_lsn >= r.sent_lsn THEN 0
                WHEN r.reply_time IS NOT NULL
                THEN greatest(extract(epoch FROM coalesce(r.replay_lag, '0') + (clock_timestamp() - r.reply_time))::double precision, 0) END,
           r.reply_time
    FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
    WHERE s.slot_name = concat('whisperer_', node_progress.node) AND s.database = current_database();
END;
COMMENT ON FUNCTION whisperer_internal.node_progress(text) IS
    'how long what a connected node applies next has waited for it, and when it was last heard of';
GRANT EXECUTE ON FUNCTION whisperer_internal.node_progress(text) TO PUBLIC;

CREATE VIEW whisperer.nodes AS
SELECT n.name,
       CASE WHEN s.slot_name IS NULL AND n.name = current_setting('whisperer.node', true) THEN 'here'
            WHEN s.slot_name IS NULL THEN 'gone' WHEN s.wal_status = 'lost' THEN 'lost'
            WHEN s.active THEN 'connected' ELSE 'away' END AS state,
       (SELECT count(*) FROM whisperer.hook_node h JOIN whisperer.hook_definition d ON d.id = h.hook_id
        WHERE h.node = n.name AND d.is_active) AS hooks,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.confirmed_flush_lsn)::bigint AS bytes_behind,
       CASE WHEN s.active THEN p.seconds_behind
            ELSE extract(epoch FROM clock_timestamp() - (to_jsonb(s)->>'inactive_since')::timestamptz)::double precision END AS seconds_behind,
       p.heard_at, s.wal_status, s.safe_wal_size, n.added_at
FROM whisperer.node n
LEFT JOIN pg_replication_slots s ON s.slot_name = concat('whisperer_', n.name)
CROSS JOIN LATERAL whisperer_internal.node_progress(n.name) AS p;
COMMENT ON VIEW whisperer.nodes IS 'the delivery nodes of this database, and how far behind each is';
REVOKE ALL ON whisperer.nodes FROM PUBLIC; GRANT SELECT ON whisperer.nodes TO PUBLIC;
COMMENT ON COLUMN whisperer.nodes.state IS
    'connected; away: not connected, the slot keeps what it has not had; lost: the slot has not kept it; gone: there is no slot; here: this database';
COMMENT ON COLUMN whisperer.nodes.bytes_behind IS 'of WAL that the slot keeps for it';
COMMENT ON COLUMN whisperer.nodes.seconds_behind IS 'how long what it has not applied yet waits, to within wal_receiver_status_interval of the node; away: how long it has been away, from PostgreSQL 17 on';
