-- A capture trigger may be made so that it does not see what is written: one of the statement fires neither for what is
-- done to the table's parent nor for what replication applies, and what replication applies fires no trigger that is
-- not ENABLE ALWAYS.  A table becomes a partition, a child or a subscriber's after it was watched.

CREATE FUNCTION whisperer_internal.capture_needs(relation oid, OUT by_row boolean, OUT always boolean, OUT along boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- Replication names the partition or a table further up, as it was published.  Where a statement trigger wants its
    -- rows, nothing can be written to a child that is a foreign table.
    SELECT c.relkind IN ('p', 'f') OR s.is_subscribed OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
               OR EXISTS (SELECT FROM whisperer_internal.descendants(c.oid) AS d (child) JOIN pg_class k ON k.oid = d.child WHERE k.relkind = 'f'),
           s.always, s.along AND NOT s.always
    FROM pg_class c
    CROSS JOIN LATERAL (
        -- Where the events of the publisher come, too, each would come once more.
        SELECT count(*) > 0 AS is_subscribed, coalesce(bool_or(NOT e.come), false) AS always, coalesce(bool_or(e.come), false) AS along
        FROM (SELECT DISTINCT r.srsubid FROM pg_subscription_rel r
              WHERE r.srrelid = c.oid
                 OR r.srrelid IN (SELECT a.relid FROM pg_partition_ancestors(c.oid) a)
                 OR r.srrelid IN (SELECT t.relid FROM pg_partition_tree(c.oid) t)) r
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM pg_subscription_rel o JOIN pg_class l ON l.oid = o.srrelid
                           WHERE l.relname ~ '^outbox(_[0-7])?$' AND l.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'whisperer')
                             AND (o.srsubid = r.srsubid OR whisperer_internal.has_same_publisher(o.srsubid, r.srsubid))) AS come) e) s
    WHERE c.oid = capture_needs.relation;
END;
COMMENT ON FUNCTION whisperer_internal.capture_needs(oid) IS
    'how a capture trigger must be made to see all that is written to a table: FOR EACH ROW, ENABLE ALWAYS; along: what is applied is not to be recorded, because the publisher''s events come along';
GRANT EXECUTE ON FUNCTION whisperer_internal.capture_needs(oid) TO PUBLIC;

-- A statement trigger's rows lie on disk beyond work_mem: a bulk load would fail that did not before.  Whoever writes
-- may be another role than asks here.
CREATE FUNCTION whisperer_internal.temp_files_are_limited() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.setting <> '-1' OR s.reset_val <> '-1'
        OR EXISTS (SELECT FROM pg_db_role_setting r CROSS JOIN LATERAL unnest(r.setconfig) AS c (setting)
                   WHERE r.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
                     AND starts_with(c.setting, 'temp_file_limit=') AND c.setting <> 'temp_file_limit=-1')
    FROM pg_settings s WHERE s.name = 'temp_file_limit';
END;
COMMENT ON FUNCTION whisperer_internal.temp_files_are_limited() IS
    'whether temp_file_limit is set for this session, or for any role or all in this database';
GRANT EXECUTE ON FUNCTION whisperer_internal.temp_files_are_limited() TO PUBLIC;

-- Called after a statement that sets it for others.
CREATE FUNCTION whisperer_internal.warn_of_temp_file_limit() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tables text;
BEGIN
    SELECT string_agg(DISTINCT t.tgrelid::regclass::text, ', ') INTO tables
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgtype & 1 = 0 AND t.tgparentid = 0 AND t.tgenabled <> 'D'
      AND p.proname = 'capture' AND p.pronamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'whisperer');
    IF tables IS NOT NULL THEN
        RAISE WARNING 'bulk statements on these tables may fail by temp_file_limit, because they are captured by statement triggers: %', tables
            USING DETAIL = 'The rows of a statement trigger lie on disk beyond work_mem.',
                  HINT = 'When it is set, SELECT * FROM whisperer.check_triggers() says what makes row triggers of them.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.warn_of_temp_file_limit() IS
    'warns of tables whose capture triggers may have bulk statements fail';

-- As it was, but so that it sees.  The caller's rights decide.
CREATE FUNCTION whisperer_internal.remake_capture(made oid, by_row boolean, always boolean) RETURNS oid
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was pg_trigger;
    action text;
    events text;
BEGIN
    SELECT * INTO was FROM pg_trigger t WHERE t.oid = made;
    IF by_row AND was.tgtype & 1 = 0 THEN
        action := whisperer_internal.trigger_action(made);
        events := whisperer_internal.trigger_events(made);
        -- A condition that somebody wrote is not read by another, who may do more; see watch_children.
        IF action IS NULL OR was.tgqual IS NOT NULL THEN
            RAISE EXCEPTION 'trigger "%" is of a kind that whisperer.watch does not make', was.tgname
                USING ERRCODE = 'feature_not_supported', HINT = 'Drop it and create it FOR EACH ROW.';
        END IF;
        EXECUTE format('DROP TRIGGER %I ON %s', was.tgname, was.tgrelid::regclass);
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW ', was.tgname, events, was.tgrelid::regclass) || action;
        was.tgenabled := CASE was.tgenabled WHEN 'A' THEN 'O' ELSE was.tgenabled END;
    END IF;
    IF always AND was.tgenabled <> 'A' OR was.tgenabled = 'R' THEN
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', was.tgrelid::regclass, CASE WHEN always THEN 'ALWAYS' ELSE '' END, was.tgname);
    END IF;
    RETURN (SELECT t.oid FROM pg_trigger t WHERE t.tgrelid = was.tgrelid AND t.tgname = was.tgname);
END;
$$;
COMMENT ON FUNCTION whisperer_internal.remake_capture(oid, boolean, boolean) IS
    'makes a capture trigger of watch() anew so that it fires FOR EACH ROW, or ALWAYS, and returns it';
GRANT EXECUTE ON FUNCTION whisperer_internal.remake_capture(oid, boolean, boolean) TO PUBLIC;

-- What is applied to the table is recorded by its publisher or not at all, and nobody knows here which.
CREATE FUNCTION whisperer_internal.along_hint(relation regclass) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format('If it is watched there, all is well, and SELECT whisperer.unwatch(%L) here ends this. If not: watch it there; or, to record here what is applied, ALTER TABLE %s %s.',
                  along_hint.relation, along_hint.relation,
                  (SELECT string_agg(format('ENABLE ALWAYS TRIGGER %I', t.tgname), ', ' ORDER BY t.tgname) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                   WHERE t.tgrelid = along_hint.relation AND t.tgparentid = 0 AND t.tgenabled = 'O'
                     AND p.proname = 'capture' AND p.pronamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'whisperer')));
END;
COMMENT ON FUNCTION whisperer_internal.along_hint(regclass) IS
    'what to do where nothing tells whether the publisher of a table records what is written there';
GRANT EXECUTE ON FUNCTION whisperer_internal.along_hint(regclass) TO PUBLIC;

CREATE FUNCTION whisperer_internal.sight_hint(relation regclass, trigger_name name, is_by_row boolean, always boolean) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN trigger_name IN ('whisperer_created', 'whisperer_updated', 'whisperer_deleted')
                     AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = trigger_name AND t.tgqual IS NULL)
        THEN format('SELECT whisperer.watch(%L), with the options that it was watched with, mends that.', relation)
        ELSE concat_ws('; then ',
            CASE WHEN NOT is_by_row THEN 'Drop it and create it FOR EACH ROW, without REFERENCING'
                 || CASE WHEN EXISTS (SELECT FROM whisperer_internal.descendants(relation)) THEN ', and with the option as=parent on each child of the table' ELSE '' END END,
            CASE WHEN always THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, trigger_name) END) || '.' END;
END;
COMMENT ON FUNCTION whisperer_internal.sight_hint(regclass, name, boolean, boolean) IS
    'what makes a capture trigger see all that is written';
GRANT EXECUTE ON FUNCTION whisperer_internal.sight_hint(regclass, name, boolean, boolean) TO PUBLIC;

CREATE FUNCTION whisperer_internal.see_to_capture(made record, told_only boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Children are locked behind the table.  Who has one of them, and waits for the table, would fail in a deadlock if we
    -- waited for longer than its deadlock_timeout.
    PERFORM set_config('lock_timeout', '500ms', true);
    IF NOT made.is_blind THEN
        IF NOT (made.is_watched AND told_only) THEN
            PERFORM whisperer_internal.watch_children(made.oid, NOT made.is_watched, true);
        END IF;
    ELSIF made.is_watched AND (made.tgenabled = 'A' OR NOT made.always) THEN
        IF NOT told_only THEN
            BEGIN
                PERFORM whisperer_internal.watch_children(whisperer_internal.remake_capture(made.oid, made.by_row, made.always), false, true);
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'trigger "%" on table % does not see all that is written to it any more', made.tgname, made.name
                    USING DETAIL = SQLERRM,
                          HINT = format('SELECT whisperer.watch(%L), with the options that it was watched with, mends that.', made.name);
            END;
        END IF;
    ELSIF NOT (made.is_watched AND told_only) THEN
        RAISE WARNING 'trigger "%" on table % does not see all that is written to it', made.tgname, made.name
            USING DETAIL = CASE WHEN made.always THEN 'The table belongs to a subscription, and what is applied fires row triggers that are ENABLE ALWAYS.'
                                WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = made.name)
                                THEN 'What is written through the table''s parent fires no statement trigger.'
                                WHEN EXISTS (SELECT FROM whisperer_internal.descendants(made.name) AS d (child) JOIN pg_class c ON c.oid = d.child WHERE c.relkind = 'f')
                                THEN 'A child of the table is a foreign table: what is written to it through the table fails while a statement trigger wants the rows.'
                                ELSE 'What is written to a partition itself fires no statement trigger of the partitioned table.' END,
                  HINT = whisperer_internal.sight_hint(made.name, made.tgname, made.is_by_row, made.always);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.see_to_capture(record, boolean) IS
    'mends one capture trigger, or warns; see_to_captures calls it';

-- Called after statements that may have made a difference, with null after one about a subscription.  That changes do not fire
-- triggers where they are applied is what PostgreSQL's users expect, so nobody's are made to; but somebody is told.
-- Whoever runs those statements may have no right on our schema, and must
-- not fail by us: so this runs as the extension's owner, and raises no error.  Triggers that watch() made are seen to; they
-- call what they called, on the same table.  Of the others somebody is told.
CREATE FUNCTION whisperer_internal.see_to_captures(relation oid, told_only boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    made record;
    tables text;
BEGIN
    -- Of tables further up, too: this one is a new child of theirs.
    FOR made IN
        SELECT t.oid, t.tgname, t.tgenabled, t.tgrelid::regclass AS name, n.by_row, n.always, t.tgtype & 1 = 1 AS is_by_row,
               t.tgname IN ('whisperer_created', 'whisperer_updated', 'whisperer_deleted') AND t.tgqual IS NULL AS is_watched,
               n.by_row AND t.tgtype & 1 = 0 OR n.always AND t.tgenabled NOT IN ('A', 'R') AS is_blind
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
        CROSS JOIN LATERAL whisperer_internal.capture_needs(t.tgrelid) n
        WHERE (t.tgrelid = see_to_captures.relation
               OR see_to_captures.relation IS NULL AND n.always AND (n.by_row AND t.tgtype & 1 = 0 OR t.tgenabled NOT IN ('A', 'R'))
               OR c.relkind <> 'p' AND t.tgrelid IN (SELECT k FROM whisperer_internal.kin_above(see_to_captures.relation) k))
          AND t.tgparentid = 0 AND t.tgenabled <> 'D'
          AND p.proname = 'capture' AND p.pronamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'whisperer')
        ORDER BY t.tgrelid = see_to_captures.relation DESC, t.tgrelid, t.tgname
    LOOP
        PERFORM whisperer_internal.see_to_capture(made, told_only);
    END LOOP;
    IF see_to_captures.relation IS NULL THEN
        SELECT string_agg(DISTINCT t.tgrelid::regclass::text, ', ') INTO tables
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        CROSS JOIN LATERAL whisperer_internal.capture_needs(t.tgrelid) n
        WHERE n.along AND t.tgparentid = 0 AND t.tgenabled = 'O'
          AND p.proname = 'capture' AND p.pronamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'whisperer')
          AND NOT whisperer_internal.came_along(t.tgrelid);
        IF tables IS NOT NULL THEN
            RAISE NOTICE 'what is applied to these tables is recorded where it was written, if it is watched there: %', tables
                USING HINT = 'When the tables are copied, SELECT * FROM whisperer.check_triggers() names those of which no event has come.';
        END IF;
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.see_to_captures(oid, boolean) IS
    'mends the capture triggers of watch() on a table, and warns of others, or of those of subscriptions, that miss what is written';
