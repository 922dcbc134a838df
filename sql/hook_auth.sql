-- config.auth: what it may say, where it goes, and who sees what of it.
SELECT whisperer.pause();
CREATE ROLE regress_ann; CREATE ROLE regress_bob;
GRANT USAGE ON SCHEMA whisperer TO regress_ann, regress_bob;
SELECT whisperer.register_event('authorized');
SELECT whisperer.allow('authorized', r, 'subscribe') FROM unnest('{regress_ann,regress_bob}'::regrole[]) r;
CREATE FUNCTION stored(bigint) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS 'SELECT auth::jsonb FROM whisperer.secret WHERE hook_id = $1';
CREATE FUNCTION shown(bigint) RETURNS jsonb LANGUAGE sql AS 'SELECT config FROM whisperer.hook WHERE id = $1';
SET ROLE regress_ann;

SELECT failure(format($$SELECT whisperer.create_hook('authorized', 'https://example.com/', config => jsonb_build_object('auth', %L::jsonb))$$, auth)) FROM (VALUES
    ('[]'), ('"basic"'), ('{}'), ('{"type": "digest"}'), ('{"type": "basic"}'), ('{"type": "basic", "username": "u", "password": "p", "realm": "x"}'),
    ('{"type": "basic", "username": "u:v", "password": "p"}'), ('{"type": "bearer", "token": "a\r\nX-B: c"}'), ('{"type": "bearer", "token": 1}'),
    ('{"type": "token", "url": "nope", "username": "u", "password": "p"}'),
    ('{"type": "token", "url": "https://example.com/", "username": "u", "password": "p", "header_format": "Token"}'),
    ('{"type": "oauth2", "token_url": "https://example.com/", "client_id": "c"}'),
    ('{"client_certificate": "x"}'), ('{"client_certificate": "x", "client_key": "y"}')) AS bad(auth);
SELECT failure($$SELECT whisperer.create_hook('authorized', 'https://example.com/', additional_headers => '{"authorization": "x"}', config => '{"auth": {"type": "bearer", "token": "t"}}')$$);
SELECT count(*) AS hooks FROM whisperer.hook;

-- It goes to the secrets; the config says that there is one.
SELECT whisperer.create_hook('authorized', 'https://example.com/', config => '{"auth": {"type": "basic", "username": "u", "password": "p"}, "region": "eu"}') AS ann \gset
SELECT shown(:ann), stored(:ann), whisperer.hook_secret(:ann) ~ '^whsec_' AS has_a_secret;
SELECT failure('SELECT auth FROM whisperer.secret');
RESET ROLE;
BEGIN;
SELECT whisperer.deliver_event('authorized', '{}') IS NOT NULL AS recorded;
SELECT headers->>'Authorization' AS authorization FROM whisperer.preview();
ROLLBACK;
SET ROLE regress_ann;

-- As it is shown, it stays as it was.
SELECT whisperer.update_hook(:ann, jsonb_build_object('config', shown(:ann) || '{"region": "us"}'));
SELECT whisperer.update_hook(:ann, '{"description": "x"}');
UPDATE whisperer.hook SET config = config || '{"more": 1}' WHERE id = :ann;
SELECT shown(:ann), stored(:ann);
-- Anything else replaces it, or is refused.
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"config": {"auth": {"type": "bearer"}}}')$$, :ann));
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"additional_headers": {"Authorization": "x"}}')$$, :ann));
SELECT whisperer.update_hook(:ann, '{"config": {"auth": {"type": "bearer", "token": "t"}}}');
SELECT shown(:ann), stored(:ann);
UPDATE whisperer.hook SET config = '{"auth": {"type": "oauth2", "token_url": "https://example.com/", "client_id": "c", "client_secret": "s"}}' WHERE id = :ann RETURNING config;
SELECT shown(:ann), stored(:ann) - 'client_secret' AS stored;
-- None clears it.
SELECT whisperer.update_hook(:ann, '{"config": {"region": "eu"}}');
SELECT shown(:ann), stored(:ann);
SELECT whisperer.update_hook(:ann, '{"additional_headers": {"Authorization": "x"}}');
SELECT failure(format($$UPDATE whisperer.hook SET config = '{"auth": {"type": "bearer", "token": "t"}}' WHERE id = %s$$, :ann));
SELECT whisperer.update_hook(:ann, '{"config": {"auth": null}, "additional_headers": null}');
SELECT shown(:ann), stored(:ann);
-- Both at once, there and back.
SELECT whisperer.update_hook(:ann, '{"additional_headers": {"Authorization": "x"}}');
SELECT whisperer.update_hook(:ann, '{"config": {"auth": {"type": "bearer", "token": "t"}}, "additional_headers": {}}');
SELECT shown(:ann), stored(:ann);
SELECT whisperer.update_hook(:ann, '{"config": {}, "additional_headers": {"Authorization": "x"}}');
SELECT shown(:ann), stored(:ann);

-- Plain INSERT.
INSERT INTO whisperer.hook (event_type, target_url, config) VALUES ('authorized', 'https://example.com/b', '{"auth": {"type": "bearer", "token": "t"}}') RETURNING id AS plain, config \gset
SELECT :'config' AS returned, shown(:plain), stored(:plain);
SELECT failure($$INSERT INTO whisperer.hook (event_type, target_url, config) VALUES ('authorized', 'https://example.com/c', '{"auth": {"type": "bearer"}}')$$);

-- Others neither see nor change it, nor borrow what moves it.
SET ROLE regress_bob;
SELECT shown(:ann);
UPDATE whisperer.hook SET config = '{"auth": {"type": "bearer", "token": "mine"}}';
SELECT failure('SELECT auth FROM whisperer.secret');
CREATE TEMP TABLE trap (id bigint, config jsonb, incarnation bigint);
SELECT failure('CREATE TRIGGER trap BEFORE INSERT ON trap FOR EACH ROW EXECUTE FUNCTION whisperer_internal.keep_auth()');
RESET ROLE;
SELECT stored(:plain);
-- A row of another database is taken as it is: its secret comes by itself.
INSERT INTO whisperer.hook_definition (id, owner, owner_name, event_type, target_url, config, since, incarnation)
VALUES (1000000, 10, 'x', 'authorized', 'https://example.com/', '{"auth": {"type": "basic"}}', '1:1:', 1) RETURNING config;
SELECT stored(1000000);

UPDATE whisperer.hook_definition SET is_active = false;
DELETE FROM whisperer.hook_definition;
DELETE FROM whisperer.secret;
DROP TABLE trap;
DROP FUNCTION stored, shown;
REVOKE USAGE ON SCHEMA whisperer FROM regress_ann, regress_bob;
SELECT whisperer.unregister_event('authorized');
DROP ROLE regress_ann, regress_bob;
SELECT whisperer.resume();
