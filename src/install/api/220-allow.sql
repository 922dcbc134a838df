-- Both directions in one: granted says which.
CREATE FUNCTION whisperer_internal.set_privilege(caller oid, event_type text, role_name regrole,
                                        privilege text, granted boolean)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner oid;
BEGIN
    IF set_privilege.privilege IS NULL
       OR set_privilege.privilege NOT IN ('publish', 'subscribe') THEN
        RAISE EXCEPTION 'unknown privilege "%"', set_privilege.privilege
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use publish or subscribe.';
    END IF;
    -- Twice, as in unregister_event: who may not does not wait for, or hold up, who changes the type.
    SELECT whisperer.event_type_owner(t) INTO owner FROM whisperer.event_type t WHERE t.name = set_privilege.event_type;
    IF NOT FOUND OR pg_has_role(caller, owner, 'MEMBER') THEN
        SELECT whisperer.event_type_owner(t) INTO owner FROM whisperer.event_type t WHERE t.name = set_privilege.event_type
        FOR KEY SHARE;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event type "%" is not registered', set_privilege.event_type
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM whisperer.event_type shows what is registered.';
    END IF;
    IF NOT pg_has_role(caller, owner, 'MEMBER') THEN
        RAISE EXCEPTION 'must be owner of event type "%"', set_privilege.event_type
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF granted AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = set_privilege.role_name) THEN
        RAISE EXCEPTION 'role % does not exist', coalesce(set_privilege.role_name::text, 'null')
            USING ERRCODE = 'undefined_object';
    END IF;
    IF granted THEN
        INSERT INTO whisperer.event_type_privilege (event_type, role, role_name, privilege)
        SELECT set_privilege.event_type, r.oid, r.rolname, set_privilege.privilege
        FROM pg_roles r WHERE r.oid = set_privilege.role_name
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM whisperer.event_type_privilege p
        WHERE p.event_type = set_privilege.event_type AND whisperer_internal.living_role(p.role, p.role_name, p.incarnation) = set_privilege.role_name
          AND p.privilege = set_privilege.privilege;
    END IF;
END;
$$;

CREATE FUNCTION whisperer_internal.allow_as(caller oid, event_type text, role_name regrole, privilege text)
    RETURNS void LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.set_privilege(caller, event_type, role_name, privilege, true);
END;

CREATE FUNCTION whisperer_internal.disallow_as(caller oid, event_type text, role_name regrole, privilege text)
    RETURNS void LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.set_privilege(caller, event_type, role_name, privilege, false);
END;

CREATE FUNCTION whisperer.allow(event_type text, role_name regrole, privilege text)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.allow(text, regrole, text) IS 'lets a role publish or subscribe to an event type of yours';
GRANT EXECUTE ON FUNCTION whisperer.allow(text, regrole, text) TO PUBLIC;

CREATE FUNCTION whisperer.disallow(event_type text, role_name regrole, privilege text)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.disallow(text, regrole, text) IS 'takes back what allow() gave';
GRANT EXECUTE ON FUNCTION whisperer.disallow(text, regrole, text) TO PUBLIC;
