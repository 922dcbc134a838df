-- What a primary tells its nodes: hooks, secrets, event types, privileges, requests, and who delivers which hook, in
-- one stream with the events, so that their order is that of the commits everywhere.

-- Roles are told by their names, and what means something only here is not told at all.
CREATE FUNCTION whisperer_internal.tellable(told jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
RETURN told - '{owner,role,since,since_incarnation,incarnation}'::text[];
COMMENT ON FUNCTION whisperer_internal.tellable(jsonb) IS 'of a row what means the same in another database';

CREATE FUNCTION whisperer_internal.tell_nodes(kind text, content jsonb) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told bigint;
BEGIN
    INSERT INTO whisperer.node_message (kind, content) VALUES (tell_nodes.kind, tell_nodes.content) RETURNING id INTO told;
    DELETE FROM whisperer.node_message m WHERE m.id = told;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.tell_nodes(text, jsonb) IS 'puts a message into the stream that delivery nodes apply';

CREATE FUNCTION whisperer_internal.tell_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed constant jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
    -- What was carried here is nobody's until it is adopted.
    IF NOT EXISTS (SELECT FROM whisperer.node)
       OR coalesce((changed->>'incarnation')::bigint <> whisperer_internal.my_incarnation(), false) THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'hook_definition' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN NULL;
        END IF;
        PERFORM whisperer_internal.give_hook((changed->>'id')::bigint, whisperer_internal.chosen_node((changed->>'id')::bigint), NULL, false, false)
        WHERE NOT EXISTS (SELECT FROM whisperer.hook_node n WHERE n.hook_id = (changed->>'id')::bigint);
        PERFORM whisperer_internal.tell_hook((changed->>'id')::bigint, changed);
        RETURN NULL;
    END IF;
    PERFORM whisperer_internal.tell_nodes(TG_TABLE_NAME, jsonb_build_object('row', whisperer_internal.tellable(changed), 'is_gone', TG_OP = 'DELETE'));
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.tell_change() IS 'trigger: tells the delivery nodes, if there are any';

-- Statements have no secret: they are logged.
CREATE FUNCTION whisperer_internal.tell_secret_of(hook_id bigint) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO whisperer.node_message (kind, content)
    SELECT 'secret', jsonb_build_object('row', to_jsonb(s)) FROM whisperer.secret s WHERE s.hook_id = tell_secret_of.hook_id;
    DELETE FROM whisperer.node_message m WHERE m.kind = 'secret';
END;
COMMENT ON FUNCTION whisperer_internal.tell_secret_of(bigint) IS 'tells the delivery nodes the secrets of a hook';

CREATE FUNCTION whisperer_internal.tell_secret() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM whisperer.node) THEN
        PERFORM whisperer_internal.tell_secret_of(NEW.hook_id);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.tell_secret() IS 'trigger: tells the delivery nodes, if there are any';

-- Locked, so that what is told last was committed last: a hook that is handed over meanwhile would wait again.
CREATE FUNCTION whisperer_internal.tell_hook(hook_id bigint, changed jsonb) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT whisperer_internal.tell_nodes('hook_definition', jsonb_build_object(
        'row', whisperer_internal.tellable(tell_hook.changed), 'node', n.node, 'waits_for', n.waits_for))
    FROM whisperer.hook_node n WHERE n.hook_id = tell_hook.hook_id FOR SHARE OF n;
END;
COMMENT ON FUNCTION whisperer_internal.tell_hook(bigint, jsonb) IS 'tells the delivery nodes a hook, and who of them delivers it';

-- For a node that is new; the others know it already.
CREATE FUNCTION whisperer_internal.tell_all() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant bigint := whisperer_internal.my_incarnation();
BEGIN
    PERFORM whisperer_internal.tell_nodes('event_type', jsonb_build_object('row', whisperer_internal.tellable(to_jsonb(t)), 'is_gone', false, 'is_anew', true))
    FROM whisperer.event_type t WHERE t.incarnation = mine;
    PERFORM whisperer_internal.tell_nodes('event_type_claim', jsonb_build_object('row', whisperer_internal.tellable(to_jsonb(c)), 'is_gone', false))
    FROM whisperer.event_type_claim c WHERE c.incarnation = mine;
    PERFORM whisperer_internal.tell_nodes('event_type_privilege', jsonb_build_object('row', whisperer_internal.tellable(to_jsonb(p)), 'is_gone', false))
    FROM whisperer.event_type_privilege p WHERE p.incarnation = mine;
    PERFORM whisperer_internal.tell_hook(h.id, to_jsonb(h)) FROM whisperer.hook_definition h WHERE h.incarnation = mine ORDER BY h.id;
    PERFORM whisperer_internal.tell_secret_of(s.hook_id) FROM whisperer.secret s JOIN whisperer.hook_definition h ON h.id = s.hook_id WHERE h.incarnation = mine;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.tell_all() IS 'tells the delivery nodes all hooks and event types';

CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.tell_change();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE ON whisperer.secret
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.tell_secret();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.event_type
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.tell_change();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.event_type_claim
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.tell_change();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.event_type_privilege
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.tell_change();

ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER tell_change;
ALTER TABLE whisperer.secret ENABLE ALWAYS TRIGGER tell_change;
ALTER TABLE whisperer.event_type ENABLE ALWAYS TRIGGER tell_change;
ALTER TABLE whisperer.event_type_claim ENABLE ALWAYS TRIGGER tell_change;
ALTER TABLE whisperer.event_type_privilege ENABLE ALWAYS TRIGGER tell_change;

-- On the node -----------------------------------------------------------------------------------------------

-- Roles are those of the names that were told.  What belongs to a role that does not exist here counts as carried
-- here, and rests until resume() finds the role.  Its number is one of the name's, for several may be missing.
CREATE FUNCTION whisperer_internal.as_told(told jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN told || (SELECT jsonb_build_object('incarnation', CASE WHEN r.oid IS NULL THEN 0 ELSE whisperer_internal.my_incarnation() END,
                                          CASE WHEN told ? 'role_name' THEN 'role' ELSE 'owner' END, coalesce(r.oid::oid, hashtext(n.name)::oid))
                FROM (SELECT coalesce(told->>'owner_name', told->>'role_name')) AS n (name), to_regrole(quote_ident(n.name)) AS r (oid));
COMMENT ON FUNCTION whisperer_internal.as_told(jsonb) IS 'a row that a primary told, with what this database calls its role';

-- A newer primary may tell columns that are unknown here, an older one lacks some.
CREATE FUNCTION whisperer_internal.take_row(relation regclass, told jsonb, is_gone boolean, kept text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key constant text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_index i
                          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                          WHERE i.indrelid = relation AND i.indisprimary);
    columns constant text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                              WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND told ? a.attname);
    changes constant text := (SELECT string_agg(format('%1$I = excluded.%1$I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                              WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND told ? a.attname AND a.attname <> ALL (kept));
BEGIN
    IF is_gone THEN
        EXECUTE format('DELETE FROM %1$s WHERE (%2$s) = (SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1))', relation, key) USING told;
    ELSE
        EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1) ON CONFLICT (%3$s) DO UPDATE SET %4$s',
                       relation, columns, key, changes) USING told;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.take_row(regclass, jsonb, boolean, text[]) IS
    'does to a row of this database what was done to that of a primary; columns to keep are set only where it is new';

-- The role may have been missing here when it was told first, and be here now.
CREATE FUNCTION whisperer_internal.take_privilege(told jsonb, is_gone boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM whisperer.event_type_privilege p
    WHERE p.event_type = told->>'event_type' AND p.role_name = told->>'role_name' AND p.privilege = told->>'privilege'
      AND p.incarnation IN (0, whisperer_internal.my_incarnation());
    IF NOT is_gone THEN
        PERFORM whisperer_internal.take_row('whisperer.event_type_privilege', whisperer_internal.as_told(told), false, '{}');
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.take_privilege(jsonb, boolean) IS 'a privilege as the primary has it';

CREATE FUNCTION whisperer_internal.is_hook_fed(hook_id bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM whisperer.hook_node n WHERE n.hook_id = is_hook_fed.hook_id AND n.is_fed);
COMMENT ON FUNCTION whisperer_internal.is_hook_fed(bigint) IS 'whether a hook is written in a primary, and came from there';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_hook_fed(bigint) TO PUBLIC;

-- Events that the worker reads while nobody can say whether the owner may have them are passed over.  The first of them
-- comes after what it has read by now, of which the bookmark may lack the last second: what is known is left out.
CREATE FUNCTION whisperer_internal.note_ownerless(hook_id bigint) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE whisperer.hook_node n
    SET ownerless_from = coalesce((SELECT pg_snapshot_xmin(b.seen) AS done_before FROM whisperer.bookmark b
                                   WHERE b.incarnation = whisperer_internal.my_incarnation() ORDER BY 1 LIMIT 1), '0')
    WHERE n.hook_id = note_ownerless.hook_id AND n.ownerless_from IS NULL;
END;
COMMENT ON FUNCTION whisperer_internal.note_ownerless(bigint) IS 'a hook whose owner has no role here: what comes from here on waits for him';

CREATE FUNCTION whisperer_internal.take_up_ownerless(hook_id bigint) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO whisperer.request (kind, hook_id, event_xid)
    SELECT 'catch_up', n.hook_id, n.ownerless_from
    FROM whisperer.hook_node n WHERE n.hook_id = take_up_ownerless.hook_id AND n.ownerless_from IS NOT NULL;
    UPDATE whisperer.hook_node n SET ownerless_from = NULL
    WHERE n.hook_id = take_up_ownerless.hook_id AND n.ownerless_from IS NOT NULL;
END;
COMMENT ON FUNCTION whisperer_internal.take_up_ownerless(bigint) IS 'has the worker look for what came while the owner of a hook had no role here';

CREATE FUNCTION whisperer_internal.take_hook(told jsonb, node text, waits_for text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given constant bigint := told->>'id';
    named constant jsonb := whisperer_internal.as_told(told);
    sequence constant regclass := pg_get_serial_sequence('whisperer.hook_definition', 'id');
BEGIN
    IF NOT whisperer_internal.is_hook_fed(given) AND EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.id = given) THEN
        -- Left out, it would lose its events, and what is for it alone the other would get.  So nothing is applied until then.
        RAISE EXCEPTION 'hook % of the primary has the number of one of this node''s own', given
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('A node has no hooks of its own: DELETE FROM whisperer.hook_definition WHERE id = %s, as a superuser here.', given);
    END IF;
    PERFORM whisperer_internal.give_hook(given, node, waits_for, true, false);
    PERFORM whisperer_internal.take_row('whisperer.hook_definition', named || jsonb_build_object('since', whisperer_internal.hook_since()),
                                        false, '{since}');
    IF named->>'incarnation' = '0' THEN
        PERFORM whisperer_internal.note_ownerless(given);
    ELSE
        PERFORM whisperer_internal.take_up_ownerless(given);
    END IF;
    -- Or the next one made here would have its id.
    PERFORM setval(sequence, given) WHERE given > coalesce(pg_sequence_last_value(sequence), 0);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.take_hook(jsonb, text, text) IS 'a hook as the primary has it, and who delivers it';

-- What was asked for is done by who has the deliveries: each node looks into its own ledger.  A replay is for
-- who delivers the hook now.
CREATE FUNCTION whisperer_internal.take_request(told jsonb) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO whisperer.request (kind, hook_id, event_id, force)
    SELECT told->>'kind', d.hook_id, d.event_id, (told->>'force')::boolean
    FROM whisperer.delivery d
    WHERE told->>'kind' IN ('retry', 'cancel') AND d.event_id = (told->>'event_id')::uuid
      AND told->'hook_ids' @> to_jsonb(d.hook_id) AND told->'states' ? d.state
      AND (told->>'kind' = 'cancel' OR NOT whisperer_internal.is_gone(d));
    INSERT INTO whisperer.request (kind, hook_id, event_id, event_xid)
    SELECT 'cancel', n.hook_id, (told->>'event_id')::uuid, n.event_xid
    FROM whisperer_internal.not_read_yet((told->>'event_id')::uuid) n
    WHERE told->>'kind' = 'cancel' AND told->'hook_ids' @> to_jsonb(n.hook_id);
    INSERT INTO whisperer.request (kind, hook_id, since, until)
    SELECT told->>'kind', n.hook_id, (told->>'since')::timestamptz, (told->>'until')::timestamptz
    FROM whisperer.hook_node n
    WHERE n.hook_id = (told->>'hook_id')::bigint AND n.is_fed
      AND (told->>'kind' = 'recover' OR told->>'kind' = 'replay' AND n.node = current_setting('whisperer.node'));
    -- Its data came here with the stream, whoever delivers it.
    SELECT whisperer_internal.expunge_event((told->>'event_id')::uuid) WHERE told->>'kind' = 'expunge';
    SELECT whisperer_internal.wake_workers();
END;
COMMENT ON FUNCTION whisperer_internal.take_request(jsonb) IS 'asks this database''s workers for what was asked for in the primary';

-- The moment is moved back to before the first of the events that are looked for.  What was told in this transaction
-- nobody has seen yet.
CREATE FUNCTION whisperer_internal.take_begun(hook_ids bigint[], new_from uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_new constant xid8 := (SELECT o.xid FROM whisperer.outbox o WHERE o.id > new_from AND o.incarnation = whisperer_internal.my_incarnation()
                                ORDER BY o.xid LIMIT 1);
    moment pg_snapshot;
    begun bigint;
BEGIN
    IF first_new IS NULL THEN
        RETURN;
    END IF;
    moment := format('%s:%1$s:', first_new);
    FOR begun IN
        UPDATE whisperer.hook_node n SET turns[cardinality(n.turns)] = moment
        WHERE n.hook_id = ANY (hook_ids) AND n.is_fed AND cardinality(n.turns) % 2 = 1
          AND pg_snapshot_xmax(n.turns[cardinality(n.turns)]) > first_new
        RETURNING n.hook_id
    LOOP
        UPDATE whisperer.hook_definition h SET since = moment WHERE h.id = begun AND pg_snapshot_xmax(h.since) > first_new;
        INSERT INTO whisperer.request (kind, hook_id, force) VALUES ('catch_up', begun, true);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.take_begun(bigint[], uuid) IS
    'has hooks whose turn begins get what came before the word of it, and is not the primary''s any more';

-- Or nobody would deliver what the primary gives to this node.  The error is tried again, and nothing is lost meanwhile.
CREATE FUNCTION whisperer_internal.require_node_name() RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slot constant text := (SELECT s.subslotname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                           WHERE d.datname = current_database() AND s.subenabled AND 'whisperer_hooks' = ANY (s.subpublications)
                           ORDER BY s.subslotname = concat('whisperer_', current_setting('whisperer.node')) DESC LIMIT 1);
BEGIN
    IF slot <> concat('whisperer_', current_setting('whisperer.node')) THEN
        RAISE EXCEPTION 'whisperer.node is "%", but the slot in the primary is "%"', current_setting('whisperer.node'), slot
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Set whisperer.node to the name that subscription_command was given, and reload the configuration.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.require_node_name() IS 'raises 55000 unless this node has the name that its slot in the primary has';

-- A handle, for the statements of a function are logged with what they are called with.
CREATE FUNCTION whisperer_internal.take_secret(handle jsonb) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO whisperer.secret (hook_id, secret_key, previous_secret_key, previous_expires_at, additional_headers, auth)
    SELECT t.hook_id, t.secret_key, t.previous_secret_key, t.previous_expires_at, t.additional_headers, t.auth
    FROM jsonb_populate_record(NULL::whisperer.secret, whisperer_internal.revealed(take_secret.handle)) AS t
    WHERE whisperer_internal.is_hook_fed(t.hook_id)
    ON CONFLICT (hook_id) DO UPDATE
    SET secret_key = excluded.secret_key, previous_secret_key = excluded.previous_secret_key, previous_expires_at = excluded.previous_expires_at,
        additional_headers = excluded.additional_headers, auth = excluded.auth;
END;
COMMENT ON FUNCTION whisperer_internal.take_secret(jsonb) IS 'secrets as the primary has them';

CREATE FUNCTION whisperer_internal.take_message() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told jsonb := NEW.content->'row';
    is_gone constant boolean := (NEW.content->>'is_gone')::boolean;
BEGIN
    -- Of a publication for all tables it is none of our business.
    IF NOT whisperer_internal.is_arriving() THEN
        RETURN NEW;
    ELSIF NOT whisperer_internal.is_fed() THEN
        RETURN NULL;
    END IF;
    PERFORM whisperer_internal.require_node_name();
    CASE NEW.kind
        WHEN 'hook_definition' THEN
            PERFORM whisperer_internal.take_hook(told, NEW.content->>'node', NEW.content->>'waits_for');
        WHEN 'secret' THEN
            told := whisperer_internal.hidden(told);
            PERFORM whisperer_internal.take_secret(told);
        WHEN 'event_type' THEN
            -- What was taken away while nobody told it does not come with what there is.
            DELETE FROM whisperer.event_type_privilege p WHERE p.event_type = told->>'name' AND (NEW.content->>'is_anew')::boolean;
            PERFORM whisperer_internal.take_row('whisperer.event_type', whisperer_internal.as_told(told), is_gone, '{}');
        WHEN 'event_type_claim' THEN
            PERFORM whisperer_internal.take_row('whisperer.event_type_claim', whisperer_internal.as_told(told), is_gone, '{}');
        WHEN 'event_type_privilege' THEN
            PERFORM whisperer_internal.take_privilege(told, is_gone);
        WHEN 'request' THEN
            PERFORM whisperer_internal.take_request(NEW.content);
        WHEN 'begun' THEN
            PERFORM whisperer_internal.take_begun(ARRAY(SELECT h::bigint FROM jsonb_array_elements_text(NEW.content->'hook_ids') AS h),
                                                  (NEW.content->>'new_from')::uuid);
        ELSE
            RAISE WARNING 'the primary tells of "%", which this version of whisperer does not know', NEW.kind
                USING HINT = 'Update the extension on the nodes before that of the primary.';
    END CASE;
    RETURN NULL;
EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
    -- An error would stop the events, too.
    RAISE WARNING 'what the primary tells of "%" is left out: %', NEW.kind, SQLERRM
        USING HINT = 'Once that is mended, SELECT whisperer.add_node(''...'') in the primary, with this node''s name, tells all of it again.';
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.take_message() IS 'trigger: does what a primary tells its delivery nodes';
CREATE TRIGGER arrival BEFORE INSERT ON whisperer.node_message
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.take_message();
ALTER TABLE whisperer.node_message ENABLE REPLICA TRIGGER arrival;

-- Where a person would change what comes from the primary.  Before check_hook, by its name.
CREATE FUNCTION whisperer_internal.refuse_fed() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    local constant text[] := '{owner,owner_name,incarnation}';
    given constant bigint := (CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END)->>TG_ARGV[0];
BEGIN
    -- Whose it is may be changed here: by adoption, by a role that is renamed, by reassign_owned.
    IF whisperer_internal.is_hook_fed(given) AND NOT whisperer_internal.is_arriving()
       AND NOT (TG_TABLE_NAME = 'hook_definition' AND to_jsonb(NEW) - local = to_jsonb(OLD) - local) THEN
        RAISE EXCEPTION 'hook % comes from the primary of this delivery node', given
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Change it there; the change comes here by itself.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.refuse_fed() IS 'trigger: raises 55000 for a hook that comes from a primary';
CREATE TRIGGER a_fed BEFORE UPDATE ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.refuse_fed('id');
CREATE TRIGGER a_fed BEFORE INSERT OR UPDATE OR DELETE ON whisperer.secret
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.refuse_fed('hook_id');
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER a_fed;
ALTER TABLE whisperer.secret ENABLE ALWAYS TRIGGER a_fed;
