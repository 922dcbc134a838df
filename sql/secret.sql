-- Kinds of secrets, and how they are stored; with a key file see tests/server/sealed.pl.
SELECT whisperer.pause();
DELETE FROM whisperer.secret;
CREATE ROLE regress_ann; CREATE ROLE regress_bob;
GRANT USAGE ON SCHEMA whisperer TO regress_ann, regress_bob;
SELECT whisperer.register_event('order-paid');
SELECT whisperer.allow('order-paid', 'regress_ann', 'subscribe');
SET ROLE regress_ann;
SELECT whisperer.create_hook('order-paid', 'https://example.com/text', secret_key => 'secret', additional_headers => '{"X-Tenant": "acme"}') AS text \gset
SELECT whisperer.create_hook('order-paid', 'https://example.com/unsigned', secret_key => '') AS unsigned \gset
SELECT whisperer.create_hook('order-paid', 'https://example.com/plain-text', secret_key => 'secret') AS plain_text \gset
SELECT whisperer.create_hook('order-paid', 'https://example.com/key',
    secret_key => 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==') AS key \gset

-- Signing keys.
SELECT whisperer.make_signing_key() ~ '^whsk_[A-Za-z0-9+/]{86}==$' AS made, whisperer.make_signing_key() <> whisperer.make_signing_key() AS random;
SELECT whisperer_internal.check_secret(whisperer.make_signing_key()) IS NOT NULL AS good;
SELECT whisperer.hook_secret(:key), whisperer.hook_public_key(:key);
SELECT whisperer.hook_public_key(:text) AS text, whisperer.hook_public_key(:unsigned) AS unsigned;
SELECT failure(format('SELECT whisperer.rotate_secret(%s, %L)', :key, secret)) FROM (VALUES
    ('whsk_'), ('whsk_?'), ('whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc='),
    ('whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvw=='),
    ('sealed:1:0123456789abcdef:AAAA'), ('sealed:')) AS bad(secret);
SELECT whisperer_internal.masked_headers(id) FROM unnest(ARRAY[:text, :unsigned, :key]) id;
SELECT whisperer.rotate_secret(:unsigned, whisperer.make_signing_key()) ~ '^whsk_' AS rotated;
SELECT whisperer.hook_public_key(:unsigned) ~ '^whpk_[A-Za-z0-9+/]{43}=$' AS public;

-- A secret that cannot make what it is asked for: whoever writes it, in whatever order.
CREATE TEMP TABLE asked (signing jsonb DEFAULT '{"header": "X-Own", "value": "{hex}"}', signer text DEFAULT whisperer.make_signing_key());
INSERT INTO asked DEFAULT VALUES;
SELECT failure(format('SELECT whisperer.create_hook(''order-paid'', ''https://example.com/%s'', secret_key => %L, signing => %L, signatures => %L)',
    path, CASE WHEN path ~ 'key' THEN signer ELSE '' END, CASE WHEN path ~ 'own' THEN signing END, CASE WHEN path ~ 'body' THEN '{whisperer}' END))
FROM asked, unnest('{none-own,key-own,key-body}'::text[]) AS path;
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', hook, change)) FROM (VALUES
    (:key, '{"signing": {"header": "X-Own", "value": "{hex}"}}'), (:key, '{"signatures": ["whisperer"]}'),
    (:plain_text, '{"secret_key": "", "signing": {"header": "X-Own", "value": "{hex}"}}')) AS c (hook, change);
SELECT whisperer.update_hook(:key, '{"signatures": []}'), whisperer.update_hook(:key, '{"signatures": null}');
SELECT whisperer.update_hook(:plain_text, jsonb_build_object('secret_key', 'other', 'signing', signing, 'rate_limit', 5)) FROM asked;
SELECT failure(format('SELECT whisperer.rotate_secret(%s, %L)', :plain_text, signer)) FROM asked;
SELECT failure(format('SELECT whisperer.update_hook(%s, %L)', :plain_text, jsonb_build_object('secret_key', secret))) FROM asked, unnest(ARRAY['', signer]) AS secret;
SELECT whisperer.update_hook(:plain_text, jsonb_build_object('secret_key', signer, 'signing', NULL)) FROM asked;
SELECT h.signing, h.signatures, h.rate_limit, whisperer.hook_secret(h.id) ~ '^whsk_' AS is_key FROM whisperer.hook h WHERE h.id = :plain_text;
SELECT whisperer.update_hook(:plain_text, jsonb_build_object('secret_key', 'text', 'signing', signing, 'signatures', '{whisperer}'::text[])) FROM asked;
SELECT h.signing, h.signatures, whisperer_internal.masked_headers(h.id) FROM whisperer.hook h WHERE h.id = :plain_text;
SELECT failure(format('UPDATE whisperer.hook SET signing = %L WHERE id = %s', signing, :key)) FROM asked;
DROP TABLE asked;

-- One that comes by INSERT has none until then.
INSERT INTO whisperer.hook (event_type, target_url) VALUES ('order-paid', 'https://example.com/plain') RETURNING id AS plain \gset
SELECT whisperer.hook_secret(:plain) IS NULL AS was_unsigned, whisperer.rotate_secret(:plain) AS made \gset
SELECT :'was_unsigned' AS was_unsigned, whisperer.hook_secret(:plain) = :'made' AS signed;

-- null leaves as it is, {} removes.
SELECT whisperer.update_hook(:text, '{"secret_key": "newer"}');
SELECT whisperer_internal.masked_headers(:text);
SELECT whisperer.update_hook(:text, '{"additional_headers": null}');
SELECT whisperer_internal.masked_headers(:text), whisperer.hook_secret(:text);

-- How it is stored is for those who look after the database.
SELECT failure('SELECT whisperer.reencrypt_secrets()');
SELECT failure('SELECT * FROM whisperer.secret_storage()');
SELECT failure(format('SELECT whisperer_internal.open_secret(%s, ''secret_key'', ''x'')', :text));
SELECT failure(format('SELECT whisperer_internal.seal_secret(%s, ''secret_key'', ''x'')', :text));
SET ROLE regress_bob;
SELECT replace(failure(format('SELECT whisperer.hook_public_key(%s)', :key)), :key::text, 'N') AS refused;
SELECT failure(format('SELECT whisperer_internal.opened_secret_as(10, %s)', :key));
RESET ROLE;
SELECT * FROM whisperer.secret_storage();
SELECT whisperer.reencrypt_secrets();
-- Sealed by another server, say.
UPDATE whisperer.secret SET secret_key = 'sealed:1:0123456789abcdef:AAAA' WHERE hook_id = :text;
SELECT * FROM whisperer.secret_storage();
SELECT failure(format('SELECT whisperer.hook_secret(%s)', :text)) ~ 'cannot be decrypted: it is encrypted and whisperer.secret_key_file is not set' AS refused;

-- Statistics would show secrets to who may read all.
ANALYZE whisperer.secret;
SELECT attname FROM pg_statistic JOIN pg_attribute ON attrelid = starelid AND attnum = staattnum
WHERE starelid = 'whisperer.secret'::regclass ORDER BY 1;

DELETE FROM whisperer.secret WHERE hook_id IN (:text, :unsigned, :key, :plain, :plain_text);
UPDATE whisperer.hook_definition SET is_active = false;
DELETE FROM whisperer.hook_definition;
REVOKE USAGE ON SCHEMA whisperer FROM regress_ann, regress_bob;
SELECT whisperer.disallow('order-paid', 'regress_ann', 'subscribe');
SELECT whisperer.unregister_event('order-paid');
DROP ROLE regress_ann, regress_bob;
SELECT whisperer.resume();
