-- Rows that are in a table already, as events for one hook.  They are read with the caller's own
-- rights, each as its trigger would have captured it; only finished values are stored as the owner.

CREATE FUNCTION whisperer_internal.record_backfill_as(caller oid, hook_id bigint, source text, datas json[], keys text[])
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hook whisperer.hook;
BEGIN
    PERFORM whisperer_internal.require_hook(caller, record_backfill_as.hook_id);
    SELECT * INTO hook FROM whisperer.hook h WHERE h.id = record_backfill_as.hook_id;
    IF hook.state = 'deleted' THEN
        PERFORM whisperer_internal.refuse_hook(hook.id);
    END IF;
    IF hook.event_type ~ '[*,]' THEN
        RAISE EXCEPTION 'hook % is for several event types: "%"', hook.id, hook.event_type
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Backfill a hook that is for one event type.';
    END IF;
    INSERT INTO whisperer.outbox (id, event_type, data, source, object_id, hook_id)
    SELECT whisperer_internal.new_event_id(), hook.event_type, r.data::text::json, record_backfill_as.source, r.key, hook.id
    FROM unnest(datas, keys) AS r (data, key);
    PERFORM whisperer_internal.wake_workers();
END;
$$;
CREATE FUNCTION whisperer_internal.record_backfill(hook_id bigint, source text, datas json[], keys text[])
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer_internal.record_backfill(bigint, text, json[], text[]) IS
    'records events for a hook of yours alone; backfill calls it';
GRANT EXECUTE ON FUNCTION whisperer_internal.record_backfill(bigint, text, json[], text[]) TO PUBLIC;

-- As the capture trigger says it that records the event type, or as one without options would.
CREATE FUNCTION whisperer_internal.rows_as_events(relation regclass, event_type text, batch anyarray,
                                         OUT datas json[], OUT keys text[])
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'whisperer_rows_as_events';
COMMENT ON FUNCTION whisperer_internal.rows_as_events(regclass, text, anyarray) IS
    'rows of a table as the data and keys of events; backfill calls it';
GRANT EXECUTE ON FUNCTION whisperer_internal.rows_as_events(regclass, text, anyarray) TO PUBLIC;

-- No SET clause: the where clause is the caller's, and so is its search_path.  So every name is qualified,
-- types too: those of the temporary schema come first.
CREATE FUNCTION whisperer_internal.backfill_body(hook_id bigint, relation regclass, where_clause text) RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    source pg_catalog.text := (
        SELECT pg_catalog.format('%I.%I', s.nspname, c.relname) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.oid OPERATOR(pg_catalog.=) relation);
    event_type pg_catalog.text;
    batch record;
    total bigint := 0;
BEGIN
    IF source IS NULL OR where_clause IS NULL THEN
        RAISE EXCEPTION 'relation and where_clause must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- Also when no row matches: an error must not depend on the data.
    PERFORM whisperer_internal.record_backfill(hook_id, source, '{}', '{}');
    SELECT h.event_type INTO event_type FROM whisperer.hook h WHERE h.id OPERATOR(pg_catalog.=) backfill_body.hook_id;
    EXECUTE pg_catalog.format('SELECT whisperer_internal.rows_as_events($1, $2, ''{}''::%s[])', source) USING relation, event_type;
    FOR batch IN EXECUTE pg_catalog.format(
        'SELECT e.datas, e.keys '
        'FROM (SELECT pg_catalog.array_agg(r.t) AS batch FROM (SELECT t.*::%1$s AS t, '
        '(pg_catalog.row_number() OVER () OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog./) 1000 AS n '
        'FROM %1$s AS t WHERE (%2$s)) AS r GROUP BY r.n ORDER BY r.n) AS g, '
        'whisperer_internal.rows_as_events($1, $2, g.batch) AS e', source, where_clause)
        USING relation, event_type
    LOOP
        PERFORM whisperer_internal.record_backfill(hook_id, source, batch.datas, batch.keys);
        total := total OPERATOR(pg_catalog.+) pg_catalog.cardinality(batch.datas);
    END LOOP;
    RETURN total;
END;
$$;
CREATE FUNCTION whisperer.backfill(hook_id bigint, relation regclass, where_clause text DEFAULT 'true') RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.backfill(bigint, regclass, text) IS
    'records one event for each row of a table that matches, for one hook alone';
GRANT EXECUTE ON FUNCTION whisperer.backfill(bigint, regclass, text) TO PUBLIC;
