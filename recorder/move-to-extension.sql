-- Takes a database that records by whisperer-recorder.sql over to the extension, whose library the server has by now:
-- event types, privileges and capture triggers stay, and no event is lost.  docs/nodes.md says when and how.
--
--   psql -v ON_ERROR_STOP=1 -d DATABASE -f move-to-extension.sql
--
-- Run it as a superuser who trusts the recorder's role, whose tables it reads.  It is one statement, so that all of it
-- is done or nothing; while it runs nobody writes to the captured tables.  What the recorder was made of stays in
-- schemas of other names, for you to drop.
\set QUIET on
SET client_min_messages = notice;

DO $do$
DECLARE
    me constant name := current_user;
    -- They have what was recorded before from the WAL, and would have copies of it twice.
    has_nodes constant boolean := EXISTS (SELECT FROM pg_replication_slots s WHERE s.database = current_database() AND s.plugin = 'pgoutput');
    is_published constant boolean := EXISTS (SELECT FROM pg_publication p WHERE p.pubname = 'whisperer_events');
    past constant jsonb := '{"whisperer_created": "insert", "whisperer_updated": "update", "whisperer_deleted": "delete"}';
    moving record;
    events bigint := 0;
    types bigint := 0;
    triggers bigint := 0;
BEGIN
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = me) THEN
        RAISE EXCEPTION 'the move takes a superuser' USING ERRCODE = 'insufficient_privilege';
    ELSIF EXISTS (SELECT FROM pg_extension WHERE extname = 'whisperer') THEN
        RAISE EXCEPTION 'the extension whisperer is installed in this database' USING ERRCODE = 'duplicate_object';
    ELSIF to_regprocedure('whisperer.clean_outbox()') IS NULL THEN
        RAISE EXCEPTION 'this database does not record by whisperer-recorder.sql'
            USING ERRCODE = 'undefined_object', HINT = 'CREATE EXTENSION whisperer is all it needs.';
    END IF;

    CREATE TEMP TABLE moved_trigger ON COMMIT DROP AS
    SELECT t.tgrelid::regclass AS relation, t.tgname AS name, t.tgenabled AS enabled, n.nspname = 'whisperer_internal' AS is_watch,
           replace(pg_get_triggerdef(t.oid), format('EXECUTE FUNCTION %s(', t.tgfoid::regproc), 'EXECUTE FUNCTION whisperer.capture(') AS definition,
           (SELECT coalesce(array_agg(convert_from(decode(m.part[1], 'hex'), getdatabaseencoding()) ORDER BY m.place), '{}')
            FROM regexp_matches(encode(t.tgargs, 'hex'), '((?:(?!00)[0-9a-f]{2})*)00', 'g') WITH ORDINALITY AS m (part, place)) AS arguments,
           c.relowner::regrole AS owner
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE t.tgparentid = 0 AND (n.nspname = 'whisperer' AND p.proname = 'capture'
                                OR n.nspname = 'whisperer_internal' AND starts_with(p.proname, 'capture_'));

    -- As writers do: a table, and then the outbox.
    FOR moving IN SELECT DISTINCT m.relation FROM moved_trigger m ORDER BY m.relation LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', moving.relation);
    END LOOP;
    LOCK TABLE whisperer.outbox IN ACCESS EXCLUSIVE MODE;
    FOR moving IN SELECT * FROM moved_trigger LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', moving.name, moving.relation);
    END LOOP;

    -- A publication of the name is there before and after this transaction, so nodes go on.
    DROP PUBLICATION IF EXISTS whisperer_events;
    ALTER SCHEMA whisperer RENAME TO whisperer_recorder;
    ALTER SCHEMA whisperer_internal RENAME TO whisperer_recorder_internal;
    REVOKE ALL ON SCHEMA whisperer_recorder, whisperer_recorder_internal FROM PUBLIC;
    CREATE EXTENSION whisperer;
    IF is_published AND current_setting('wal_level') = 'logical' THEN
        PERFORM whisperer.publish_events();
    END IF;

    -- The recorder was open to everybody; the extension is for those who had to do with it.
    FOR moving IN
        SELECT r.oid::regrole AS role FROM pg_roles r
        WHERE r.oid IN (SELECT t.owner FROM whisperer_recorder.event_type t UNION SELECT p.role FROM whisperer_recorder.event_type_privilege p
                        UNION SELECT m.owner FROM moved_trigger m)
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA whisperer TO %s', moving.role);
    END LOOP;

    FOR moving IN
        SELECT t.name, t.owner, t.description, r.rolname FROM whisperer_recorder.event_type t LEFT JOIN pg_roles r ON r.oid = t.owner ORDER BY t.name
    LOOP
        IF moving.rolname IS NULL THEN
            RAISE WARNING 'event type "%" is yours now: its owner was dropped', moving.name;
        END IF;
        EXECUTE format('SET LOCAL ROLE %I', coalesce(moving.rolname, me));
        PERFORM whisperer.register_event(moving.name, moving.description);
        EXECUTE format('SET LOCAL ROLE %I', me);
        PERFORM whisperer.allow(p.event_type, p.role, p.privilege)
        FROM whisperer_recorder.event_type_privilege p JOIN pg_roles r ON r.oid = p.role WHERE p.event_type = moving.name;
        types := types + 1;
    END LOOP;

    -- A WHEN condition is parsed with the rights of who makes the trigger, and that may run what the table's owner wrote: so with
    -- his, which SET ROLE would not do, for he could reset it.
    CREATE FUNCTION pg_temp.make_trigger(definition text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS 'BEGIN EXECUTE definition; END';

    -- What watch() made it makes anew, as suits the extension.
    FOR moving IN SELECT * FROM moved_trigger m ORDER BY m.relation, m.name LOOP
        IF moving.is_watch AND past ? moving.name THEN
            PERFORM whisperer.watch(moving.relation, regexp_replace(moving.arguments[1], '-(created|updated|deleted)$', ''),
                                    ARRAY[past->>moving.name], moving.arguments[2:]);
        ELSE
            EXECUTE format('ALTER FUNCTION pg_temp.make_trigger(text) OWNER TO %s', moving.owner);
            EXECUTE 'SELECT pg_temp.make_trigger($1)' USING moving.definition;
        END IF;
        IF moving.enabled <> 'O' THEN
            EXECUTE format('ALTER TABLE %s %s TRIGGER %I', moving.relation,
                           CASE moving.enabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, moving.name);
        END IF;
        triggers := triggers + 1;
    END LOOP;

    DROP FUNCTION pg_temp.make_trigger(text);

    IF NOT has_nodes THEN
        INSERT INTO whisperer.outbox (id, event_type, data, source, object_id, config_filter, created_at)
        SELECT o.id, o.event_type, o.data, o.source, o.object_id, o.config_filter, o.created_at FROM whisperer_recorder.outbox o ORDER BY o.id;
        GET DIAGNOSTICS events = ROW_COUNT;
    END IF;
    RAISE NOTICE 'moved: event types %, capture triggers %, events %', types, triggers, events
        USING HINT = 'SELECT * FROM whisperer.check_triggers(); when all is well: DROP SCHEMA whisperer_recorder, whisperer_recorder_internal CASCADE.';
END
$do$;
