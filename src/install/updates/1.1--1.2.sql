-- What the tables of 1.1 lack.  A delta does to an older installation what schema/ does to a new one;
-- the API's fragments follow it.

-- What was cancelled, too, is found by an index.  It is made before anything is locked that somebody else may want: the
-- whole ledger is read for it.
CREATE INDEX delivery_ended_badly ON whisperer.delivery (state, event_id, hook_id) WHERE state IN ('failed', 'cancelled');

-- Then, for the rest asks which database this is: the number becomes the body of a function; see
-- schema/020-incarnation.sql.  Where logical replication has brought a second one, this database's own is the one
-- that its bookmarks have had for longer.
DO $do$
DECLARE
    numbers constant bigint[] := ARRAY(SELECT i.number FROM whisperer.incarnation i);
    mixed constant numeric := mod((SELECT oid FROM pg_database WHERE datname = current_database())::bigint * 11400714819323198485, 18446744073709551616);
    own bigint;
BEGIN
    SELECT i.number INTO own
    FROM whisperer.incarnation i
    LEFT JOIN whisperer.bookmark b
        ON b.incarnation = i.number # (CASE WHEN mixed >= 9223372036854775808 THEN mixed - 18446744073709551616 ELSE mixed END)::bigint
    ORDER BY b.modified_at LIMIT 1;
    IF own IS NULL THEN
        own := ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint;
        RAISE WARNING 'table whisperer.incarnation had no row'
            USING HINT = 'What was recorded before counts as carried here: SELECT whisperer.resume() takes it over.';
    ELSIF cardinality(numbers) > 1 THEN
        RAISE WARNING 'table whisperer.incarnation had % rows, all but one of another database: %', cardinality(numbers), numbers
            USING DETAIL = format('This database goes on as %s.', own),
                  HINT = 'What was recorded or subscribed to under another counts as carried here: SELECT whisperer.resume() takes it over.';
    END IF;
    EXECUTE format('CREATE FUNCTION whisperer_internal.incarnation_number() RETURNS bigint LANGUAGE sql IMMUTABLE RETURN bigint %L', own);
END
$do$;
COMMENT ON FUNCTION whisperer_internal.incarnation_number() IS
    'which database this is among its copies, before my_incarnation() mixes in its oid; made with the extension';
DROP TABLE whisperer.incarnation;
CREATE VIEW whisperer.incarnation AS SELECT whisperer_internal.incarnation_number() AS number;
COMMENT ON VIEW whisperer.incarnation IS
    'which database this is among its copies: one row, never dumped or replicated';

-- A session with session_replication_role = replica left config.auth where it was written.
ALTER TABLE whisperer.hook_definition DISABLE TRIGGER keep_auth;
WITH left_open AS (
    UPDATE whisperer.hook_definition h
    SET config = h.config || jsonb_build_object('auth', whisperer.masked_auth(h.config->'auth'))
    FROM whisperer.hook_definition o
    WHERE o.id = h.id AND h.incarnation = whisperer.my_incarnation()
      AND jsonb_typeof(h.config->'auth') = 'object' AND h.config->'auth' <> whisperer.masked_auth(h.config->'auth')
    RETURNING h.id, o.config->'auth' AS auth)
INSERT INTO whisperer.secret (hook_id, auth)
SELECT id, whisperer.seal_secret(id, 'auth', auth::text) FROM left_open
ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE SET auth = excluded.auth;
ALTER TABLE whisperer.hook_definition ENABLE TRIGGER keep_auth;
DROP FUNCTION whisperer.rows_as_json(anyarray);

-- A body that names the schema is a second dependency on it, and PostgreSQL 17 does not move such a function; the
-- fragments make it anew.
DROP FUNCTION whisperer.capture_triggers(text);
-- Functions that are not for users move out of their sight, with what was granted on them.
DO $do$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_proc p
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'whisperer'
        WHERE p.pronamespace = 'whisperer'::regnamespace AND p.proname <> ALL (regexp_split_to_array(
            'allow api_token_role backfill cancel capture create_api_token create_hook delete_hook deliver_event deliver_now
            disallow event_id_bound event_type_owner hook_public_key hook_secret make_signing_key may pause pause_hook ping_hook preview
            reassign_owned record_ping recover reencrypt_secrets register_event replay response_time_at resume resume_hook retry revoke_api_token
            rotate_secret secret_storage unregister_event unwatch update_hook wait_idle watch why', '[[:space:]]+'))
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET SCHEMA whisperer_internal', routine);
    END LOOP;
END
$do$;

-- What a hook did not get while the transaction that made it was open.
ALTER TABLE whisperer.request DROP CONSTRAINT request_kind_check;
ALTER TABLE whisperer.request ADD CONSTRAINT request_kind_check
    CHECK (kind IN ('hooks', 'retry', 'recover', 'replay', 'cancel', 'catch_up', 'expunge'));
ALTER TABLE whisperer.request ADD COLUMN event_xid xid8;
COMMENT ON COLUMN whisperer.request.event_xid IS
    'of an event that the log has and the ledger has not yet: what is asked waits until the worker has read it; catch_up: where it begins';
COMMENT ON COLUMN whisperer.request.kind IS
    'hooks: the hook changed, or its secret: load it again, -1 all; null: an event type, a privilege or the control row did; catch_up: a hook was made or adopted; the others are the functions of the same names';

DROP INDEX whisperer.delivery_failed;
-- How long events that a restore or copy carried here have waited for resume().
ALTER TABLE whisperer.control ADD COLUMN carried_since timestamptz;
COMMENT ON COLUMN whisperer.control.carried_since IS
    'when retention first found events that hooks nobody has adopted may want; they go once it has passed';

ALTER TABLE whisperer.hook_run ADD COLUMN function_began timestamptz;
COMMENT ON COLUMN whisperer.hook_run.function_began IS
    'when a call of a function began of which it was not known that the server survives it; null: it has ended';

COMMENT ON COLUMN whisperer.outbox.hook_id IS
    'whom the event is for: null: all that want it; a hook''s id (replay, backfill, ping): that hook; -1: nobody, its table''s owner might not publish it; less: of a type that nobody had registered, minus the oid of its table''s owner';
-- Failures of an address that the hook no longer has.
ALTER TABLE whisperer.hook_run ADD COLUMN failing_url_hash bigint;
COMMENT ON COLUMN whisperer.hook_run.failing_url_hash IS
    'of the target_url that failing_since is about; of another one it says nothing';
-- The clock may have been set since.
ALTER TABLE whisperer.hook_run ADD COLUMN failing_for interval;
COMMENT ON COLUMN whisperer.hook_run.failing_for IS
    'how long that has been so, by a clock that nobody sets; written now and then';

COMMENT ON COLUMN whisperer.delivery.round_start IS
    'attempts that the countdown does not count: those before the last retry, recover or replay, and those that probed an open circuit';
-- Formats, signatures and metadata headers.  Deliveries that were made before have none in the ledger: they were in the one that there was.
ALTER TABLE whisperer.hook_definition ADD COLUMN format text, ADD COLUMN payload_key text,
    ADD COLUMN signing jsonb, ADD COLUMN signatures text[], ADD COLUMN metadata_headers text[];
ALTER TABLE whisperer.hook_definition ADD COLUMN batch jsonb;
COMMENT ON COLUMN whisperer.hook_definition.batch IS
    'several events in one request: size, wait, bytes, form; null: each has its own';
GRANT INSERT (batch), UPDATE (batch) ON whisperer.hook_definition TO PUBLIC;
ALTER TABLE whisperer.hook_definition ADD COLUMN encoding text
    CONSTRAINT hook_encoding_check CHECK (encoding = 'gzip');
COMMENT ON COLUMN whisperer.hook_definition.encoding IS
    'gzip: bodies over 1 kB are compressed on their way; null: none is';
GRANT INSERT (encoding), UPDATE (encoding) ON whisperer.hook_definition TO PUBLIC;
ALTER TABLE whisperer.hook_definition ALTER COLUMN format SET DEFAULT 'whisperer';
UPDATE whisperer.hook_definition SET format = 'whisperer';
ALTER TABLE whisperer.hook_definition ALTER COLUMN format SET NOT NULL;
COMMENT ON COLUMN whisperer.hook_definition.format IS
    'of what its requests say; a name of one that is released always stands for the same';
COMMENT ON COLUMN whisperer.hook_definition.payload_key IS
    'what format whisperer calls the data; null: data';
COMMENT ON COLUMN whisperer.hook_definition.signing IS
    'a signature header of its own: header, value, content, overlap, algorithm, time_header; null: none';
COMMENT ON COLUMN whisperer.hook_definition.signatures IS
    'which of standard and whisperer its requests have; null: both';
COMMENT ON COLUMN whisperer.hook_definition.metadata_headers IS
    'which of time, object, source and attempt its requests say in headers X-Whisperer-*; null: none';
GRANT INSERT (format, payload_key, signing, signatures, metadata_headers),
      UPDATE (format, payload_key, signing, signatures, metadata_headers)
    ON whisperer.hook_definition TO PUBLIC;
ALTER TABLE whisperer.hook_run ADD COLUMN current_format text, ADD COLUMN former_formats text[],
    ADD COLUMN former_until pg_snapshot[], ADD COLUMN formats_incarnation bigint;
COMMENT ON COLUMN whisperer.hook_run.current_format IS
    'the format, with the payload_key, of events that are read from now on; null: no worker has sent the hook anything here';
COMMENT ON COLUMN whisperer.hook_run.former_formats IS
    'of events read before, oldest first; each of those visible in its snapshot in former_until and in none before it';
COMMENT ON COLUMN whisperer.hook_run.formats_incarnation IS
    'the database that the snapshots in former_until were taken in';
INSERT INTO whisperer.hook_run AS r (hook_id, current_format) SELECT id, 'whisperer' FROM whisperer.hook_definition WHERE is_active
ON CONFLICT (hook_id) DO UPDATE SET current_format = excluded.current_format;
ALTER TABLE whisperer.delivery ADD COLUMN format text;
COMMENT ON COLUMN whisperer.delivery.body IS
    'the body that the hook''s transform had a part in: of the last attempt, and of the next while it is pending';
COMMENT ON COLUMN whisperer.delivery.format IS
    'of its requests, with the payload_key, from when the row was made; null: whisperer';
-- What kind of error it is was told by its words.  Those of a transform are asked for when an event is expunged, others
-- while a delivery is pending.  There are indexes for what is read of the ledger here: most of it is successes.
ALTER TABLE whisperer.delivery ADD COLUMN error_code smallint;
COMMENT ON COLUMN whisperer.delivery.error_code IS
    'what kind of error it is; the next attempt is put off: 1: rate limit, 2: circuit is open, 3: endpoint is busy, 4: token is being fetched, 5: hooks of a higher priority go first; 10: where it goes is not allowed; 20: the transform failed, 21: the data does not fit the schema; ended without another attempt: 30: the transform returned null, 31: cancelled by request, 32: hook deleted, 33: expired, 34: expunged, 35: the event is no longer in the outbox; null: any other, or none';
ALTER TABLE whisperer.past_attempt ADD COLUMN error_code smallint;
COMMENT ON COLUMN whisperer.past_attempt.error_code IS 'as in whisperer.delivery';
UPDATE whisperer.delivery d SET error_code = k.error_code
FROM (VALUES (1, '^rate limit$'), (2, '^circuit is open$'), (3, '^endpoint is busy$'), (4, '^token is being fetched$'),
             (10, '^(token: )?(http|(address|host) [^ ]+) is not allowed'), (20, '^transform: '),
             (33, '^expired'), (35, '^the event is no longer in the outbox$')) AS k (error_code, pattern)
WHERE (d.state = 'failed' OR d.state = 'pending' AND d.next_attempt_at IS NOT NULL) AND d.error ~ k.pattern;
UPDATE whisperer.past_attempt SET error_code = 20 WHERE starts_with(error, 'transform: ');
-- Of a hook that was deleted while its transform failed.
UPDATE whisperer.delivery d SET error_code = 20
FROM whisperer.past_attempt p
WHERE p.error_code = 20 AND d.event_id = p.event_id AND d.hook_id = p.hook_id AND d.slot = p.slot
  AND d.state = 'cancelled' AND starts_with(d.error, 'transform: ');
DROP FUNCTION whisperer_internal.envelope(uuid, text, json);
DROP FUNCTION whisperer.create_hook(text, text, text, jsonb, jsonb, jsonb, text, jsonb, text, text, double precision, text);

-- They take an object_id now.  What was granted on them, or is made of them, is made again by the fragments or stops the
-- update: docs/upgrading.md says so.
DROP FUNCTION whisperer.deliver_event(text, json, jsonb);
DROP FUNCTION whisperer.deliver_event(text, jsonb, jsonb);
DROP FUNCTION whisperer.deliver_event(text, text, jsonb);
DROP PROCEDURE whisperer.deliver_now(text, json, jsonb, interval, jsonb);
DROP PROCEDURE IF EXISTS whisperer_internal.deliver_now_body(text, json, jsonb, interval, jsonb);

ALTER TABLE whisperer.hook_minute ADD COLUMN without_key integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN whisperer.hook_minute.without_key IS 'events without an object_id, of a hook that is ordered by it';

-- From now on no hook is made that overlaps with another of its owner's.  Those that do stay as they are.
DO $do$
DECLARE
    concerned constant text := (
        SELECT string_agg(format('%s and %s', a.id, b.id), ', ' ORDER BY a.id, b.id)
        FROM whisperer.hook_definition a JOIN whisperer.hook_definition b
          ON b.owner = a.owner AND b.target_url = a.target_url AND b.incarnation = a.incarnation AND b.id <> a.id
         AND (starts_with(b.event_type, left(a.event_type, -1)) AND right(a.event_type, 1) = '*')
         AND starts_with(a.event_type, 'whisperer-') = starts_with(b.event_type, 'whisperer-')
        WHERE a.is_active AND b.is_active);
BEGIN
    IF concerned IS NOT NULL THEN
        RAISE WARNING 'these hooks send the same events to the same URL: %', concerned
            USING HINT = 'One of two can be deleted, or sent elsewhere; whisperer.update_hook refuses such hooks from now on.';
    END IF;
END
$do$;

-- Objects of a filter whose keys all begin with '$' were compared as they stand.  Those whose keys are operators now ask
-- something else; others are compared as before.
DO $do$
DECLARE
    concerned constant text := (
        SELECT string_agg(h.id::text, ', ' ORDER BY h.id) FROM whisperer.hook_definition h
        WHERE h.is_active AND h.filter::text ~ '[{]"[$](eq|ne|in|nin|gt|gte|lt|lte|exists|prefix|suffix|contains|regex|and|or|not)": ');
BEGIN
    IF concerned IS NOT NULL THEN
        RAISE WARNING 'filters of these hooks have keys that are operators now: %', concerned
            USING HINT = 'To compare such an object as it stands, write {"$contains": {...}} around it.';
    END IF;
END
$do$;
-- What one hook may say of its requests.
ALTER TABLE whisperer.hook_definition
    ADD COLUMN timeout interval
        CONSTRAINT hook_timeout_check CHECK (extract(epoch FROM timeout) BETWEEN 1 AND 300),
    ADD COLUMN max_in_flight integer
        CONSTRAINT hook_max_in_flight_check CHECK (max_in_flight BETWEEN 1 AND 10000);
COMMENT ON COLUMN whisperer.hook_definition.timeout IS
    'how long one attempt may take, 1 s to 5 min; null: as whisperer.request_timeout says';
COMMENT ON COLUMN whisperer.hook_definition.max_in_flight IS
    'requests that may be open at once; null: as whisperer.max_in_flight_per_hook says';
GRANT INSERT (timeout, max_in_flight), UPDATE (timeout, max_in_flight) ON whisperer.hook_definition TO PUBLIC;
-- What is said of an event beside its data.
-- Who begins to record waits behind us for as long as we wait for somebody who has.
DO $do$
DECLARE
    lock_timeout constant text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    ALTER TABLE whisperer.outbox ADD COLUMN meta json, ALTER COLUMN data DROP NOT NULL;
    -- The fragments make them anew: they ask sees_hook().
    DROP POLICY IF EXISTS allowed_types ON whisperer.outbox;
    DROP POLICY IF EXISTS own_hooks ON whisperer.hook_run;
    DROP POLICY IF EXISTS own_hooks ON whisperer.delivery;
    DROP POLICY IF EXISTS own_hooks ON whisperer.past_attempt;
    -- As in a new installation.  What is there already stays as it was compressed.
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE whisperer.outbox ALTER COLUMN data SET COMPRESSION lz4;
        FOR slot IN 0..7 LOOP
            EXECUTE format('ALTER TABLE whisperer.outbox_%s ALTER COLUMN data SET COMPRESSION lz4', slot);
        END LOOP;
    END IF;
    PERFORM set_config('lock_timeout', lock_timeout, true);
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION '%', SQLERRM
        USING ERRCODE = 'lock_not_available', DETAIL = 'A transaction that has recorded an event, or has read the events, is open; pg_dump is one.',
              HINT = 'Repeat the statement when it has ended: nothing has been changed.';
END
$do$;
COMMENT ON COLUMN whisperer.outbox.data IS
    'the event''s data; null: it was expunged';
-- Links into the console have tokens of a kind of their own.
ALTER TABLE whisperer.api_token_record ADD COLUMN kind text NOT NULL DEFAULT 'api' CHECK (kind IN ('api', 'portal'));
COMMENT ON COLUMN whisperer.api_token_record.kind IS
    'api: of a client; portal: of a link into the console, which may do less at the gateway';

-- What a hook's owner calls it.
ALTER TABLE whisperer.hook_definition ADD COLUMN name text;
COMMENT ON COLUMN whisperer.hook_definition.name IS
    'what its owner calls it, for apply_hooks; null: nothing';
CREATE UNIQUE INDEX hook_definition_name
    ON whisperer.hook_definition (owner, name, incarnation) WHERE is_active;
GRANT INSERT (name), UPDATE (name) ON whisperer.hook_definition TO PUBLIC;

-- Whose requests go first.
ALTER TABLE whisperer.hook_definition ADD COLUMN priority text
    CONSTRAINT hook_priority_check CHECK (priority IN ('high', 'normal', 'low'));
ALTER TABLE whisperer.hook_definition ALTER COLUMN priority SET DEFAULT 'normal';
UPDATE whisperer.hook_definition SET priority = 'normal';
ALTER TABLE whisperer.hook_definition ALTER COLUMN priority SET NOT NULL;
COMMENT ON COLUMN whisperer.hook_definition.priority IS
    'whose requests go first while others wait: high, normal, low';
GRANT INSERT (priority), UPDATE (priority) ON whisperer.hook_definition TO PUBLIC;

-- Any text may name an event type.  A comma stands between the names that a hook is for, a star behind the beginning of several, and space around them is
-- no part of them.
CREATE FUNCTION whisperer_internal.is_event_type_name(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
RETURN name ~ E'^[^,\\u0001-\\u001f\\u007f]{1,128}$' AND name = btrim(name) AND right(name, 1) <> '*';
COMMENT ON FUNCTION whisperer_internal.is_event_type_name(text) IS
    'whether an event type may have this name: any text of 1 to 128 characters that could not be mistaken for a list or a prefix';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_event_type_name(text) TO PUBLIC;
ALTER TABLE whisperer.event_type DROP CONSTRAINT event_type_name_check,
    ADD CONSTRAINT event_type_name_check CHECK (whisperer_internal.is_event_type_name(name));

-- Hooks are dealt to several workers by their loads.  Each is served by another worker than before, so all of them begin
-- at the bookmark that is furthest behind.
ALTER TABLE whisperer.bookmark ADD COLUMN moved_hook_ids bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN dealt_at timestamptz NOT NULL DEFAULT now(), ADD COLUMN ahead pg_snapshot;
UPDATE whisperer.bookmark SET workers = 0 WHERE workers > 1;
COMMENT ON COLUMN whisperer.bookmark.workers IS
    'how many workers shared the hooks when this was written; 0: its worker has left so that they are dealt anew';
COMMENT ON COLUMN whisperer.bookmark.moved_hook_ids IS
    'hooks that the worker serves for their load, though their ids give them to another';
COMMENT ON COLUMN whisperer.bookmark.dealt_at IS 'when hooks were dealt to the workers';
COMMENT ON COLUMN whisperer.bookmark.ahead IS
    'how far the worker furthest ahead was when hooks were dealt: what is visible in it and not in the ledger becomes pending';
ALTER TABLE whisperer.bookmark ADD COLUMN is_drained boolean NOT NULL DEFAULT true;
UPDATE whisperer.bookmark SET is_drained = false;
COMMENT ON COLUMN whisperer.bookmark.is_drained IS
    'no worker runs, and whatever was sent is in the ledger; false: one runs, or ended without notice';

-- What the data of an event type may be.
ALTER TABLE whisperer.event_type ADD COLUMN schema jsonb, ADD COLUMN example jsonb,
    ADD COLUMN on_invalid text CONSTRAINT event_type_on_invalid_check CHECK (on_invalid IN ('fail', 'send'));
ALTER TABLE whisperer.event_type ALTER COLUMN on_invalid SET DEFAULT 'fail';
UPDATE whisperer.event_type SET on_invalid = 'fail';
ALTER TABLE whisperer.event_type ALTER COLUMN on_invalid SET NOT NULL;
COMMENT ON COLUMN whisperer.event_type.schema IS
    'JSON Schema 2020-12 of the data, as far as whisperer knows it; null: the data may be anything';
COMMENT ON COLUMN whisperer.event_type.example IS
    'data as an event of this type may have it, for people and for ping_hook; null: none was given';
COMMENT ON COLUMN whisperer.event_type.on_invalid IS
    'what becomes of the deliveries of an event that does not fit the schema: fail: they end failed; send: they are sent all the same';
COMMENT ON COLUMN whisperer.outbox.meta IS
    'what was said of the event when it was recorded: context: whisperer.context of the transaction, headers, deliver_at, expires_at, ping_of: the event type whose example a ping shows, idempotency_key, key_until; of one that was expunged: expunged_at; null: nothing';
DROP FUNCTION whisperer.register_event(text, text);
DROP FUNCTION whisperer_internal.register_event_as(oid, text, text);
DROP FUNCTION whisperer.record_ping(bigint);
DROP FUNCTION whisperer_internal.record_ping_as(oid, bigint);
DROP PROCEDURE whisperer.ping_hook(bigint, boolean, integer, interval, text, text);
