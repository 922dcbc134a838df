-- What people ask of the worker, as a log read by the same snapshot rule as the outbox.  The worker
-- carries it out in batches, so that a million rows are nobody's transaction and no forgotten BEGIN
-- holds a lock that it needs; it deletes what is done.  Not dumped, and of one incarnation: what was
-- asked of one database must not be done again in its copy.
CREATE TABLE whisperer.request (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind         text NOT NULL
        CONSTRAINT request_kind_check CHECK (kind IN ('hooks', 'retry', 'recover', 'replay', 'cancel', 'catch_up', 'expunge')),
    hook_id      bigint,
    event_id     uuid,
    since        timestamptz,
    until        timestamptz,
    force        boolean NOT NULL DEFAULT false,
    incarnation  bigint NOT NULL DEFAULT whisperer_internal.my_incarnation(),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_xid    xid8,
    PRIMARY KEY (xid, id)
);
COMMENT ON TABLE whisperer.request IS
    'what people asked of the worker, and it has not done yet';
COMMENT ON COLUMN whisperer.request.kind IS
    'hooks: the hook changed, or its secret: load it again, -1 all; null: an event type, a privilege or the control row did; catch_up: a hook was made or adopted; the others are the functions of the same names';

COMMENT ON COLUMN whisperer.request.event_xid IS
    'of an event that the log has and the ledger has not yet: what is asked waits until the worker has read it; catch_up: where it begins';

CREATE INDEX request_to_do ON whisperer.request (id) WHERE kind <> 'hooks';

-- Delivery in this database as a whole: one row.
CREATE TABLE whisperer.control (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    is_paused    boolean NOT NULL DEFAULT false,
    modified_by  text NOT NULL DEFAULT current_user,
    modified_at  timestamptz NOT NULL DEFAULT now(),
    carried_since timestamptz
);
COMMENT ON TABLE whisperer.control IS
    'whether delivery is paused in this database: one row, or none if it never was';
COMMENT ON COLUMN whisperer.control.carried_since IS
    'when retention first found events that hooks nobody has adopted may want; they go once it has passed';
