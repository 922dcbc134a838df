-- Event types: who may register, publish and subscribe.
CREATE ROLE regress_owner;
CREATE ROLE regress_member IN ROLE regress_owner;
CREATE ROLE regress_other;
GRANT USAGE ON SCHEMA whisperer TO regress_owner, regress_other;

SET ROLE regress_owner;
SELECT whisperer.register_event('order-paid', 'An order was paid');
SELECT failure($$SELECT whisperer.register_event('order-paid')$$);
SELECT failure($$SELECT whisperer.register_event('')$$);
SELECT failure($$SELECT whisperer.register_event(NULL)$$);
SELECT failure($$SELECT whisperer.register_event(' white space')$$);
SELECT failure($$SELECT whisperer.register_event('white space ')$$);
SELECT failure($$SELECT whisperer.register_event('one, two')$$);
SELECT failure($$SELECT whisperer.register_event('all*')$$);
SELECT failure($$SELECT whisperer.register_event(repeat('x', 129))$$);
SELECT failure($$SELECT whisperer.register_event(E'line\nbreak')$$);
SELECT failure($$SELECT whisperer.register_event('whisperer-ping')$$);
SELECT whisperer.register_event(repeat('x', 128));
SELECT whisperer.unregister_event(repeat('x', 128));
-- Any other text, and a hook for several of them.
SELECT whisperer.register_event(name) FROM (VALUES (E'Bestellung "5 %" \\ angelegt'), ('a * b'), (repeat(U&'\+01f4e6', 128))) AS any_text (name);
SELECT whisperer.create_hook(E'a * b,Bestellung "5 %"*, ' || repeat(U&'\+01f4e6', 60) || '*', 'https://example.com/any') AS hook \gset
SELECT left(event_type, 30) FROM whisperer.hook WHERE id = :hook;
SELECT left(t.name, 30), char_length(t.name), whisperer_internal.names(h.event_type, t.name) FROM whisperer.hook h,
    (VALUES ('a * b'), ('a'), ('b'), ('* b'), ('a * b c'), (E'Bestellung "5 %" \\ angelegt'), ('Bestellung'), (repeat(U&'\+01f4e6', 128)), (repeat(U&'\+01f4e6', 59))) AS t (name)
WHERE h.id = :hook;
SELECT left(failure($$SELECT whisperer.create_hook('a * b', 'https://example.com/any')$$), 60);
SELECT whisperer.delete_hook(:hook);
SELECT whisperer.unregister_event(name) FROM (VALUES (E'Bestellung "5 %" \\ angelegt'), ('a * b'), (repeat(U&'\+01f4e6', 128))) AS any_text (name);
SELECT failure($$SELECT whisperer.unregister_event('unknown')$$);
SELECT name, owner::regrole, owner_name, description FROM whisperer.event_type WHERE name ~ '^order-';

-- Publishing needs membership in the owner, or allow().
SET ROLE regress_member;
SELECT whisperer.deliver_event('order-paid', '{}') IS NOT NULL AS published;
SET ROLE regress_other;
SELECT failure($$SELECT whisperer.deliver_event('order-paid', '{}')$$);
SELECT failure($$SELECT whisperer.allow('order-paid', 'regress_other', 'publish')$$);
SET ROLE regress_owner;
SELECT whisperer.allow('order-paid', 'regress_other', 'publish');
SELECT failure($$SELECT whisperer.allow('order-paid', 'regress_other', 'own')$$);
SELECT failure($$SELECT whisperer.allow('unknown', 'regress_other', 'publish')$$);
SET ROLE regress_other;
SELECT whisperer.deliver_event('order-paid', '{}') IS NOT NULL AS published;
SELECT failure($$SELECT whisperer.create_hook('order-paid', 'http://127.0.0.1:9/')$$);
SET ROLE regress_owner;
SELECT whisperer.disallow('order-paid', 'regress_other', 'publish');
SET ROLE regress_other;
SELECT failure($$SELECT whisperer.deliver_event('order-paid', '{}')$$);

-- A hook and a trigger keep their event type.
SET ROLE regress_owner;
SELECT whisperer.create_hook('order-paid', 'http://127.0.0.1:9/') IS NOT NULL AS created;
SELECT failure($$SELECT whisperer.unregister_event('order-paid')$$) ~ '^55006' AS in_use;
SELECT whisperer.delete_hook(id) FROM whisperer.hook;
RESET ROLE;
CREATE TABLE paid (id int);
CREATE TRIGGER paid AFTER INSERT ON paid FOR EACH ROW EXECUTE FUNCTION whisperer.capture('order-paid');
SELECT failure($$SELECT whisperer.unregister_event('order-paid')$$) ~ '^55006' AS in_use;
DROP TABLE paid;
SET ROLE regress_other;
SELECT failure($$SELECT whisperer.unregister_event('order-paid')$$);
SET ROLE regress_owner;
SELECT failure($$SELECT whisperer.allow('order-paid', NULL, 'publish')$$);
SELECT failure($$SELECT whisperer.allow('order-paid', '-', 'publish')$$);
SELECT whisperer.unregister_event('order-paid');

-- The name is not free while events of its former owner are in the log: whoever had it would read them.
SET ROLE regress_other;
SELECT failure($$SELECT whisperer.register_event('order-paid')$$);
SET ROLE regress_member;
SELECT whisperer.register_event('order-paid');
SELECT whisperer.unregister_event('order-paid');
SET ROLE regress_other;
SELECT failure($$SELECT whisperer.register_event('order-paid')$$) ~ '^42501' AS refused;
SELECT whisperer.register_event('order-unused');
SELECT whisperer.unregister_event('order-unused');
SET ROLE regress_owner;
SELECT whisperer.register_event('order-unused');
SELECT whisperer.unregister_event('order-unused');
RESET ROLE;
SELECT whisperer.reassign_owned('regress_member', 'regress_other');
SET ROLE regress_other;
SELECT whisperer.register_event('order-paid');
SELECT whisperer.unregister_event('order-paid');
RESET ROLE;
DELETE FROM whisperer.event_type_claim WHERE event_type ~ '^(x+|order-.*)$';
REVOKE USAGE ON SCHEMA whisperer FROM regress_owner, regress_other;
DROP ROLE regress_member, regress_owner, regress_other;
