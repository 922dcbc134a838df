-- The ledger: one row per delivery, written by the worker alone when a first result is known or the
-- delivery is parked.  xid and slot are its event's, so the payload is found by the outbox's key.
CREATE TABLE whisperer.delivery (
    event_id      uuid NOT NULL,
    hook_id       bigint NOT NULL,
    xid           xid8 NOT NULL,
    incarnation   bigint NOT NULL,
    state         text NOT NULL
        CONSTRAINT delivery_state_check CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    retry_count   integer NOT NULL DEFAULT 0,
    round_start   integer NOT NULL DEFAULT 0,
    next_attempt_at      timestamptz,
    request_datetimes    timestamptz[] NOT NULL DEFAULT '{}',
    response_http_status integer,
    response_content     text,
    response_time        interval,
    error         text,
    body          text,
    line          bigint,
    created_at    timestamptz NOT NULL DEFAULT now(),
    modified_at   timestamptz NOT NULL DEFAULT now(),
    slot          smallint NOT NULL,
    format        text,
    error_code    smallint,
    PRIMARY KEY (event_id, hook_id, slot),
    CONSTRAINT delivery_pending_is_due CHECK (state <> 'pending' OR next_attempt_at IS NOT NULL)
) PARTITION BY LIST (slot);
REVOKE ALL ON whisperer.delivery FROM PUBLIC; GRANT SELECT ON whisperer.delivery TO PUBLIC;

COMMENT ON COLUMN whisperer.delivery.round_start IS
    'attempts that the countdown does not count: those before the last retry, recover or replay, and those that probed an open circuit';
COMMENT ON COLUMN whisperer.delivery.next_attempt_at IS
    'pending: when the next attempt is due, infinity: it waits for those before it in line; ended: the hook''s callback is due, null once it was called';
COMMENT ON COLUMN whisperer.delivery.body IS
    'the body that the hook''s transform had a part in: of the last attempt, and of the next while it is pending';
COMMENT ON COLUMN whisperer.delivery.format IS
    'of its requests, with the payload_key, from when the row was made; null: whisperer';
COMMENT ON COLUMN whisperer.delivery.error_code IS
    'what kind of error it is; the next attempt is put off: 1: rate limit, 2: circuit is open, 3: endpoint is busy, 4: token is being fetched, 5: hooks of a higher priority go first; 10: where it goes is not allowed; 20: the transform failed, 21: the data does not fit the schema; ended without another attempt: 30: the transform returned null, 31: cancelled by request, 32: hook deleted, 33: expired, 34: expunged, 35: the event is no longer in the outbox; null: any other, or none';

COMMENT ON COLUMN whisperer.delivery.line IS
    'of an ordered hook: only the pending delivery with the smallest event_id of a line is attempted; null: it waits for no other';

DO $do$
BEGIN
    FOR slot IN 0..7 LOOP
        EXECUTE format('CREATE TABLE whisperer.delivery_%s PARTITION OF whisperer.delivery '
                       'FOR VALUES IN (%s)', slot, slot);
        PERFORM pg_catalog.pg_extension_config_dump(format('whisperer.delivery_%s', slot)::regclass, '');
    END LOOP;
END
$do$;

-- Due retries, and callbacks of what has ended, are read per hook as a range; (next_attempt_at, event_id),
-- because rows parked in one batch share a time.  Every pending row is in it: whoever looks for those by
-- anything but their key asks for next_attempt_at IS NOT NULL too.
CREATE INDEX delivery_due ON whisperer.delivery (hook_id, next_attempt_at, event_id)
    WHERE next_attempt_at IS NOT NULL;

-- The heads of lines.  Empty for hooks that are not ordered.
CREATE INDEX delivery_line ON whisperer.delivery (hook_id, line, event_id)
    WHERE line IS NOT NULL AND state = 'pending';

-- Dead letters, newest first, are what people look for among millions, and what was cancelled; a delivery that succeeds has
-- no entry.
CREATE INDEX delivery_ended_badly ON whisperer.delivery (state, event_id, hook_id) WHERE state IN ('failed', 'cancelled');

-- One row for each attempt that failed, and for a success that another attempt was asked for after.  The
-- view whisperer.attempt adds the success that a delivery ended with.
CREATE TABLE whisperer.past_attempt (
    event_id      uuid NOT NULL,
    hook_id       bigint NOT NULL,
    number        integer NOT NULL,
    requested_at  timestamptz,
    response_http_status integer,
    response_content     text,
    response_time        interval,
    error         text,
    slot          smallint NOT NULL,
    error_code    smallint,
    PRIMARY KEY (event_id, hook_id, number, slot)
) PARTITION BY LIST (slot);
COMMENT ON COLUMN whisperer.past_attempt.error_code IS 'as in whisperer.delivery';
COMMENT ON TABLE whisperer.past_attempt IS
    'attempts that a delivery did not end with, a hundred of each at most; the view whisperer.attempt adds the success it ended with';
REVOKE ALL ON whisperer.past_attempt FROM PUBLIC; GRANT SELECT ON whisperer.past_attempt TO PUBLIC;

DO $do$
BEGIN
    FOR slot IN 0..7 LOOP
        EXECUTE format('CREATE TABLE whisperer.past_attempt_%s PARTITION OF whisperer.past_attempt '
                       'FOR VALUES IN (%s)', slot, slot);
        PERFORM pg_catalog.pg_extension_config_dump(format('whisperer.past_attempt_%s', slot)::regclass, '');
    END LOOP;
END
$do$;
