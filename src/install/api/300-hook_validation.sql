-- The checks that create_hook, update_hook and plain DML share: a trigger, so that none goes round it.
-- It runs as whoever writes; row-level security has the last word about the owner.

-- The snapshot of this transaction with its own xid counted as unfinished.  One's own xid is never in
-- one's own snapshot, so an event of the transaction that makes the hook would otherwise count as
-- seen as soon as any later transaction ended.  At or beyond xmax it is unfinished anyway; and xmax
-- must stay, or what has not begun or not ended beyond it would count as seen.
CREATE FUNCTION whisperer_internal.hook_since() RETURNS pg_snapshot
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
COMMENT ON FUNCTION whisperer_internal.hook_since() IS
    'the snapshot that a hook made now has as its since';
GRANT EXECUTE ON FUNCTION whisperer_internal.hook_since() TO PUBLIC;

CREATE FUNCTION whisperer_internal.check_event_pattern(owner oid, pattern text) RETURNS void
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
    WHERE whisperer_internal.names(pattern, t.name);
    IF matching = 0 THEN
        RAISE EXCEPTION 'no registered event type matches "%"', pattern
            USING ERRCODE = 'undefined_object', COLUMN = 'event_type',
                  HINT = 'SELECT name FROM whisperer.event_type shows what is registered; "prefix*" and "*" match several.';
    END IF;
    IF allowed = 0 THEN
        RAISE EXCEPTION 'permission denied to subscribe to event type "%"', pattern
            USING ERRCODE = 'insufficient_privilege', COLUMN = 'event_type',
                  HINT = format(CASE WHEN right(pattern, 1) = '*' THEN 'The owners of what it matches can call whisperer.allow(%L, %L, ''subscribe''), and so for each.'
                                     ELSE 'The event type''s owner can call whisperer.allow(%L, %L, ''subscribe'').' END,
                                (SELECT min(t.name) FROM whisperer.event_type t WHERE whisperer_internal.names(pattern, t.name)),
                                check_event_pattern.owner::regrole);
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_event_pattern(oid, text) IS
    'raises 42704 if no registered event type matches, 42501 if the owner may subscribe to none of them';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_event_pattern(oid, text) TO PUBLIC;

-- Until the hook is committed nobody unregisters its event type.  Whoever may not subscribe holds nothing up.
CREATE FUNCTION whisperer_internal.hold_event_type_as(caller oid, name text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF whisperer.may(caller, hold_event_type_as.name, 'subscribe') THEN
        PERFORM FROM whisperer.event_type t WHERE t.name = hold_event_type_as.name FOR KEY SHARE;
    END IF;
END;
$$;
CREATE FUNCTION whisperer_internal.hold_event_type(name text) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_owner';
COMMENT ON FUNCTION whisperer_internal.hold_event_type(text) IS
    'keeps an event type that you may subscribe to registered until the transaction ends, if there is one of the name';
GRANT EXECUTE ON FUNCTION whisperer_internal.hold_event_type(text) TO PUBLIC;

-- For what is no name parse_ident has an error of its own, which tells nobody what the name was for.
CREATE FUNCTION whisperer_internal.name_parts(name text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN parse_ident(name);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN '{}';
END;
$$;
COMMENT ON FUNCTION whisperer_internal.name_parts(text) IS 'the parts of a name that may have a schema; empty: it is no name';
GRANT EXECUTE ON FUNCTION whisperer_internal.name_parts(text) TO PUBLIC;

-- A function that the helper will call as the hook's owner.  By name, so that it may be replaced.
CREATE FUNCTION whisperer_internal.check_function(owner oid, what text, name text, arguments text, result regtype)
    RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text[] := whisperer_internal.name_parts(check_function.name);
    in_column constant text := CASE what WHEN 'countdown' THEN 'retry_countdown_config' ELSE what END;
    target pg_proc;
    wanted text;
BEGIN
    IF cardinality(parts) <> 2 OR octet_length(check_function.name) > 300 THEN
        RAISE EXCEPTION '% "%" is not the name of a function with its schema', what, left(check_function.name, 300)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = in_column, HINT = 'Write it as schema.function.';
    END IF;
    wanted := format('%I.%I(%s)', parts[1], parts[2], arguments);
    SELECT * INTO target FROM pg_proc p WHERE p.oid = to_regprocedure(wanted);
    IF NOT FOUND THEN
        RAISE EXCEPTION '% function % does not exist', what, wanted
            USING ERRCODE = 'undefined_function', COLUMN = in_column,
                  HINT = format('It must be made as CREATE FUNCTION %s RETURNS %s.', wanted, result)
                         || CASE WHEN what = 'transform' AND arguments = 'json' THEN ' One that takes (json, jsonb) is told of the event as well.' ELSE '' END;
    ELSIF target.prokind <> 'f' OR target.proretset OR target.prorettype <> result THEN
        RAISE EXCEPTION '% function % must be a function that returns one %', what, wanted, result
            USING ERRCODE = 'invalid_parameter_value', COLUMN = in_column;
    ELSIF NOT has_schema_privilege(owner, target.pronamespace, 'USAGE')
       OR NOT has_function_privilege(owner, target.oid, 'EXECUTE') THEN
        RAISE EXCEPTION 'role % may not execute % function %', pg_get_userbyid(owner), what, wanted
            USING ERRCODE = 'insufficient_privilege', COLUMN = in_column,
                  HINT = 'The hook''s owner needs USAGE on the schema and EXECUTE on the function.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_function(oid, text, text, text, regtype) IS
    'raises 22023, 42883 or 42501 unless the owner may execute the named function with these arguments and this result';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_function(oid, text, text, text, regtype) TO PUBLIC;

-- A transform may take (event json, meta jsonb).  Which of two functions of one name is meant is settled when it is written,
-- and stands behind the name: a function that somebody makes later is never called in the other's place.
CREATE FUNCTION whisperer_internal.normal_transform(name text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    plain constant text := regexp_replace(name,
        '[[:space:]]*[(][[:space:]]*json[[:space:]]*,[[:space:]]*jsonb[[:space:]]*[)][[:space:]]*$', '');
    parts text[];
    quoted text;
BEGIN
    IF plain <> name THEN
        RETURN plain || '(json, jsonb)';
    END IF;
    parts := whisperer_internal.name_parts(name);
    -- Whether it may be one at all is the business of check_function.
    IF cardinality(parts) <> 2 THEN
        RETURN name;
    END IF;
    quoted := format('%I.%I', parts[1], parts[2]);
    IF to_regprocedure(quoted || '(json)') IS NULL AND to_regprocedure(quoted || '(json, jsonb)') IS NOT NULL THEN
        RETURN name || '(json, jsonb)';
    END IF;
    RETURN name;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.normal_transform(text) IS
    'a transform with "(json, jsonb)" behind its name if that is meant, or is all that there is';
GRANT EXECUTE ON FUNCTION whisperer_internal.normal_transform(text) TO PUBLIC;

-- What of a hook names functions.
CREATE FUNCTION whisperer_internal.check_hook_functions(owner oid, transform text, callback text, retry jsonb)
    RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF transform LIKE '%(json, jsonb)' THEN
        PERFORM whisperer_internal.check_function(owner, 'transform', left(transform, -length('(json, jsonb)')), 'json, jsonb', 'json');
    ELSIF transform IS NOT NULL THEN
        PERFORM whisperer_internal.check_function(owner, 'transform', transform, 'json', 'json');
    END IF;
    IF callback IS NOT NULL THEN
        PERFORM whisperer_internal.check_function(owner, 'callback', callback, 'jsonb, text, json, json', 'void');
    END IF;
    IF retry->>'choice' = 'custom' THEN
        PERFORM whisperer_internal.check_function(owner, 'countdown', retry->'kwargs'->>'function', 'integer, jsonb', 'interval');
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_hook_functions(oid, text, text, jsonb) IS
    'raises 22023, 42883 or 42501 for a transform, callback or countdown function that could not be called';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_hook_functions(oid, text, text, jsonb) TO PUBLIC;

-- A row that was made elsewhere and comes by a restore, by replication or from a primary: its event types may come
-- later, its owner may not exist.  What is carried and changed here, in an ordinary session, is checked.
CREATE FUNCTION whisperer_internal.is_carried(operation text, hook whisperer.hook_definition) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_foreign constant boolean := hook.incarnation <> whisperer_internal.my_incarnation();
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        RETURN is_foreign OR operation = 'INSERT' AND hook.since IS NOT NULL OR whisperer_internal.is_fed();
    END IF;
    RETURN is_foreign AND operation = 'INSERT';
END;
$$;
COMMENT ON FUNCTION whisperer_internal.is_carried(text, whisperer.hook_definition) IS
    'whether a row that is written was made elsewhere: by a restore or by replication';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_carried(text, whisperer.hook_definition) TO PUBLIC;

CREATE FUNCTION whisperer_internal.max_hooks_of(role oid, OUT most integer, OUT of_database boolean)
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_max_hooks_of';
COMMENT ON FUNCTION whisperer_internal.max_hooks_of(oid) IS
    'whisperer.max_hooks_per_role for a role, and whether ALTER ROLE ... IN DATABASE has said it';
GRANT EXECUTE ON FUNCTION whisperer_internal.max_hooks_of(oid) TO PUBLIC;

-- By the index that hook_definition_once is: the limit is what a look costs.  Its caller holds the role's hooks.
CREATE FUNCTION whisperer_internal.check_hook_count_body(owner oid) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most integer;
    of_database boolean;
BEGIN
    SELECT m.most, m.of_database INTO most, of_database FROM whisperer_internal.max_hooks_of(check_hook_count_body.owner) m;
    IF most >= 0 AND (SELECT count(*) FROM (
            SELECT FROM whisperer.hook_definition h WHERE h.owner = check_hook_count_body.owner AND h.is_active LIMIT most) AS his) >= most
       AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = check_hook_count_body.owner AND r.rolsuper) THEN
        RAISE EXCEPTION 'role % has % hooks already', check_hook_count_body.owner::regrole, most
            USING ERRCODE = 'configuration_limit_exceeded', COLUMN = 'owner',
                  HINT = format('Delete some, or ask a superuser to raise the limit: ALTER ROLE %I %sSET whisperer.max_hooks_per_role = %s;',
                                pg_get_userbyid(check_hook_count_body.owner),
                                CASE WHEN of_database THEN format('IN DATABASE %I ', current_database()) END,
                                least(most::bigint + greatest(most, 10), 2147483647));
    END IF;
END;
$$;
CREATE FUNCTION whisperer_internal.check_hook_count(owner oid) RETURNS void
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_as_caller_now';
COMMENT ON FUNCTION whisperer_internal.check_hook_count(oid) IS
    'raises 53400 if the role has as many hooks as whisperer.max_hooks_per_role says for it';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_hook_count(oid) TO PUBLIC;

-- Its caller holds the hooks of their owner.
CREATE FUNCTION whisperer_internal.check_name_body(hook whisperer.hook_definition) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM whisperer.hook_definition h
               WHERE h.owner = hook.owner AND h.name = hook.name AND h.incarnation = hook.incarnation AND h.is_active AND h.id <> hook.id) THEN
        RAISE EXCEPTION 'you have a hook named "%" already', hook.name
            USING ERRCODE = 'unique_violation', COLUMN = 'name', HINT = 'A name is that of one hook of yours that is not deleted.';
    END IF;
END;
$$;
CREATE FUNCTION whisperer_internal.check_name(hook whisperer.hook_definition) RETURNS void
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'whisperer_as_caller_now';
COMMENT ON FUNCTION whisperer_internal.check_name(whisperer.hook_definition) IS
    'raises 23505 if another hook of the owner has the name';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_name(whisperer.hook_definition) TO PUBLIC;

CREATE FUNCTION whisperer_internal.check_hook_body() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A statement shall not have config.auth; see hidden().
    open_config constant jsonb := CASE WHEN jsonb_typeof(NEW.config) = 'object' THEN NEW.config - 'auth' ELSE NEW.config END;
BEGIN
    IF whisperer_internal.is_carried(TG_OP, NEW) THEN
        RETURN NEW;
    END IF;
    IF NEW.event_type IS NULL OR NEW.target_url IS NULL THEN
        RAISE EXCEPTION 'event_type and target_url must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  COLUMN = CASE WHEN NEW.event_type IS NULL THEN 'event_type' ELSE 'target_url' END;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.owner := coalesce(NEW.owner, quote_ident(current_user)::regrole::oid);
        NEW.owner_name := pg_get_userbyid(NEW.owner);
        NEW.since := whisperer_internal.hook_since();
    END IF;
    IF TG_OP = 'INSERT' OR NEW.event_type <> OLD.event_type THEN
        NEW.event_type := whisperer_internal.normal_event_patterns(NEW.event_type);
    END IF;
    NEW.resumes := whisperer_internal.check_hook_state(OLD, NEW);
    NEW.is_paused := NEW.is_paused AND NEW.is_active;
    -- Only then: a hook that may not subscribe any more can be paused and mended.
    IF NEW.is_active AND (TG_OP = 'INSERT' OR NEW.event_type <> OLD.event_type) THEN
        PERFORM whisperer_internal.check_event_patterns(
            whisperer_internal.living_role(NEW.owner, NEW.owner_name, NEW.incarnation), NEW.event_type);
    END IF;
    IF NEW.is_active AND (TG_OP = 'INSERT' OR (NEW.event_type, NEW.target_url) <> (OLD.event_type, OLD.target_url)
                          OR NEW.name IS DISTINCT FROM OLD.name) THEN
        PERFORM whisperer_internal.hold_hooks(NEW.owner);
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM whisperer_internal.check_hook_count(NEW.owner);
    END IF;
    PERFORM whisperer_internal.check_url(NEW.target_url);
    -- One that an older version stored otherwise is no other one because its hook is paused or described.
    IF TG_OP = 'INSERT' OR NEW.target_url <> OLD.target_url THEN
        NEW.target_url := whisperer_internal.sent_url(NEW.target_url);
    END IF;
    IF TG_OP = 'INSERT' OR NEW.target_url <> OLD.target_url THEN
        PERFORM whisperer_internal.check_reach(NEW.target_url, 'target_url');
    END IF;
    IF NEW.is_active AND (TG_OP = 'INSERT' OR (NEW.event_type, NEW.target_url) <> (OLD.event_type, OLD.target_url)) THEN
        PERFORM whisperer_internal.check_overlap(NEW);
    END IF;
    -- Null is null, JSON's too, as in update_hook.
    NEW.retry_countdown_config := nullif(NEW.retry_countdown_config, 'null');
    NEW.signing := nullif(NEW.signing, 'null');
    NEW.batch := nullif(NEW.batch, 'null');
    PERFORM whisperer_internal.check_retry_config(NEW.retry_countdown_config);
    -- As with the functions below: what an older version let in must not keep its owner from pausing it.
    IF (TG_OP = 'INSERT' OR NEW.rate_limit IS DISTINCT FROM OLD.rate_limit)
       AND NOT (NEW.rate_limit >= 0.001 AND NEW.rate_limit <= 1000000) THEN
        RAISE EXCEPTION 'rate_limit must be from 0.001 to 1000000 attempts per second'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'rate_limit', HINT = 'Leave it null for no limit; pause_hook stops a hook.';
    END IF;
    IF NEW.ordering NOT IN ('none', 'hook', 'key') THEN
        RAISE EXCEPTION 'unknown ordering "%"', NEW.ordering
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'ordering',
                  HINT = 'none; hook: one delivery after the other; key: so for each object_id.';
    END IF;
    PERFORM whisperer_internal.check_format(coalesce(NEW.format, 'null'));
    PERFORM whisperer_internal.check_payload_key(NEW.payload_key, NEW.format);
    PERFORM whisperer_internal.check_signing(NEW.signing);
    IF NEW.priority NOT IN ('high', 'normal', 'low') THEN
        RAISE EXCEPTION 'unknown priority "%"', NEW.priority
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'priority', HINT = 'It is high, normal or low.';
    END IF;
    IF NOT NEW.signatures <@ '{standard,whisperer}' OR array_ndims(NEW.signatures) > 1 THEN
        RAISE EXCEPTION 'signatures must be of standard and whisperer'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'signatures',
                  HINT = 'Null: both; an empty array: none of them.';
    END IF;
    IF NOT NEW.metadata_headers <@ '{time,object,source,attempt}' OR array_ndims(NEW.metadata_headers) > 1 THEN
        RAISE EXCEPTION 'metadata_headers must be of time, object, source and attempt'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'metadata_headers';
    END IF;
    IF NEW.name = '' OR octet_length(NEW.name) > 200 OR NEW.name ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'name must be from 1 to 200 bytes, without control characters'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'name';
    END IF;
    IF NEW.is_active AND NEW.name IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.name IS DISTINCT FROM OLD.name) THEN
        PERFORM whisperer_internal.check_name(NEW);
    END IF;
    PERFORM whisperer_internal.check_hook_bounds(NEW.timeout, NEW.max_in_flight);
    PERFORM whisperer_internal.check_batch(NEW.batch, NEW.format, whisperer_internal.metadata_bits(NEW.metadata_headers));
    IF NEW.encoding <> 'gzip' THEN
        RAISE EXCEPTION 'encoding must be gzip'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'encoding', HINT = 'Null: bodies are sent as they are.';
    END IF;
    PERFORM whisperer_internal.check_hook_json(open_config, NEW.filter);
    IF TG_OP = 'INSERT' OR NEW.filter IS DISTINCT FROM OLD.filter THEN
        NEW.filter := nullif(NEW.filter, 'null');
        PERFORM whisperer_internal.check_filter(NEW.filter);
    END IF;
    IF (TG_OP = 'INSERT' OR NEW.description IS DISTINCT FROM OLD.description) AND octet_length(NEW.description) > 8192 THEN
        RAISE EXCEPTION 'description is longer than 8192 bytes' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'description';
    END IF;
    IF TG_OP = 'INSERT' OR NEW.transform IS DISTINCT FROM OLD.transform THEN
        NEW.transform := whisperer_internal.normal_transform(NEW.transform);
    END IF;
    -- Only when they change: a hook whose function is gone must not keep its owner from pausing it.
    PERFORM whisperer_internal.check_hook_functions(
        whisperer_internal.living_role(NEW.owner, NEW.owner_name, NEW.incarnation),
        CASE WHEN TG_OP = 'INSERT' OR NEW.transform IS DISTINCT FROM OLD.transform THEN NEW.transform END,
        CASE WHEN TG_OP = 'INSERT' OR NEW.callback IS DISTINCT FROM OLD.callback THEN NEW.callback END,
        CASE WHEN TG_OP = 'INSERT' OR NEW.retry_countdown_config IS DISTINCT FROM OLD.retry_countdown_config
             THEN NEW.retry_countdown_config END);
    NEW.modified_at := now();
    RETURN NEW;
END;
$$;
CREATE FUNCTION whisperer_internal.check_hook() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_as_caller';
COMMENT ON FUNCTION whisperer_internal.check_hook() IS 'trigger: refuses a hook that could not be served';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_hook() TO PUBLIC;

-- Of a JSON array, as changes of a hook have it.
CREATE FUNCTION whisperer_internal.names_from(value jsonb, column_name text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value IS NULL OR value = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(value) <> 'array' THEN
        RAISE EXCEPTION '% must be an array', column_name USING ERRCODE = 'invalid_parameter_value', COLUMN = column_name;
    END IF;
    RETURN ARRAY(SELECT s.name FROM jsonb_array_elements_text(value) AS s (name));
END;
$$;
COMMENT ON FUNCTION whisperer_internal.names_from(jsonb, text) IS 'what a column gets for a JSON array; 22023 for what is none';
GRANT EXECUTE ON FUNCTION whisperer_internal.names_from(jsonb, text) TO PUBLIC;

-- The value is not said: it may be a secret.
CREATE FUNCTION whisperer_internal.check_texts(changes jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member text;
BEGIN
    FOREACH member IN ARRAY '{event_type,target_url,secret_key,callback,transform,ordering,description,format,payload_key,name,encoding,priority}'::text[] LOOP
        IF jsonb_typeof(changes->member) NOT IN ('string', 'null') THEN
            RAISE EXCEPTION '% must be a JSON string, not of type %', member, jsonb_typeof(changes->member)
                USING ERRCODE = 'invalid_parameter_value', COLUMN = member;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_texts(jsonb) IS
    'raises 22023, with the column, for a text column of a hook that is to get what is neither a string nor null';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_texts(jsonb) TO PUBLIC;

-- Of a member of changes that is to be of another type than text.
CREATE FUNCTION whisperer_internal.typed(value text, column_name text, sample anyelement) RETURNS anyelement
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    sample := value;
    RETURN sample;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION '% must be of type %, not "%"', column_name, pg_typeof(sample), left(value, 100)
        USING ERRCODE = 'invalid_parameter_value', COLUMN = column_name;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.typed(text, text, anyelement) IS
    'a value as its column has it, which is of the type of the last argument; 22023, with the column, for what is none';
GRANT EXECUTE ON FUNCTION whisperer_internal.typed(text, text, anyelement) TO PUBLIC;

-- Years and months of an interval count as days in a comparison, and as more in what the worker gets.
CREATE FUNCTION whisperer_internal.check_hook_bounds(timeout interval, max_in_flight integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT extract(epoch FROM timeout) BETWEEN 1 AND 300 THEN
        RAISE EXCEPTION 'timeout must be from 1 s to 5 min'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'timeout', HINT = 'Null: as whisperer.request_timeout says.';
    END IF;
    IF NOT max_in_flight BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'max_in_flight must be from 1 to 10000 requests'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'max_in_flight',
                  HINT = 'Null: as whisperer.max_in_flight_per_hook says; pause_hook stops a hook.';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_hook_bounds(interval, integer) IS
    'raises 22023 for a timeout or max_in_flight that a hook must not have';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_hook_bounds(interval, integer) TO PUBLIC;

CREATE FUNCTION whisperer_internal.check_hook_json(config jsonb, filter jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(config) <> 'object' THEN
        RAISE EXCEPTION 'config must be a JSON object' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'config';
    END IF;
    -- The worker holds those of all hooks in memory.
    IF octet_length((config - 'auth')::text) > 8192 THEN
        RAISE EXCEPTION 'config is longer than 8192 bytes' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'config';
    END IF;
    IF octet_length(filter::text) > 8192 THEN
        RAISE EXCEPTION 'filter is longer than 8192 bytes' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'filter';
    END IF;
END;
$$;
COMMENT ON FUNCTION whisperer_internal.check_hook_json(jsonb, jsonb) IS
    'raises 22023 for what a hook''s JSON columns must not hold';
GRANT EXECUTE ON FUNCTION whisperer_internal.check_hook_json(jsonb, jsonb) TO PUBLIC;

-- On what people may write; adoption and the refreshing of names change nothing of it.
CREATE TRIGGER check_hook
    BEFORE INSERT OR UPDATE OF event_type, target_url, config, retry_countdown_config, callback, filter,
                               transform, rate_limit, ordering, description, is_active, is_paused, resumes,
                               format, payload_key, signing, signatures, metadata_headers, timeout, max_in_flight, name, batch,
                               encoding, priority
    ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.check_hook();
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER check_hook;
