-- For trying things out: the rules that match a page, in SQL, with the rights of the caller.

-- As the engine has it (encoded_line of worker/rules/headers.cpp).
CREATE FUNCTION whisperer_internal.header_text(value text) RETURNS text
    LANGUAGE sql STABLE
RETURN CASE WHEN value COLLATE "C" ~ '^[!#$&-~]*$' THEN value
            ELSE (SELECT string_agg(CASE WHEN b.byte BETWEEN 33 AND 126 AND b.byte NOT IN (34, 37) THEN chr(b.byte)
                                         ELSE '%' || upper(lpad(to_hex(b.byte), 2, '0')) END, '' ORDER BY b.place)
                  FROM (SELECT place, get_byte(u.utf8, place)
                        FROM (SELECT convert_to(value, 'UTF8')) AS u (utf8), generate_series(0, octet_length(u.utf8) - 1) AS place) AS b (place, byte)) END;
COMMENT ON FUNCTION whisperer_internal.header_text(text) IS
    'a text as it stands in a header: spaces, ", % and what is not ASCII percent-encoded';
GRANT EXECUTE ON FUNCTION whisperer_internal.header_text(text) TO PUBLIC;

CREATE FUNCTION whisperer_internal.to_preview(event_id uuid) RETURNS SETOF whisperer.outbox
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF event_id IS NULL THEN
        RETURN QUERY SELECT o.* FROM whisperer.outbox o WHERE o.xid = pg_current_xact_id_if_assigned();
    ELSE
        RETURN QUERY SELECT * FROM whisperer_internal.event(event_id);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.to_preview(uuid) IS 'one event, or those of this transaction';
GRANT EXECUTE ON FUNCTION whisperer_internal.to_preview(uuid) TO PUBLIC;

CREATE FUNCTION whisperer.preview(event_id uuid DEFAULT NULL)
    RETURNS TABLE (hook_id bigint, target_url text, headers jsonb, body text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.id, h.target_url,
           -- A header that the hook sets stays the hook's, however it is written.
           (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(f.headers) AS e
            WHERE (lower(e.key) = ANY (own.names)) IS NOT TRUE)
               || jsonb_build_object('X-Whisperer-Event', whisperer_internal.header_text(said.event_type),
                                     'X-Whisperer-Hook', h.id::text,
                                     'webhook-id', replace(o.id::text, '-', ''))
               -- Which id a batch has depends on its body, and that is the transform's.
               || coalesce(b.headers || CASE WHEN h.transform IS NOT NULL AND o.event_type <> 'whisperer-ping'
                                             THEN '{"webhook-id": null}'::jsonb ELSE '{}' END, '{}')
               || own.headers
               || CASE WHEN 'attempt' = ANY (h.metadata_headers)
                       THEN jsonb_build_object('X-Whisperer-Attempt', (coalesce(d.retry_count, 0) + 1)::text) ELSE '{}' END
               -- What comes compressed depends on the body's length.
               || CASE WHEN h.encoding IS NULL THEN '{}'
                       WHEN sent.body IS NULL THEN '{"Content-Encoding": null}'
                       WHEN whisperer_internal.is_gzipped(sent.body) THEN '{"Content-Encoding": "gzip"}' ELSE '{}'::jsonb END
               || CASE WHEN h.config->'auth' ?| '{type,auth_type}' THEN '{"Authorization": "***"}'::jsonb ELSE '{}' END,
           sent.body
    FROM whisperer_internal.to_preview($1) o
    JOIN whisperer.hook_definition h
      ON h.is_active AND h.incarnation = whisperer_internal.my_incarnation()
     AND whisperer_internal.is_for(h, o) AND NOT whisperer_internal.is_older(o, h) AND whisperer_internal.is_let_through(h, o)
     AND whisperer_internal.schema_refusal(o) IS NULL
    -- What has a row keeps the format that the row was made with.
    LEFT JOIN whisperer.delivery d ON d.event_id = o.id AND d.hook_id = h.id,
    LATERAL (SELECT coalesce(o.meta->>'ping_of', o.event_type)) AS said (event_type),
    LATERAL (SELECT CASE WHEN d.event_id IS NOT NULL THEN coalesce(d.format, 'whisperer')
                         -- It may be under way.
                         ELSE coalesce((SELECT f.format FROM whisperer.hook_run r,
                                            unnest(r.former_formats, r.former_until) WITH ORDINALITY AS f (format, until, place)
                                        WHERE r.hook_id = h.id AND r.formats_incarnation = o.incarnation AND pg_visible_in_snapshot(o.xid, f.until)
                                        ORDER BY f.place LIMIT 1), concat_ws(':', h.format, h.payload_key)) END) AS n (format),
    whisperer_internal.formatted(n.format, whisperer_internal.metadata_bits(h.metadata_headers),
                                 o.id, o.event_type, o.data, o.created_at, o.source, o.object_id, o.meta) AS f,
    -- With others its id and body are those of all of them.
    whisperer_internal.batch_of_one(h.batch, n.format, o.id, said.event_type, f.body) AS b,
    LATERAL (SELECT CASE WHEN d.body IS NOT NULL AND h.batch IS NULL THEN d.body
                         WHEN d.body IS NULL AND (h.transform IS NULL OR o.event_type = 'whisperer-ping')
                         THEN coalesce(b.body, f.body) END) AS sent (body),
    LATERAL (SELECT m.headers, ARRAY(SELECT lower(k) FROM jsonb_object_keys(m.headers) AS k)
                               || ARRAY['user-agent', lower(h.signing->>'time_header'),
                                        CASE WHEN h.config->'auth' ? 'type' THEN 'authorization' END] AS names
             FROM (SELECT whisperer_internal.masked_headers(h.id) AS headers OFFSET 0) AS m) AS own
    WHERE whisperer_internal.duplicate_of(o) IS NULL
      AND (o.data IS NOT NULL OR $1 IS NOT NULL AND whisperer_internal.refuse_expunged(o.id) IS NULL)
    ORDER BY o.id, h.id
$$;
COMMENT ON FUNCTION whisperer.preview(uuid) IS 'what would be sent for one event, or for those of this transaction';
GRANT EXECUTE ON FUNCTION whisperer.preview(uuid) TO PUBLIC;
