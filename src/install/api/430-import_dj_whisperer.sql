-- From dj-whisperer, the Django application that did the same with Celery: its hooks with what belongs to them, and
-- the events that it had not delivered.  What cannot be taken over is told, and nothing of it is left half done.

-- Whoever imports is a superuser, and the tables are another's: a view, or a cast of a type to json, would run that one's
-- code.  Held until the end, a table stays as it was looked at.
CREATE FUNCTION whisperer_internal.require_plain_table(schema name, table_name name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_user_oid constant oid := 16384;
    odd text;
BEGIN
    IF to_regclass(format('%I.%I', schema, table_name)) IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('LOCK TABLE %I.%I IN ACCESS SHARE MODE', schema, table_name);
    SELECT CASE WHEN c.relkind NOT IN ('r', 'p') THEN 'is not a table'
                ELSE (SELECT format('has a column "%s" whose type is not built in', min(a.attname)) FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= first_user_oid
                      HAVING count(*) > 0) END
    INTO odd FROM pg_class c WHERE c.oid = to_regclass(format('%I.%I', schema, table_name));
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION 'reading %.% could run code of its owner: it %', quote_ident(schema), quote_ident(table_name), odd
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It would have your rights. Import from a copy of the table that has the columns of dj-whisperer alone.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.require_plain_table(name, name) IS 'raises 22023 if reading the table could run code of its owner''s';

-- An id of that moment, always the same for the same seed: ordered hooks deliver in the order of ids.
CREATE FUNCTION whisperer_internal.event_id_of(moment timestamptz, seed text) RETURNS uuid
    LANGUAGE sql IMMUTABLE
RETURN (SELECT (lpad(to_hex(floor(t.ms)::bigint), 12, '0') || '7' || lpad(to_hex(floor((t.ms - floor(t.ms)) * 4096)::integer), 3, '0')
                || substr('89ab', 1 + (get_byte(t.digest, 0) & 3), 1) || substr(encode(t.digest, 'hex'), 3, 15))::uuid
        FROM (SELECT extract(epoch FROM moment) * 1000 AS ms, decode(md5(seed), 'hex') AS digest) AS t);
COMMENT ON FUNCTION whisperer_internal.event_id_of(timestamptz, text) IS 'the id of an event that was recorded elsewhere';

-- With its own seconds dj-whisperer went on for as long as 17 retries take here.  Null: the countdown is a program in Python.
CREATE FUNCTION whisperer_internal.imported_countdown(theirs jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
RETURN CASE WHEN theirs->>'choice' IN ('fixed', 'linear', 'exponential', 'random')
            THEN jsonb_build_object('choice', theirs->'choice', 'kwargs', jsonb_strip_nulls(coalesce(theirs->'kwargs', '{}')), 'max_retries', 17) END;
COMMENT ON FUNCTION whisperer_internal.imported_countdown(jsonb) IS 'a retry_countdown_config of dj-whisperer, with the retries that it made';

CREATE FUNCTION whisperer_internal.imported_event_type(theirs text) RETURNS text
    LANGUAGE sql IMMUTABLE
RETURN regexp_replace(theirs, E'[,\\u0001-\\u001f\\u007f]|^ | $|[*]$', '_', 'g');
COMMENT ON FUNCTION whisperer_internal.imported_event_type(text) IS
    'the name of an event type of dj-whisperer: the same, but for what is_event_type_name does not let in';

-- Registered by whoever imports; then the hook's owner may subscribe.  To what is another's only that one lets him:
-- the names stand in tables that the application writes.  Returns what is to be told of it.
CREATE FUNCTION whisperer_internal.import_event_type(theirs text, owner regrole) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours constant text := whisperer_internal.imported_event_type(theirs);
    description text;
BEGIN
    SELECT t.description INTO description FROM whisperer.event_type t WHERE t.name = ours;
    IF NOT FOUND THEN
        PERFORM whisperer.register_event(ours, 'dj-whisperer: ' || theirs);
    ELSIF coalesce(description, '') <> 'dj-whisperer: ' || theirs AND (ours <> theirs OR description LIKE 'dj-whisperer: %') THEN
        -- A type that was here before may be the same; one that got this name instead of its own is not.
        RAISE EXCEPTION 'event type "%" would be "%", which there is already', theirs, ours USING ERRCODE = 'duplicate_object';
    END IF;
    IF NOT whisperer.may(owner, ours, 'subscribe') THEN
        IF (SELECT whisperer.event_type_owner(t)::regrole <> quote_ident(current_user)::regrole FROM whisperer.event_type t WHERE t.name = ours) THEN
            RAISE EXCEPTION 'event type "%" is another''s, and role % may not subscribe to it: SELECT whisperer.allow(%, %, ''subscribe'')',
                ours, owner, quote_literal(ours), quote_literal(owner::text) USING ERRCODE = 'insufficient_privilege';
        END IF;
        PERFORM whisperer.allow(ours, owner, 'subscribe');
    END IF;
    RETURN CASE WHEN ours <> theirs THEN format('its event type is "%s" here, and receivers see that name', ours) END;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.import_event_type(text, regrole) IS 'makes an event type of dj-whisperer for a hook of this role';

-- Of the events and the queue, those of hooks that were imported.  Statements have no secret: see hidden().
CREATE FUNCTION whisperer_internal.import_events(schema name, hooks bigint[]) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    oldest constant timestamptz := now() - current_setting('whisperer.retention')::interval;
    told jsonb;
BEGIN
    CREATE TEMP TABLE whisperer_imported (object text, id text, hook_id bigint, recorded_at timestamptz, data jsonb, key text, problem text) ON COMMIT DROP;
    IF to_regclass(format('%I.whisperer_webhookevent', schema)) IS NOT NULL THEN
        -- Rows as JSON: not every version had every column.
        EXECUTE format($q$
            INSERT INTO pg_temp.whisperer_imported
            SELECT 'event', e.r->>'uuid', (e.r->>'webhook_id')::bigint, (e.r->>'created_date')::timestamptz,
                   coalesce(e.r#>'{request_payload,payload}', e.r#>'{request_payload,data}', e.r->'request_payload'), e.r->>'object_id',
                   CASE WHEN coalesce((e.r->>'retry_count')::integer, jsonb_array_length(e.r->'request_datetimes')) > 18 THEN 'it was given up after its last attempt' END
            FROM (SELECT to_jsonb(w) AS r FROM %I.whisperer_webhookevent w WHERE NOT w.delivered) e$q$, schema);
    END IF;
    IF to_regclass(format('%I.whisperer_eventqueue', schema)) IS NOT NULL THEN
        EXECUTE format($q$
            INSERT INTO pg_temp.whisperer_imported
            SELECT 'queue', e.r->>'uuid', (e.r->>'hook_id')::bigint, (e.r->>'created_date')::timestamptz, e.r->'instance_dict', NULL,
                   CASE WHEN coalesce(e.r->>'object_id', '') <> ''
                        THEN format('only its key is known: SELECT whisperer.backfill(%%s, %%L, %%L)', e.r->>'hook_id',
                                    format('%%I.%%I', %L, concat_ws('_', e.r->>'app_label', e.r->>'model_name')), format('id = %%L', e.r->>'object_id')) END
            FROM (SELECT to_jsonb(w) AS r FROM %I.whisperer_eventqueue w) e$q$, schema, schema);
    END IF;
    UPDATE pg_temp.whisperer_imported i
    SET problem = CASE WHEN i.hook_id = ANY (hooks) THEN 'it is older than whisperer.retention' ELSE 'its hook is not imported, or inactive' END
    WHERE i.problem IS NULL AND (i.recorded_at < oldest OR i.hook_id <> ALL (hooks));
    INSERT INTO whisperer.outbox (id, event_type, data, object_id, hook_id, created_at)
    SELECT whisperer_internal.event_id_of(i.recorded_at, i.id), h.event_type, coalesce(i.data::json, 'null'), i.key, i.hook_id, i.recorded_at
    FROM pg_temp.whisperer_imported i JOIN whisperer.hook_definition h ON h.id = i.hook_id
    WHERE i.problem IS NULL;
    PERFORM whisperer_internal.wake_workers();
    SELECT jsonb_agg(jsonb_build_object('object', i.object, 'id', i.id, 'done', i.problem IS NULL, 'problem', i.problem) ORDER BY i.object, i.recorded_at, i.id)
    INTO told FROM pg_temp.whisperer_imported i;
    DROP TABLE pg_temp.whisperer_imported;
    RETURN coalesce(told, '[]');
END;
$$;
COMMENT ON FUNCTION whisperer_internal.import_events(name, bigint[]) IS 'records what dj-whisperer had not delivered, for its hooks alone';

CREATE FUNCTION whisperer.import_dj_whisperer(schema name, roles jsonb, dry_run boolean DEFAULT true,
                                              OUT object text, OUT id text, OUT done boolean, OUT problem text) RETURNS SETOF record
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told jsonb := '[]';
    hooks bigint[] := '{}';
    theirs jsonb;
    owner regrole;
    key_handle text;
    index text;
    headers_handle jsonb;
    kept_config jsonb;
    notes text;
BEGIN
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        RAISE EXCEPTION 'only a superuser may import the hooks of others' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF dry_run IS NULL THEN
        RAISE EXCEPTION 'dry_run must not be null' USING ERRCODE = 'null_value_not_allowed', COLUMN = 'dry_run';
    END IF;
    IF to_regclass(format('%I.whisperer_webhook', schema)) IS NULL THEN
        RAISE EXCEPTION 'schema "%" has no table whisperer_webhook', schema
            USING ERRCODE = 'undefined_object', HINT = 'Name the schema of Django''s tables; mostly it is public.';
    END IF;
    PERFORM whisperer_internal.require_plain_table(schema, t.table_name) FROM unnest('{whisperer_webhook,whisperer_webhookevent,whisperer_eventqueue}'::name[]) AS t (table_name);
    IF jsonb_typeof(roles) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'roles must be a JSON object' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write {"<id of a user>": "<role>", "*": "<role of all others>"}.';
    END IF;
    BEGIN
        FOR theirs IN EXECUTE format('SELECT to_jsonb(w) FROM %I.whisperer_webhook w ORDER BY w.id', schema) LOOP
            id := theirs->>'id';
            done := false;
            BEGIN
                owner := to_regrole(quote_ident(coalesce(roles->>(theirs->>'user_id'), roles->>'*')));
                IF owner IS NULL THEN
                    RAISE EXCEPTION 'user % has no role that exists: name one in roles', theirs->>'user_id';
                ELSIF EXISTS (SELECT FROM whisperer.hook_definition h WHERE h.id = (import_dj_whisperer.id)::bigint) THEN
                    RAISE EXCEPTION 'there is a hook of this number already';
                END IF;
                notes := concat_ws('; ', whisperer_internal.import_event_type(theirs->>'event_type', owner),
                    CASE WHEN theirs->>'callback' <> '' THEN format('its callback %s is Python: give it a function with update_hook', theirs->>'callback') END,
                    CASE WHEN whisperer_internal.imported_countdown(theirs->'retry_countdown_config') IS NULL
                         THEN 'its countdown is Python: it has the default' END);
                key_handle := whisperer_internal.hidden(coalesce(theirs->>'secret_key', ''));
                headers_handle := whisperer_internal.hidden(coalesce(nullif(theirs->'additional_headers', 'null'), '{}'));
                kept_config := whisperer_internal.hidden_auth(
                    CASE WHEN theirs#>'{config,auth}' = '{}' THEN (theirs->'config') - 'auth' ELSE coalesce(nullif(theirs->'config', 'null'), '{}') END);
                theirs := theirs - '{secret_key,additional_headers,config}'::text[];
                INSERT INTO whisperer.hook_definition (id, owner, owner_name, event_type, target_url, config, retry_countdown_config, payload_key, description)
                VALUES ((theirs->>'id')::bigint, owner, owner::text, whisperer_internal.imported_event_type(theirs->>'event_type'), theirs->>'target_url',
                        kept_config, whisperer_internal.imported_countdown(theirs->'retry_countdown_config'), 'payload', 'from dj-whisperer');
                PERFORM whisperer_internal.set_secret((theirs->>'id')::bigint, key_handle, headers_handle);
                IF (theirs->>'is_active')::boolean THEN
                    hooks := hooks || (theirs->>'id')::bigint;
                ELSE
                    PERFORM whisperer.delete_hook((theirs->>'id')::bigint);
                END IF;
                done := true;
                problem := nullif(notes, '');
            EXCEPTION
                WHEN OTHERS THEN
                    GET STACKED DIAGNOSTICS index = CONSTRAINT_NAME;
                    -- The check's own has no index, and speaks to the owner.
                    problem := CASE WHEN SQLSTATE = '23505' AND index IN ('', 'hook_definition_once')
                                    THEN 'its owner has a hook for this event type at this URL already' ELSE SQLERRM END;
            END;
            told := told || jsonb_build_object('object', 'hook', 'id', id, 'done', done, 'problem', problem);
        END LOOP;
        told := told || whisperer_internal.import_events(schema, hooks);
        IF dry_run THEN
            RAISE EXCEPTION USING ERRCODE = 'WHDRY', MESSAGE = 'undone';
        END IF;
        PERFORM setval('whisperer.hook_definition_id_seq', greatest((SELECT max(h.id) FROM whisperer.hook_definition h),
                                                                     (SELECT s.last_value FROM whisperer.hook_definition_id_seq s)))
        -- Those that were not active have their numbers, too.
        WHERE told @> '[{"object": "hook", "done": true}]';
    EXCEPTION WHEN SQLSTATE 'WHDRY' THEN
        NULL;
    END;
    RETURN QUERY SELECT t.object, t.id, t.done, t.problem FROM jsonb_to_recordset(told) AS t (object text, id text, done boolean, problem text);
END;
$$;
COMMENT ON FUNCTION whisperer.import_dj_whisperer(name, jsonb, boolean) IS
    'takes over hooks and undelivered events of dj-whisperer, or says what it would';
GRANT EXECUTE ON FUNCTION whisperer.import_dj_whisperer(name, jsonb, boolean) TO PUBLIC;
