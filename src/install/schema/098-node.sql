-- Delivery nodes.  A primary may have its hooks delivered by other databases, which subscribe to its events and
-- hooks by logical replication; who delivers which hook changes at one place of that stream for all of them.
CREATE TABLE whisperer.node (
    name         text PRIMARY KEY
        CONSTRAINT node_name_check CHECK (name ~ '^[a-z0-9_]{1,40}$'),
    added_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE whisperer.node IS 'the delivery nodes of this database, by the setting whisperer.node of each; a node has no rows here';

-- No row: this database delivers the hook.  Snapshots mean something only where they were taken: nothing of this
-- is dumped.
CREATE TABLE whisperer.hook_node (
    hook_id      bigint PRIMARY KEY,
    node         text NOT NULL,
    is_fed       boolean NOT NULL,
    turns        pg_snapshot[] NOT NULL,
    waits_for    text,
    ownerless_from xid8
);
COMMENT ON TABLE whisperer.hook_node IS 'who delivers which hook';
COMMENT ON COLUMN whisperer.hook_node.node IS 'the setting whisperer.node of the database that delivers new events; empty: the primary, which is no node';
COMMENT ON COLUMN whisperer.hook_node.is_fed IS 'the hook is written in a primary, and comes from there';
COMMENT ON COLUMN whisperer.hook_node.turns IS
    'this database delivers what is not visible in the first and is in the second, not in the third and is in the fourth, and so on';

COMMENT ON COLUMN whisperer.hook_node.waits_for IS
    'of an ordered hook: the database that has to deliver what is in line there before node begins; empty: the primary';
COMMENT ON COLUMN whisperer.hook_node.ownerless_from IS
    'the owner has no role here, and events from this transaction on wait until he has; null: he has one';

-- What a primary tells its nodes.  A row goes as soon as it is there: the WAL has it.
CREATE TABLE whisperer.node_message (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    content      jsonb NOT NULL
);
COMMENT ON TABLE whisperer.node_message IS 'what a primary tells its delivery nodes, on its way into the WAL: always empty';
ALTER TABLE whisperer.node_message ALTER COLUMN content SET STATISTICS 0;
