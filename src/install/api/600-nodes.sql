-- Delivery nodes: another server with the extension subscribes to the events of this database, and delivers them.

CREATE FUNCTION whisperer_internal.publish_events_as(caller oid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role(caller, current_user, 'MEMBER') THEN
        RAISE EXCEPTION 'permission denied to publish the events of this database'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only superusers and members of the extension''s owner may.';
    END IF;
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION 'wal_level is %', current_setting('wal_level')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set wal_level = logical and restart the server.';
    END IF;
    -- What a hook here asked for (ping, replay, backfill) is for that hook, and what was not allowed is for nobody.
    -- The rest of the columns has a meaning here alone: a node's defaults take their place.
    IF NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = 'whisperer_events') THEN
        CREATE PUBLICATION whisperer_events FOR TABLE whisperer.outbox (id, event_type, data, source, object_id, config_filter, created_at)
            WHERE (hook_id IS NULL) WITH (publish = 'insert', publish_via_partition_root = true);
    ELSIF NOT EXISTS (SELECT FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
                      WHERE p.pubname = 'whisperer_events' AND p.pubinsert AND p.pubviaroot AND r.prrelid = 'whisperer.outbox'::regclass) THEN
        RAISE EXCEPTION 'publication "whisperer_events" is another one, and does not publish the events'
            USING ERRCODE = 'duplicate_object', HINT = 'Drop or rename it, and call this again.';
    END IF;
END;
$$;
CREATE FUNCTION whisperer.publish_events() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.publish_events() IS 'makes the publication that delivery nodes subscribe to';
GRANT EXECUTE ON FUNCTION whisperer.publish_events() TO PUBLIC;

CREATE FUNCTION whisperer_internal.subscription_command_body(node text, connection text) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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
CREATE FUNCTION whisperer.subscription_command(node text, connection text) RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.subscription_command(text, text) IS 'what to run on a delivery node, so that it gets the events of this database';
GRANT EXECUTE ON FUNCTION whisperer.subscription_command(text, text) TO PUBLIC;
