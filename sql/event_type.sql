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
SELECT failure($$SELECT whisperer.register_event('white space')$$);
SELECT failure($$SELECT whisperer.register_event(repeat('x', 129))$$);
SELECT failure($$SELECT whisperer.register_event(E'line\nbreak')$$);
SELECT failure($$SELECT whisperer.register_event('whisperer-ping')$$);
SELECT whisperer.register_event(repeat('x', 128));
SELECT whisperer.unregister_event(repeat('x', 128));
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
