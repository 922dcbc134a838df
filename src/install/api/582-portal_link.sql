-- Links that open the console for the hooks of one role, for as long as somebody looks at a page: the
-- application makes one for each time that it shows that page.  So there are many tokens of that kind, and
-- those that have ended go when others are made.
CREATE FUNCTION whisperer_internal.create_portal_link_as(caller oid, role_name regrole, valid interval)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    IF valid IS NULL THEN
        RAISE EXCEPTION 'valid must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- The moments, too: 12 months less 359 days count as a day, and end a week later.
    IF valid <= '0' OR valid > '24 hours' OR now() + valid > now() + interval '24 hours' THEN
        RAISE EXCEPTION 'valid is not from 0 to 24 hours' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'A link is for one visit; for machines there is whisperer.create_api_token.';
    END IF;
    DELETE FROM whisperer.api_token_record t
    WHERE t.id IN (SELECT o.id FROM whisperer.api_token_record o
                   WHERE o.kind = 'portal' AND o.expires_at < now() - interval '1 day' LIMIT 100 FOR UPDATE SKIP LOCKED);
    RETURN 'console/#portal=' || whisperer_internal.make_api_token(caller, role_name, 'portal link', now() + valid, 'portal');
END;
$$;

CREATE FUNCTION whisperer.create_portal_link(role_name regrole, valid interval DEFAULT '1 hour')
    RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.create_portal_link(regrole, interval) IS
    'makes a link into the console for the hooks of one role';
GRANT EXECUTE ON FUNCTION whisperer.create_portal_link(regrole, interval) TO PUBLIC;
