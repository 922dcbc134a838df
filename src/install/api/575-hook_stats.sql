-- How each hook is doing.  The figures are of the events recorded within the last hour.  Read with the
-- rights of the extension's owner, so that a role for monitoring, which may see none of the tables, gets
-- the figures of all hooks; what may hold a secret or a piece of a payload (a URL, the text of an error)
-- is shown to the hook's owner alone.
CREATE VIEW whisperer.hook_stats WITH (security_barrier = true) AS
SELECT h.id AS hook_id, h.event_type, CASE WHEN m.is_mine THEN h.target_url END AS target_url,
       whisperer.hook_state(h, r.disabled_resumes) AS state,
       whisperer.hook_state_reason(h, r.disabled_resumes, r.disabled_reason) AS state_reason,
       (SELECT count(*) FROM whisperer.delivery d WHERE d.hook_id = h.id AND d.next_attempt_at IS NOT NULL AND d.state = 'pending') AS pending,
       l.delivered, l.failed,
       round(l.delivered::numeric / nullif(l.delivered + l.failed, 0), 4) AS success_rate,
       l.p50 AS response_time_p50, l.p95 AS response_time_p95,
       CASE WHEN whisperer.hook_state(h, r.disabled_resumes) <> 'active' OR r.circuit_opened_at IS NULL THEN 'closed'
            WHEN r.circuit_retry_at <= now() THEN 'half-open'
            ELSE 'open' END AS circuit,
       r.circuit_reason, r.circuit_retry_at, r.failing_since,
       CASE WHEN m.is_mine THEN
           (SELECT a.error FROM whisperer.past_attempt a
            WHERE a.hook_id = h.id AND a.event_id >= whisperer.event_id_bound(now() - interval '1 hour')
            ORDER BY a.requested_at DESC LIMIT 1) END AS last_error,
       CASE WHEN m.is_mine THEN r.function_error END AS function_error, r.function_error_at,
       coalesce(r.function_timeouts, 0) AS function_timeouts,
       m.owner
FROM whisperer.hook_definition h
CROSS JOIN LATERAL (
    SELECT o.owner, pg_has_role(coalesce(o.owner, (SELECT e.extowner FROM pg_extension e WHERE e.extname = 'whisperer')), 'MEMBER') AS is_mine
    FROM (SELECT whisperer.living_role(h.owner, h.owner_name, h.incarnation)::regrole AS owner) AS o) AS m
LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE d.state = 'delivered') AS delivered,
           count(*) FILTER (WHERE d.state = 'failed') AS failed,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY d.response_time) FILTER (WHERE d.state = 'delivered') AS p50,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY d.response_time) FILTER (WHERE d.state = 'delivered') AS p95
    FROM whisperer.delivery d
    WHERE d.hook_id = h.id AND d.event_id >= whisperer.event_id_bound(now() - interval '1 hour')) AS l
WHERE h.is_active AND (m.is_mine OR pg_has_role('pg_read_all_stats', 'USAGE'));
COMMENT ON VIEW whisperer.hook_stats IS
    'how your hooks are doing, and without URLs and errors, for members of pg_monitor, everybody''s: backlog, success rate and response times of the last hour''s events, circuit (closed, open, half-open), last error of an attempt, last error of its functions and time-outs of them in a row';
