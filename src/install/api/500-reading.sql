-- Who may read what happened.
COMMENT ON TABLE whisperer.outbox IS
    'the log of events: those of types that you may publish or subscribe to';

COMMENT ON TABLE whisperer.delivery IS
    'the ledger: what became of each event at each of your hooks';
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
    'one row for each attempt at a delivery to your hooks that has ended';
REVOKE ALL ON whisperer.attempt FROM PUBLIC; GRANT SELECT ON whisperer.attempt TO PUBLIC;
