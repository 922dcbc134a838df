-- Who may read what happened.
ALTER TABLE whisperer.outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY allowed_types ON whisperer.outbox FOR SELECT
    USING (whisperer.may(current_user::regrole::oid, event_type, 'publish')
           OR whisperer.may(current_user::regrole::oid, event_type, 'subscribe'));
GRANT SELECT ON whisperer.outbox TO PUBLIC;
COMMENT ON TABLE whisperer.outbox IS
    'the log of events, append-only; one sees the types that one may publish or subscribe to';

ALTER TABLE whisperer.delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_hooks ON whisperer.delivery FOR SELECT
    USING (EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.id = hook_id));
GRANT SELECT ON whisperer.delivery TO PUBLIC;
COMMENT ON TABLE whisperer.delivery IS
    'the ledger: what became of each event at each hook (pending, delivered, failed, cancelled); one sees those of one''s own hooks';
COMMENT ON COLUMN whisperer.delivery.retry_count IS 'attempts made so far';
COMMENT ON COLUMN whisperer.delivery.response_content IS 'first bytes of the last answer';
