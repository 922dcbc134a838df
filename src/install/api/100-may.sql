-- May the role publish or subscribe to the event type?  Asked by triggers, by the worker for every
-- hook, and by row-level security, so it must answer for roles that may read none of the tables.  What a statement asks
-- for each of its rows is looked for once (src/api/remembered.cpp), and is planned once in a session, also where a
-- session plans each statement for its values.
CREATE FUNCTION whisperer_internal.may_body(role oid, event_type text, privilege text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM whisperer.event_type t
        WHERE t.name = may_body.event_type
          AND (pg_has_role(may_body.role, whisperer.event_type_owner(t), 'MEMBER')
               OR EXISTS (SELECT FROM whisperer.event_type_privilege p
                          WHERE p.event_type = t.name AND p.privilege = may_body.privilege
                            AND pg_has_role(may_body.role, whisperer_internal.living_role(p.role, p.role_name, p.incarnation), 'MEMBER'))));
END;
$$;
CREATE FUNCTION whisperer.may(role oid, event_type text, privilege text) RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'whisperer_may';
COMMENT ON FUNCTION whisperer.may(oid, text, text) IS 'whether a role may ''publish'' or ''subscribe'' to an event type';
GRANT EXECUTE ON FUNCTION whisperer.may(oid, text, text) TO PUBLIC;

-- May the caller see a hook, and with it what became of its deliveries?  The policy of hook_definition says so.  A query of the
-- policies that ask would be planned, and run, anew for each partition of the ledger.
CREATE FUNCTION whisperer_internal.sees_hook_body(hook_id bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.id = sees_hook_body.hook_id);
END;
$$;
CREATE FUNCTION whisperer_internal.sees_hook(hook_id bigint) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'whisperer_sees_hook';
COMMENT ON FUNCTION whisperer_internal.sees_hook(bigint) IS 'whether you may see a hook, and what became of its deliveries';
GRANT EXECUTE ON FUNCTION whisperer_internal.sees_hook(bigint) TO PUBLIC;
