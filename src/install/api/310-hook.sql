-- The face of hook_definition, with the state that follows from it and from what the worker found.
CREATE VIEW whisperer.hook WITH (security_invoker = true) AS
SELECT h.id,
       whisperer.living_role(h.owner, h.owner_name, h.incarnation)::regrole AS owner,
       h.event_type, h.target_url, h.config, h.retry_countdown_config, h.callback, h.filter,
       h.transform, h.rate_limit, h.ordering, h.description, h.is_active, h.is_paused,
       CASE WHEN NOT h.is_active THEN 'deleted'
            WHEN h.incarnation <> whisperer.my_incarnation() OR h.is_paused
                 OR NOT whisperer.role_exists(h.owner) THEN 'paused'
            WHEN EXISTS (SELECT FROM whisperer.hook_run r
                         WHERE r.hook_id = h.id AND r.disabled_resumes = h.resumes) THEN 'disabled'
            ELSE 'active' END AS state,
       CASE WHEN NOT h.is_active THEN NULL
            WHEN h.incarnation <> whisperer.my_incarnation()
            THEN 'carried here by a restore or copy of another database'
            WHEN NOT whisperer.role_exists(h.owner) THEN format('its owner, role "%s", was dropped', h.owner_name)
            WHEN h.is_paused THEN 'paused by pause_hook'
            ELSE (SELECT r.disabled_reason FROM whisperer.hook_run r
                  WHERE r.hook_id = h.id AND r.disabled_resumes = h.resumes) END AS state_reason,
       h.since, h.incarnation, h.created_at, h.modified_at
FROM whisperer.hook_definition h;
COMMENT ON VIEW whisperer.hook IS
    'subscriptions; INSERT and UPDATE obey the same checks as create_hook and update_hook';
COMMENT ON COLUMN whisperer.hook.state IS
    'active, paused (deliveries wait), disabled (by 410, failures or time-outs; deliveries wait), deleted';
COMMENT ON COLUMN whisperer.hook.since IS
    'events visible in this snapshot came before the hook and are not for it';
GRANT SELECT, INSERT, UPDATE ON whisperer.hook TO PUBLIC;
