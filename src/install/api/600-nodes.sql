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

-- As CREATE PUBLICATION would have it.  Columns are sorted by name: an installation that was updated has them in another order.
CREATE FUNCTION whisperer_internal.published_by(publication name) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT CASE WHEN p.puballtables THEN 'ALL TABLES'
                WHEN EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid) THEN 'TABLES IN SCHEMA'
                ELSE concat('TABLE ', (
                    SELECT string_agg(concat(r.prrelid::regclass,
                        ' (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE "C") FROM pg_attribute a
                                 WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::smallint[])) || ')',
                        ' WHERE ' || pg_get_expr(r.prqual, r.prrelid)), ', ' ORDER BY r.prrelid::regclass::text COLLATE "C")
                    FROM pg_publication_rel r WHERE r.prpubid = p.oid)) END
           || format(' WITH (publish = %L, publish_via_partition_root = %s)',
                     concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
                               CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END), p.pubviaroot::text)
    FROM pg_publication p WHERE p.pubname = published_by.publication);
COMMENT ON FUNCTION whisperer_internal.published_by(name) IS 'what a publication publishes; null: there is none';

CREATE FUNCTION whisperer_internal.publish_events_as(caller oid, hooks boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    publication constant text := CASE WHEN hooks THEN 'whisperer_hooks' ELSE 'whisperer_events' END;
    -- As published_by has it.  The columns that are left out have a meaning here alone: a node's defaults take their place.
    wanted constant text := CASE WHEN hooks
        -- What was not allowed is for nobody; operator events tell of the deliveries of one database.
        THEN 'TABLE whisperer.node_message, whisperer.outbox (config_filter, created_at, data, event_type, hook_id, id, meta, object_id, source) '
             'WHERE (((hook_id IS NULL) OR (hook_id > 0)) AND ((event_type !~~ ''whisperer-%''::text) OR (event_type = ''whisperer-ping''::text)))'
        -- What a hook here asked for (ping, replay, backfill) is for that hook.
        ELSE 'TABLE whisperer.outbox (config_filter, created_at, data, event_type, id, meta, object_id, source) WHERE (hook_id IS NULL)'
        END || ' WITH (publish = ''insert'', publish_via_partition_root = true)';
    found text := whisperer_internal.published_by(publication);
BEGIN
    PERFORM whisperer_internal.require_node_rights(caller);
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION 'wal_level is %', current_setting('wal_level')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Set wal_level = logical and restart the server.';
    END IF;
    -- A dump has the publication, and none of an extension's tables in it.
    IF found LIKE 'TABLE  WITH %' THEN
        EXECUTE format('DROP PUBLICATION %I', publication);
        found := NULL;
    END IF;
    IF found IS NULL THEN
        EXECUTE format('CREATE PUBLICATION %I FOR %s', publication, wanted);
    ELSIF found <> wanted THEN
        RAISE EXCEPTION 'publication "%" is another one, and does not publish what nodes need', publication
            USING ERRCODE = 'duplicate_object', DETAIL = format(E'It is for %s.\nNodes need %s.', found, wanted),
                  HINT = 'Rename it, or drop it and call this again in one transaction: nodes that are subscribed go on.';
    END IF;
    -- Before 17 there is no such setting.
    IF current_setting('synchronous_standby_names') <> '' AND current_setting('synchronized_standby_slots', true) = '' THEN
        RAISE WARNING 'delivery nodes may be sent what no standby has yet'
            USING HINT = 'Name the slots of the synchronous standbys in synchronized_standby_slots: otherwise a node may deliver what a failover undoes.';
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
