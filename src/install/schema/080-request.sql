-- What people ask of the worker, as a log read by the same snapshot rule as the outbox: that a hook
-- changed, that delivery is to pause.  Not dumped: what was asked of one database must not be done
-- again in its copy.  The worker empties it behind itself.
CREATE TABLE whisperer.request (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind         text NOT NULL
        CONSTRAINT request_kind_check CHECK (kind IN ('hooks')),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, id)
);
COMMENT ON COLUMN whisperer.request.kind IS
    'hooks: a hook, a secret, an event type, a privilege or the control row changed: load them again';

-- Delivery in this database as a whole: one row.
CREATE TABLE whisperer.control (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    is_paused    boolean NOT NULL DEFAULT false,
    modified_by  text NOT NULL DEFAULT current_user,
    modified_at  timestamptz NOT NULL DEFAULT now()
);
