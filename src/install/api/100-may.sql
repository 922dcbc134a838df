-- May the role publish or subscribe to the event type?  Asked by triggers, by the worker for every
-- hook, and by row-level security, so it must answer for roles that may read none of the tables.
CREATE FUNCTION whisperer.may(role oid, event_type text, privilege text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM whisperer.event_type t
        WHERE t.name = may.event_type
          AND (pg_has_role(may.role, whisperer.event_type_owner(t), 'MEMBER')
               OR EXISTS (SELECT FROM whisperer.event_type_privilege p
                          WHERE p.event_type = t.name AND p.privilege = may.privilege
                            AND pg_has_role(may.role, whisperer_internal.living_role(p.role, p.role_name, p.incarnation), 'MEMBER'))));
END;
COMMENT ON FUNCTION whisperer.may(oid, text, text) IS 'whether a role may ''publish'' or ''subscribe'' to an event type';
GRANT EXECUTE ON FUNCTION whisperer.may(oid, text, text) TO PUBLIC;
