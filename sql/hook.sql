-- Hooks: validation, changes, secrets, and that each sees only his own.
SELECT whisperer.pause();
CREATE ROLE regress_ann; CREATE ROLE regress_bob;
GRANT USAGE ON SCHEMA whisperer TO regress_ann, regress_bob;
SELECT whisperer.register_event('order-paid');
SELECT whisperer.register_event('order-sent');
SELECT whisperer.allow('order-paid', 'regress_ann', 'subscribe');
SET ROLE regress_ann;
SELECT whisperer.create_hook('order-paid', 'https://example.com/a', secret_key => 'secret', description => 'mine') AS ann \gset
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/a')$$);
SELECT failure($$SELECT whisperer.create_hook('order-sent', 'https://example.com/a')$$);
SELECT failure($$SELECT whisperer.create_hook('unknown', 'https://example.com/a')$$);
SELECT failure($$SELECT whisperer.create_hook('unknown*', 'https://example.com/a')$$);
SELECT failure($$SELECT whisperer.create_hook(NULL, 'https://example.com/a')$$);
SELECT whisperer.create_hook('order-*', 'https://example.com/wild') AS wild \gset

-- URLs.
SELECT failure(format('SELECT whisperer.create_hook(''order-paid'', %L)', url)) FROM (VALUES
    ('example.com'), ('ftp://example.com/'), ('http://'), ('http://user:pass@example.com/'), ('http://example.com/#top'),
    ('http://example.com/a b'), (E'http://example.com/\r\nX: y'), ('http://example.com:99999/'), ('http://' || repeat('a', 2050) || '/'), ('')) AS bad(url);

-- Secrets, headers, config, filter, countdown.
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', secret_key => 'whsec_!!!')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', additional_headers => '{"X-A": "1\r\nX-B: 2"}')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', additional_headers => '{"Host": "x"}')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', additional_headers => '{"webhook-id": "x"}')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', config => '[]')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', config => '{"auth": {}}')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', filter => to_jsonb(repeat('x', 9000)))$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', transform => 'f')$$);
SELECT failure(format('SELECT whisperer.create_hook(''order-paid'', ''https://example.com/b'', retry_countdown_config => %L)', config)) FROM (VALUES
    ('{}'), ('{"choice": "never"}'), ('{"choice": "fixed"}'), ('{"choice": "fixed", "kwargs": {"seconds": -1}}'),
    ('{"choice": "fixed", "kwargs": {"seconds": 1, "second": 1}}'), ('{"choice": "schedule", "kwargs": {"seconds": []}}'),
    ('{"choice": "random", "kwargs": {"min_value": 2, "max_value": 1}}'), ('{"choice": "fixed", "kwargs": {"seconds": 1}, "jitter": 2}'),
    ('{"choice": "custom", "kwargs": {"function": "f"}}'), ('{"choice": "fixed", "kwargs": {"seconds": null}}'),
    ('{"choice": "fixed", "kwargs": {"seconds": 1}, "give_up": [200]}'), ('{"choice": "fixed", "kwargs": {"seconds": 1}, "only_if": 500}'),
    ('{"choice": "fixed", "kwargs": {"seconds": 1}, "give_up": [404], "only_if": [404, 500]}'),
    ('{"choice": "fixed", "kwargs": {"seconds": 1, "give_up": [404]}}')) AS bad(config);
SELECT count(*) AS hooks FROM whisperer.hook;

-- Functions: named with their schema, with the right arguments and result, and the owner may call them.
RESET ROLE;
CREATE SCHEMA hook_functions;
CREATE FUNCTION hook_functions.good(event json) RETURNS json LANGUAGE sql RETURN event;
CREATE FUNCTION hook_functions.revoked(event json) RETURNS json LANGUAGE sql RETURN event;
REVOKE EXECUTE ON FUNCTION hook_functions.revoked FROM PUBLIC;
CREATE FUNCTION hook_functions.several(event json) RETURNS SETOF json LANGUAGE sql BEGIN ATOMIC SELECT event; END;
CREATE FUNCTION hook_functions.other(event json) RETURNS text LANGUAGE sql RETURN event::text;
CREATE FUNCTION hook_functions.told(jsonb, text, json, json) RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT NULL; END;
CREATE FUNCTION hook_functions.wait(int, jsonb) RETURNS interval LANGUAGE sql RETURN interval '1 s';
SET ROLE regress_ann;
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', transform => 'hook_functions.good')$$);
RESET ROLE;
GRANT USAGE ON SCHEMA hook_functions TO regress_ann, regress_bob;
SET ROLE regress_ann;
SELECT failure(format('SELECT whisperer.create_hook(''order-paid'', ''https://example.com/b'', transform => %L)', name)) FROM (VALUES
    ('good'), ('hook_functions.good(json)'), ('a.b.c'), (''), ('nowhere.good'), ('hook_functions.none'), ('hook_functions.told'),
    ('hook_functions.several'), ('hook_functions.other'), ('hook_functions.revoked'), ('hook_functions.good; DROP TABLE x')) AS bad(name);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', callback => 'hook_functions.good')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/b', retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "hook_functions.told"}}')$$);
SELECT whisperer.create_hook('order-paid', 'https://example.com/b', transform => 'hook_functions.good', callback => 'hook_functions.told',
    retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "hook_functions.wait", "more": 1}, "max_retries": 2}') AS with_functions \gset
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"transform": "hook_functions.other"}')$$, :with_functions));
-- One that takes meta as well: by its name where there is no other, else with its arguments.
RESET ROLE;
CREATE FUNCTION hook_functions.informed(event json, meta jsonb) RETURNS json LANGUAGE sql RETURN event;
CREATE FUNCTION hook_functions.good(event json, meta jsonb) RETURNS json LANGUAGE sql RETURN event;
CREATE FUNCTION hook_functions.other(event json, meta jsonb) RETURNS text LANGUAGE sql RETURN 'x';
SET ROLE regress_ann;
CREATE FUNCTION pg_temp.transform(hook_id bigint, name text) RETURNS text LANGUAGE sql AS
    $$SELECT whisperer.update_hook(hook_id, jsonb_build_object('transform', name)); SELECT h.transform FROM whisperer.hook h WHERE h.id = hook_id$$;
SELECT name, pg_temp.transform(:with_functions, name) FROM unnest(ARRAY['hook_functions.informed', 'hook_functions.good', 'hook_functions.good( json,jsonb )',
    'hook_functions.informed(json, jsonb)', 'HOOK_functions."informed"']) AS name;
SELECT name, failure(format('SELECT pg_temp.transform(%s, %L)', :with_functions, name)) FROM unnest(ARRAY['hook_functions.revoked(json, jsonb)', 'hook_functions.other(json, jsonb)',
    'hook_functions.good(jsonb, json)', 'good(json, jsonb)', '(json, jsonb)', 'hook_functions."good(json, jsonb)"']) AS name;
UPDATE whisperer.hook SET transform = 'hook_functions.informed' WHERE id = :with_functions;
SELECT transform FROM whisperer.hook WHERE id = :with_functions;
DROP FUNCTION pg_temp.transform(bigint, text);
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA hook_functions CASCADE;
RESET client_min_messages;
SET ROLE regress_ann;
-- One whose functions are gone can still be paused and deleted.
SELECT whisperer.pause_hook(:with_functions);
SELECT whisperer.update_hook(:with_functions, '{"transform": null}');
SELECT whisperer.delete_hook(:with_functions);

-- Secrets are for the owner alone.
SELECT whisperer.hook_secret(:ann);
SELECT whisperer.hook_secret(:wild) ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS made;
SELECT failure('SELECT * FROM whisperer.secret');
SELECT whisperer.rotate_secret(:ann, 'newer') AS rotated;
SELECT whisperer.hook_secret(:ann);
SELECT failure(format($$SELECT whisperer.rotate_secret(%s, 'whsec_?')$$, :ann));
SELECT failure(format($$SELECT whisperer.rotate_secret(%s, overlap => '-1 s')$$, :ann));

-- Changes.
SELECT whisperer.update_hook(:ann, '{"description": null, "filter": {"a": 1}, "target_url": "https://example.com/c"}');
SELECT description, filter, target_url, state FROM whisperer.hook WHERE id = :ann;
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"owner": 10}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"ordering": "id"}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"target_url": "nope"}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"event_type": null}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '[]')$$, :ann));
SELECT failure($$SELECT whisperer.update_hook(0, '{}')$$);
-- What is no name of a function, of each column that has one.
SELECT wrong, failure(format('SELECT whisperer.update_hook(%s, %L)', :ann, wrong))
FROM (SELECT jsonb_build_object(which, name) FROM unnest('{callback,transform}'::text[]) AS which, unnest('{a..b,"","a.b.c","(json, jsonb)"}'::text[]) AS name) AS w (wrong);
SELECT failure(format($$UPDATE whisperer.hook SET retry_countdown_config = '{"choice": "custom", "kwargs": {"function": "a."}}' WHERE id = %s$$, :ann));
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/f', transform => '.')$$);
-- Null is null, JSON's too.
BEGIN;
SELECT whisperer.create_hook('order-paid', 'https://example.com/null', filter => 'null', retry_countdown_config => 'null', signing => 'null', batch => 'null') AS of_null \gset
SELECT filter IS NULL AND retry_countdown_config IS NULL AND signing IS NULL AND batch IS NULL AS all_null FROM whisperer.hook WHERE id = :of_null;
UPDATE whisperer.hook SET filter = 'null', retry_countdown_config = 'null', signing = 'null', batch = 'null' WHERE id = :of_null
RETURNING filter IS NULL AND retry_countdown_config IS NULL AND signing IS NULL AND batch IS NULL AS all_null;
ROLLBACK;
-- An array that update_hook and apply_hooks could not be given.
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'https://example.com/f', signatures => '{{standard,whisperer}}')$$);
SELECT failure(format($$UPDATE whisperer.hook SET metadata_headers = '{{time}}' WHERE id = %s$$, :ann));

SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"rate_limit": 1e-300}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, jsonb_build_object('description', repeat('x', 8193)))$$, :ann));
-- Formats.
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"format": "xml"}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"payload_key": "event"}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"format": "data", "payload_key": "payload"}')$$, :ann));
SELECT failure($$INSERT INTO whisperer.hook (event_type, target_url, format) VALUES ('order-paid', 'https://example.com/f', NULL)$$);
SELECT whisperer.update_hook(:ann, '{"payload_key": "payload"}');
SELECT format, payload_key FROM whisperer.hook WHERE id = :ann;
SELECT failure(format($$UPDATE whisperer.hook SET format = 'form' WHERE id = %s$$, :ann));
SELECT whisperer.update_hook(:ann, '{"format": "cloudevents-binary", "payload_key": null, "additional_headers": {"ce-tenant": "7"}}');
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"additional_headers": {"Ce-Id": "7"}}')$$, :ann));
SELECT whisperer.update_hook(:ann, '{"format": null, "additional_headers": {"Ce-Id": "7"}}');
SELECT failure(format($$UPDATE whisperer.hook SET format = 'cloudevents-binary' WHERE id = %s$$, :ann));
SELECT whisperer.update_hook(:ann, '{"format": "cloudevents-binary", "additional_headers": {}}');
SELECT whisperer.update_hook(:ann, '{"format": null}');
SELECT format, payload_key FROM whisperer.hook WHERE id = :ann;
-- Signatures: more is checked in tests/unit/signing_test.cpp.
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"signing": {"header": "X-Own", "value": "sha256="}}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"signing": {"header": "X-Own", "value": "{hex}", "content": "{data}"}}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"signing": "github"}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"signatures": ["github"]}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"signatures": "standard"}')$$, :ann));
SELECT failure(format($$UPDATE whisperer.hook SET signatures = '{NULL}' WHERE id = %s$$, :ann));
SELECT whisperer.update_hook(:ann, '{"signing": {"header": "X-Own", "value": "{hex}"}, "signatures": ["standard"], "additional_headers": {"X-Mine": "1"}}');
SELECT signing, signatures FROM whisperer.hook WHERE id = :ann;
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"additional_headers": {"x-own": "1"}}')$$, :ann));
SELECT failure(format($$UPDATE whisperer.hook SET signing = '{"header": "x-mine", "value": "{hex}"}' WHERE id = %s$$, :ann));
SELECT whisperer.update_hook(:ann, '{"signing": null, "signatures": null, "additional_headers": {}}');
SELECT signing, signatures FROM whisperer.hook WHERE id = :ann;
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"metadata_headers": ["row"]}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"metadata_headers": {}}')$$, :ann));
SELECT whisperer.update_hook(:ann, '{"metadata_headers": ["time", "attempt"]}');
SELECT metadata_headers FROM whisperer.hook WHERE id = :ann;
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', :ann, jsonb_build_object(key, value)))
FROM unnest('{event_type,target_url,secret_key,callback,transform,ordering,description,format,payload_key,name,encoding,priority}'::text[]) AS key,
     jsonb_array_elements('[{"a": "b"}, 7]') AS value;
-- A key that is null is as if it were not there.
SELECT whisperer.update_hook(:ann, '{"retry_countdown_config": {"choice": "linear", "kwargs": {"base": 1, "limit": null}, "jitter": null, "give_up": null},
    "signing": {"header": "X-Own", "value": "{hex}", "overlap": null, "time_header": null}}');
SELECT whisperer.update_hook(:ann, '{"config": {"auth": {"type": "bearer", "token": "t", "client_certificate": null, "client_key": null}}}');
SELECT config->'auth' AS auth FROM whisperer.hook WHERE id = :ann;
SELECT whisperer.update_hook(:ann, '{"retry_countdown_config": null, "signing": null, "config": null}');
SELECT whisperer.update_hook(:ann, '{"metadata_headers": null}');
-- How long an attempt may take, and how many may run.  A year is 360 days in a comparison, and more in seconds.
SELECT bound, failure(format('SELECT whisperer.update_hook(%s, %L)', :ann, bound)) FROM unnest(ARRAY[
    '{"timeout": "0.9 s"}', '{"timeout": "301 s"}', '{"timeout": "1 year -360 days 10 s"}', '{"timeout": "-1 s"}', '{"timeout": "soon"}',
    '{"timeout": "1e300 s"}', '{"max_in_flight": 0}', '{"max_in_flight": 10001}', '{"max_in_flight": 1.5}', '{"max_in_flight": 3000000000}',
    '{"max_in_flight": true}', '{"rate_limit": "fast"}', '{"rate_limit": 1e400}']) AS bound;
SELECT whisperer.update_hook(:ann, '{"timeout": 2.5, "max_in_flight": 1}');
SELECT timeout, max_in_flight FROM whisperer.hook WHERE id = :ann;
SELECT failure(format('UPDATE whisperer.hook SET %s WHERE id = %s', change, :ann)) FROM unnest(ARRAY[$$timeout = '0'$$, 'max_in_flight = -1']) AS change;
UPDATE whisperer.hook SET timeout = '5 min', max_in_flight = 10000 WHERE id = :ann;
SELECT timeout, max_in_flight FROM whisperer.hook WHERE id = :ann;
SELECT whisperer.update_hook(:ann, '{"timeout": null, "max_in_flight": null}');
SELECT timeout IS NULL AND max_in_flight IS NULL AS cleared FROM whisperer.hook WHERE id = :ann;
-- Who goes first.
SELECT priority FROM whisperer.hook WHERE id = :ann;
SELECT whisperer.update_hook(:ann, '{"priority": "high"}');
SELECT priority FROM whisperer.hook WHERE id = :ann;
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', :ann, '{"priority": "urgent"}'));
SELECT failure(format('UPDATE whisperer.hook SET priority = %s WHERE id = %s', value, :ann)) FROM unnest(ARRAY['NULL', '''''']) AS value;
UPDATE whisperer.hook SET priority = 'low' WHERE id = :ann;
SELECT priority FROM whisperer.hook WHERE id = :ann;
SELECT whisperer.update_hook(:ann, '{"priority": null}');
SELECT priority FROM whisperer.hook WHERE id = :ann;
-- Several events in one request.
SELECT change, failure(format('UPDATE whisperer.hook SET %s WHERE id = %s', change, :ann)) FROM unnest(ARRAY[
    $$batch = '[]'$$, $$batch = '{"size": 0}'$$, $$batch = '{"wait": "1 day"}'$$, $$batch = '{"bytes": 10}'$$, $$batch = '{"form": "csv"}'$$,
    $$batch = '{"count": 1}'$$, $$batch = '{}', format = 'form'$$, $$batch = '{}', format = 'cloudevents-binary'$$,
    $$batch = '{}', metadata_headers = '{time}'$$]) AS change;
SELECT whisperer.update_hook(:ann, '{"batch": {"size": 100, "wait": "200 ms", "bytes": 262144, "form": "ndjson"}}');
SELECT batch FROM whisperer.hook WHERE id = :ann;
SELECT whisperer.update_hook(:ann, '{"ordering": "hook"}');
SELECT whisperer.update_hook(:ann, '{"ordering": "none"}');
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"format": "form"}')$$, :ann));
SELECT whisperer.update_hook(:ann, '{"batch": null}');
SELECT batch FROM whisperer.hook WHERE id = :ann;
-- Bodies that are compressed on their way, which nobody says otherwise.
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"encoding": "br"}')$$, :ann));
SELECT failure(format($$UPDATE whisperer.hook SET encoding = '' WHERE id = %s$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"additional_headers": {"Content-Encoding": "gzip"}}')$$, :ann));
SELECT whisperer.update_hook(:ann, '{"encoding": "gzip"}');
SELECT encoding FROM whisperer.hook WHERE id = :ann;
SELECT whisperer.update_hook(:ann, '{"encoding": null}');
SELECT encoding IS NULL AS cleared FROM whisperer.hook WHERE id = :ann;
UPDATE whisperer.hook SET encoding = 'gzip' WHERE id = :ann;
UPDATE whisperer.hook SET encoding = NULL WHERE id = :ann;
-- An older version took them; such a hook can be paused.
RESET ROLE;
ALTER TABLE whisperer.hook_definition DISABLE TRIGGER check_hook;
UPDATE whisperer.hook_definition SET rate_limit = 1e-300, description = repeat('x', 8193) WHERE id = :ann;
ALTER TABLE whisperer.hook_definition ENABLE TRIGGER check_hook;
SET ROLE regress_ann;
SELECT whisperer.pause_hook(:ann);
SELECT whisperer.update_hook(:ann, '{"rate_limit": null, "description": null}');
SELECT whisperer.resume_hook(:ann);
-- Two secrets sign, not three.
SELECT failure(format($$SELECT whisperer.rotate_secret(%s)$$, :ann)) ~ '^55000 . the overlap of the last rotation lasts until' AS refused;
SELECT whisperer.rotate_secret(:ann, 'newest', '0 s') AS rotated;
SELECT whisperer.rotate_secret(:ann, 'whsec_bmV3ZXIgc3RpbGwsIGFuZCBsb25nIGVub3VnaA==') AS rotated;

-- Plain DML obeys the same checks.
SELECT failure($$INSERT INTO whisperer.hook (event_type, target_url) VALUES ('order-paid', 'nope')$$);
SELECT failure($$INSERT INTO whisperer.hook (event_type, target_url) VALUES ('order-sent', 'https://example.com/d')$$);
SELECT failure($$INSERT INTO whisperer.hook_definition (owner, owner_name, event_type, target_url, since) VALUES (10, 'x', 'order-paid', 'https://example.com/d', '1:1:')$$);
SELECT failure($$UPDATE whisperer.hook_definition SET owner = 10$$);
SELECT failure($$UPDATE whisperer.hook_definition SET since = '1:1:'$$);

-- State.
SELECT whisperer.pause_hook(:ann);
SELECT id = :ann AS ann, state, state_reason, is_active FROM whisperer.hook ORDER BY 1;
SELECT whisperer.resume_hook(:ann);
-- Who may not subscribe any more can pause a hook and mend it.
RESET ROLE;
SELECT whisperer.disallow('order-paid', 'regress_ann', 'subscribe');
SET ROLE regress_ann;
SELECT whisperer.pause_hook(:ann);
SELECT whisperer.update_hook(:ann, '{"description": "still mine"}');
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"event_type": "order-*"}')$$, :ann));
SELECT whisperer.resume_hook(:ann);
RESET ROLE;
SELECT whisperer.allow('order-paid', 'regress_ann', 'subscribe');
SET ROLE regress_ann;
SELECT whisperer.delete_hook(:wild);
SELECT id = :ann AS ann, state, state_reason, is_active FROM whisperer.hook ORDER BY 1;
SELECT failure(format('UPDATE whisperer.hook SET %s WHERE id = %s', change, :wild)) FROM unnest(ARRAY[
    $$format = 'data'$$, $$payload_key = 'p'$$, $$signatures = '{}'$$, $$metadata_headers = '{time}'$$, $$signing = '{"header": "X", "value": "{hex}"}'$$,
    $$timeout = '2 s'$$, 'max_in_flight = 2', $$batch = '{}'$$, $$encoding = 'gzip'$$, $$priority = 'low'$$]) AS change;
SELECT failure(format('SELECT whisperer.resume_hook(%s)', :wild));
SELECT failure(format('SELECT whisperer.pause_hook(%s)', :wild));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"target_url": "https://example.com/z"}')$$, :wild));
SELECT failure(format('SELECT whisperer.rotate_secret(%s)', :wild));
SELECT failure(format('SELECT whisperer.record_ping(%s)', :wild));
SELECT whisperer.delete_hook(:wild);
SELECT failure('SELECT whisperer.pause_hook(0)');
SELECT whisperer.create_hook('order-*', 'https://example.com/wild') IS NOT NULL AS made_anew;

-- What is not ASCII in a URL is stored as it is sent, encoded once.
SELECT whisperer.create_hook('order-*', U&'https://example.com/gr\00FC\00DFe?name=\00E9&again=%C3%A9') AS accented \gset
SELECT target_url FROM whisperer.hook WHERE id = :accented;
SELECT replace(failure(format($$SELECT whisperer.create_hook('order-*', %L)$$, target_url)), 'hook ' || :'accented', 'hook N') FROM whisperer.hook WHERE id = :accented;
SELECT whisperer.update_hook(:accented, U&'{"target_url": "https://example.com/?\65E5\672C"}');
SELECT target_url FROM whisperer.hook WHERE id = :accented;
SELECT whisperer.delete_hook(:accented);

-- As many as its role may have.
RESET ROLE;
SELECT format('ALTER ROLE regress_ann SET whisperer.max_hooks_per_role = %s', count(*)) FROM whisperer.hook WHERE owner = 'regress_ann'::regrole AND is_active \gexec
SET ROLE regress_ann;
SELECT regexp_replace(failure($$SELECT whisperer.create_hook('order-*', 'https://example.com/too-many')$$), '\d+ hooks', 'N hooks') ~ '^53400 . role regress_ann has N hooks already . Delete some, or ask a superuser to raise the limit: ALTER ROLE regress_ann SET whisperer.max_hooks_per_role = \d+;$' AS refused;
SELECT failure($$INSERT INTO whisperer.hook (event_type, target_url) VALUES ('order-*', 'https://example.com/too-many')$$) ~ '^53400' AS by_dml,
       failure($$SELECT whisperer.apply_hooks('[{"name": "many", "event_type": "order-*", "target_url": "https://example.com/too-many"}]')$$) ~ '^53400' AS by_apply;
SELECT failure('SET whisperer.max_hooks_per_role = 1000') ~ '^42501' AS not_by_itself;
SELECT whisperer.update_hook(:ann, '{"description": "one that it has"}');
RESET ROLE;
ALTER ROLE regress_ann RESET whisperer.max_hooks_per_role;
SET ROLE regress_ann;
SELECT whisperer.create_hook('order-*', 'https://example.com/too-many') AS one_more \gset
SELECT whisperer.delete_hook(:one_more);

-- Another role sees and changes nothing of it.
SET ROLE regress_bob;
SELECT count(*) AS hooks FROM whisperer.hook;
SELECT failure(format('SELECT whisperer.hook_secret(%s)', :ann));
SELECT failure(format('SELECT whisperer.rotate_secret(%s)', :ann));
SELECT failure(format('SELECT whisperer.pause_hook(%s)', :ann));
SELECT failure(format('SELECT whisperer.delete_hook(%s)', :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"description": "x"}')$$, :ann));
SELECT failure(format($$SELECT whisperer_internal.set_secret(%s, 'x', NULL)$$, :ann));
SELECT failure(format($$SELECT whisperer_internal.set_secret_as(10, %s, 'x', NULL)$$, :ann));
UPDATE whisperer.hook SET description = 'mine now';
SELECT failure('SELECT whisperer.pause()');
SELECT failure('DELETE FROM whisperer.hook_definition');
SELECT failure('INSERT INTO whisperer.outbox (id, event_type, data, slot) VALUES (gen_random_uuid(), ''order-paid'', ''{}'', 0)');
SELECT failure('DELETE FROM whisperer.delivery');
SELECT failure('SELECT * FROM whisperer.outbox_0');
RESET ROLE;
SELECT owner, description FROM whisperer.hook WHERE id = :ann;
-- A number that is taken, as where data was restored alone, is not told as a URL that is.
SELECT setval(pg_get_serial_sequence('whisperer.hook_definition', 'id'), :ann, false) = :ann AS behind;
SELECT failure($$SELECT whisperer.create_hook('order-*', 'https://example.com/another')$$);
SELECT setval(pg_get_serial_sequence('whisperer.hook_definition', 'id'), max(id)) > 0 AS mended FROM whisperer.hook_definition;
UPDATE whisperer.hook_definition SET is_active = false;
DELETE FROM whisperer.hook_definition;
REVOKE USAGE ON SCHEMA whisperer FROM regress_ann, regress_bob;
SELECT whisperer.unregister_event(name) FROM whisperer.event_type WHERE name ~ '^order-';
DROP ROLE regress_ann, regress_bob;
SELECT whisperer.resume();
