-- Writers that no trigger of watch() sees.  Names and catalogs are asked, which everybody may read: a caller may have no right on the other extension.
CREATE FUNCTION whisperer_internal.warn_of_unseen(relation regclass, always boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_label boolean;
BEGIN
    -- Apache AGE puts rows into its labels without the executor.  Each inherits from one of two.
    WITH RECURSIVE kin AS (
        SELECT relation::oid AS kin
        UNION SELECT i.inhparent FROM kin JOIN pg_inherits i ON i.inhrelid = kin.kin)
    SELECT EXISTS (SELECT FROM kin JOIN pg_class c ON c.oid = kin.kin WHERE c.relname IN ('_ag_label_vertex', '_ag_label_edge')) INTO is_label;
    IF NOT is_label AND EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                                WHERE n.nspname = 'ag_catalog' AND c.relname = 'ag_label'
                                  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM ag_catalog.ag_label l WHERE l.relation = $1)' INTO is_label USING relation;
    END IF;
    IF is_label THEN
        RAISE WARNING 'table % is a label of a graph: what Cypher writes there fires no trigger', relation
            USING HINT = 'Call whisperer.deliver_event in the transaction that writes.';
    END IF;
    -- pglogical's origins are named after it and their database.
    IF NOT always AND EXISTS (SELECT FROM pg_replication_origin o
                              WHERE starts_with(o.roname, 'pgl_' || left(regexp_replace(lower(current_database()), '[^a-z0-9_]', '_', 'g'), 8))) THEN
        RAISE WARNING 'table % may be written to by another replication, pglogical, whose changes do not fire these triggers', relation
            USING HINT = 'If it is: make the trigger by hand with whisperer.capture, FOR EACH ROW, and ALTER TABLE ... ENABLE ALWAYS TRIGGER.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.warn_of_unseen(regclass, boolean) IS
    'warns of writers to a table that fire no trigger of watch()';
GRANT EXECUTE ON FUNCTION whisperer_internal.warn_of_unseen(regclass, boolean) TO PUBLIC;

CREATE FUNCTION whisperer_internal.warn_of_along(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgfoid = 'whisperer.capture()'::regprocedure AND t.tgenabled = 'O')
       AND NOT whisperer_internal.came_along(relation) THEN
        RAISE WARNING 'what is applied to table % by its subscription is recorded by its publisher or not at all', relation
            USING DETAIL = 'The events of that database come along, but none of this table has come.',
                  HINT = whisperer_internal.along_hint(relation);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.warn_of_along(regclass) IS
    'warns of a table whose events come along with it, if they do';
GRANT EXECUTE ON FUNCTION whisperer_internal.warn_of_along(regclass) TO PUBLIC;

-- The caller makes the triggers with his own rights: TRIGGER on the table, or its ownership.
CREATE FUNCTION whisperer_internal.watch_body(relation regclass, prefix text,
                                              operations text[],
                                              options text[]) RETURNS SETOF text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    past constant jsonb := '{"insert": "created", "update": "updated", "delete": "deleted"}';
    by_row boolean;
    always boolean;
    along boolean;
    table_owner oid;
    there record;
    is_mine boolean;
    is_same boolean;
    operation text;
    event_type text;
    trigger_name text;
    firing text;
    arguments text;
BEGIN
    SELECT n.by_row, n.always, n.along, c.relowner, coalesce(watch_body.prefix, c.relname)
    INTO by_row, always, along, table_owner, prefix
    FROM pg_class c CROSS JOIN LATERAL whisperer_internal.capture_needs(c.oid) n WHERE c.oid = watch_body.relation;
    by_row := by_row OR whisperer_internal.temp_files_are_limited();
    PERFORM whisperer_internal.warn_of_unseen(relation, always);
    FOREACH operation IN ARRAY operations LOOP
        IF operation IS NULL OR NOT past ? lower(operation) THEN
            RAISE EXCEPTION 'unknown operation "%"', operation
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Use insert, update and delete.';
        END IF;
        operation := lower(operation);
        event_type := prefix || '-' || (past->>operation);
        SELECT pg_has_role(whisperer.event_type_owner(t), 'MEMBER') INTO is_mine
        FROM whisperer.event_type t WHERE t.name = event_type;
        IF NOT FOUND THEN
            PERFORM whisperer.register_event(event_type);
        ELSIF NOT is_mine THEN
            -- Who took a likely name early, and lets the table publish, would read its rows.
            RAISE EXCEPTION 'event type "%" belongs to somebody else', event_type
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'Give another prefix; or, if its owner may see the rows, make the trigger with whisperer.capture.';
        END IF;
        IF NOT whisperer.may(table_owner, event_type, 'publish') THEN
            PERFORM whisperer.allow(event_type, table_owner, 'publish');
        END IF;
        trigger_name := 'whisperer_' || (past->>operation);
        firing := CASE
            WHEN by_row THEN 'FOR EACH ROW'
            WHEN operation = 'insert' THEN 'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'
            WHEN operation = 'delete' THEN 'REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'
            ELSE 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT' END;
        SELECT string_agg(quote_literal(a), ', ') INTO arguments
        FROM unnest(event_type || options) AS a;
        SELECT t.oid, t.tgargs = (SELECT string_agg(convert_to(a, getdatabaseencoding()) || E'\\000', NULL) FROM unnest(event_type || options) AS a)
                   AND t.tgenabled <> 'D' AND t.tgqual IS NULL AND t.tgattr = '' AND t.tgfoid = 'whisperer.capture()'::regprocedure AS is_same,
               by_row AND t.tgtype & 1 = 0 OR always AND t.tgenabled <> 'A' OR t.tgenabled = 'R' AS is_blind
        INTO there FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger_name;
        IF NOT FOUND THEN
            EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s EXECUTE FUNCTION whisperer.capture(%s)',
                           trigger_name, operation, relation, firing, arguments);
            IF always THEN
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, trigger_name);
            END IF;
        ELSIF NOT there.is_same THEN
            RAISE EXCEPTION 'table % is watched in another way, by trigger %', relation, trigger_name
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = format('SELECT whisperer.unwatch(%L) ends that.', relation);
        ELSIF there.is_blind THEN
            PERFORM whisperer_internal.remake_capture(there.oid, by_row, always);
        END IF;
        PERFORM whisperer_internal.watch_children(t.oid, false) FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger_name;
        RETURN NEXT event_type;
    END LOOP;
    PERFORM whisperer_internal.warn_of_along(relation) WHERE along;
END;
$$;
CREATE FUNCTION whisperer.watch(relation regclass, prefix text DEFAULT NULL,
                                operations text[] DEFAULT '{insert,update,delete}',
                                options text[] DEFAULT '{}') RETURNS SETOF text
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.watch(regclass, text, text[], text[]) IS
    'makes the capture triggers of a table and their event types, and mends them';
GRANT EXECUTE ON FUNCTION whisperer.watch(regclass, text, text[], text[]) TO PUBLIC;

CREATE FUNCTION whisperer_internal.unwatch_body(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made record;
    childs record;
BEGIN
    FOR made IN
        SELECT t.tgname, t.tgargs,
               convert_from(whisperer_internal.first_argument(t.tgargs), getdatabaseencoding()) AS event_type
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = unwatch_body.relation AND p.proname = 'capture'
          AND p.pronamespace = 'whisperer'::regnamespace
          AND t.tgname IN ('whisperer_created', 'whisperer_updated', 'whisperer_deleted')
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', made.tgname, relation);
        -- Without it those of its children record nothing; what another owns of them may stay.
        FOR childs IN
            SELECT t.tgname, t.tgrelid::regclass AS name
            FROM whisperer_internal.descendants(relation) AS d (child) JOIN pg_trigger t ON t.tgrelid = d.child
            WHERE t.tgfoid = 'whisperer.capture()'::regprocedure AND t.tgargs = made.tgargs || decode('61733d706172656e7400', 'hex')
              AND (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = d.child)
              -- Another parent's may be the same.
              AND NOT EXISTS (SELECT FROM pg_trigger o JOIN whisperer_internal.kin_above(d.child) AS k (kin) ON o.tgrelid = k.kin
                              WHERE o.tgfoid = t.tgfoid AND o.tgargs = made.tgargs AND o.tgtype & 1 = 1 AND o.tgrelid <> d.child)
        LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', childs.tgname, childs.name);
        END LOOP;
        -- What the table's own trigger saw, its parents' may want.
        PERFORM whisperer_internal.watch_children(t.oid, false)
        FROM whisperer_internal.kin_above(relation) AS a (kin) JOIN pg_trigger t ON t.tgrelid = a.kin
        WHERE a.kin <> relation AND t.tgfoid = 'whisperer.capture()'::regprocedure AND whisperer_internal.first_argument(t.tgargs) = whisperer_internal.first_argument(made.tgargs);
        BEGIN
            PERFORM whisperer.unregister_event(made.event_type);
        EXCEPTION WHEN object_in_use OR insufficient_privilege OR undefined_object THEN
            NULL;  -- others use it still
        END;
    END LOOP;
END;
$$;
CREATE FUNCTION whisperer.unwatch(relation regclass) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer.unwatch(regclass) IS 'drops the triggers that watch() made, and event types that nothing else uses';
GRANT EXECUTE ON FUNCTION whisperer.unwatch(regclass) TO PUBLIC;
