-- Delivery in the whole database, on and off.

CREATE FUNCTION whisperer_internal.set_paused(caller oid, paused boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role(caller, current_user, 'MEMBER') THEN
        RAISE EXCEPTION 'permission denied to pause or resume delivery in this database'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Only superusers and members of the extension''s owner may; pause_hook pauses a hook of yours.';
    END IF;
    INSERT INTO whisperer.control (is_paused, modified_by)
    VALUES (paused, pg_get_userbyid(caller))
    ON CONFLICT (only_row) DO UPDATE
    SET is_paused = excluded.is_paused, modified_by = excluded.modified_by, modified_at = now();
END;
$$;

CREATE FUNCTION whisperer_internal.pause_as(caller oid) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.set_paused(caller, true);
END;
CREATE FUNCTION whisperer_internal.resume_as(caller oid) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.set_paused(caller, false);
    SELECT whisperer_internal.adopt();
END;

CREATE FUNCTION whisperer.pause() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.pause() IS 'stops all delivery in this database until resume()';
GRANT EXECUTE ON FUNCTION whisperer.pause() TO PUBLIC;
CREATE FUNCTION whisperer.resume() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer.resume() IS 'ends pause(), and adopts what a restore or copy of another database carried here';
GRANT EXECUTE ON FUNCTION whisperer.resume() TO PUBLIC;
