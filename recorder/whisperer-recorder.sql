-- Records events in a database in which the extension cannot be loaded: a managed PostgreSQL, 15 to 19.
--
-- Plain SQL and PL/pgSQL with the names of the extension: register_event, deliver_event, capture, watch.  Nothing
-- is delivered from here.  A delivery node, which is another PostgreSQL with the extension, subscribes to the
-- outbox by logical replication and delivers; docs/nodes.md shows how.
--
--   psql -v ON_ERROR_STOP=1 -1 -d DATABASE -f whisperer-recorder.sql
--
-- Run it as a role that may create schemas in the database.  It owns everything here: let it be one that owns
-- nothing else, because what a capture trigger calls (serializers, casts to json) runs with its rights.  Run the
-- file again to upgrade; events, types and triggers stay.
--
-- Names in bodies that run with the owner's rights are all qualified, operators too: the writer's search_path
-- decides nothing, and setting it for each row would cost a tenth of the row.
\set QUIET on
SET client_min_messages = warning;

DO $do$
BEGIN
    IF current_setting('server_version_num')::int < 150000 THEN
        RAISE EXCEPTION 'whisperer-recorder needs PostgreSQL 15 or later';
    END IF;
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'whisperer') THEN
        RAISE EXCEPTION 'the extension whisperer is installed in this database'
            USING HINT = 'It records by itself; the recorder is for databases without it.';
    END IF;
    IF (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        RAISE EXCEPTION 'the recorder''s role must not be a superuser'
            USING HINT = 'SET ROLE to a role of its own: what the owner of a watched table puts into a cast runs with its rights.';
    END IF;
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname IN ('whisperer', 'whisperer_internal')
                 AND pg_get_userbyid(n.nspowner) <> current_user) THEN
        RAISE EXCEPTION 'the schemas whisperer and whisperer_internal belong to somebody else'
            USING HINT = 'SET ROLE to the role that installed the recorder; if none did, drop the schemas.';
    END IF;
END
$do$;

CREATE SCHEMA IF NOT EXISTS whisperer;
CREATE SCHEMA IF NOT EXISTS whisperer_internal;
GRANT USAGE ON SCHEMA whisperer, whisperer_internal TO PUBLIC;

-- --- what may be recorded, and by whom -------------------------------------------------------------------

-- As the extension has it: a comma stands between the names that a hook is for, a star behind the beginning of several.
CREATE OR REPLACE FUNCTION whisperer_internal.is_event_type_name(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
RETURN name ~ E'^[^,\\u0001-\\u001f\\u007f]{1,128}$' AND name = btrim(name) AND right(name, 1) <> '*';
COMMENT ON FUNCTION whisperer_internal.is_event_type_name(text) IS 'whether an event type may have this name';

CREATE TABLE IF NOT EXISTS whisperer.event_type (
    name        text PRIMARY KEY
        CONSTRAINT event_type_name_check CHECK (whisperer_internal.is_event_type_name(name) AND NOT starts_with(name, 'whisperer-')),
    owner       regrole NOT NULL,
    description text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE whisperer.event_type IS 'what may be recorded';

CREATE TABLE IF NOT EXISTS whisperer.event_type_privilege (
    event_type text NOT NULL REFERENCES whisperer.event_type ON DELETE CASCADE,
    role       regrole NOT NULL,
    privilege  text NOT NULL CONSTRAINT event_type_privilege_check CHECK (privilege IN ('publish', 'subscribe')),
    PRIMARY KEY (event_type, role, privilege)
);
COMMENT ON TABLE whisperer.event_type_privilege IS
    'what allow() granted: which role, besides the owner''s members, may publish an event type';

CREATE OR REPLACE FUNCTION whisperer_internal.may_publish(role oid, event_type text) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM whisperer.event_type t
                   WHERE t.name = may_publish.event_type
                     AND (pg_has_role(may_publish.role, t.owner, 'MEMBER')
                          OR EXISTS (SELECT FROM whisperer.event_type_privilege p
                                     WHERE p.event_type = t.name AND p.privilege = 'publish'
                                       AND pg_has_role(may_publish.role, p.role, 'MEMBER'))));
END;
COMMENT ON FUNCTION whisperer_internal.may_publish(oid, text) IS 'whether a role may record events of a type';

-- Rows are guarded, not functions: who registers or records by hand acts as himself.
GRANT SELECT, INSERT ON whisperer.event_type, whisperer.event_type_privilege TO PUBLIC;
ALTER TABLE whisperer.event_type ENABLE ROW LEVEL SECURITY;
ALTER TABLE whisperer.event_type_privilege ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS seen ON whisperer.event_type;
DROP POLICY IF EXISTS made ON whisperer.event_type;
CREATE POLICY seen ON whisperer.event_type FOR SELECT USING (true);
CREATE POLICY made ON whisperer.event_type FOR INSERT WITH CHECK (pg_has_role(owner, 'MEMBER'));
DROP POLICY IF EXISTS seen ON whisperer.event_type_privilege;
DROP POLICY IF EXISTS made ON whisperer.event_type_privilege;
CREATE POLICY seen ON whisperer.event_type_privilege FOR SELECT USING (true);
CREATE POLICY made ON whisperer.event_type_privilege FOR INSERT
    WITH CHECK (EXISTS (SELECT FROM whisperer.event_type t WHERE t.name = event_type AND pg_has_role(t.owner, 'MEMBER')));

-- Who may DELETE may also lock the table, and everybody who records with it.  So what is to go is inserted here, where
-- a policy sees who it is that asks, and done by the owner.
CREATE TABLE IF NOT EXISTS whisperer_internal.removal (event_type text NOT NULL, role regrole, privilege text);
COMMENT ON TABLE whisperer_internal.removal IS 'event types, or privileges, to be removed: always empty';
GRANT INSERT ON whisperer_internal.removal TO PUBLIC;
ALTER TABLE whisperer_internal.removal ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS asked ON whisperer_internal.removal;
CREATE POLICY asked ON whisperer_internal.removal FOR INSERT
    WITH CHECK (EXISTS (SELECT FROM whisperer.event_type t WHERE t.name = event_type AND pg_has_role(t.owner, 'MEMBER')));

CREATE OR REPLACE FUNCTION whisperer_internal.remove() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.role IS NULL THEN
        DELETE FROM whisperer.event_type t WHERE t.name = NEW.event_type;
    ELSE
        DELETE FROM whisperer.event_type_privilege p
        WHERE p.event_type = NEW.event_type AND p.role = NEW.role AND p.privilege = NEW.privilege;
    END IF;
    DELETE FROM whisperer_internal.removal;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.remove() IS 'does what a row of removal says';
REVOKE EXECUTE ON FUNCTION whisperer_internal.remove() FROM PUBLIC;
CREATE OR REPLACE TRIGGER remove AFTER INSERT ON whisperer_internal.removal FOR EACH ROW EXECUTE FUNCTION whisperer_internal.remove();

-- --- the outbox ------------------------------------------------------------------------------------------

-- The time to 1/4096 of a millisecond: what of a UUID of version 7 sorts (RFC 9562, 6.2, method 3).
CREATE OR REPLACE FUNCTION whisperer_internal.clock() RETURNS bigint
    LANGUAGE sql VOLATILE
RETURN (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 4096000)::bigint;
COMMENT ON FUNCTION whisperer_internal.clock() IS 'the time that ids and slots are made of';

-- 70 minutes each, in turn.
CREATE OR REPLACE FUNCTION whisperer_internal.slot_of(ticks bigint) RETURNS smallint
    LANGUAGE sql IMMUTABLE
RETURN ((ticks >> 34) & 7)::smallint;
COMMENT ON FUNCTION whisperer_internal.slot_of(bigint) IS 'the partition that events of a time are recorded in';

CREATE OR REPLACE FUNCTION whisperer_internal.id_of(ticks bigint) RETURNS uuid
    LANGUAGE sql VOLATILE
RETURN pg_catalog.concat('0',
                         pg_catalog.to_hex(((ticks >> 12) << 16) | 28672 | (ticks & 4095)),
                         -- Variant 10, and 52 random bits or more; a random UUID costs five times as much.
                         pg_catalog.to_hex((pg_catalog.random() * 4611686018427387904)::bigint | -9223372036854775808))::uuid;
COMMENT ON FUNCTION whisperer_internal.id_of(bigint) IS 'an event''s id';

CREATE OR REPLACE FUNCTION whisperer_internal.new_id() RETURNS uuid
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN whisperer_internal.id_of(whisperer_internal.clock());
END;
$$;
COMMENT ON FUNCTION whisperer_internal.new_id() IS 'the id of an event that is recorded now';

-- Who inserts by hand may not choose the id: two rows with one in a transaction would stop every subscription, whose
-- outbox has a key.  So deliver_event() learns from here which it is.
CREATE OR REPLACE FUNCTION whisperer_internal.noted_id() RETURNS uuid
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made constant uuid := whisperer_internal.new_id();
BEGIN
    PERFORM set_config('whisperer_recorder.id', made::text, true);
    RETURN made;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.noted_id() IS 'the id of an event that is recorded by hand';

-- Without a key: nobody looks for a row here, and an index would cost every writer.  The ring of partitions is
-- emptied by TRUNCATE; a subscriber gets its rows from the WAL, so they need not be here for it.
CREATE TABLE IF NOT EXISTS whisperer.outbox (
    id            uuid NOT NULL DEFAULT whisperer_internal.noted_id(),
    event_type    text NOT NULL,
    data          json NOT NULL,
    source        text,
    object_id     text,
    config_filter jsonb,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    slot          smallint NOT NULL DEFAULT whisperer_internal.slot_of(whisperer_internal.clock())
) PARTITION BY LIST (slot);
COMMENT ON TABLE whisperer.outbox IS 'the log of events: one row each, written by the transaction that caused it';
DO $do$
BEGIN
    FOR slot IN 0..7 LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS whisperer.outbox_%s PARTITION OF whisperer.outbox FOR VALUES IN (%1$s)', slot);
    END LOOP;
END
$do$;

GRANT INSERT (event_type, data, config_filter, object_id) ON whisperer.outbox TO PUBLIC;
ALTER TABLE whisperer.outbox ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS published ON whisperer.outbox;
CREATE POLICY published ON whisperer.outbox FOR INSERT
    WITH CHECK (whisperer_internal.may_publish(quote_ident(current_user)::regrole, event_type)
                AND (config_filter IS NULL OR pg_column_size(config_filter) <= 8192));

-- Those from two partitions back to so many, where there is something.  What a reader or writer holds is for next time.
CREATE OR REPLACE FUNCTION whisperer_internal.empty_outbox(back_to integer) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_in constant int := whisperer_internal.slot_of(whisperer_internal.clock());
    emptied int := 0;
    slot int;
    used boolean;
BEGIN
    FOR back IN 2..back_to LOOP
        slot := (now_in + 8 - back) % 8;
        BEGIN
            EXECUTE format('LOCK TABLE whisperer.outbox_%s IN ACCESS SHARE MODE NOWAIT', slot);
            EXECUTE format('SELECT EXISTS (SELECT FROM whisperer.outbox_%s)', slot) INTO used;
            IF used THEN
                EXECUTE format('LOCK TABLE whisperer.outbox_%s IN ACCESS EXCLUSIVE MODE NOWAIT', slot);
                EXECUTE format('TRUNCATE whisperer.outbox_%s', slot);
                emptied := emptied + 1;
            END IF;
        EXCEPTION WHEN lock_not_available OR object_in_use THEN
            NULL;
        END;
    END LOOP;
    RETURN emptied;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.empty_outbox(integer) IS 'empties old partitions of the outbox';

CREATE OR REPLACE FUNCTION whisperer.clean_outbox() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN whisperer_internal.empty_outbox(6);
END;
$$;
COMMENT ON FUNCTION whisperer.clean_outbox() IS 'empties the partitions of the outbox that are hours old';

-- Within somebody's transaction, which may be long and holds them until it ends: so not those that are next to be
-- written.  Writers call it now and then.
CREATE OR REPLACE FUNCTION whisperer_internal.empty_old() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.empty_outbox(4);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.empty_old() IS 'what writers clean of the outbox';

-- --- types and events by hand ------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION whisperer.register_event(event_type text, description text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO whisperer.event_type (name, owner, description)
    VALUES (register_event.event_type, quote_ident(current_user)::regrole, register_event.description);
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'event type "%" is already registered', register_event.event_type
            USING ERRCODE = 'duplicate_object', HINT = 'Use it, or choose another name.';
    WHEN check_violation OR not_null_violation THEN
        RAISE EXCEPTION 'invalid event type name "%"', register_event.event_type
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use 1 to 128 characters without a comma or control character, without space around them, without * at the end, and not "whisperer-" at the start.';
END;
$$;
COMMENT ON FUNCTION whisperer.register_event(text, text) IS 'makes an event type, owned by the current user';

-- The caller's own, or an error that says why not.
CREATE OR REPLACE FUNCTION whisperer_internal.require_own(event_type text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner oid := (SELECT t.owner FROM whisperer.event_type t WHERE t.name = require_own.event_type);
BEGIN
    IF owner IS NULL THEN
        RAISE EXCEPTION 'event type "%" is not registered', event_type USING ERRCODE = 'undefined_object';
    ELSIF NOT pg_has_role(owner, 'MEMBER') THEN
        RAISE EXCEPTION 'must be owner of event type "%"', event_type USING ERRCODE = 'insufficient_privilege';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.require_own(text) IS 'fails unless an event type is the caller''s';

-- pg_trigger.tgargs: each ended by a zero byte.
CREATE OR REPLACE FUNCTION whisperer_internal.arguments_of(tgargs bytea) RETURNS text[]
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(array_agg(convert_from(decode(m.part[1], 'hex'), getdatabaseencoding()) ORDER BY m.place), '{}')
    FROM regexp_matches(encode(tgargs, 'hex'), '((?:(?!00)[0-9a-f]{2})*)00', 'g') WITH ORDINALITY AS m (part, place);
END;
COMMENT ON FUNCTION whisperer_internal.arguments_of(bytea) IS 'the arguments of a trigger';

-- Capture triggers of the type: made by hand, or by watch().
CREATE OR REPLACE FUNCTION whisperer_internal.capture_triggers(event_type text)
    RETURNS TABLE (trigger_name name, relation regclass)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.tgname, t.tgrelid FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgparentid = 0 AND NOT t.tgisinternal
      AND (p.pronamespace = to_regnamespace('whisperer') AND p.proname = 'capture'
           OR p.pronamespace = to_regnamespace('whisperer_internal') AND starts_with(p.proname, 'capture_'))
      AND (whisperer_internal.arguments_of(t.tgargs))[1] = capture_triggers.event_type;
END;
COMMENT ON FUNCTION whisperer_internal.capture_triggers(text) IS 'the triggers that record an event type';

CREATE OR REPLACE FUNCTION whisperer.unregister_event(event_type text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used_by text;
BEGIN
    PERFORM whisperer_internal.require_own(unregister_event.event_type);
    SELECT string_agg(format('trigger %I on %s', c.trigger_name, c.relation), ', ') INTO used_by
    FROM whisperer_internal.capture_triggers(unregister_event.event_type) c;
    IF used_by IS NOT NULL THEN
        RAISE EXCEPTION 'event type "%" is in use', unregister_event.event_type
            USING ERRCODE = 'object_in_use', DETAIL = format('Used by %s.', used_by), HINT = 'Drop the triggers first.';
    END IF;
    INSERT INTO whisperer_internal.removal (event_type) VALUES (unregister_event.event_type);
END;
$$;
COMMENT ON FUNCTION whisperer.unregister_event(text) IS 'removes an event type that no trigger records';

CREATE OR REPLACE FUNCTION whisperer.allow(event_type text, role_name regrole, privilege text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.require_own(allow.event_type);
    INSERT INTO whisperer.event_type_privilege VALUES (allow.event_type, allow.role_name, allow.privilege) ON CONFLICT DO NOTHING;
EXCEPTION WHEN check_violation OR not_null_violation THEN
    RAISE EXCEPTION 'unknown privilege "%"', allow.privilege
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Use publish or subscribe.';
END;
$$;
COMMENT ON FUNCTION whisperer.allow(text, regrole, text) IS 'lets a role publish or subscribe to an event type of yours';

CREATE OR REPLACE FUNCTION whisperer.disallow(event_type text, role_name regrole, privilege text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.require_own(disallow.event_type);
    IF role_name IS NOT NULL THEN
        INSERT INTO whisperer_internal.removal VALUES (disallow.event_type, disallow.role_name, disallow.privilege);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer.disallow(text, regrole, text) IS 'takes back what allow() gave';

-- Three signatures, so that json, jsonb and an untyped literal all work.  Each runs as its caller.
CREATE OR REPLACE FUNCTION whisperer.deliver_event(event_type text, data json, config_filter jsonb DEFAULT NULL, object_id text DEFAULT NULL)
    RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF event_type IS NULL OR data IS NULL THEN
        RAISE EXCEPTION '% of whisperer.deliver_event must not be null', CASE WHEN event_type IS NULL THEN 'event_type' ELSE 'data' END
            USING ERRCODE = 'null_value_not_allowed', HINT = 'For an event without data pass ''{}''.';
    END IF;
    IF pg_column_size(config_filter) > 8192 THEN
        RAISE EXCEPTION 'config_filter is larger than 8192 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT whisperer_internal.may_publish(quote_ident(current_user)::regrole, event_type) THEN
        IF NOT EXISTS (SELECT FROM whisperer.event_type t WHERE t.name = deliver_event.event_type) THEN
            RAISE EXCEPTION 'event type "%" is not registered', event_type
                USING ERRCODE = 'undefined_object', HINT = format('Call whisperer.register_event(%L) first.', event_type);
        END IF;
        RAISE EXCEPTION 'permission denied to publish event type "%"', event_type
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('The event type''s owner can call whisperer.allow(%L, %L, ''publish'').', event_type, quote_ident(current_user));
    END IF;
    INSERT INTO whisperer.outbox (event_type, data, config_filter, object_id)
    VALUES (deliver_event.event_type, deliver_event.data, deliver_event.config_filter, deliver_event.object_id);
    IF whisperer_internal.clock() & 8191 = 0 THEN
        PERFORM whisperer_internal.empty_old();
    END IF;
    RETURN current_setting('whisperer_recorder.id');
END;
$$;
CREATE OR REPLACE FUNCTION whisperer.deliver_event(event_type text, data jsonb, config_filter jsonb DEFAULT NULL, object_id text DEFAULT NULL)
    RETURNS uuid LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer.deliver_event(event_type, data::text::json, config_filter, object_id);
END;
CREATE OR REPLACE FUNCTION whisperer.deliver_event(event_type text, data text, config_filter jsonb DEFAULT NULL, object_id text DEFAULT NULL)
    RETURNS uuid LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer.deliver_event(event_type, data::json, config_filter, object_id);
END;
COMMENT ON FUNCTION whisperer.deliver_event(text, json, jsonb, text) IS 'records one event in this transaction and returns its id';
COMMENT ON FUNCTION whisperer.deliver_event(text, jsonb, jsonb, text) IS 'records one event in this transaction and returns its id';
COMMENT ON FUNCTION whisperer.deliver_event(text, text, jsonb, text) IS 'records one event in this transaction and returns its id';

-- --- what a capture trigger makes of a row -----------------------------------------------------------------
--
-- The same text for both kinds of trigger: whisperer.capture runs it as dynamic SQL, and watch() puts it into a
-- function that it makes for the table, whose plans PostgreSQL keeps.

-- "a,b" as identifiers, quoted where SQL would quote them.
CREATE OR REPLACE FUNCTION whisperer_internal.identifiers(list text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT CASE WHEN list ~ '^\s*("([^"]|"")+"|[^",\s]+)\s*(,\s*("([^"]|"")+"|[^",\s]+)\s*)*$' THEN
        (SELECT array_agg(CASE WHEN starts_with(m.part[1], '"')
                               THEN replace(substr(m.part[1], 2, length(m.part[1]) - 2), '""', '"')
                               ELSE lower(m.part[1] COLLATE "C") END ORDER BY m.place)
         FROM regexp_matches(list, '\s*("(?:[^"]|"")+"|[^",\s]+)\s*(?:,|$)', 'g') WITH ORDINALITY AS m (part, place)) END;
END;
COMMENT ON FUNCTION whisperer_internal.identifiers(text) IS 'a list of identifiers, taken apart; null: it is none';

-- The columns that an option names.  What is wrong with it is an error when a trigger is made; when one fires, what
-- is no longer there is left out, for the application's write must go on.
CREATE OR REPLACE FUNCTION whisperer_internal.columns_of(relation regclass, option text, firing boolean) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names text[] := whisperer_internal.identifiers(substr(option, position('=' IN option) + 1));
    missing text;
BEGIN
    IF names IS NULL THEN
        RAISE EXCEPTION 'bad list of columns' USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The option is "%s".', option);
    END IF;
    SELECT n INTO missing FROM unnest(names) AS n
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = n AND a.attnum > 0 AND NOT a.attisdropped);
    IF missing IS NULL THEN
        RETURN names;
    ELSIF NOT firing THEN
        RAISE EXCEPTION 'column "%" of table % does not exist', missing, relation
            USING ERRCODE = 'undefined_column', DETAIL = format('The option is "%s".', option);
    END IF;
    RAISE WARNING 'column "%" of table % does not exist: what is recorded lacks it', missing, relation
        USING HINT = 'Make the trigger anew with columns that the table has.';
    RETURN coalesce((SELECT array_agg(u.n ORDER BY u.place) FROM unnest(names) WITH ORDINALITY AS u (n, place)
                     WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = u.n AND a.attnum > 0 AND NOT a.attisdropped)), '{}');
END;
$$;
COMMENT ON FUNCTION whisperer_internal.columns_of(regclass, text, boolean) IS 'the columns that an option of a trigger names';

DO $do$
BEGIN
    IF to_regtype('whisperer_internal.capture_options') IS NULL THEN
        CREATE TYPE whisperer_internal.capture_options AS (
            event_type text, source text, columns text[], changed text[], keys text[], serializer text, is_jsonb boolean, include_old boolean, problem text);
    END IF;
END
$do$;

CREATE OR REPLACE FUNCTION whisperer_internal.capture_options(relation regclass, arguments text[], firing boolean)
    RETURNS whisperer_internal.capture_options
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
    options whisperer_internal.capture_options;
    option text;
    value text;
    result regtype;
    known constant text := 'Options of whisperer.capture: serializer=function, columns=a,b, include=old, changed=a,b, key=a,b.';
BEGIN
    IF whisperer_internal.is_event_type_name(arguments[1]) IS NOT TRUE THEN
        RAISE EXCEPTION 'a capture trigger on table % names no event type', relation
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write EXECUTE FUNCTION whisperer.capture(''<event type>'').';
    END IF;
    options.event_type := arguments[1];
    options.include_old := false;
    SELECT format('%I.%I', n.nspname, c.relname) INTO options.source
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
    FOREACH option IN ARRAY arguments[2:] LOOP
        value := substr(option, position('=' IN option) + 1);
        IF position('=' IN option) = 0 THEN
            RAISE EXCEPTION 'an option must be written as name=value'
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The option is "%s".', option), HINT = known;
        END IF;
        CASE split_part(option, '=', 1)
            WHEN 'columns' THEN options.columns := whisperer_internal.columns_of(relation, option, firing);
            WHEN 'changed' THEN
                options.changed := whisperer_internal.columns_of(relation, option, firing);
                -- Whether one that is gone differs nobody knows: rather an event too many than one too few.
                IF cardinality(options.changed) < cardinality(whisperer_internal.identifiers(value)) THEN
                    options.changed := NULL;
                END IF;
            WHEN 'key' THEN options.keys := whisperer_internal.columns_of(relation, option, firing);
            WHEN 'serializer' THEN
                -- The writing user's search_path must not decide which it is.
                IF coalesce(cardinality(parse_ident(value)), 0) <> 2 THEN
                    RAISE EXCEPTION 'the serializer must be named with its schema'
                        USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The option is "%s".', option);
                END IF;
                SELECT p.prorettype INTO result FROM pg_proc p JOIN pg_class c ON c.oid = relation
                WHERE p.oid = to_regprocedure(format('%s(%s)', value, options.source)) AND NOT p.proretset;
                IF firing AND result IS NULL THEN
                    RAISE WARNING 'serializer %(%) does not exist: what is recorded says so', value, relation;
                    options.problem := 'the serializer of the trigger does not exist';
                    CONTINUE;
                ELSIF coalesce(result NOT IN ('json'::regtype, 'jsonb'::regtype), true) THEN
                    RAISE EXCEPTION 'serializer %(%) does not exist', value, relation
                        USING ERRCODE = 'undefined_function', HINT = 'A serializer takes the row type of the table and returns json or jsonb.';
                END IF;
                options.serializer := (SELECT string_agg(quote_ident(part), '.' ORDER BY place) FROM unnest(parse_ident(value)) WITH ORDINALITY AS u (part, place));
                options.is_jsonb := result = 'jsonb'::regtype;
            WHEN 'include' THEN
                IF value <> 'old' THEN
                    RAISE EXCEPTION 'include takes only the value old' USING ERRCODE = 'invalid_parameter_value', HINT = known;
                END IF;
                options.include_old := true;
            ELSE
                RAISE EXCEPTION 'unknown option' USING ERRCODE = 'invalid_parameter_value', DETAIL = format('The option is "%s".', option), HINT = known;
        END CASE;
    END LOOP;
    IF options.columns IS NOT NULL AND options.serializer IS NOT NULL THEN
        RAISE EXCEPTION 'columns and serializer exclude each other' USING ERRCODE = 'invalid_parameter_value', HINT = known;
    END IF;
    IF 0 IN (cardinality(options.columns), cardinality(options.changed), cardinality(options.keys)) THEN
        options.problem := 'the table has no column that the trigger names';
    END IF;
    -- Without the option, or a column of it, it is the primary key, in the order of the table's columns.
    IF coalesce(cardinality(options.keys), 0) = 0 THEN
        SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO options.keys
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
        WHERE i.indrelid = relation AND i.indisprimary AND i.indisvalid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]);
    END IF;
    RETURN options;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.capture_options(regclass, text[], boolean) IS 'the arguments of a capture trigger, checked';

-- Whether the text of a type follows search_path and lc_monetary: names of objects and money, also within others.
CREATE OR REPLACE FUNCTION whisperer_internal.follows_names(relation regclass) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE parts (type) AS (
        SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT p.type FROM parts JOIN pg_type t ON t.oid = parts.type
        CROSS JOIN LATERAL (
            SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL SELECT t.typelem WHERE t.typelem <> 0
            UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
            UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
        ) AS p (type))
    SELECT EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                     AND a.atttypid <> ALL ('{bool,int2,int4,int8,float4,float8,numeric,text,varchar,bpchar,bytea,uuid,date,time,timetz,timestamp,timestamptz,interval,json,jsonb}'::regtype[]))
       AND EXISTS (SELECT FROM parts JOIN pg_type t ON t.oid = parts.type
                   WHERE t.oid = 'money'::regtype OR t.typnamespace = 'pg_catalog'::regnamespace AND t.typname ~ '^reg');
END;
COMMENT ON FUNCTION whisperer_internal.follows_names(regclass) IS 'whether a table has names of objects, or money';

-- Types of an extension or of a user whose casts to json might give out what is none.
CREATE OR REPLACE FUNCTION whisperer_internal.casts_to_json(relation regclass) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM pg_cast c WHERE c.casttarget = 'json'::regtype AND c.castmethod <> 'i' AND c.castsource::bigint >= 16384)
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid::bigint >= 16384);
END;
COMMENT ON FUNCTION whisperer_internal.casts_to_json(regclass) IS 'whether casts that are not PostgreSQL''s own may make the JSON of a row';

CREATE OR REPLACE FUNCTION whisperer_internal.serialized(data json) RETURNS json
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF data IS NULL THEN
        RAISE EXCEPTION 'a serializer returned null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'To record no event for some rows, give the trigger a WHEN condition.';
    END IF;
    RETURN whisperer_internal.checked(data);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.serialized(json) IS 'what a serializer gave out, checked';

-- What a subscriber cannot take as json would stop the subscription.
CREATE OR REPLACE FUNCTION whisperer_internal.checked(data json) RETURNS json
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN data::text::json;
EXCEPTION WHEN invalid_text_representation THEN
    RETURN '{"whisperer-problem":"the data of the row is not valid JSON"}';
END;
$$;
COMMENT ON FUNCTION whisperer_internal.checked(json) IS 'data, or what says that it is no JSON';

-- Expressions over rows of the table's type, written as the texts row and old_row.
CREATE OR REPLACE FUNCTION whisperer_internal.row_json(relation regclass, options whisperer_internal.capture_options, new_row text)
    RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN (options).serializer IS NOT NULL THEN
            format('whisperer_internal.serialized(%s(%s)%s)', (options).serializer, new_row,
                   CASE WHEN (options).is_jsonb THEN '::pg_catalog.text::pg_catalog.json' END)
        WHEN (options).columns IS NOT NULL THEN
            format('(SELECT pg_catalog.row_to_json(chosen.*) FROM (SELECT %s) AS chosen)',
                   (SELECT string_agg(format('(%s).%I', new_row, c.name), ', ' ORDER BY c.place) FROM unnest((options).columns) WITH ORDINALITY AS c (name, place)))
        ELSE format('pg_catalog.row_to_json(%s)', new_row) END;
END;

CREATE OR REPLACE FUNCTION whisperer_internal.data_of(relation regclass, options whisperer_internal.capture_options, is_update boolean, new_row text, old_row text)
    RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN (options).problem IS NOT NULL THEN format('%L::pg_catalog.json', format('{"whisperer-problem":"%s"}', (options).problem)) ELSE
           format(CASE WHEN (options).serializer IS NULL AND whisperer_internal.casts_to_json(relation)
                       THEN 'whisperer_internal.checked(%s)' ELSE '%s' END,
                  CASE WHEN is_update AND (options).include_old THEN
                      format('pg_catalog.concat(''{"new":'', %s, '',"old":'', COALESCE(CASE WHEN %s IS DISTINCT FROM NULL THEN %s END::pg_catalog.text, ''null''), ''}'')::pg_catalog.json',
                             whisperer_internal.row_json(relation, options, new_row), old_row, whisperer_internal.row_json(relation, options, old_row))
                  ELSE whisperer_internal.row_json(relation, options, new_row) END) END;
END;
COMMENT ON FUNCTION whisperer_internal.row_json(regclass, whisperer_internal.capture_options, text) IS
    'the expression that makes JSON of a row';
COMMENT ON FUNCTION whisperer_internal.data_of(regclass, whisperer_internal.capture_options, boolean, text, text) IS
    'the expression that makes an event''s data';

-- Values as text, joined by commas.  Among several a comma within one is escaped, or two rows could have one key.
-- E'' means the same under either setting of standard_conforming_strings.
CREATE OR REPLACE FUNCTION whisperer_internal.key_of(options whisperer_internal.capture_options, new_row text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE coalesce(cardinality((options).keys), 0)
        WHEN 0 THEN 'NULL'
        WHEN 1 THEN format('pg_catalog.concat((%s).%I)', new_row, (options).keys[1])
        ELSE (SELECT format('pg_catalog.concat(%s)',
                            string_agg(format('pg_catalog.replace(pg_catalog.replace(pg_catalog.concat((%s).%I), E''\\'', E''\\\\''), '','', E''\\,'')', new_row, k.name),
                                       ', '','', ' ORDER BY k.place))
              FROM unnest((options).keys) WITH ORDINALITY AS k (name, place)) END;
END;
COMMENT ON FUNCTION whisperer_internal.key_of(whisperer_internal.capture_options, text) IS 'the expression that makes an event''s object_id';

-- Compared as they are stored: 1.0 is not 1.00, and json has no operator that would compare it.
CREATE OR REPLACE FUNCTION whisperer_internal.differs(names text[], new_row text, old_row text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format('pg_catalog.record_image_ne(ROW(%s), ROW(%s))',
                  string_agg(format('(%s).%I', new_row, n), ', '), string_agg(format('(%s).%I', old_row, n), ', '))
    FROM unnest(names) AS n;
END;
COMMENT ON FUNCTION whisperer_internal.differs(text[], text, text) IS 'the expression that tells whether one of the columns differs';

-- What the payload depends on but must not; null: it is as it should be.  For names of objects and money always.
CREATE OR REPLACE FUNCTION whisperer_internal.pin(with_names boolean) RETURNS text[]
    LANGUAGE plpgsql
AS $$
DECLARE
    names constant pg_catalog.text[] := '{TimeZone,DateStyle,IntervalStyle,bytea_output,extra_float_digits,quote_all_identifiers,lc_monetary,search_path}';
    pinned constant pg_catalog.text[] := '{UTC,"ISO, MDY",postgres,hex,1,off,C,"pg_catalog, pg_temp"}';
    saved pg_catalog.text[];
BEGIN
    FOR i IN 1..CASE WHEN with_names THEN 8 ELSE 5 END LOOP
        saved[i] := pg_catalog.current_setting(names[i]);
        PERFORM pg_catalog.set_config(names[i], pinned[i], true);
    END LOOP;
    RETURN saved;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.pin(boolean) IS 'sets what payloads depend on, and returns what it was';

CREATE OR REPLACE FUNCTION whisperer_internal.unpin(saved text[]) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    names constant pg_catalog.text[] := '{TimeZone,DateStyle,IntervalStyle,bytea_output,extra_float_digits,quote_all_identifiers,lc_monetary,search_path}';
BEGIN
    FOR i IN REVERSE pg_catalog.cardinality(saved)..1 LOOP
        PERFORM pg_catalog.set_config(names[i], saved[i], true);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.unpin(text[]) IS 'sets back what pin() changed';

CREATE OR REPLACE FUNCTION whisperer_internal.is_pinned() RETURNS boolean
    LANGUAGE sql STABLE
RETURN pg_catalog.current_setting('TimeZone') OPERATOR(pg_catalog.=) 'UTC'
   AND pg_catalog.starts_with(pg_catalog.current_setting('DateStyle'), 'ISO')
   AND pg_catalog.current_setting('IntervalStyle') OPERATOR(pg_catalog.=) 'postgres'
   AND pg_catalog.current_setting('bytea_output') OPERATOR(pg_catalog.=) 'hex'
   AND pg_catalog.current_setting('extra_float_digits') OPERATOR(pg_catalog.=) ANY ('{1,2,3}');
COMMENT ON FUNCTION whisperer_internal.is_pinned() IS 'whether the session has what payloads depend on as pin() sets it';

-- --- whisperer.capture: for a trigger that is made by hand -----------------------------------------------------
--
-- The statement is made anew each time, so that it fits the table as it is.  That costs half a millisecond: for a
-- statement of many rows it does not count, for each row it does; watch() makes triggers without it.

-- The table that the trigger was made on; a partition's may be a clone of one further up.
CREATE OR REPLACE FUNCTION whisperer_internal.table_of_trigger(relation oid, trigger name) RETURNS regclass
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE up (tgrelid, tgparentid) AS (
        SELECT t.tgrelid, t.tgparentid FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger
        UNION ALL
        SELECT t.tgrelid, t.tgparentid FROM up JOIN pg_trigger t ON t.oid = up.tgparentid)
    SELECT tgrelid FROM up WHERE tgparentid = 0;
END;
COMMENT ON FUNCTION whisperer_internal.table_of_trigger(oid, name) IS 'the table that a trigger was made on';

CREATE OR REPLACE FUNCTION whisperer_internal.row_statement(relation regclass, options whisperer_internal.capture_options, operation text)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_row constant text := format(CASE WHEN operation = 'DELETE' THEN '($2::%s)' ELSE '($1::%s)' END, options.source);
    old_row constant text := format('($2::%s)', options.source);
BEGIN
    RETURN format('INSERT INTO whisperer.outbox (id, event_type, data, source, object_id) SELECT whisperer_internal.new_id(), %L, %s, %L, %s',
                  options.event_type, whisperer_internal.data_of(relation, options, operation = 'UPDATE', new_row, old_row),
                  options.source, whisperer_internal.key_of(options, new_row))
        || CASE WHEN operation = 'UPDATE' AND cardinality(options.changed) > 0
                THEN ' WHERE ' || whisperer_internal.differs(options.changed, new_row, old_row) ELSE '' END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.row_statement(regclass, whisperer_internal.capture_options, text) IS
    'the INSERT of the event of a row: $1 is the new one, $2 the old one';

-- The rows of a transition table as ones of the table's type.  Numbers are for a join, and a sort after it: without,
-- they come in their order and need no file.
CREATE OR REPLACE FUNCTION whisperer_internal.rows_of(relation regclass, source text, transition_table name, with_numbers boolean) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format('(SELECT ROW(%s)::%s AS r%s FROM %I t)', string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum), source,
                  CASE WHEN with_numbers THEN ', pg_catalog.row_number() OVER () AS place' END, transition_table)
    FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
END;
COMMENT ON FUNCTION whisperer_internal.rows_of(regclass, text, name, boolean) IS 'a transition table as a subquery';

-- The two transition tables of an UPDATE have their rows in the same order, but a row that moves to another partition and
-- is suppressed there is in the old one alone: then they are paired by their keys.
CREATE OR REPLACE FUNCTION whisperer_internal.statement_statement(relation regclass, options whisperer_internal.capture_options, operation text,
                                                                  new_table name, old_table name, is_paired boolean)
    RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    needs_old constant boolean := operation = 'UPDATE' AND (options.include_old OR cardinality(options.changed) > 0);
    rows constant text := whisperer_internal.rows_of(relation, options.source, CASE operation WHEN 'DELETE' THEN old_table ELSE new_table END, needs_old);
BEGIN
    RETURN format('INSERT INTO whisperer.outbox (id, event_type, data, source, object_id) SELECT whisperer_internal.new_id(), %L, %s, %L, %s FROM %s n',
                  options.event_type, whisperer_internal.data_of(relation, options, operation = 'UPDATE', 'n.r', 'o.r'),
                  options.source, whisperer_internal.key_of(options, 'n.r'), rows)
        || CASE WHEN needs_old THEN
               format(' LEFT JOIN %s o ON (%s)', whisperer_internal.rows_of(relation, options.source, old_table, true),
                      CASE WHEN is_paired THEN 'o.place OPERATOR(pg_catalog.=) n.place'
                           WHEN coalesce(cardinality(options.keys), 0) = 0 THEN 'false'
                           ELSE format('NOT (%s)', whisperer_internal.differs(options.keys, 'n.r', 'o.r')) END)
               || CASE WHEN cardinality(options.changed) > 0
                       THEN format(' WHERE o.place IS NULL OR %s', whisperer_internal.differs(options.changed, 'n.r', 'o.r')) ELSE '' END
                  || ' ORDER BY n.place'
           ELSE '' END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.statement_statement(regclass, whisperer_internal.capture_options, text, name, name, boolean) IS
    'the INSERT of the events of a statement''s rows';

-- Null, with a warning: the table's owner may not publish the type, so nothing is recorded.
CREATE OR REPLACE FUNCTION whisperer_internal.options_when_firing(relation oid, trigger name, arguments text[], OUT made_on regclass,
                                                                  OUT options whisperer_internal.capture_options)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    made_on := whisperer_internal.table_of_trigger(relation, trigger);
    IF NOT whisperer_internal.may_publish((SELECT c.relowner FROM pg_class c WHERE c.oid = made_on), arguments[1]) THEN
        -- Once in a transaction.
        IF coalesce(current_setting('whisperer_recorder.warned', true), '') <> arguments[1] THEN
            RAISE WARNING 'trigger "%" on table % records nothing: the table''s owner may not publish event type "%"', trigger, made_on, arguments[1]
                USING HINT = 'Call whisperer.register_event, or have the event type''s owner call whisperer.allow.';
            PERFORM set_config('whisperer_recorder.warned', arguments[1], true);
        END IF;
        RETURN;
    END IF;
    options := whisperer_internal.capture_options(made_on, arguments, true);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.options_when_firing(oid, name, text[]) IS 'the options of a trigger that has fired';

CREATE OR REPLACE FUNCTION whisperer_internal.capture_row(relation oid, trigger name, arguments text[], operation text, new_row record, old_row record)
    RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    found pg_catalog.record := whisperer_internal.options_when_firing(relation, trigger, arguments);
BEGIN
    IF found.options IS DISTINCT FROM NULL THEN
        EXECUTE whisperer_internal.row_statement(found.made_on, found.options, operation) USING new_row, old_row;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.capture_row(oid, name, text[], text, record, record) IS 'records the event of a row';

CREATE OR REPLACE FUNCTION whisperer_internal.transition_tables(relation oid, trigger name, operation text, options whisperer_internal.capture_options,
                                                                OUT new_table name, OUT old_table name, OUT is_partitioned boolean)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT t.tgnewtable, t.tgoldtable, c.relkind = 'p' INTO new_table, old_table, is_partitioned
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgrelid = relation AND t.tgname = trigger;
    IF operation <> 'DELETE' AND new_table IS NULL
       OR old_table IS NULL AND (operation = 'DELETE' OR operation = 'UPDATE' AND (options.include_old OR cardinality(options.changed) > 0)) THEN
        RAISE EXCEPTION 'trigger "%" on table % lacks a transition table', trigger, relation::regclass
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Add REFERENCING NEW TABLE AS new_rows (INSERT, UPDATE) or OLD TABLE AS old_rows (DELETE, and UPDATE with include=old or changed=).';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.transition_tables(oid, name, text, whisperer_internal.capture_options) IS
    'the transition tables of a statement''s trigger';

CREATE OR REPLACE FUNCTION whisperer.capture() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    found pg_catalog.record;
    tables pg_catalog.record;
    is_paired pg_catalog.bool := true;
    saved pg_catalog.text[];
BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'TRUNCATE' OR TG_WHEN OPERATOR(pg_catalog.<>) 'AFTER' THEN
        RAISE EXCEPTION 'trigger "%": whisperer.capture must fire AFTER INSERT, UPDATE or DELETE', TG_NAME
            USING ERRCODE = 'feature_not_supported', HINT = 'A TRUNCATE has no rows to tell of; call whisperer.deliver_event instead.';
    END IF;
    saved := whisperer_internal.pin(whisperer_internal.follows_names(TG_RELID));
    IF TG_LEVEL OPERATOR(pg_catalog.=) 'ROW' THEN
        PERFORM whisperer_internal.capture_row(TG_RELID, TG_NAME, TG_ARGV[0:], TG_OP, NEW, OLD);
    ELSE
        found := whisperer_internal.options_when_firing(TG_RELID, TG_NAME, TG_ARGV[0:]);
        IF found.options IS DISTINCT FROM NULL THEN
            tables := whisperer_internal.transition_tables(TG_RELID, TG_NAME, TG_OP, found.options);
            IF tables.old_table IS NOT NULL AND tables.new_table IS NOT NULL AND tables.is_partitioned THEN
                EXECUTE pg_catalog.format('SELECT (SELECT pg_catalog.count(*) FROM %I) OPERATOR(pg_catalog.=) (SELECT pg_catalog.count(*) FROM %I)',
                                          tables.new_table, tables.old_table) INTO is_paired;
            END IF;
            EXECUTE whisperer_internal.statement_statement(found.made_on, found.options, TG_OP, tables.new_table, tables.old_table, is_paired);
        END IF;
    END IF;
    PERFORM whisperer_internal.unpin(saved);
    -- A call may record many, and is long.
    IF whisperer_internal.clock() OPERATOR(pg_catalog.&) 255 OPERATOR(pg_catalog.=) 0 THEN
        PERFORM whisperer_internal.empty_old();
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer.capture() IS 'trigger that records one event per row: capture(''event type'' [, ''option=value'' ...])';

-- --- watch: triggers with functions of their own -------------------------------------------------------------------
--
-- PostgreSQL keeps the plans of a function, so a row costs a small part of what it does with whisperer.capture.  Nothing in
-- it makes the table depend on it: any ALTER goes through.  Where a name that it has is gone, or has another type
-- than when the session began, that is found out before anything is written, and the event is made as whisperer.capture would.

-- What the table's trigger calls, also after a renaming; else a name that no other table's trigger has, also one that
-- was called so before.
CREATE OR REPLACE FUNCTION whisperer_internal.capture_function(relation regclass, operation text) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH used AS (SELECT t.tgrelid, p.proname::text AS name FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                  WHERE t.tgparentid = 0 AND p.pronamespace = to_regnamespace('whisperer_internal')),
    names AS (SELECT u.name, -1 AS place FROM used u WHERE u.tgrelid = relation AND u.name ~ ('^capture_.*_' || lower(operation) || '$')
              UNION ALL
              -- A name is cut at 63 bytes, which other letters would fill.
              SELECT concat_ws('_', 'capture', regexp_replace(left(c.relname, 24), '[^A-Za-z0-9_]', '', 'g'),
                               left(md5(concat(n.nspname, '.', c.relname, nullif(place, 0))), 8), lower(operation)), place
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN generate_series(0, 99) AS place WHERE c.oid = relation)
    SELECT format('whisperer_internal.%I', names.name) FROM names
    WHERE NOT EXISTS (SELECT FROM used u WHERE u.name = names.name AND u.tgrelid <> relation) ORDER BY names.place LIMIT 1;
END;
COMMENT ON FUNCTION whisperer_internal.capture_function(regclass, text) IS 'the name of the function that watch() makes';

CREATE OR REPLACE FUNCTION whisperer_internal.name_of(schema_name name, table_name name) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
BEGIN
    RETURN format('%I.%I', schema_name, table_name);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.name_of(name, name) IS 'the source of a table''s events';

CREATE OR REPLACE FUNCTION whisperer_internal.make_capture(relation regclass, operation text, arguments text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
    options constant whisperer_internal.capture_options := whisperer_internal.capture_options(relation, arguments, false);
    is_partitioned constant boolean := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = relation);
    is_update constant boolean := operation = 'UPDATE';
    with_names constant boolean := whisperer_internal.follows_names(relation);
    -- A partition's row becomes one of what it is a part of.
    new_row constant text := CASE WHEN is_partitioned THEN format('(%s::%s)', CASE operation WHEN 'DELETE' THEN 'OLD' ELSE 'NEW' END, options.source)
                                  WHEN operation = 'DELETE' THEN 'OLD' ELSE 'NEW' END;
    old_row constant text := CASE WHEN is_partitioned THEN format('(OLD::%s)', options.source) ELSE 'OLD' END;
    source text := quote_literal(options.source);
    name constant text := whisperer_internal.capture_function(relation, operation);
BEGIN
    IF NOT is_partitioned THEN
        SELECT format('CASE WHEN TG_TABLE_NAME OPERATOR(pg_catalog.=) %L AND TG_TABLE_SCHEMA OPERATOR(pg_catalog.=) %L THEN %L'
                      ' ELSE whisperer_internal.name_of(TG_TABLE_SCHEMA, TG_TABLE_NAME) END', c.relname, n.nspname, options.source)
        INTO source FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS %L', name, format($body$
DECLARE
    ticks constant pg_catalog.int8 := whisperer_internal.clock();
    saved pg_catalog.text[];
    is_wanted pg_catalog.bool;
    its_data pg_catalog.json;
    its_key pg_catalog.text;
BEGIN
    IF %s THEN
        saved := whisperer_internal.pin(%L);
    END IF;
    BEGIN
        is_wanted := %s;
        IF is_wanted THEN
            its_data := %s;
            its_key := %s;
        END IF;
    EXCEPTION WHEN undefined_column OR undefined_function OR undefined_object OR undefined_table OR invalid_schema_name OR datatype_mismatch OR cannot_coerce THEN
        PERFORM whisperer_internal.capture_row(TG_RELID, TG_NAME, TG_ARGV[0:], TG_OP, NEW, OLD);
        is_wanted := false;
    END;
    IF is_wanted THEN
        INSERT INTO whisperer.outbox (id, event_type, data, source, object_id, slot)
        VALUES (whisperer_internal.id_of(ticks), %L, its_data, %s, its_key, whisperer_internal.slot_of(ticks));
    END IF;
    IF saved IS NOT NULL THEN
        PERFORM whisperer_internal.unpin(saved);
    END IF;
    -- About once in 8,192 events.
    IF ticks OPERATOR(pg_catalog.&) 8191 OPERATOR(pg_catalog.=) 0 THEN
        PERFORM whisperer_internal.empty_old();
    END IF;
    RETURN NULL;
END;
$body$,
        CASE WHEN with_names THEN 'true' ELSE 'NOT whisperer_internal.is_pinned()' END, with_names,
        CASE WHEN is_update AND cardinality(options.changed) > 0 THEN whisperer_internal.differs(options.changed, new_row, old_row) ELSE 'true' END,
        whisperer_internal.data_of(relation, options, is_update, new_row, old_row), whisperer_internal.key_of(options, new_row),
        options.event_type, source));
    -- For triggers of this table alone: on a table of somebody else's it would call that one's casts, with the rights
    -- of the recorder.  The owner needs it for partitions that are to come.
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s() FROM PUBLIC', name);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s() TO %s', name, (SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = relation));
END;
$$;
COMMENT ON FUNCTION whisperer_internal.make_capture(regclass, text, text[]) IS 'makes the functions of a trigger of watch()';

-- The functions of triggers that are gone.
CREATE OR REPLACE FUNCTION whisperer_internal.drop_unused_captures() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unused regprocedure;
BEGIN
    FOR unused IN
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'whisperer_internal'::regnamespace AND starts_with(p.proname, 'capture_') AND p.prorettype = 'trigger'::regtype
          AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)
    LOOP
        EXECUTE format('DROP FUNCTION %s', unused);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.drop_unused_captures() IS 'drops functions that watch() made and no trigger uses';

CREATE OR REPLACE FUNCTION whisperer.watch(relation regclass, prefix text DEFAULT NULL, operations text[] DEFAULT '{insert,update,delete}',
                                           options text[] DEFAULT '{}') RETURNS SETOF text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    past constant jsonb := '{"insert": "created", "update": "updated", "delete": "deleted"}';
    operation text;
    event_type text;
    trigger_name text;
    owner oid;
    owner_name regrole;
    there record;
BEGIN
    SELECT coalesce(watch.prefix, c.relname), c.relowner INTO prefix, owner_name FROM pg_class c WHERE c.oid = relation;
    FOREACH operation IN ARRAY operations LOOP
        IF operation IS NULL OR NOT past ? lower(operation) THEN
            RAISE EXCEPTION 'unknown operation "%"', operation
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Use insert, update and delete.';
        END IF;
        operation := lower(operation);
        event_type := concat(prefix, '-', past->>operation);
        trigger_name := concat('whisperer_', past->>operation);
        SELECT t.owner INTO owner FROM whisperer.event_type t WHERE t.name = event_type;
        IF NOT FOUND THEN
            PERFORM whisperer.register_event(event_type);
        ELSIF NOT pg_has_role(owner, 'MEMBER') THEN
            RAISE EXCEPTION 'event type "%" belongs to somebody else', event_type
                USING ERRCODE = 'insufficient_privilege', HINT = 'Give another prefix.';
        END IF;
        IF NOT whisperer_internal.may_publish(owner_name, event_type) THEN
            PERFORM whisperer.allow(event_type, owner_name, 'publish');
        END IF;
        SELECT t.oid, whisperer_internal.arguments_of(t.tgargs) = event_type || options AND t.tgenabled = 'O' AND t.tgqual IS NULL
                      AND t.tgfoid = to_regprocedure(whisperer_internal.capture_function(relation, operation) || '()') AS is_same
        INTO there FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger_name;
        IF FOUND AND NOT coalesce(there.is_same, false) THEN
            RAISE EXCEPTION 'table % is watched in another way, by trigger %', relation, trigger_name
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('SELECT whisperer.unwatch(%L) ends that.', relation);
        END IF;
        -- Also where it is there: for the table as it is now.
        PERFORM whisperer_internal.make_capture(relation, upper(operation), event_type || options);
        IF there.oid IS NULL THEN
            EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW EXECUTE FUNCTION %s(%s)', trigger_name, operation, relation,
                           whisperer_internal.capture_function(relation, operation),
                           (SELECT string_agg(quote_literal(a), ', ') FROM unnest(event_type || options) AS a));
        END IF;
        RETURN NEXT event_type;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer.watch(regclass, text, text[], text[]) IS
    'makes the capture triggers of a table and their event types, and mends them';

CREATE OR REPLACE FUNCTION whisperer.unwatch(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT t.tgname, (whisperer_internal.arguments_of(t.tgargs))[1] AS event_type
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = unwatch.relation AND p.pronamespace = 'whisperer_internal'::regnamespace
          AND t.tgname IN ('whisperer_created', 'whisperer_updated', 'whisperer_deleted')
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', made.tgname, relation);
        BEGIN
            PERFORM whisperer.unregister_event(made.event_type);
        EXCEPTION WHEN object_in_use OR insufficient_privilege OR undefined_object THEN
            NULL;  -- others use it still
        END;
    END LOOP;
    PERFORM whisperer_internal.drop_unused_captures();
END;
$$;
COMMENT ON FUNCTION whisperer.unwatch(regclass) IS 'drops the triggers that watch() made, and event types that nothing else uses';

-- --- who may do what --------------------------------------------------------------------------------------------

-- A capture trigger's serializer, and casts to json of its table's types, run with the recorder's rights.
REVOKE EXECUTE ON FUNCTION whisperer.capture(), whisperer_internal.make_capture(regclass, text, text[]),
    whisperer_internal.drop_unused_captures(), whisperer.clean_outbox(), whisperer_internal.empty_outbox(integer),
    whisperer.watch(regclass, text, text[], text[]), whisperer.unwatch(regclass) FROM PUBLIC;

CREATE OR REPLACE FUNCTION whisperer.allow_capture(role regrole) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION whisperer.capture(), whisperer_internal.make_capture(regclass, text, text[]), '
                   'whisperer_internal.drop_unused_captures(), whisperer.watch(regclass, text, text[], text[]), whisperer.unwatch(regclass) TO %s', role);
END;
$$;
COMMENT ON FUNCTION whisperer.allow_capture(regrole) IS 'lets a role make capture triggers; what they call runs with the recorder''s rights';
REVOKE EXECUTE ON FUNCTION whisperer.allow_capture(regrole) FROM PUBLIC;

-- --- publishing ---------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION whisperer.publish_events() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION 'wal_level is %', current_setting('wal_level')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Logical replication needs wal_level = logical, and a restart.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = 'whisperer_events') THEN
        CREATE PUBLICATION whisperer_events FOR TABLE whisperer.outbox (id, event_type, data, source, object_id, config_filter, created_at)
            WITH (publish = 'insert', publish_via_partition_root = true);
    ELSIF NOT EXISTS (
        SELECT FROM pg_publication p
        WHERE p.pubname = 'whisperer_events' AND p.pubinsert AND p.pubviaroot AND NOT (p.pubupdate OR p.pubdelete OR p.pubtruncate OR p.puballtables)
          AND NOT EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid)
          AND ARRAY(SELECT concat(r.prrelid::regclass, ': ', (SELECT string_agg(a.attname, ' ' ORDER BY a.attname COLLATE "C") FROM pg_attribute a
                                                              WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::smallint[])),
                                  ' WHERE ' || r.prqual::text)
                    FROM pg_publication_rel r WHERE r.prpubid = p.oid)
              = ARRAY['whisperer.outbox: config_filter created_at data event_type id object_id source']) THEN
        RAISE EXCEPTION 'publication "whisperer_events" is another one, and does not publish what nodes need'
            USING ERRCODE = 'duplicate_object',
                  HINT = 'Rename it, or drop it and call this again in one transaction: nodes that are subscribed go on.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer.publish_events() IS 'makes the publication that delivery nodes subscribe to';
REVOKE EXECUTE ON FUNCTION whisperer.publish_events() FROM PUBLIC;

CREATE OR REPLACE FUNCTION whisperer.subscription_command(node text, connection text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(node !~ '^[a-z0-9_]{1,40}$', true) THEN
        RAISE EXCEPTION 'invalid name of a node "%"', node
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 40 of a-z 0-9 _: it is part of a replication slot''s name.';
    END IF;
    RETURN format('CREATE SUBSCRIPTION whisperer_events CONNECTION %L PUBLICATION whisperer_events WITH (slot_name = %I, copy_data = false);',
                  connection, concat('whisperer_', node));
END;
$$;
COMMENT ON FUNCTION whisperer.subscription_command(text, text) IS
    'what to run on a delivery node: no function may create a subscription with its slot';

-- Functions that watch() made before, as this version makes them.
SELECT count(whisperer_internal.make_capture(t.tgrelid, upper(substr(p.proname, length(p.proname) - 5)), whisperer_internal.arguments_of(t.tgargs)))
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgparentid = 0 AND p.pronamespace = 'whisperer_internal'::regnamespace AND starts_with(p.proname, 'capture_') \g /dev/null
