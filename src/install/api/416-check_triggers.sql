-- Capture triggers are checked when they are made and when what they name changes.  This looks at all of them at any
-- time: after a restore, in an application's own tests, or where the library was not loaded meanwhile.

CREATE FUNCTION whisperer_internal.check_trigger(relation oid, made oid, OUT event_type text, OUT is_registered boolean,
                                                 OUT serializer oid)
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'whisperer_check_trigger';
COMMENT ON FUNCTION whisperer_internal.check_trigger(oid, oid) IS
    'raises what CREATE TRIGGER would of a capture trigger, or says what it records';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_trigger(oid, oid) TO PUBLIC;

-- Roles that may write what fires the trigger but not call its serializer: every such write fails.
CREATE FUNCTION whisperer_internal.stopped_writers(relation oid, fired_by integer, serializer oid) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT string_agg(DISTINCT g.name, ', ')
    FROM pg_class c
    CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
    CROSS JOIN LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'public' ELSE (SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.oid = a.grantee) END AS name) g
    WHERE c.oid = stopped_writers.relation AND g.name IS NOT NULL
      AND stopped_writers.fired_by & CASE a.privilege_type WHEN 'INSERT' THEN 4 WHEN 'DELETE' THEN 8 WHEN 'UPDATE' THEN 16 ELSE 0 END <> 0
      AND NOT CASE a.grantee WHEN 0 THEN has_function_privilege('public', stopped_writers.serializer, 'EXECUTE')
                             ELSE has_function_privilege(a.grantee, stopped_writers.serializer, 'EXECUTE') END;
END;
COMMENT ON FUNCTION whisperer_internal.stopped_writers(oid, integer, oid) IS
    'the roles that may write to a table but not call the serializer of its trigger';
GRANT EXECUTE ON FUNCTION whisperer_internal.stopped_writers(oid, integer, oid) TO PUBLIC;

-- Called with a table, a function or a schema whose rights have changed.  Whoever changed them may have no right on our
-- schema.  Triggers that a version before 1.2 made have no dependency that would find them; check_triggers does.
CREATE FUNCTION whisperer_internal.warn_of_stopped_writers(relation oid, serializer oid, schema oid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made record;
    writers text;
BEGIN
    FOR made IN
        SELECT t.tgname, t.tgrelid, t.tgtype::integer AS tgtype, p.oid AS serializer,
               position(convert_to('on_error=record', getdatabaseencoding()) IN t.tgargs) > 0 AS records_errors
        FROM pg_trigger t JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
        JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid AND p.oid <> t.tgfoid
        WHERE t.tgfoid = 'whisperer.capture()'::regprocedure AND t.tgparentid = 0 AND t.tgenabled <> 'D'
          AND (t.tgrelid = warn_of_stopped_writers.relation OR p.oid = warn_of_stopped_writers.serializer OR p.pronamespace = schema)
        ORDER BY t.tgrelid, t.tgname
    LOOP
        writers := whisperer_internal.stopped_writers(made.tgrelid, made.tgtype, made.serializer);
        IF writers IS NOT NULL THEN
            RAISE WARNING 'who may write to table % may not call the serializer of its trigger "%": %', made.tgrelid::regclass, made.tgname, writers
                USING DETAIL = CASE WHEN made.records_errors THEN 'The events of what these roles write fail.' ELSE 'The writes of these roles fail.' END,
                      HINT = format('GRANT EXECUTE ON FUNCTION %s TO %s;', made.serializer::regprocedure, writers);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.warn_of_stopped_writers(oid, oid, oid) IS
    'warns of roles that may write to a table but not call its trigger''s serializer';

CREATE FUNCTION whisperer.check_triggers(OUT "table" regclass, OUT trigger name, OUT problem text, OUT hint text) RETURNS SETOF record
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made record;
    told record;
    writers text;
    child oid;
BEGIN
    FOR made IN
        SELECT t.oid, t.tgrelid, t.tgname, t.tgtype::integer AS tgtype, t.tgenabled, n.by_row, n.always, n.along
        FROM pg_trigger t CROSS JOIN LATERAL whisperer_internal.capture_needs(t.tgrelid) n
        WHERE t.tgfoid = 'whisperer.capture()'::regprocedure AND t.tgparentid = 0
        ORDER BY t.tgrelid::regclass::text, t.tgname
    LOOP
        "table" := made.tgrelid;
        trigger := made.tgname;
        BEGIN
            SELECT * INTO told FROM whisperer_internal.check_trigger(made.tgrelid, made.oid);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
            RETURN NEXT;
            CONTINUE;
        END;
        IF NOT told.is_registered THEN
            problem := format('event type "%s" is not registered', told.event_type);
            hint := format('Unless the name is mistyped: SELECT whisperer.register_event(%L);', told.event_type);
            RETURN NEXT;
        END IF;
        writers := whisperer_internal.stopped_writers(made.tgrelid, made.tgtype, told.serializer);
        IF writers IS NOT NULL THEN
            problem := format('who may write to the table may not call the serializer: %s', writers);
            hint := format('GRANT EXECUTE ON FUNCTION %s TO %s;', told.serializer::regprocedure, writers);
            RETURN NEXT;
        END IF;
        IF made.tgenabled <> 'D' AND (made.by_row AND made.tgtype & 1 = 0 OR made.always AND made.tgenabled NOT IN ('A', 'R')) THEN
            problem := 'it does not see all that is written to the table';
            hint := whisperer_internal.sight_hint(made.tgrelid, made.tgname, made.tgtype & 1 = 1, made.always);
            RETURN NEXT;
        END IF;
        IF made.tgenabled <> 'D' AND made.tgtype & 1 = 0 AND NOT made.by_row AND whisperer_internal.temp_files_are_limited() THEN
            problem := 'bulk statements fail by temp_file_limit, because the rows of a statement trigger lie on disk beyond work_mem';
            hint := whisperer_internal.sight_hint(made.tgrelid, made.tgname, false, false);
            RETURN NEXT;
        END IF;
        FOR child IN SELECT u FROM whisperer_internal.unseen_children(made.oid) u LOOP
            problem := format('it does not see the rows of a child, %s', child::regclass);
            hint := (SELECT CASE WHEN t.tgqual IS NOT NULL THEN format('As the owner of %s: ', t.tgrelid::regclass) ELSE '' END
                            || whisperer_internal.child_trigger(made.oid, child) || ';' FROM pg_trigger t WHERE t.oid = made.oid);
            RETURN NEXT;
        END LOOP;
        IF made.along AND made.tgenabled = 'O' AND NOT whisperer_internal.came_along(made.tgrelid) THEN
            problem := 'what is applied to the table is recorded by its publisher or not at all, and no event of it has come from there';
            hint := whisperer_internal.along_hint(made.tgrelid);
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer.check_triggers() IS 'what is wrong with capture triggers: a row for each problem, none when all is well';
GRANT EXECUTE ON FUNCTION whisperer.check_triggers() TO PUBLIC;
