-- How far each worker has read the log.  Everything visible in seen has been delivered or is in the
-- ledger; of the window (seen, reading], everything up to (place_xid, place_id) too.  One row per
-- worker and incarnation; a missing row means seen = 1:1:.  Written by the worker alone.
CREATE TABLE whisperer.bookmark (
    worker       smallint NOT NULL,
    incarnation  bigint NOT NULL,
    workers      smallint NOT NULL,
    seen         pg_snapshot NOT NULL,
    reading      pg_snapshot NOT NULL,
    place_xid    xid8 NOT NULL DEFAULT '0',
    place_id     uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    modified_at  timestamptz NOT NULL DEFAULT now(),
    moved_hook_ids bigint[] NOT NULL DEFAULT '{}',
    dealt_at     timestamptz NOT NULL DEFAULT now(),
    ahead        pg_snapshot,
    is_drained   boolean NOT NULL DEFAULT true,
    PRIMARY KEY (worker, incarnation)
);
COMMENT ON TABLE whisperer.bookmark IS
    'how far each worker has read the outbox; written by the worker alone';
COMMENT ON COLUMN whisperer.bookmark.workers IS
    'how many workers shared the hooks when this was written; 0: its worker has left so that they are dealt anew';
COMMENT ON COLUMN whisperer.bookmark.moved_hook_ids IS
    'hooks that the worker serves for their load, though their ids give them to another';
COMMENT ON COLUMN whisperer.bookmark.dealt_at IS 'when hooks were dealt to the workers';
COMMENT ON COLUMN whisperer.bookmark.ahead IS
    'how far the worker furthest ahead was when hooks were dealt: what is visible in it and not in the ledger becomes pending';
COMMENT ON COLUMN whisperer.bookmark.is_drained IS
    'no worker runs, and whatever was sent is in the ledger; false: one runs, or ended without notice';

SELECT pg_catalog.pg_extension_config_dump('whisperer.bookmark', '');
