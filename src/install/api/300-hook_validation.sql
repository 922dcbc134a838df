-- The checks that create_hook, update_hook and plain DML share: a trigger, so that none goes round it.
-- It runs as whoever writes; row-level security has the last word about the owner.

-- The snapshot of this transaction with its own xid counted as unfinished.  One's own xid is never in
-- one's own snapshot, so an event of the transaction that makes the hook would otherwise count as
-- seen as soon as any later transaction ended.  At or beyond xmax it is unfinished anyway; and xmax
-- must stay, or what has not begun or not ended beyond it would count as seen.
CREATE FUNCTION whisperer.hook_since() RETURNS pg_snapshot
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    me constant xid8 := pg_current_xact_id();
    seen constant pg_snapshot := pg_current_snapshot();
BEGIN
    IF me >= pg_snapshot_xmax(seen) THEN
        RETURN seen;
    END IF;
    RETURN (SELECT format('%s:%s:%s', min(x), pg_snapshot_xmax(seen), string_agg(x::text, ',' ORDER BY x))
            FROM (SELECT pg_snapshot_xip(seen)::text::bigint UNION SELECT me::text::bigint) AS running(x));
END;
$$;
COMMENT ON FUNCTION whisperer.hook_since() IS
    'the snapshot that a hook made now has as its since';

CREATE FUNCTION whisperer.check_event_pattern(owner oid, pattern text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    matching integer;
    allowed integer;
BEGIN
    -- What the worker tells of hooks; see operator_hooks.
    IF pattern IN ('whisperer-hook-disabled', 'whisperer-delivery-failed', 'whisperer-*') THEN
        RETURN;
    END IF;
    SELECT count(*), count(*) FILTER (WHERE whisperer.may(check_event_pattern.owner, t.name, 'subscribe'))
    INTO matching, allowed
    FROM whisperer.event_type t
    WHERE t.name = pattern OR (right(pattern, 1) = '*' AND starts_with(t.name, left(pattern, -1)));
    IF matching = 0 THEN
        RAISE EXCEPTION 'no registered event type matches "%"', pattern
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM whisperer.event_type shows what is registered; "prefix*" and "*" match several.';
    END IF;
    IF allowed = 0 THEN
        RAISE EXCEPTION 'permission denied to subscribe to event type "%"', pattern
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('The event type''s owner can call whisperer.allow(''%s'', ''%s'', ''subscribe'').',
                                pattern, pg_get_userbyid(check_event_pattern.owner));
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer.check_event_pattern(oid, text) IS
    'raises 42704 if no registered event type matches, 42501 if the owner may subscribe to none of them';

CREATE FUNCTION whisperer.check_hook() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Being restored: its event types may come later, its owner may not exist.
    IF TG_OP = 'INSERT' AND NEW.incarnation <> whisperer.my_incarnation() THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.owner := coalesce(NEW.owner, current_user::regrole::oid);
        NEW.owner_name := pg_get_userbyid(NEW.owner);
        NEW.since := whisperer.hook_since();
    END IF;
    IF NEW.is_active THEN
        PERFORM whisperer.check_event_pattern(
            whisperer.living_role(NEW.owner, NEW.owner_name, NEW.incarnation), NEW.event_type);
    END IF;
    PERFORM whisperer.check_url(NEW.target_url);
    PERFORM whisperer.check_retry_config(NEW.retry_countdown_config);
    IF NOT (NEW.rate_limit > 0 AND NEW.rate_limit <= 1000000) THEN
        RAISE EXCEPTION 'rate_limit must be more than 0 and at most 1000000 attempts per second'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it null for no limit; pause_hook stops a hook.';
    END IF;
    PERFORM whisperer.check_hook_json(NEW.config, NEW.filter, NEW.retry_countdown_config);
    IF NEW.transform IS NOT NULL OR NEW.callback IS NOT NULL THEN
        RAISE EXCEPTION 'transform and callback are not supported by this version'
            USING ERRCODE = 'feature_not_supported', HINT = 'Leave them null.';
    END IF;
    NEW.modified_at := now();
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION whisperer.check_hook() IS 'trigger: refuses a hook that could not be served';

CREATE FUNCTION whisperer.check_hook_json(config jsonb, filter jsonb, retry jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(config) <> 'object' THEN
        RAISE EXCEPTION 'config must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF config ? 'auth' THEN
        RAISE EXCEPTION 'config.auth is not supported by this version'
            USING ERRCODE = 'feature_not_supported', HINT = 'Use additional_headers.';
    END IF;
    IF octet_length(filter::text) > 8192 THEN
        RAISE EXCEPTION 'filter is longer than 8192 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF retry->>'choice' = 'custom' THEN
        RAISE EXCEPTION 'retry_countdown_config: choice "custom" is not supported by this version'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Use fixed, linear, exponential, random or schedule.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer.check_hook_json(jsonb, jsonb, jsonb) IS
    'raises 22023 or 0A000 for what a hook''s JSON columns must not hold';

-- On what people may write; adoption and the refreshing of names change nothing of it.
CREATE TRIGGER check_hook
    BEFORE INSERT OR UPDATE OF event_type, target_url, config, retry_countdown_config, callback, filter,
                               transform, rate_limit, description, is_active, is_paused, resumes
    ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer.check_hook();

ALTER TABLE whisperer.hook_definition ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_hooks ON whisperer.hook_definition
    USING (pg_has_role(whisperer.living_role(owner, owner_name, incarnation), 'MEMBER'));

GRANT SELECT ON whisperer.hook_definition TO PUBLIC;
GRANT INSERT (event_type, target_url, config, retry_countdown_config, callback, filter, transform,
              rate_limit, description, is_active, is_paused),
      UPDATE (event_type, target_url, config, retry_countdown_config, callback, filter, transform,
              rate_limit, description, is_active, is_paused, resumes)
    ON whisperer.hook_definition TO PUBLIC;

ALTER TABLE whisperer.hook_run ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_hooks ON whisperer.hook_run FOR SELECT
    USING (EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.id = hook_id));
GRANT SELECT ON whisperer.hook_run TO PUBLIC;
