-- How each hook is doing, from what the worker counts, so that a long history costs nothing: the last hour,
-- and the totals since the hook was made.  What is pending is counted by its index.  Read with the rights
-- of the extension's owner, so that a role for monitoring, which may see none of the tables, gets the
-- figures of all hooks; what may hold a secret or a piece of a payload (a URL, the text of an error) is
-- shown to the hook's owner alone.  A description is for everybody who watches figures: a number says nothing.
-- LEFT JOIN, also of what is always one row, and without LIMIT: so what nobody asks for is not counted.
CREATE VIEW whisperer.hook_stats WITH (security_barrier = true) AS
SELECT h.id AS hook_id, h.event_type, CASE WHEN m.is_mine THEN h.target_url END AS target_url,
       whisperer_internal.hook_state(h, r.disabled_resumes) AS state,
       whisperer_internal.hook_state_reason(h, r.disabled_resumes, r.disabled_reason) AS state_reason,
       (SELECT count(*) FROM whisperer.delivery d WHERE d.hook_id = h.id AND d.next_attempt_at IS NOT NULL AND d.state = 'pending') AS pending,
       coalesce(l.delivered, 0) AS delivered, coalesce(l.failed, 0) AS failed,
       round(l.delivered::numeric / nullif(l.delivered + l.failed, 0), 4) AS success_rate,
       whisperer.response_time_at(l.counts, 0.5) AS response_time_p50,
       whisperer.response_time_at(l.counts, 0.95) AS response_time_p95,
       CASE WHEN whisperer_internal.hook_state(h, r.disabled_resumes) <> 'active' OR r.circuit_opened_at IS NULL THEN 'closed'
            WHEN r.circuit_retry_at <= now() THEN 'half-open'
            ELSE 'open' END AS circuit,
       r.circuit_reason, r.circuit_retry_at,
       CASE WHEN r.failing_url_hash <> hashtextextended(h.target_url, 0) THEN NULL ELSE r.failing_since END AS failing_since,
       CASE WHEN m.is_mine THEN
           (SELECT e.last_error FROM whisperer.hook_minute e
            WHERE e.hook_id = h.id AND e.minute >= now() - interval '1 hour' AND e.last_error IS NOT NULL
            ORDER BY e.minute DESC LIMIT 1) END AS last_error,
       CASE WHEN m.is_mine THEN r.function_error END AS function_error, r.function_error_at,
       coalesce(r.function_timeouts, 0) AS function_timeouts,
       m.owner,
       coalesce(s.delivered_total, 0) AS delivered_total,
       coalesce(s.failed_attempts_total, 0) AS failed_attempts_total,
       coalesce(s.failed_total, 0) AS failed_total,
       coalesce(s.response_us_total, 0) * interval '1 microsecond' AS response_time_total,
       coalesce(l.without_key, 0) AS without_key,
       h.description
FROM whisperer.hook_definition h
CROSS JOIN LATERAL (
    SELECT o.owner, pg_has_role(coalesce(o.owner, whisperer_internal.extension_owner()), 'MEMBER') AS is_mine
    FROM (SELECT whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation)::regrole AS owner) AS o) AS m
LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id
LEFT JOIN LATERAL (
    SELECT sum(n.delivered) AS delivered, sum(n.failed) AS failed, sum(n.without_key) AS without_key,
           whisperer_internal.sum_counts(n.response_times) AS counts
    FROM whisperer.hook_minute n WHERE n.hook_id = h.id AND n.minute >= now() - interval '1 hour') AS l ON true
LEFT JOIN LATERAL (SELECT max(n.minute) AS minute FROM whisperer.hook_minute n WHERE n.hook_id = h.id) AS latest ON true
LEFT JOIN whisperer.hook_minute s ON s.hook_id = h.id AND s.minute = latest.minute
WHERE h.is_active AND (m.is_mine OR pg_has_role('pg_read_all_stats', 'USAGE'));
COMMENT ON VIEW whisperer.hook_stats IS
    'how your hooks are doing: backlog, success rate, response times, circuit, last error';
REVOKE ALL ON whisperer.hook_stats FROM PUBLIC; GRANT SELECT ON whisperer.hook_stats TO PUBLIC;
