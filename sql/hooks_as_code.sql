-- Hooks as code: applied, applied again, changed, pruned; what is refused, and what is left alone.
SELECT whisperer.pause();
CREATE ROLE regress_ann; CREATE ROLE regress_bob;
GRANT USAGE ON SCHEMA whisperer TO regress_ann, regress_bob;
SELECT whisperer.register_event(name) FROM unnest('{coded,coded-too}'::text[]) AS name;
SELECT whisperer.allow(t, r, 'subscribe') FROM unnest('{coded,coded-too}'::text[]) t, unnest('{regress_ann,regress_bob}'::regrole[]) r;
-- Every column that people may write is one that a definition may say.
SELECT a.attname AS missing FROM pg_attribute a
WHERE a.attrelid = 'whisperer.hook_definition'::regclass AND a.attnum > 0 AND has_column_privilege('regress_ann', a.attrelid, a.attnum, 'UPDATE')
  AND NOT whisperer_internal.hook_defaults() ? a.attname::text AND a.attname <> ALL ('{name,event_type,target_url,is_active,is_paused,resumes}');
SET ROLE regress_bob;
SELECT whisperer.create_hook('coded', 'https://example.com/bob', name => 'orders') > 0 AS his;
SET ROLE regress_ann;
SELECT whisperer.create_hook('coded', 'https://example.com/by-hand') AS by_hand \gset
\set both '[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "secret_key": "geheim", "additional_headers": {"X-A": "b"}, "config": {"shop": 1, "auth": {"type": "bearer", "token": "t"}}}, {"name": "more", "event_type": "coded*", "target_url": "https://example.com/gr\\u00fc\\u00dfe", "config": null, "filter": {"a": [1]}, "transform": null, "encoding": "gzip", "rate_limit": 2.5, "ordering": "key", "priority": "high", "timeout": "30 s", "max_in_flight": 2, "signatures": ["standard"], "signing": {"header": "X-Own", "value": "{hex}"}, "format": "data", "retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 1}}}]'
CREATE FUNCTION pg_temp.applied(definitions jsonb, prune boolean DEFAULT false, dry_run boolean DEFAULT false) RETURNS text
    LANGUAGE sql AS $$SELECT string_agg(a.name || ' ' || a.action || CASE WHEN a.hook_id IS NULL THEN ' nowhere' ELSE '' END, ', ')
                      FROM whisperer.apply_hooks(definitions, prune, dry_run) a$$;
SELECT pg_temp.applied(:'both', dry_run => true);
SELECT count(*) AS hooks FROM whisperer.hook;
SELECT pg_temp.applied(:'both');
SELECT jsonb_pretty(whisperer.export_hooks());
SELECT whisperer.hook_secret(id) FROM whisperer.hook WHERE name = 'orders';
-- What it shows is what there is, and so is what was given, but for secrets that nobody can read back.
CREATE TEMP TABLE before AS SELECT * FROM whisperer.hook;
SELECT pg_temp.applied(whisperer.export_hooks());
SET intervalstyle = 'sql_standard';
SELECT pg_temp.applied(whisperer.export_hooks(), prune => true);
RESET intervalstyle;
SELECT count(*) AS not_as_before FROM (SELECT h::text FROM whisperer.hook h EXCEPT SELECT b::text FROM before b) AS x;
SELECT pg_temp.applied(:'both');
SELECT whisperer.hook_secret(id), config FROM whisperer.hook WHERE name = 'orders';
-- A change; what is not said goes back to its default, and secrets stay.
SELECT pg_temp.applied('[{"name": "more", "event_type": "coded", "target_url": "https://example.com/more"}, {"name": "orders", "event_type": "coded", "target_url": "https://example.com/a"}]', dry_run => true);
SELECT pg_temp.applied('[{"name": "more", "event_type": "coded", "target_url": "https://example.com/more"}, {"name": "orders", "event_type": "coded", "target_url": "https://example.com/a"}]');
SELECT jsonb_pretty(whisperer.export_hooks());
SELECT whisperer.hook_secret(id), config FROM whisperer.hook WHERE name = 'orders';
SELECT pg_temp.applied('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "config": {"auth": null}, "secret_key": "geheim"}]');
SELECT config FROM whisperer.hook WHERE name = 'orders';
SELECT pg_temp.applied('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "secret_key": "geheim"}]');
SELECT pg_temp.applied('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "secret_key": "whsec_Z2VoZWlt"}]');
SELECT pg_temp.applied('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "secret_key": ""}]');
SELECT pg_temp.applied('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "secret_key": ""}]');
SELECT pg_temp.applied('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "secret_key": "new"}]');
-- Pruned: those that have a name and are not among them.  First, so that another may have their address.
SELECT pg_temp.applied('[{"name": "moved", "event_type": "coded", "target_url": "https://example.com/more"}, {"name": "orders", "event_type": "coded", "target_url": "https://example.com/a"}]', prune => true, dry_run => true);
SELECT pg_temp.applied('[{"name": "moved", "event_type": "coded", "target_url": "https://example.com/more"}, {"name": "orders", "event_type": "coded", "target_url": "https://example.com/a"}]', prune => true);
SELECT name, target_url, state FROM whisperer.hook ORDER BY id;
-- One that was made by hand joins by its name.
SELECT whisperer.update_hook(:by_hand, '{"name": "by-hand"}');
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"name": "orders"}')$$, :by_hand));
SELECT failure($$SELECT whisperer.create_hook('coded', 'https://example.com/z', name => 'orders')$$);
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', :by_hand, jsonb_build_object('name', bad))) FROM unnest(ARRAY['', E'a\nb', repeat('x', 201)]) AS bad;
SELECT whisperer.update_hook(:by_hand, '{"name": "more"}');
-- All or nothing; the error names hook and key.
SELECT failure(format('SELECT whisperer.apply_hooks(%L)', bad)) FROM unnest(ARRAY['{}', 'null', '[1]', '[{}]', '[{"name": 1}]',
    '[{"name": "a", "event_type": "coded"}]', '[{"name": "a", "target_url": "https://example.com/"}]',
    '[{"name": "a", "event_type": "coded", "target_url": "https://example.com/", "retries": 1}]',
    '[{"name": "a", "event_type": "coded", "target_url": "https://example.com/", "is_paused": true}]',
    '[{"name": "a", "event_type": "coded", "target_url": "https://example.com/1"}, {"name": "a", "event_type": "coded", "target_url": "https://example.com/2"}]',
    '[{"name": "a", "event_type": "coded", "target_url": "https://example.com/1"}, {"name": "b", "event_type": "nothing", "target_url": "https://example.com/2"}]']) AS bad;
SELECT failure($$SELECT whisperer.apply_hooks('[{"name": "orders", "event_type": "coded", "target_url": "https://example.com/a", "timeout": "1 h"}]', dry_run => true)$$);
-- Whatever is refused, it says of which.
CREATE FUNCTION pg_temp.refused(definitions jsonb) RETURNS TABLE (code text, said text, detail text, hint text, in_column text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM whisperer.apply_hooks(definitions);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, in_column = COLUMN_NAME;
    RETURN NEXT;
END $$;
SELECT r.code, regexp_replace(r.said, 'hook \d+', 'hook N') AS said, r.detail, r.hint, r.in_column FROM unnest(ARRAY['{"timeout": "1 h"}', '{"event_type": "nothing"}', '{"secret_key": "whsec_!"}', '{"config": {"auth": {"type": "magic"}}}',
                           '{"target_url": "https://example.com/a"}']::jsonb[]) AS wrong,
     pg_temp.refused(jsonb_build_array(jsonb '{"name": "first", "event_type": "coded", "target_url": "https://example.com/1"}',
                                       jsonb '{"name": "second", "event_type": "coded", "target_url": "https://example.com/1/2"}' || wrong,
                                       jsonb '{"name": "third", "event_type": "coded", "target_url": "https://example.com/3"}')) AS r;
DROP FUNCTION pg_temp.refused(jsonb);
SELECT failure('SELECT whisperer.apply_hooks(NULL)');
SELECT failure($$SELECT whisperer.apply_hooks('[]', dry_run => NULL)$$), failure($$SELECT whisperer.apply_hooks('[]', prune => NULL)$$);
SELECT name, target_url, state FROM whisperer.hook ORDER BY id;
-- The order of the definitions is nothing: hooks take each other's places in one call, and a new one takes an old one's.
CREATE FUNCTION pg_temp.moved(places text[]) RETURNS text LANGUAGE sql
AS $$
    SELECT pg_temp.applied(jsonb_agg(jsonb_build_object('name', split_part(p, ' ', 1), 'event_type', split_part(p, ' ', 2), 'target_url', 'https://example.com/' || split_part(p, ' ', 3)) ORDER BY n))
    FROM unnest(places) WITH ORDINALITY AS t (p, n);
$$;
SELECT pg_temp.moved('{p coded 1,q coded 2,r coded-too 2}');
SELECT pg_temp.moved('{p coded 2,q coded 1}');
SELECT pg_temp.moved('{q coded 2,p coded 1}');
SELECT pg_temp.moved('{q coded-too 2,r coded 2}');
SELECT pg_temp.moved('{s coded* 2,q coded 3,r coded 4}');
SELECT pg_temp.moved('{p coded 3,q coded 4,r coded 1}');
SELECT pg_temp.moved('{p coded 3,q coded 4,r coded 1}');
SELECT failure($$SELECT pg_temp.moved('{p coded 4,q coded 4}')$$) ~ '^23505' AS refused, failure($$SELECT pg_temp.moved('{p coded 2,q coded 3}')$$) ~ '^23505' AS one_that_stays;
SELECT name, event_type, target_url FROM whisperer.hook WHERE name IN ('p', 'q', 'r', 's') AND is_active ORDER BY name;
SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE name IN ('p', 'q', 'r', 's') AND is_active ORDER BY name;
DROP FUNCTION pg_temp.moved(text[]);
-- Nobody else's; who may not subscribe makes none.
SET ROLE regress_bob;
SELECT whisperer.export_hooks();
SELECT pg_temp.applied('[]', prune => true, dry_run => true);
SELECT pg_temp.applied('[]');
RESET ROLE;
SELECT whisperer.disallow('coded', 'regress_ann', 'subscribe');
SET ROLE regress_ann;
SELECT pg_temp.applied(whisperer.export_hooks());
SELECT failure($$SELECT whisperer.apply_hooks('[{"name": "another", "event_type": "coded", "target_url": "https://example.com/x"}]')$$);
RESET ROLE;
SELECT owner, name FROM whisperer.hook WHERE is_active ORDER BY id;
-- One of the same name that a dump brings along waits, and stops no other.
INSERT INTO whisperer.hook_definition (id, owner, owner_name, event_type, target_url, name, since, since_incarnation, incarnation)
SELECT 1000400 + n, 0, 'regress_ann', 'coded', 'https://example.com/carried-' || n, CASE n WHEN 1 THEN h.name END, '1:1:', 42, 42
FROM generate_series(1, 2) AS n, (SELECT name FROM whisperer.hook WHERE is_active AND owner = 'regress_ann'::regrole ORDER BY id LIMIT 1) AS h;
SELECT whisperer.resume();
SELECT id, state FROM whisperer.hook WHERE id > 1000400 ORDER BY id;
UPDATE whisperer.hook_definition SET is_active = false WHERE is_active;
DELETE FROM whisperer.hook_definition;
REVOKE USAGE ON SCHEMA whisperer FROM regress_ann, regress_bob;
SELECT whisperer.unregister_event(name) FROM unnest('{coded,coded-too}'::text[]) AS name;
DROP FUNCTION pg_temp.applied(jsonb, boolean, boolean);
DROP TABLE before;
DROP ROLE regress_ann, regress_bob;
SELECT whisperer.resume();
