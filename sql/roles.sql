-- Who may do what: first a decision for every object of the extension, then who sees which rows.
-- What PUBLIC may do, for every table and view.  A new one needs a decision here.
CREATE TEMP TABLE decided (object text PRIMARY KEY, privileges text, columns text, policies text);
INSERT INTO decided VALUES
    ('api_token', 'SELECT', NULL, 'view, owner'),
    ('api_token_record', NULL, NULL, 'none'),
    ('api_token_record_id_seq', NULL, NULL, 'sequence'),
    ('attempt', 'SELECT', NULL, 'view, invoker'),
    ('bookmark', NULL, NULL, 'none'),
    ('control', NULL, NULL, 'none'),
    ('delivery', 'SELECT', NULL, 'SELECT'),
    ('delivery_rate', 'SELECT', NULL, 'view, owner'),
    ('event_queue', 'SELECT', NULL, 'view, invoker'),
    ('event_type', 'SELECT', NULL, 'open'),
    ('event_type_claim', NULL, NULL, 'none'),
    ('event_type_privilege', NULL, NULL, 'none'),
    ('hook', 'INSERT SELECT UPDATE', NULL, 'view, invoker'),
    ('hook_node', NULL, NULL, 'none'),
    ('node', NULL, NULL, 'none'),
    ('node_message', NULL, NULL, 'none'),
    ('node_message_id_seq', NULL, NULL, 'sequence'),
    ('nodes', 'SELECT', NULL, 'view, owner'),
    ('hook_definition', 'SELECT', 'INSERT UPDATE', 'ALL'),
    ('hook_definition_id_seq', NULL, NULL, 'sequence'),
    ('hook_minute', NULL, NULL, 'none'),
    ('hook_run', 'SELECT', NULL, 'SELECT'),
    ('hook_stats', 'SELECT', NULL, 'view, owner'),
    ('incarnation', NULL, NULL, 'view, owner'),
    ('outbox', 'SELECT', NULL, 'SELECT SELECT'),
    ('past_attempt', 'SELECT', NULL, 'SELECT'),
    ('event_key', NULL, NULL, 'none'),
    ('key_decision', NULL, NULL, 'none'),
    ('request', NULL, NULL, 'none'),
    ('request_id_seq', NULL, NULL, 'sequence'),
    ('secret', NULL, NULL, 'none'),
    ('status', 'SELECT', NULL, 'view, owner');
INSERT INTO decided SELECT format('%s_%s', t, slot), NULL, NULL, 'none' FROM unnest('{outbox,delivery,past_attempt,event_key,key_decision}'::text[]) t, generate_series(0, 7) slot;
CREATE TEMP VIEW is_so AS
SELECT c.relname::text AS object,
       (SELECT string_agg(p, ' ' ORDER BY p) FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
        WHERE c.relkind <> 'S' AND has_table_privilege('public', c.oid, p) OR c.relkind = 'S' AND p IN ('SELECT', 'UPDATE') AND has_sequence_privilege('public', c.oid, p)) AS privileges,
       (SELECT string_agg(DISTINCT a.privilege_type, ' ' ORDER BY a.privilege_type) FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid) AS columns,
       CASE WHEN c.relkind = 'S' THEN 'sequence'
            WHEN c.relkind = 'v' THEN 'view, ' || CASE WHEN c.reloptions::text ~ 'security_invoker=true' THEN 'invoker' ELSE 'owner' END
            WHEN NOT c.relrowsecurity THEN 'open'
            ELSE coalesce((SELECT string_agg(p.cmd, ' ' ORDER BY p.cmd) FROM pg_policies p WHERE p.schemaname = 'whisperer' AND p.tablename = c.relname), 'none') END AS policies
FROM pg_class c WHERE c.relnamespace = 'whisperer'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S', 'm', 'f');
SELECT * FROM (TABLE is_so EXCEPT TABLE decided) AS not_as_decided ORDER BY object;
SELECT * FROM (TABLE decided EXCEPT TABLE is_so) AS decided_otherwise ORDER BY object;
-- Of hook_definition: what a person writes, not whose it is nor when it began.
SELECT a.privilege_type, string_agg(t.attname, ' ' ORDER BY t.attnum) FROM pg_attribute t, aclexplode(t.attacl) a
WHERE t.attrelid = 'whisperer.hook_definition'::regclass GROUP BY 1 ORDER BY 1;

-- Of the functions in whisperer_internal these are called by anybody, because they check their caller or need no
-- right; the others by nobody.
CREATE TEMP TABLE decided_callable AS SELECT unnest('{
    capture_needs,capture_triggers,change_hook,check_auth,check_event_pattern,check_filter,check_format,check_function,check_headers,check_headers_beside,
    check_hook,check_hook_count,check_hook_functions,check_hook_json,check_hook_state,check_node_name,check_payload_key,check_reach,check_retry_config,
    check_secret,check_signing,check_url,claim_owner,current_slot,extension_owner,formatted,hand_line_over,hidden,hidden_auth,hold_event_type,hold_hooks,hold_own_hooks,hook_since,hook_state,delivered_by,
    hook_state_reason,idle_ticket,idle_ticket_done,in_transaction_block,incarnation_number,is_event_type_name,is_arriving,is_carried,is_fed,is_for,is_hook_fed,is_let_through,
    is_older,along_hint,came_along,child_trigger,child_trigger_name,descendants,first_argument,child_action,trigger_action,trigger_events,is_as_parent,kin_above,make_child_trigger,unseen_children,
    warn_of_along,watch_children,temp_files_are_limited,duplicate_of,key_digest,is_passed,is_pinged_here,json_contains,living_role,make_secret,make_way,masked_auth,may_have,masked_headers,metadata_bits,my_incarnation,names,
    name_parts,names_from,new_event_id,other_node,queued_events,record_backfill,recorder,refuse_expunged,refuse_hook,remake_capture,role_exists,rows_as_events,sent_url,set_secret,
    status_rows,unattempted,waits_for,why_not,why_pending,last_error,worker_turns,worker_wire,check_trigger,sight_hint,stopped_writers,check_hook_bounds,
    ping_patience,check_event_patterns,check_name,check_overlap,overlapping,warn_of_unseen,event_patterns,normal_event_patterns,overlap,status_rules,apply_hook,hook_defaults,own_hooks,node_progress,
    read_definition,batch_of_one,check_batch,is_gzipped,normal_transform,max_hooks_of,max_requests_of,typed,check_texts,expunged_within,schema_fault,schema_refusal,add_counts,sum_counts,header_text,sees_hook,event,xids_around,to_preview}'::text[]) AS name;
SELECT DISTINCT CASE WHEN c.is_so THEN 'callable' ELSE 'not callable' END AS not_as_decided, p.proname
FROM pg_proc p CROSS JOIN LATERAL (SELECT has_function_privilege('public', p.oid, 'EXECUTE') AS is_so) AS c
WHERE p.pronamespace = 'whisperer_internal'::regnamespace AND c.is_so <> (p.proname IN (TABLE decided_callable));
SELECT name AS missing FROM decided_callable WHERE name NOT IN (SELECT proname FROM pg_proc WHERE pronamespace = 'whisperer_internal'::regnamespace);
-- Those that run with more rights than their caller has; beside them, the C functions that call *_as.
SELECT proname FROM pg_proc WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace) AND prosecdef ORDER BY 1;
SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace) AND prosrc = 'whisperer_as_owner';
-- Triggers that a session with session_replication_role = replica would pass by, or that fire elsewhere than for what is
-- replicated.
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'whisperer'::regnamespace)
    AND NOT tgisinternal AND tgenabled <> CASE WHEN tgname ~ 'arriv' THEN 'R' ELSE 'A' END::"char";
-- may(), which row-level security asks for each event, plans no query within its own: the owner is inlined.
DO $$
DECLARE line text;
BEGIN
    FOR line IN EXPLAIN (VERBOSE) SELECT whisperer.event_type_owner(t) FROM whisperer.event_type t LOOP
        ASSERT line NOT LIKE '%event_type_owner%', line;
    END LOOP;
END
$$;
-- Nor does anybody get a lock that the worker would wait for.
CREATE ROLE regress_idle;
GRANT USAGE ON SCHEMA whisperer TO regress_idle;
SET ROLE regress_idle;
SELECT relname, lock FROM unnest('{hook,hook_definition,event_type,outbox,delivery,hook_stats,status}'::text[]) relname, unnest('{ROW EXCLUSIVE,SHARE,ACCESS EXCLUSIVE}'::text[]) lock
WHERE failure(format('LOCK TABLE whisperer.%I IN %s MODE', relname, lock)) !~ '^42501';
RESET ROLE;
REVOKE USAGE ON SCHEMA whisperer FROM regress_idle;
DROP ROLE regress_idle;

SELECT whisperer.pause();
CREATE ROLE regress_ann; CREATE ROLE "REGRESS_ANN"; CREATE ROLE "Regress Bob"; CREATE ROLE regress_team;
CREATE ROLE regress_mate IN ROLE regress_team NOINHERIT;
CREATE ROLE regress_publisher; CREATE ROLE regress_subscriber;
CREATE ROLE regress_reader IN ROLE pg_read_all_data; CREATE ROLE regress_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA whisperer TO PUBLIC;

-- A role is not another one whose name differs in case.
SET ROLE regress_ann;
SELECT whisperer.register_event('ann-made');
SELECT whisperer.create_hook('ann-made', 'https://example.com/ann') AS ann \gset
SELECT whisperer.deliver_event('ann-made', '{"n": 1}') AS event \gset
SET ROLE "REGRESS_ANN";
SELECT count(*) AS events FROM whisperer.outbox;
SELECT failure($$SELECT whisperer.create_hook('ann-made', 'https://example.com/else')$$);
SELECT whisperer.register_event('ANN-made');
SELECT whisperer.create_hook('ANN-made', 'https://example.com/ann') AS capital \gset
SELECT owner, event_type FROM whisperer.hook;
SET ROLE "Regress Bob";
SELECT whisperer.register_event('bob-made');
SELECT whisperer.create_hook('bob-made', 'https://example.com/bob') AS bob \gset
SELECT whisperer.deliver_event('bob-made', '{}') IS NOT NULL AS recorded;
SELECT count(*) AS events FROM whisperer.outbox;
SELECT owner, event_type FROM whisperer.hook;
SELECT whisperer.hook_secret(:bob) ~ '^whsec_' AS secret;
SELECT left(failure(format('SELECT whisperer.hook_secret(%s)', :ann)), 5) AS of_another;
SELECT failure($$SELECT whisperer.deliver_event('ann-made', '{}')$$);
SELECT failure('SELECT whisperer.pause()');
SELECT failure('SELECT whisperer.rebalance_workers()');
RESET ROLE;

-- In a SECURITY DEFINER function the definer counts, whoever logged in, and after SET ROLE the role that was set.
SET ROLE regress_team;
SELECT whisperer.register_event('definer-made');
CREATE FUNCTION pg_temp.subscribe() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    $$SELECT whisperer.create_hook('definer-made', 'https://example.com/definer')$$;
CREATE FUNCTION pg_temp.secret(hook bigint) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    $$SELECT whisperer.hook_secret(hook)$$;
SET ROLE regress_ann;
SELECT pg_temp.subscribe() AS defined \gset
SELECT pg_temp.secret(:defined) ~ '^whsec_' AS through_definer, left(failure(format('SELECT whisperer.hook_secret(%s)', :defined)), 5) AS by_caller;
SELECT failure(format('SELECT pg_temp.secret(%s)', :ann)) ~ '^42704' AS not_the_callers;
RESET ROLE;
SELECT owner FROM whisperer.hook WHERE id = :defined;
DELETE FROM whisperer.hook_definition WHERE id = :defined;
DROP FUNCTION pg_temp.subscribe, pg_temp.secret;

-- Who sees which rows.  A hook of ann's, one of a team's, each with a delivery, an attempt and a secret.
CREATE FUNCTION regress_ledger(hook bigint, event uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO whisperer.delivery (event_id, hook_id, xid, incarnation, state, retry_count, error, slot)
    SELECT o.id, hook, o.xid, o.incarnation, 'failed', 1, 'no answer', o.slot FROM whisperer.outbox o WHERE o.id = event;
    INSERT INTO whisperer.past_attempt (event_id, hook_id, number, requested_at, error, slot)
    SELECT o.id, hook, 1, now(), 'no answer', o.slot FROM whisperer.outbox o WHERE o.id = event;
    INSERT INTO whisperer.hook_minute VALUES (hook, date_trunc('minute', now()), 0, 1, 1, '{}', 0, 1, 1, 0, 'no answer');
    INSERT INTO whisperer.hook_run (hook_id, function_error, function_timeouts) VALUES (hook, 'left a secret', 1)
    ON CONFLICT (hook_id) DO UPDATE SET function_error = excluded.function_error, function_timeouts = excluded.function_timeouts
$$;
SET ROLE regress_team;
SELECT whisperer.register_event('team-made');
SELECT whisperer.create_hook('team-made', 'https://example.com/team') AS team \gset
SELECT whisperer.deliver_event('team-made', '{"n": 2}') AS team_event \gset
SELECT whisperer.allow('team-made', 'regress_publisher', 'publish');
SELECT whisperer.allow('team-made', 'regress_subscriber', 'subscribe');
RESET ROLE;
SELECT regress_ledger(:ann, :'event'), regress_ledger(:team, :'team_event');
CREATE TABLE seen (who text, thing text, what text);
GRANT ALL ON seen TO PUBLIC;
CREATE FUNCTION regress_look() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    thing text; what text; key text;
BEGIN
    FOREACH thing IN ARRAY '{hook,hook_definition,hook_run,hook_stats,hook_minute,delivery_rate,delivery,past_attempt,attempt,outbox,outbox_now,secret,api_token,api_token_record,request,bookmark,event_type_privilege}'::text[] LOOP
        key := CASE WHEN thing = 'outbox' THEN 'event_type' WHEN thing ~ '^(outbox|secret|api_token|request|bookmark|event_type)' THEN '''rows''::text'
            ELSE format('(SELECT s.event_type FROM whisperer.hook_stats s WHERE s.hook_id = x.%s)', CASE WHEN thing IN ('hook', 'hook_definition') THEN 'id' ELSE 'hook_id' END) END;
        BEGIN
            EXECUTE format('SELECT string_agg(DISTINCT %s, '' '' ORDER BY %1$s) FROM whisperer.%I x', key, replace(thing, 'now', whisperer_internal.current_slot()::text)) INTO what;
        EXCEPTION WHEN insufficient_privilege THEN
            what := 'denied';
        END;
        INSERT INTO seen VALUES (current_user, thing, coalesce(what, 'nothing'));
    END LOOP;
END;
$$;
SET ROLE regress_ann; SELECT count(whisperer.create_api_token('regress_ann', 'for roles')); SELECT regress_look();
SET ROLE regress_mate; SELECT regress_look();
SET ROLE regress_publisher; SELECT regress_look();
SET ROLE regress_subscriber; SELECT regress_look();
SET ROLE regress_reader; SELECT regress_look();
SET ROLE regress_monitor; SELECT regress_look();
RESET ROLE;
SELECT replace(thing, 'event_type_privilege', 'privileges') AS thing,
       max(what) FILTER (WHERE who = 'regress_ann') AS ann, max(what) FILTER (WHERE who = 'regress_mate') AS mate,
       max(what) FILTER (WHERE who = 'regress_publisher') AS publisher, max(what) FILTER (WHERE who = 'regress_subscriber') AS subscriber,
       max(what) FILTER (WHERE who = 'regress_reader') AS reader, max(what) FILTER (WHERE who = 'regress_monitor') AS monitor
FROM seen GROUP BY seen.thing ORDER BY seen.thing;
-- A role for monitoring has the figures of all, and neither URLs nor the text of errors.
SET ROLE regress_monitor;
SELECT owner, event_type, state, failed, function_timeouts, target_url, last_error, function_error FROM whisperer.hook_stats ORDER BY hook_id;
SELECT count(*) > 0 AS status FROM whisperer.status;
SELECT failure(format('SELECT whisperer.why(%L, %s)', :'event', :ann)) ~ '^42704' AS hidden;
SET ROLE regress_mate;
SELECT owner, event_type, target_url, last_error, function_error FROM whisperer.hook_stats;
RESET ROLE;
DROP FUNCTION regress_ledger, regress_look;
DROP TABLE seen;
DELETE FROM whisperer.delivery WHERE hook_id IN (:ann, :team);
DELETE FROM whisperer.past_attempt WHERE hook_id IN (:ann, :team);
DELETE FROM whisperer.hook_run WHERE hook_id IN (:ann, :team);

DELETE FROM whisperer.hook_definition;
SELECT count(whisperer.unregister_event(name)) FROM whisperer.event_type WHERE name ~ '-made$' AND owner::regrole::text ~* 'regress';
REVOKE USAGE ON SCHEMA whisperer FROM PUBLIC;
DROP ROLE regress_ann, "REGRESS_ANN", "Regress Bob", regress_mate, regress_team, regress_publisher, regress_subscriber, regress_reader, regress_monitor;
SELECT whisperer.resume();
