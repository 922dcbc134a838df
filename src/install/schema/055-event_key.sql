-- Idempotency keys.  Events without one have no row here, and cost nothing.  Both tables are rings beside the outbox, and
-- are emptied with it.  Nothing is unique but what cannot meet: no writer waits for another's COMMIT.

-- Written by the transaction that records the event; whoever records looks here first.
CREATE TABLE whisperer.event_key (
    key          text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    event_id     uuid NOT NULL,
    xid          xid8 NOT NULL,
    until        timestamptz NOT NULL,
    slot         smallint NOT NULL,
    arrived      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (key, event_type, event_id, slot)
) PARTITION BY LIST (slot);
COMMENT ON TABLE whisperer.event_key IS
    'idempotency keys of recorded events';
COMMENT ON COLUMN whisperer.event_key.key IS
    'its SHA-256: the key may name a person, and stays here when the event is expunged';
COMMENT ON COLUMN whisperer.event_key.until IS
    'until when whoever records with the key gets this event';
COMMENT ON COLUMN whisperer.event_key.arrived IS
    'it came by logical replication: a key of another database, which counts here when resume() has adopted that one''s hooks';

-- Written by the worker alone, before it hands out anything of the event: so what was decided once stays, whatever
-- order the log is read in after a crash, and by whichever worker.
CREATE TABLE whisperer.key_decision (
    key          text COLLATE "C" NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    event_id     uuid NOT NULL,
    duplicate_of uuid,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at   timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    incarnation  bigint NOT NULL,
    slot         smallint NOT NULL,
    PRIMARY KEY (key, event_type, event_id, incarnation, slot)
) PARTITION BY LIST (slot);
COMMENT ON TABLE whisperer.key_decision IS
    'which of the events with one idempotency key is delivered; written by the worker alone';
COMMENT ON COLUMN whisperer.key_decision.key IS
    'its SHA-256, as in event_key';
COMMENT ON COLUMN whisperer.key_decision.duplicate_of IS
    'the event that is delivered in its place; null: it is delivered itself';
COMMENT ON COLUMN whisperer.key_decision.xid IS
    'the transaction that decided';
COMMENT ON COLUMN whisperer.key_decision.created_at IS
    'the event''s, as are until and slot';

DO $do$
BEGIN
    FOR slot IN 0..7 LOOP
        EXECUTE format('CREATE TABLE whisperer.event_key_%s PARTITION OF whisperer.event_key FOR VALUES IN (%s)', slot, slot);
        PERFORM pg_catalog.pg_extension_config_dump(format('whisperer.event_key_%s', slot)::regclass, '');
        EXECUTE format('CREATE TABLE whisperer.key_decision_%s PARTITION OF whisperer.key_decision FOR VALUES IN (%s)', slot, slot);
        PERFORM pg_catalog.pg_extension_config_dump(format('whisperer.key_decision_%s', slot)::regclass, '');
    END LOOP;
END
$do$;
