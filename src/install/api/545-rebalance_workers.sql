-- Hooks of several workers, dealt anew.

CREATE FUNCTION whisperer_internal.deal_hooks_anew() RETURNS integer
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_deal_anew';
COMMENT ON FUNCTION whisperer_internal.deal_hooks_anew() IS
    'has all workers of this database leave, so that hooks are dealt anew; returns how many do, 0: hooks are not shared';

CREATE FUNCTION whisperer_internal.rebalance_workers_as(caller oid) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role(caller, current_user, 'MEMBER') THEN
        RAISE EXCEPTION 'permission denied to deal the hooks of this database anew'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Only superusers and members of the extension''s owner may.';
    END IF;
    RETURN whisperer_internal.deal_hooks_anew();
END;
$$;
CREATE FUNCTION whisperer.rebalance_workers() RETURNS integer LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.rebalance_workers() IS
    'deals the hooks of this database to its workers anew and returns how many workers leave';
GRANT EXECUTE ON FUNCTION whisperer.rebalance_workers() TO PUBLIC;
