-- How each hook is doing.  The figures are of the events recorded within the last hour.
CREATE VIEW whisperer.hook_stats WITH (security_invoker = true) AS
SELECT h.id AS hook_id, h.event_type, h.target_url, h.state, h.state_reason,
       (SELECT count(*) FROM whisperer.delivery d WHERE d.hook_id = h.id AND d.next_attempt_at IS NOT NULL AND d.state = 'pending') AS pending,
       l.delivered, l.failed,
       round(l.delivered::numeric / nullif(l.delivered + l.failed, 0), 4) AS success_rate,
       l.p50 AS response_time_p50, l.p95 AS response_time_p95,
       CASE WHEN h.state <> 'active' OR r.circuit_opened_at IS NULL THEN 'closed'
            WHEN r.circuit_retry_at <= now() THEN 'half-open'
            ELSE 'open' END AS circuit,
       r.circuit_reason, r.circuit_retry_at, r.failing_since,
       (SELECT a.error FROM whisperer.past_attempt a
        WHERE a.hook_id = h.id AND a.event_id >= whisperer.event_id_bound(now() - interval '1 hour')
        ORDER BY a.requested_at DESC LIMIT 1) AS last_error,
       r.function_error, r.function_error_at, coalesce(r.function_timeouts, 0) AS function_timeouts
FROM whisperer.hook h
LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE d.state = 'delivered') AS delivered,
           count(*) FILTER (WHERE d.state = 'failed') AS failed,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY d.response_time) FILTER (WHERE d.state = 'delivered') AS p50,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY d.response_time) FILTER (WHERE d.state = 'delivered') AS p95
    FROM whisperer.delivery d
    WHERE d.hook_id = h.id AND d.event_id >= whisperer.event_id_bound(now() - interval '1 hour')) AS l
WHERE h.is_active;
COMMENT ON VIEW whisperer.hook_stats IS
    'how your hooks are doing: backlog, success rate and response times of the last hour''s events, circuit (closed, open, half-open), last error of an attempt, last error of its functions and time-outs of them in a row';
GRANT SELECT ON whisperer.hook_stats TO PUBLIC;
