-- Delivery nodes: other servers with the extension subscribe to the events of this database, and deliver them: to hooks
-- of their own (publication whisperer_events), or to the hooks of this database (publication whisperer_hooks).

CREATE FUNCTION whisperer_internal.require_node_rights(caller oid) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role(caller, current_user, 'MEMBER') THEN
        RAISE EXCEPTION 'permission denied to publish the events of this database'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only superusers and members of the extension''s owner may.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.require_node_rights(oid) IS 'raises 42501 for roles that have no say in delivery nodes';

CREATE FUNCTION whisperer_internal.publish_events_as(caller oid, hooks boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    publication constant text := CASE WHEN hooks THEN 'whisperer_hooks' ELSE 'whisperer_events' END;
    published regclass[] := ARRAY['whisperer.outbox'::regclass];
BEGIN
    PERFORM whisperer_internal.require_node_rights(caller);
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION 'wal_level is %', current_setting('wal_level')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set wal_level = logical and restart the server.';
    END IF;
    IF hooks THEN
        published := published || 'whisperer.node_message'::regclass;
    END IF;
    IF EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication) THEN
        IF NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication AND p.pubinsert AND p.pubviaroot
                         AND published <@ ARRAY(SELECT r.prrelid::regclass FROM pg_publication_rel r WHERE r.prpubid = p.oid)) THEN
            RAISE EXCEPTION 'publication "%" is another one, and does not publish the events', publication
                USING ERRCODE = 'duplicate_object', HINT = 'Drop or rename it, and call this again.';
        END IF;
        RETURN;
    END IF;
    -- The columns that are left out have a meaning here alone: a node's defaults take their place.
    IF hooks THEN
        -- What was not allowed is for nobody; operator events tell of the deliveries of one database.
        CREATE PUBLICATION whisperer_hooks
            FOR TABLE whisperer.outbox (id, event_type, data, source, object_id, config_filter, hook_id, created_at, meta)
                WHERE ((hook_id IS NULL OR hook_id > 0) AND (event_type NOT LIKE 'whisperer-%' OR event_type = 'whisperer-ping')),
            TABLE whisperer.node_message WITH (publish = 'insert', publish_via_partition_root = true);
    ELSE
        -- What a hook here asked for (ping, replay, backfill) is for that hook.
        CREATE PUBLICATION whisperer_events FOR TABLE whisperer.outbox (id, event_type, data, source, object_id, config_filter, created_at, meta)
            WHERE (hook_id IS NULL) WITH (publish = 'insert', publish_via_partition_root = true);
    END IF;
END;
$$;
CREATE FUNCTION whisperer.publish_events(hooks boolean DEFAULT false) RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.publish_events(boolean) IS 'makes the publication that delivery nodes subscribe to';
GRANT EXECUTE ON FUNCTION whisperer.publish_events(boolean) TO PUBLIC;

CREATE FUNCTION whisperer_internal.check_node_name(name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(name !~ '^[a-z0-9_]{1,40}$', true) THEN
        RAISE EXCEPTION 'invalid name of a node "%"', name
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 40 of a-z 0-9 _: it is part of a replication slot''s name.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_node_name(text) IS 'raises 22023 for what cannot be the name of a delivery node';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_node_name(text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.subscription_command_body(node text, connection text, hooks boolean) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.check_node_name(node);
    RETURN format('CREATE SUBSCRIPTION %1$s CONNECTION %2$L PUBLICATION %1$s WITH (slot_name = %3$I, copy_data = false);',
                  CASE WHEN hooks THEN 'whisperer_hooks' ELSE 'whisperer_events' END, connection, concat('whisperer_', node));
END;
$$;
CREATE FUNCTION whisperer.subscription_command(node text, connection text, hooks boolean DEFAULT false) RETURNS text
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.subscription_command(text, text, boolean) IS 'what to run on a delivery node, so that it gets the events of this database';
GRANT EXECUTE ON FUNCTION whisperer.subscription_command(text, text, boolean) TO PUBLIC;
