-- delete, pause and resume are one UPDATE each.
CREATE FUNCTION whisperer_internal.change_hook(hook_id bigint, active boolean, paused boolean)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE whisperer.hook_definition h
    SET is_active = h.is_active AND active, is_paused = paused,
        resumes = h.resumes + CASE WHEN active AND NOT paused THEN 1 ELSE 0 END
    WHERE h.id = change_hook.hook_id AND (h.is_active OR NOT active);
    IF NOT FOUND THEN
        PERFORM whisperer_internal.refuse_hook(change_hook.hook_id);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.change_hook(bigint, boolean, boolean) IS
    'what delete_hook, pause_hook and resume_hook have in common; 42704, 55000 for a deleted hook';
GRANT EXECUTE ON FUNCTION whisperer_internal.change_hook(bigint, boolean, boolean) TO PUBLIC;

CREATE FUNCTION whisperer_internal.delete_hook_body(hook_id bigint) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.change_hook(hook_id, false, false);
END;
CREATE FUNCTION whisperer.delete_hook(hook_id bigint) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.delete_hook(bigint) IS 'ends a subscription and cancels what is pending';
GRANT EXECUTE ON FUNCTION whisperer.delete_hook(bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.pause_hook_body(hook_id bigint) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    SELECT whisperer_internal.change_hook(hook_id, true, true);
END;
CREATE FUNCTION whisperer.pause_hook(hook_id bigint) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.pause_hook(bigint) IS 'lets the deliveries of a hook wait until resume_hook';
GRANT EXECUTE ON FUNCTION whisperer.pause_hook(bigint) TO PUBLIC;

CREATE FUNCTION whisperer_internal.resume_hook_body(hook_id bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM whisperer_internal.change_hook(resume_hook_body.hook_id, true, false);
END;
$$;
CREATE FUNCTION whisperer.resume_hook(hook_id bigint) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.resume_hook(bigint) IS 'makes a paused or disabled hook active again and delivers what waited';
GRANT EXECUTE ON FUNCTION whisperer.resume_hook(bigint) TO PUBLIC;
