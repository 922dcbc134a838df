-- The face of hook_definition, with the state that follows from it and from what the worker found.

CREATE FUNCTION whisperer_internal.waits_for(hook_id bigint) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN n.waits_for <> '' THEN format('node "%s"', n.waits_for) ELSE 'the primary' END
    FROM whisperer.hook_node n
    WHERE n.hook_id = waits_for.hook_id AND n.waits_for IS NOT NULL AND cardinality(n.turns) % 2 = 1;
END;
COMMENT ON FUNCTION whisperer_internal.waits_for(bigint) IS
    'the database that has to come to the end of the hook''s lines before this one begins; null: none';
GRANT EXECUTE ON FUNCTION whisperer_internal.waits_for(bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.delivered_by(hook_id bigint) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN n.node <> '' THEN format('node "%s"', n.node) ELSE 'the primary' END
    FROM whisperer.hook_node n WHERE n.hook_id = delivered_by.hook_id AND cardinality(n.turns) % 2 = 0;
END;
COMMENT ON FUNCTION whisperer_internal.delivered_by(bigint) IS 'the database that delivers what is recorded now to a hook; null: this one';
GRANT EXECUTE ON FUNCTION whisperer_internal.delivered_by(bigint) TO PUBLIC;

-- disabled: what hook_run says, null where it says nothing.
CREATE FUNCTION whisperer_internal.hook_state(hook whisperer.hook_definition, disabled_resumes integer) RETURNS text
    LANGUAGE sql STABLE
RETURN CASE WHEN NOT (hook).is_active THEN 'deleted'
            WHEN (hook).incarnation <> whisperer_internal.my_incarnation() OR (hook).is_paused
                 OR NOT whisperer_internal.role_exists((hook).owner)
                 OR (hook).ordering <> 'none' AND whisperer_internal.waits_for((hook).id) IS NOT NULL THEN 'paused'
            WHEN disabled_resumes = (hook).resumes THEN 'disabled'
            ELSE 'active' END;
COMMENT ON FUNCTION whisperer_internal.hook_state(whisperer.hook_definition, integer) IS
    'active, paused, disabled or deleted';
GRANT EXECUTE ON FUNCTION whisperer_internal.hook_state(whisperer.hook_definition, integer) TO PUBLIC;

CREATE FUNCTION whisperer_internal.hook_state_reason(hook whisperer.hook_definition, disabled_resumes integer,
                                            disabled_reason text) RETURNS text
    LANGUAGE sql STABLE
RETURN CASE WHEN NOT (hook).is_active THEN NULL
            WHEN (hook).incarnation = 0
            THEN format('its owner, role "%s", does not exist on this delivery node', (hook).owner_name)
            WHEN (hook).incarnation <> whisperer_internal.my_incarnation()
            THEN 'carried here by a restore or copy of another database'
            WHEN NOT whisperer_internal.role_exists((hook).owner)
            THEN format('its owner, role "%s", was dropped', (hook).owner_name)
            WHEN (hook).is_paused THEN 'paused by pause_hook'
            WHEN (hook).ordering <> 'none' AND whisperer_internal.waits_for((hook).id) IS NOT NULL
            THEN format('%s has to deliver what came before; see whisperer.hand_over in the primary', whisperer_internal.waits_for((hook).id))
            WHEN disabled_resumes = (hook).resumes THEN disabled_reason
            ELSE whisperer_internal.delivered_by((hook).id) || ' delivers it, and knows whether it is disabled' END;
COMMENT ON FUNCTION whisperer_internal.hook_state_reason(whisperer.hook_definition, integer, text) IS
    'why a hook is in the state that hook_state says';
GRANT EXECUTE ON FUNCTION whisperer_internal.hook_state_reason(whisperer.hook_definition, integer, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.refuse_hook(hook_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.id = refuse_hook.hook_id AND NOT h.is_active) THEN
        RAISE EXCEPTION 'hook % is deleted', refuse_hook.hook_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Create another one.';
    END IF;
    RAISE EXCEPTION 'hook % does not exist', coalesce(refuse_hook.hook_id::text, 'null')
        USING ERRCODE = 'undefined_object', HINT = 'SELECT id FROM whisperer.hook shows yours.';
END;
$$;
COMMENT ON FUNCTION whisperer_internal.refuse_hook(bigint) IS
    'raises why there is no such undeleted hook of the caller''s: 55000, 42704';
GRANT EXECUTE ON FUNCTION whisperer_internal.refuse_hook(bigint) TO PUBLIC;

CREATE VIEW whisperer.hook WITH (security_invoker = true) AS
SELECT h.id,
       whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation)::regrole AS owner,
       h.event_type, h.target_url, h.config, h.retry_countdown_config, h.callback, h.filter,
       h.transform, h.rate_limit, h.ordering, h.description, h.is_active, h.is_paused,
       whisperer_internal.hook_state(h, (SELECT r.disabled_resumes FROM whisperer.hook_run r WHERE r.hook_id = h.id)) AS state,
       (SELECT whisperer_internal.hook_state_reason(h, max(r.disabled_resumes), max(r.disabled_reason))
        FROM whisperer.hook_run r WHERE r.hook_id = h.id) AS state_reason,
       h.since, h.incarnation, h.created_at, h.modified_at, h.format, h.payload_key,
       h.signing, h.signatures, h.metadata_headers, h.timeout, h.max_in_flight, h.name, h.batch,
       h.encoding, h.priority
FROM whisperer.hook_definition h;
COMMENT ON VIEW whisperer.hook IS
    'subscriptions, to read and, with the checks of create_hook and update_hook, to write';
REVOKE ALL ON whisperer.hook FROM PUBLIC; GRANT SELECT, INSERT, UPDATE ON whisperer.hook TO PUBLIC;
COMMENT ON COLUMN whisperer.hook.state IS
    'active, paused (deliveries wait), disabled (by 410, failures or time-outs; deliveries wait), deleted';
COMMENT ON COLUMN whisperer.hook.since IS
    'events visible in this snapshot came before the hook and are not for it';
