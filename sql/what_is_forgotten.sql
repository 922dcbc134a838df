-- expunge: whose it is to do, what it leaves, and what is said of it afterwards.
SELECT whisperer.pause();
CREATE ROLE regress_shop; CREATE ROLE regress_reader; CREATE ROLE regress_nobody;
GRANT USAGE ON SCHEMA whisperer TO regress_shop, regress_reader, regress_nobody;
SET ROLE regress_shop;
SELECT whisperer.register_event('order-placed');
SELECT whisperer.allow('order-placed', r, 'subscribe') FROM unnest('{regress_reader}'::regrole[]) r;
SELECT whisperer.allow('order-placed', 'regress_reader', 'publish');
SELECT whisperer.deliver_event('order-placed', '{"name": "Ann"}', '{"region": "eu"}', object_id => 'customer-1', headers => '{"X-Name": "Ann"}') AS paid \gset
SET ROLE regress_reader;
SELECT whisperer.create_hook('order-placed', 'https://example.com/', config => '{"region": "eu"}', filter => '{"name": "Ann"}') AS hook \gset
SELECT whisperer.deliver_event('order-placed', '{"name": "Ann"}', object_id => 'customer-2') AS by_reader \gset
SELECT count(*) FROM whisperer.preview(:'by_reader');

-- Not the subscriber's, nor the publisher's: the type's owner's.
SELECT replace(failure(format('SELECT whisperer.expunge(%L)', :'paid')), :'paid', 'ID');
SELECT replace(failure(format('SELECT whisperer.expunge(%L)', :'by_reader')), :'by_reader', 'ID');
SET ROLE regress_nobody;
SELECT replace(failure(format('SELECT whisperer.expunge(%L)', :'paid')), :'paid', 'ID');
SELECT failure('SELECT whisperer.expunge(NULL)');
SET ROLE regress_shop;
SELECT failure($$SELECT whisperer.expunge('01234567-89ab-7def-8123-456789abcdef')$$);
SELECT whisperer.expunge(:'paid'), whisperer.expunge(:'by_reader');
SELECT whisperer.expunge(:'paid');
SELECT event_type, data, source, object_id, config_filter, hook_id, meta::jsonb ? 'expunged_at' AS at, meta::jsonb - 'expunged_at' AS else_said
FROM whisperer.outbox WHERE id IN (:'paid', :'by_reader') ORDER BY id;
SET ROLE regress_reader;
SELECT replace(failure(format('SELECT whisperer.preview(%L)', :'by_reader')), :'by_reader', 'ID');
SELECT whisperer.why(:'by_reader', :hook);
SELECT whisperer.replay(:hook, '2020-01-01', dry_run => true), whisperer.replay(:hook, '2020-01-01', new_ids => true);
-- Of a transaction that has recorded it: nothing of it is shown any more, and nothing is an error.
SET ROLE regress_shop;
BEGIN;
SELECT whisperer.deliver_event('order-placed', '{"name": "Ann"}', '{"region": "eu"}') AS now \gset
SET ROLE regress_reader;
SELECT count(*) FROM whisperer.preview();
SET ROLE regress_shop;
SELECT whisperer.expunge(:'now');
SET ROLE regress_reader;
SELECT count(*) FROM whisperer.preview();
ROLLBACK;

-- What was recorded for one hook alone is its owner's, too.
RESET ROLE;
CREATE TABLE crate (id int PRIMARY KEY);
INSERT INTO crate VALUES (1);
GRANT SELECT ON crate TO regress_reader;
SET ROLE regress_reader;
SELECT whisperer.update_hook(:hook, '{"filter": null}');
SELECT whisperer.backfill(:hook, 'crate');
SELECT whisperer.expunge(id) FROM whisperer.outbox WHERE hook_id = :hook;
SELECT data, source, object_id FROM whisperer.outbox WHERE hook_id = :hook;

-- Of a type that nobody had registered: whose table recorded it.  Where nobody is: the extension's owner's.
RESET ROLE;
ALTER TABLE crate OWNER TO regress_shop;
CREATE TRIGGER early AFTER INSERT ON crate FOR EACH ROW EXECUTE FUNCTION whisperer.capture('crate-early');
INSERT INTO crate VALUES (2);
SELECT id AS early FROM whisperer.outbox WHERE event_type = 'crate-early' \gset
SET ROLE regress_reader;
SELECT replace(failure(format('SELECT whisperer.expunge(%L)', :'early')), :'early', 'ID');
SET ROLE regress_shop;
SELECT whisperer.expunge(:'early');
RESET ROLE;
SELECT whisperer.expunge(:'early');
DROP TABLE crate;
DELETE FROM whisperer.hook_definition WHERE id = :hook;
SELECT whisperer.unregister_event('order-placed');
REVOKE USAGE ON SCHEMA whisperer FROM regress_shop, regress_reader, regress_nobody;
DROP ROLE regress_shop, regress_reader, regress_nobody;
SELECT whisperer.resume();
