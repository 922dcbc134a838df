-- For trying things out: the rules that match a page, in SQL, with the rights of the caller.

CREATE FUNCTION whisperer.preview(event_id uuid DEFAULT NULL)
    RETURNS TABLE (hook_id bigint, target_url text, headers jsonb, body text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.id, h.target_url,
           jsonb_build_object('Content-Type', 'application/json',
                              'X-Whisperer-Event', o.event_type,
                              'X-Whisperer-Hook', h.id::text,
                              'webhook-id', replace(o.id::text, '-', ''))
               || whisperer_internal.masked_headers(h.id)
               || CASE WHEN h.config->'auth' ? 'type' THEN '{"Authorization": "***"}'::jsonb ELSE '{}' END,
           CASE WHEN h.transform IS NULL OR o.event_type = 'whisperer-ping'
                THEN whisperer_internal.envelope(o.id, o.event_type, o.data) END
    FROM whisperer.outbox o
    JOIN whisperer.hook_definition h
      ON h.is_active AND h.incarnation = whisperer_internal.my_incarnation()
     AND (h.event_type = o.event_type OR o.hook_id = h.id
          OR (right(h.event_type, 1) = '*' AND starts_with(o.event_type, left(h.event_type, -1))))
     AND whisperer.may(whisperer_internal.living_role(h.owner, h.owner_name, h.incarnation), o.event_type, 'subscribe')
     AND CASE WHEN o.incarnation = h.since_incarnation THEN NOT pg_visible_in_snapshot(o.xid, h.since)
              ELSE o.incarnation = whisperer_internal.my_incarnation() OR o.created_at > h.created_at END
     AND (o.config_filter IS NULL OR h.config @> o.config_filter)
     AND (h.filter IS NULL OR whisperer_internal.json_contains(o.data, h.filter) IS NOT FALSE)
     AND (o.hook_id IS NULL OR o.hook_id = h.id)
    WHERE CASE WHEN $1 IS NULL THEN o.xid = pg_current_xact_id_if_assigned() ELSE o.id = $1 END
    ORDER BY o.id, h.id
$$;
COMMENT ON FUNCTION whisperer.preview(uuid) IS 'what would be sent for one event, or for those of this transaction';
GRANT EXECUTE ON FUNCTION whisperer.preview(uuid) TO PUBLIC;
