-- Who an owner or grantee is.  Kept by oid and by name: the oid follows a rename, but means nothing in a
-- database that a dump was restored into; there the name counts, and null says that nobody has it.
CREATE FUNCTION whisperer_internal.living_role(role oid, role_name text, incarnation bigint) RETURNS oid
    LANGUAGE sql STABLE
RETURN CASE WHEN incarnation = whisperer_internal.my_incarnation() THEN role
            ELSE to_regrole(quote_ident(role_name))::oid END;
COMMENT ON FUNCTION whisperer_internal.living_role(oid, text, bigint) IS
    'the role that a row of this incarnation names, here and now';
GRANT EXECUTE ON FUNCTION whisperer_internal.living_role(oid, text, bigint) TO PUBLIC;

-- Without a query, too: a regrole is written as its number, bare, where there is no such role, and a role whose name
-- is a number in quotes.
CREATE FUNCTION whisperer_internal.role_exists(role oid) RETURNS boolean
    LANGUAGE sql STABLE
RETURN coalesce(role <> 0 AND role::regrole::text <> role::text, false);
COMMENT ON FUNCTION whisperer_internal.role_exists(oid) IS
    'false: the role was dropped; a hook of it gets nothing until reassign_owned';
GRANT EXECUTE ON FUNCTION whisperer_internal.role_exists(oid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.extension_owner() RETURNS oid
    LANGUAGE sql STABLE
RETURN (SELECT e.extowner FROM pg_extension e WHERE e.extname = 'whisperer');
COMMENT ON FUNCTION whisperer_internal.extension_owner() IS 'who stands in for an owner that does not exist here';
GRANT EXECUTE ON FUNCTION whisperer_internal.extension_owner() TO PUBLIC;

-- Without a query of its own it is inlined; may() would plan it anew at each call.
CREATE FUNCTION whisperer.event_type_owner(event_type whisperer.event_type) RETURNS oid
    LANGUAGE sql STABLE
RETURN coalesce(whisperer_internal.living_role((event_type).owner, (event_type).owner_name, (event_type).incarnation),
                whisperer_internal.extension_owner());
COMMENT ON FUNCTION whisperer.event_type_owner(whisperer.event_type) IS 'the role that owns an event type';
GRANT EXECUTE ON FUNCTION whisperer.event_type_owner(whisperer.event_type) TO PUBLIC;

-- Called by the worker when a role changed: a dump takes the names along.
CREATE FUNCTION whisperer_internal.refresh_role_names() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine constant bigint := whisperer_internal.my_incarnation();
BEGIN
    -- Looked at first: an UPDATE of nothing would still say that the hooks changed.
    IF EXISTS (SELECT FROM whisperer.hook_definition h JOIN pg_authid r ON r.oid = h.owner
               WHERE h.incarnation = mine AND h.owner_name <> r.rolname) THEN
        UPDATE whisperer.hook_definition h SET owner_name = r.rolname
        FROM pg_authid r WHERE r.oid = h.owner AND h.incarnation = mine AND h.owner_name <> r.rolname;
    END IF;
    IF EXISTS (SELECT FROM whisperer.event_type t JOIN pg_authid r ON r.oid = t.owner
               WHERE t.incarnation = mine AND t.owner_name <> r.rolname) THEN
        UPDATE whisperer.event_type t SET owner_name = r.rolname
        FROM pg_authid r WHERE r.oid = t.owner AND t.incarnation = mine AND t.owner_name <> r.rolname;
    END IF;
    IF EXISTS (SELECT FROM whisperer.event_type_privilege p JOIN pg_authid r ON r.oid = p.role
               WHERE p.incarnation = mine AND p.role_name <> r.rolname) THEN
        UPDATE whisperer.event_type_privilege p SET role_name = r.rolname
        FROM pg_authid r WHERE r.oid = p.role AND p.incarnation = mine AND p.role_name <> r.rolname;
    END IF;
    IF EXISTS (SELECT FROM whisperer.api_token_record t JOIN pg_authid r ON r.oid = t.role
               WHERE t.incarnation = mine AND t.role_name <> r.rolname) THEN
        UPDATE whisperer.api_token_record t SET role_name = r.rolname
        FROM pg_authid r WHERE r.oid = t.role AND t.incarnation = mine AND t.role_name <> r.rolname;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.refresh_role_names() IS
    'brings the names of roles that are kept for a dump up to date after a rename';
