-- What a hook is subscribed to: names and prefixes, each checked as if it stood alone, and two hooks that would tell one
-- receiver of an event twice.

-- As it is stored: one space behind each comma, nothing twice.
CREATE FUNCTION whisperer_internal.normal_event_patterns(event_type text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN coalesce((SELECT string_agg(p.pattern, ', ' ORDER BY p.place)
                 FROM (SELECT btrim(s.part, E' \t\r\n'), min(s.place)
                       FROM unnest(string_to_array(event_type, ',')) WITH ORDINALITY AS s (part, place) GROUP BY 1) AS p (pattern, place)), '');
COMMENT ON FUNCTION whisperer_internal.normal_event_patterns(text) IS
    'a hook''s event_type as it is stored: names and prefixes with ", " between';
GRANT EXECUTE ON FUNCTION whisperer_internal.normal_event_patterns(text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.check_event_patterns(owner oid, event_type text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pattern text;
BEGIN
    -- Beside a long URL it must fit into an entry of the index hook_definition_once.
    IF octet_length(event_type) > 512 THEN
        RAISE EXCEPTION 'event_type is longer than 512 bytes'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'event_type',
                  HINT = '"prefix*" matches several types; others can have a hook of their own.';
    END IF;
    FOREACH pattern IN ARRAY CASE event_type WHEN '' THEN '{""}' ELSE whisperer_internal.event_patterns(event_type) END LOOP
        PERFORM whisperer_internal.hold_event_type(pattern);
        PERFORM whisperer_internal.check_event_pattern(check_event_patterns.owner, pattern);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_event_patterns(oid, text) IS
    'raises 22023, 42704 or 42501 unless the owner may subscribe to each of what event_type names';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_event_patterns(oid, text) TO PUBLIC;

-- Of two prefixes one is then the beginning of the other.  Operator events are matched by what begins like them alone.
CREATE FUNCTION whisperer_internal.overlap(one text, other text) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN EXISTS (SELECT FROM unnest(whisperer_internal.event_patterns(one)) AS a (pattern),
                           unnest(whisperer_internal.event_patterns(other)) AS b (pattern)
               WHERE starts_with(a.pattern, 'whisperer-') = starts_with(b.pattern, 'whisperer-')
                 AND (whisperer_internal.names(a.pattern, b.pattern) OR whisperer_internal.names(b.pattern, a.pattern)));
COMMENT ON FUNCTION whisperer_internal.overlap(text, text) IS 'whether there may be an event that both event_types name';
GRANT EXECUTE ON FUNCTION whisperer_internal.overlap(text, text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.hold_hooks(owner oid) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'whisperer_hold_hooks';
COMMENT ON FUNCTION whisperer_internal.hold_hooks(oid) IS
    'lets no other transaction make, redirect or name a hook of a role of yours until this one ends';
GRANT EXECUTE ON FUNCTION whisperer_internal.hold_hooks(oid) TO PUBLIC;

-- Before the statement locks a row.  Two sessions that each had one and wanted the other's, or all of the role's, would wait for
-- each other.  Of the role that writes: of another, which it is a member of, they are held with the row.
CREATE FUNCTION whisperer_internal.hold_own_hooks() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('session_replication_role') <> 'replica' THEN
        PERFORM whisperer_internal.hold_hooks(quote_ident(current_user)::regrole::oid);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.hold_own_hooks() IS
    'trigger: lets no other transaction make, redirect or name a hook of whoever writes until this one ends';
GRANT EXECUTE ON FUNCTION whisperer_internal.hold_own_hooks() TO PUBLIC;
CREATE TRIGGER hold_own_hooks BEFORE UPDATE OF event_type, target_url, name ON whisperer.hook_definition
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.hold_own_hooks();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER hold_own_hooks;

-- besides: hooks that may stand beside this one.
CREATE FUNCTION whisperer_internal.overlapping(hook whisperer.hook_definition, besides bigint[] DEFAULT '{}')
    RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT min(h.id) FROM whisperer.hook_definition h
    WHERE h.owner = hook.owner AND h.target_url = hook.target_url AND h.incarnation = hook.incarnation AND h.is_active
      AND h.id <> hook.id AND h.id <> ALL (besides) AND whisperer_internal.overlap(h.event_type, hook.event_type);
END;
COMMENT ON FUNCTION whisperer_internal.overlapping(whisperer.hook_definition, bigint[]) IS
    'another hook of the owner that sends events of the same types to the same URL; null: there is none';
GRANT EXECUTE ON FUNCTION whisperer_internal.overlapping(whisperer.hook_definition, bigint[]) TO PUBLIC;

-- Its caller holds the hooks of their owner.
CREATE FUNCTION whisperer_internal.check_overlap_body(hook whisperer.hook_definition) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other constant bigint := whisperer_internal.overlapping(hook);
BEGIN
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'you have a hook for "%" at this URL already: hook %',
            (SELECT h.event_type FROM whisperer.hook_definition h WHERE h.id = other), other
            USING ERRCODE = 'unique_violation',
                  HINT = 'Change it with whisperer.update_hook, or delete it first: the receiver would get events twice.';
    END IF;
END;
$$;
CREATE FUNCTION whisperer_internal.check_overlap(hook whisperer.hook_definition) RETURNS void
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_as_caller_now';
COMMENT ON FUNCTION whisperer_internal.check_overlap(whisperer.hook_definition) IS
    'raises 23505 if another hook of the owner sends events of the same types to the same URL';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_overlap(whisperer.hook_definition) TO PUBLIC;
