-- What REASSIGN OWNED is for tables: PostgreSQL does not know that a role owns rows of ours.
CREATE FUNCTION whisperer_internal.reassign_owned_as(caller oid, old_owner regrole, new_owner regrole)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant bigint := whisperer_internal.my_incarnation();
    new_name name;
    is_superuser constant boolean := EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND r.rolsuper);
    moved whisperer.hook_definition;
BEGIN
    SELECT r.rolname INTO new_name FROM pg_roles r WHERE r.oid = reassign_owned_as.new_owner;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role % does not exist', coalesce(reassign_owned_as.new_owner::text, 'null')
            USING ERRCODE = 'undefined_object';
    END IF;
    IF NOT (pg_has_role(caller, reassign_owned_as.old_owner, 'MEMBER')
            AND pg_has_role(caller, reassign_owned_as.new_owner, 'MEMBER')) THEN
        RAISE EXCEPTION 'permission denied to reassign hooks and event types'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Only superusers and members of both roles may.';
    END IF;
    -- In one order, whichever of two gives to the other.  Before anything is looked at: what another session makes or redirects
    -- waits for the end of this, or this for its.
    PERFORM whisperer_internal.hold_hooks(role) FROM unnest(ARRAY[least(old_owner::oid, new_owner::oid), greatest(old_owner::oid, new_owner::oid)]) AS role;
    UPDATE whisperer.event_type t SET owner = reassign_owned_as.new_owner, owner_name = new_name
    WHERE t.owner = reassign_owned_as.old_owner AND t.incarnation = mine;
    UPDATE whisperer.event_type_claim c SET owner = reassign_owned_as.new_owner, owner_name = new_name
    WHERE c.owner = reassign_owned_as.old_owner AND c.incarnation = mine;
    FOR moved IN SELECT h.* FROM whisperer.hook_definition h
                 WHERE h.owner = reassign_owned_as.old_owner AND h.incarnation = mine AND h.is_active AND old_owner <> new_owner LOOP
        moved.owner := reassign_owned_as.new_owner;
        PERFORM whisperer_internal.check_overlap(moved);
        PERFORM whisperer_internal.check_name(moved);
        -- Who may have no more hooks gets no more by way of a role that may.
        IF NOT is_superuser THEN
            PERFORM whisperer_internal.check_hook_count(reassign_owned_as.new_owner);
        END IF;
        UPDATE whisperer.hook_definition h SET owner = reassign_owned_as.new_owner, owner_name = new_name WHERE h.id = moved.id;
    END LOOP;
    UPDATE whisperer.hook_definition h SET owner = reassign_owned_as.new_owner, owner_name = new_name
    WHERE h.owner = reassign_owned_as.old_owner AND h.incarnation = mine;
END;
$$;
CREATE FUNCTION whisperer.reassign_owned(old_owner regrole, new_owner regrole)
    RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.reassign_owned(regrole, regrole) IS 'gives the hooks and event types of one role to another';
GRANT EXECUTE ON FUNCTION whisperer.reassign_owned(regrole, regrole) TO PUBLIC;
