-- Children by inheritance.  The transition tables of a parent's statement trigger have the rows of its children; its row
-- trigger does not fire for them, and PostgreSQL clones it for partitions alone.  So each child gets a trigger of its own,
-- with the option as=parent: it makes of a row what the parent's trigger would, for as long as there is that.

CREATE FUNCTION whisperer_internal.kin_above(relation oid) RETURNS SETOF oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH RECURSIVE kin AS (
        SELECT kin_above.relation AS kin
        UNION SELECT i.inhparent FROM kin JOIN pg_inherits i ON i.inhrelid = kin.kin)
    SELECT k.kin FROM kin k;
END;
COMMENT ON FUNCTION whisperer_internal.kin_above(oid) IS 'a table and all that it inherits from';
GRANT EXECUTE ON FUNCTION whisperer_internal.kin_above(oid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.descendants(relation oid) RETURNS SETOF oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH RECURSIVE kin AS (
        SELECT i.inhrelid AS kin FROM pg_inherits i WHERE i.inhparent = descendants.relation
        UNION SELECT i.inhrelid FROM kin JOIN pg_inherits i ON i.inhparent = kin.kin)
    SELECT k.kin FROM kin k;
END;
COMMENT ON FUNCTION whisperer_internal.descendants(oid) IS 'all tables that inherit from a table';
GRANT EXECUTE ON FUNCTION whisperer_internal.descendants(oid) TO PUBLIC;

-- The arguments of a trigger as they are stored: each has a zero byte behind it.
CREATE FUNCTION whisperer_internal.is_as_parent(arguments bytea) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN position(decode('0061733d706172656e7400', 'hex') IN arguments) > 0;
COMMENT ON FUNCTION whisperer_internal.is_as_parent(bytea) IS 'whether a capture trigger has the option as=parent';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_as_parent(bytea) TO PUBLIC;

CREATE FUNCTION whisperer_internal.first_argument(arguments bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN substring(arguments FROM 1 FOR position(decode('00', 'hex') IN arguments) - 1);
COMMENT ON FUNCTION whisperer_internal.first_argument(bytea) IS 'the event type of a capture trigger, in the encoding of the database';
GRANT EXECUTE ON FUNCTION whisperer_internal.first_argument(bytea) TO PUBLIC;

-- The parts of a capture trigger's definition, as PostgreSQL writes it: what fires it, and what it does.  Names of the
-- table, its columns and its schema are anybody's to choose, and may look like any part of a statement that somebody with
-- more rights runs; so what stands before the action is taken away as a whole, or nothing is.
CREATE FUNCTION whisperer_internal.trigger_events(made oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
BEGIN ATOMIC
    SELECT concat_ws(' OR ', CASE WHEN t.tgtype & 4 <> 0 THEN 'INSERT' END, CASE WHEN t.tgtype & 8 <> 0 THEN 'DELETE' END,
                     CASE WHEN t.tgtype & 16 <> 0 THEN 'UPDATE' || coalesce(' OF ' || (
                         SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place)
                         FROM unnest(t.tgattr::int2[]) WITH ORDINALITY AS u (number, place)
                         JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = u.number), '') END)
    FROM pg_trigger t WHERE t.oid = trigger_events.made;
END;
COMMENT ON FUNCTION whisperer_internal.trigger_events(oid) IS 'what a trigger fires at, as in its CREATE TRIGGER';
GRANT EXECUTE ON FUNCTION whisperer_internal.trigger_events(oid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.trigger_action(made oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
BEGIN ATOMIC
    SELECT CASE WHEN starts_with(d.whole, d.before) THEN substr(d.whole, length(d.before) + 1) END
    FROM (SELECT pg_get_triggerdef(t.oid) AS whole,
                 format('CREATE TRIGGER %I AFTER %s ON %I.%I %s%sFOR EACH %s ', t.tgname, whisperer_internal.trigger_events(t.oid),
                        CASE WHEN n.oid = pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END, c.relname,
                        CASE WHEN t.tgoldtable IS NULL AND t.tgnewtable IS NULL THEN '' ELSE 'REFERENCING ' END,
                        coalesce('OLD TABLE AS ' || quote_ident(t.tgoldtable) || ' ', '') || coalesce('NEW TABLE AS ' || quote_ident(t.tgnewtable) || ' ', ''),
                        CASE WHEN t.tgtype & 1 = 1 THEN 'ROW' ELSE 'STATEMENT' END) AS before
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE t.oid = trigger_action.made) d;
END;
COMMENT ON FUNCTION whisperer_internal.trigger_action(oid) IS
    'the WHEN condition and the call of a trigger, as in its CREATE TRIGGER; null: it is of another kind';
GRANT EXECUTE ON FUNCTION whisperer_internal.trigger_action(oid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.child_action(made oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN left(whisperer_internal.trigger_action(made), -1) || ', ''as=parent'')';
COMMENT ON FUNCTION whisperer_internal.child_action(oid) IS 'the action of the trigger of a child that is its parent''s';
GRANT EXECUTE ON FUNCTION whisperer_internal.child_action(oid) TO PUBLIC;

-- A child's own trigger for the event type does it as well, and for as long as there is one the parent's does not.
CREATE FUNCTION whisperer_internal.unseen_children(made oid) RETURNS SETOF oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.child
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    CROSS JOIN LATERAL whisperer_internal.descendants(t.tgrelid) AS d (child)
    WHERE t.oid = unseen_children.made AND c.relkind <> 'p' AND t.tgtype & 1 = 1 AND t.tgenabled <> 'D'
      AND NOT whisperer_internal.is_as_parent(t.tgargs)
      AND NOT EXISTS (
          SELECT FROM pg_trigger k
          WHERE k.tgrelid = d.child AND k.tgfoid = t.tgfoid
            AND CASE WHEN whisperer_internal.is_as_parent(k.tgargs)
                     THEN whisperer_internal.trigger_events(k.oid) = whisperer_internal.trigger_events(t.oid)
                          AND whisperer_internal.trigger_action(k.oid) = whisperer_internal.child_action(t.oid)
                     ELSE k.tgenabled <> 'D' AND k.tgtype & t.tgtype & 28 = t.tgtype & 28
                          AND whisperer_internal.first_argument(k.tgargs) = whisperer_internal.first_argument(t.tgargs) END);
END;
COMMENT ON FUNCTION whisperer_internal.unseen_children(oid) IS
    'the children of a table whose rows its row trigger misses, and no trigger of theirs sees';
GRANT EXECUTE ON FUNCTION whisperer_internal.unseen_children(oid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.child_trigger_name(made oid) RETURNS name
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN octet_length(n.long) < 64 THEN n.long ELSE concat('whisperer_of_', md5(n.long)) END
    FROM pg_trigger t
    CROSS JOIN LATERAL (
        -- Parents may have the same event type with other options.
        SELECT concat(t.tgname, '_of_', convert_from(whisperer_internal.first_argument(t.tgargs), getdatabaseencoding()),
                      CASE WHEN t.tgnargs > 1 THEN '_' || left(md5(t.tgargs), 8) END) AS long) n
    WHERE t.oid = child_trigger_name.made;
END;
COMMENT ON FUNCTION whisperer_internal.child_trigger_name(oid) IS 'what the trigger of a child is called that is its parent''s';
GRANT EXECUTE ON FUNCTION whisperer_internal.child_trigger_name(oid) TO PUBLIC;

CREATE FUNCTION whisperer_internal.child_trigger(made oid, child oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
BEGIN ATOMIC
    -- One that the child has already is what the parent's was before.
    SELECT CASE WHEN EXISTS (SELECT FROM pg_trigger k WHERE k.tgrelid = child_trigger.child AND k.tgname = n.name)
                THEN format('DROP TRIGGER %I ON %s; ', n.name, child_trigger.child::regclass) ELSE '' END
        || format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW ', n.name, whisperer_internal.trigger_events(t.oid), child_trigger.child::regclass)
        || whisperer_internal.child_action(t.oid)
    FROM pg_trigger t CROSS JOIN LATERAL (SELECT whisperer_internal.child_trigger_name(t.oid) AS name) AS n
    WHERE t.oid = child_trigger.made;
END;
COMMENT ON FUNCTION whisperer_internal.child_trigger(oid, oid) IS
    'the statements that make the trigger of a child that is its parent''s; null: that is of a kind that cannot be copied, or gone';
GRANT EXECUTE ON FUNCTION whisperer_internal.child_trigger(oid, oid) TO PUBLIC;

-- The caller's rights decide.
CREATE FUNCTION whisperer_internal.make_child_trigger(made oid, child oid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trigger_name constant name := whisperer_internal.child_trigger_name(made);
    parents_state "char";
    stale name;
BEGIN
    -- Those that the parents' had before they were made anew with other options.
    FOR stale IN
        SELECT k.tgname FROM pg_trigger t JOIN pg_trigger k ON k.tgfoid = t.tgfoid
        WHERE t.oid = made AND k.tgrelid = child AND whisperer_internal.is_as_parent(k.tgargs)
          AND whisperer_internal.first_argument(k.tgargs) = whisperer_internal.first_argument(t.tgargs)
          AND NOT EXISTS (SELECT FROM pg_trigger o JOIN whisperer_internal.kin_above(child) AS a (kin) ON o.tgrelid = a.kin
                          WHERE o.tgrelid <> child AND o.tgfoid = k.tgfoid AND o.tgtype & 1 = 1
                            AND k.tgargs = o.tgargs || decode('61733d706172656e7400', 'hex'))
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', stale, child::regclass);
    END LOOP;
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = child AND t.tgname = trigger_name AND NOT whisperer_internal.is_as_parent(t.tgargs)) THEN
        RAISE EXCEPTION 'trigger "%" for relation "%" already exists', trigger_name, child::regclass USING ERRCODE = 'duplicate_object';
    END IF;
    EXECUTE whisperer_internal.child_trigger(made, child);
    SELECT t.tgenabled INTO parents_state FROM pg_trigger t WHERE t.oid = made;
    IF parents_state IN ('A', 'R') OR (SELECT n.always FROM whisperer_internal.capture_needs(child) n) THEN
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', child::regclass, CASE parents_state WHEN 'R' THEN 'REPLICA' ELSE 'ALWAYS' END, trigger_name);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.make_child_trigger(oid, oid) IS 'makes the trigger of a child that is its parent''s';
GRANT EXECUTE ON FUNCTION whisperer_internal.make_child_trigger(oid, oid) TO PUBLIC;

-- told_only, or where it cannot be done: somebody is told what to do.  for_owner: by somebody who may do more than the
-- parent's owner, who is not to get on another's table what he could not make himself; nor is who may only make triggers on
-- the parent to have his serializer run by who writes to its children.  A WHEN condition is copied by nobody but who wrote
-- it: the constants in it are read when the trigger is made, and a domain's checks may run then.
CREATE FUNCTION whisperer_internal.watch_children(made oid, told_only boolean, for_owner boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    child oid;
    may_be_made boolean;
    problem text;
    hint text;
BEGIN
    FOR child IN SELECT u FROM whisperer_internal.unseen_children(made) u LOOP
        problem := NULL;
        hint := whisperer_internal.child_trigger(made, child);
        SELECT t.tgqual IS NULL
               AND (NOT for_owner
                    OR pg_has_role(p.relowner, c.relowner, 'USAGE')
                       AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_proc f ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
                                       WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND f.oid <> t.tgfoid AND f.proowner <> p.relowner)),
               CASE WHEN t.tgqual IS NOT NULL THEN format('As the owner of %s: ', t.tgrelid::regclass) ELSE '' END || hint
        INTO may_be_made, hint
        FROM pg_trigger t JOIN pg_class p ON p.oid = t.tgrelid, pg_class c WHERE t.oid = made AND c.oid = child;
        IF NOT told_only AND may_be_made AND hint IS NOT NULL THEN
            BEGIN
                PERFORM whisperer_internal.make_child_trigger(made, child);
                CONTINUE;
            EXCEPTION WHEN OTHERS THEN
                problem := SQLERRM;
            END;
        END IF;
        RAISE WARNING 'trigger "%" on table % does not see the rows of a child, %',
            (SELECT t.tgname FROM pg_trigger t WHERE t.oid = made), (SELECT t.tgrelid::regclass FROM pg_trigger t WHERE t.oid = made), child::regclass
            USING DETAIL = coalesce(problem, 'A row trigger does not fire for the rows of the table''s children.'),
                  HINT = coalesce(hint || ';', 'Create a trigger on the child, with the option as=parent.');
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.watch_children(oid, boolean, boolean) IS
    'makes the triggers of children that a row trigger of the parent lacks, or warns';
GRANT EXECUTE ON FUNCTION whisperer_internal.watch_children(oid, boolean, boolean) TO PUBLIC;
