-- Rates and response times, from what the worker counts.

CREATE FUNCTION whisperer.response_time_at(counts bigint[], fraction double precision) RETURNS interval
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_response_time_at';
COMMENT ON FUNCTION whisperer.response_time_at(bigint[], double precision) IS
    'the response time that this fraction of the requests did not exceed';
GRANT EXECUTE ON FUNCTION whisperer.response_time_at(bigint[], double precision) TO PUBLIC;

CREATE FUNCTION whisperer_internal.add_counts(sums bigint[], counts anyarray) RETURNS bigint[]
    LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'whisperer_add_counts';
COMMENT ON FUNCTION whisperer_internal.add_counts(bigint[], anyarray) IS 'a step of sum_counts';
GRANT EXECUTE ON FUNCTION whisperer_internal.add_counts(bigint[], anyarray) TO PUBLIC;

CREATE AGGREGATE whisperer_internal.sum_counts(counts anyarray) (SFUNC = whisperer_internal.add_counts, STYPE = bigint[]);
COMMENT ON AGGREGATE whisperer_internal.sum_counts(anyarray) IS 'counts by response time of several rows, added element by element';
GRANT EXECUTE ON FUNCTION whisperer_internal.sum_counts(anyarray) TO PUBLIC;

-- With the rights of the extension's owner, as hook_stats, and for the same reason.
CREATE VIEW whisperer.delivery_rate WITH (security_barrier = true) AS
SELECT m.hook_id, m.minute, m.delivered::bigint AS delivered, m.failed_attempts::bigint AS failed_attempts,
       m.failed::bigint AS failed,
       whisperer.response_time_at(m.response_times::bigint[], 0.5) AS response_time_p50,
       whisperer.response_time_at(m.response_times::bigint[], 0.95) AS response_time_p95,
       m.response_times::bigint[] AS response_times
FROM whisperer.hook_minute m
JOIN whisperer.hook_definition h ON h.id = m.hook_id
WHERE m.minute > now() - interval '24 hours'
  AND (pg_has_role(coalesce(whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation),
                            whisperer_internal.extension_owner()), 'MEMBER')
       OR pg_has_role('pg_read_all_stats', 'USAGE'));
COMMENT ON COLUMN whisperer.delivery_rate.response_times IS
    'counts by response time, as in hook_minute: of several rows add them element by element, and ask response_time_at';
COMMENT ON VIEW whisperer.delivery_rate IS
    'per hook and minute of the last 24 hours: what was delivered, what failed, how fast';
REVOKE ALL ON whisperer.delivery_rate FROM PUBLIC; GRANT SELECT ON whisperer.delivery_rate TO PUBLIC;
