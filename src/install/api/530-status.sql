-- What is recorded and not yet done, as the stored bookmarks say, which are up to a second old.
CREATE FUNCTION whisperer_internal.unread_events() RETURNS SETOF whisperer.outbox
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.* FROM whisperer.outbox o, (
        -- Without one no worker has run yet.
        SELECT coalesce(f.seen, '1:1:') AS seen, coalesce(f.reading, '1:1:') AS reading, coalesce(f.place_xid, '0') AS place_xid,
               coalesce(f.place_id, '00000000-0000-0000-0000-000000000000') AS place_id
        FROM (SELECT) AS one LEFT JOIN (
            SELECT b.* FROM whisperer.bookmark b WHERE b.incarnation = whisperer_internal.my_incarnation()
            ORDER BY pg_snapshot_xmax(b.seen), b.place_xid, b.place_id LIMIT 1) AS f ON true) AS b
    WHERE o.incarnation = whisperer_internal.my_incarnation() AND o.xid >= pg_snapshot_xmin(b.seen)
      AND NOT pg_visible_in_snapshot(o.xid, b.seen)
      AND ((o.xid, o.id) > (b.place_xid, b.place_id)
           OR NOT pg_visible_in_snapshot(o.xid, b.reading));
END;
COMMENT ON FUNCTION whisperer_internal.unread_events() IS
    'events behind the bookmark that is furthest behind';

CREATE FUNCTION whisperer_internal.queued_events(OUT xid xid8, OUT id uuid)
    RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT o.xid, o.id FROM whisperer_internal.unread_events() o LIMIT 1000;
END;
COMMENT ON FUNCTION whisperer_internal.queued_events() IS 'the keys of a thousand of unread_events, whichever come first';
GRANT EXECUTE ON FUNCTION whisperer_internal.queued_events() TO PUBLIC;

CREATE VIEW whisperer.event_queue WITH (security_invoker = true) AS
SELECT o.id AS event_id, o.event_type, o.object_id, o.created_at
FROM whisperer_internal.queued_events() q JOIN whisperer.outbox o ON o.xid = q.xid AND o.id = q.id;
COMMENT ON VIEW whisperer.event_queue IS
    'events that are recorded and not yet handed to their hooks';
REVOKE ALL ON whisperer.event_queue FROM PUBLIC; GRANT SELECT ON whisperer.event_queue TO PUBLIC;

-- At least one row, so that "nothing runs" has a reason.
CREATE FUNCTION whisperer_internal.status_rows(
    OUT worker integer, OUT state text, OUT reason text, OUT pid integer, OUT since timestamptz,
    OUT lag_events bigint, OUT lag_seconds double precision, OUT in_flight bigint,
    OUT queued bigint, OUT delivered bigint, OUT failed bigint, OUT rate double precision)
    RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH behind AS (
        SELECT count(*) AS events, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS seconds
        FROM (SELECT o.created_at FROM whisperer_internal.unread_events() o LIMIT 100000) AS unread),
    paused AS (
        SELECT EXISTS (SELECT FROM whisperer.control c WHERE c.is_paused) AS is_paused,
               (SELECT count(*) FROM whisperer.hook_definition h
                WHERE h.is_active AND h.incarnation <> whisperer_internal.my_incarnation()) AS carried,
               (SELECT count(*) FROM whisperer.hook_definition h
                WHERE h.is_active AND h.incarnation = whisperer_internal.my_incarnation()
                  AND NOT whisperer_internal.role_exists(h.owner)) AS ownerless)
    SELECT w.worker, CASE WHEN w.state = 'running' AND p.is_paused THEN 'paused' ELSE w.state END,
           CASE WHEN p.is_paused THEN 'paused by whisperer.pause()'
                WHEN w.reason IS NULL AND p.carried > 0
                THEN format('hooks carried here by a restore or copy wait for whisperer.resume(): %s', p.carried)
                WHEN w.reason IS NULL AND p.ownerless > 0
                THEN format('hooks whose owner was dropped wait for whisperer.reassign_owned(): %s', p.ownerless)
                ELSE w.reason END,
           w.pid, w.since, b.events,
           -- The worker knows how far behind it is while it reads; the bookmark is up to a second old.
           CASE WHEN w.state IN ('running', 'idle') AND NOT p.is_paused THEN w.lag_seconds ELSE b.seconds END, w.in_flight, w.queued, w.delivered, w.failed,
           w.rate
    FROM whisperer_internal.worker_state() w, behind b, paused p
    UNION ALL
    SELECT 0, 'down',
           CASE WHEN pg_is_in_recovery() THEN 'this server is a standby: its primary delivers, and it will itself once it is promoted'
                WHEN current_setting('whisperer.enabled', true) = 'off'
                     -- The session may be older than what its database has set.
                     OR EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN unnest(s.setconfig) AS c (line)
                                WHERE d.datname = current_database() AND s.setrole = 0 AND c.line LIKE 'whisperer.enabled=%'
                                  AND NOT split_part(c.line, '=', 2)::boolean) THEN 'whisperer.enabled is off'
                WHEN current_setting('shared_preload_libraries') !~ E'\\mwhisperer\\M'
                THEN 'the library is not in shared_preload_libraries'
                ELSE 'no worker has started yet; if it stays so, raise max_worker_processes, or see the server log' END,
           NULL, NULL, b.events, b.seconds, 0, 0, 0, 0, 0
    FROM behind b WHERE NOT EXISTS (SELECT FROM whisperer_internal.worker_state())
$$;
COMMENT ON FUNCTION whisperer_internal.status_rows() IS 'the rows of the view status';
GRANT EXECUTE ON FUNCTION whisperer_internal.status_rows() TO PUBLIC;

CREATE VIEW whisperer.status AS
SELECT s.*, t.longest_turn_seconds, w.sent_again, w.http, w.invalid
FROM whisperer_internal.status_rows() s
LEFT JOIN whisperer_internal.worker_turns() t ON t.worker = s.worker
LEFT JOIN whisperer_internal.worker_wire() w ON w.worker = s.worker;
COMMENT ON VIEW whisperer.status IS
    'one row per worker: running, paused, idle or down, with the reason';
REVOKE ALL ON whisperer.status FROM PUBLIC; GRANT SELECT ON whisperer.status TO PUBLIC;
