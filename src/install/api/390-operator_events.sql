-- Operator events: the worker tells of a hook that was disabled and of a delivery that failed for good.
-- They go to the hooks of whoever may act for the owner of the hook that they tell of, superusers
-- included, never to that hook itself, and "*" does not match them.
CREATE FUNCTION whisperer_internal.operator_hooks(about bigint, event_type text) RETURNS SETOF bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.id
    FROM whisperer.hook_definition a, whisperer.hook_definition s
    WHERE a.id = operator_hooks.about AND s.is_active AND s.id <> a.id
      AND whisperer_internal.event_patterns(s.event_type) && ARRAY[operator_hooks.event_type, 'whisperer-*']
      AND s.incarnation = whisperer_internal.my_incarnation() AND a.incarnation = s.incarnation
      AND pg_has_role(s.owner, a.owner, 'MEMBER');
END;
COMMENT ON FUNCTION whisperer_internal.operator_hooks(bigint, text) IS
    'the hooks that are told of another one';
