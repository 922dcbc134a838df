-- Who may read what happened.
COMMENT ON TABLE whisperer.outbox IS
    'the log of events, append-only; one sees the types that one may publish or subscribe to, and what was recorded for a hook of one''s own alone';

COMMENT ON TABLE whisperer.delivery IS
    'the ledger: what became of each event at each hook (pending, delivered, failed, cancelled); one sees those of one''s own hooks';
COMMENT ON COLUMN whisperer.delivery.retry_count IS 'attempts made so far';
COMMENT ON COLUMN whisperer.delivery.response_content IS 'first bytes of the last answer';

CREATE VIEW whisperer.attempt WITH (security_invoker = true) AS
SELECT p.event_id, p.hook_id, p.number, p.requested_at, p.response_http_status, p.response_content,
       p.response_time, p.error
FROM whisperer.past_attempt p
UNION ALL
SELECT d.event_id, d.hook_id, d.retry_count, d.request_datetimes[cardinality(d.request_datetimes)],
       d.response_http_status, d.response_content, d.response_time, NULL
FROM whisperer.delivery d WHERE d.state = 'delivered';
COMMENT ON VIEW whisperer.attempt IS
    'one row for each POST that was made for your hooks and has ended, and for each transform that failed before one, the first hundred of a delivery, with the first bytes of the answer';
