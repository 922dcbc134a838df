-- Who sees and may do what: roles whose names need quoting, members of owners, dropped owners.
SELECT whisperer.pause();
CREATE ROLE regress_ann; CREATE ROLE "REGRESS_ANN"; CREATE ROLE "Regress Bob"; CREATE ROLE regress_team;
CREATE ROLE regress_mate IN ROLE regress_team NOINHERIT;
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
RESET ROLE;

DELETE FROM whisperer.hook_definition;
SELECT whisperer.unregister_event(name) FROM whisperer.event_type WHERE name ~ '-made$' AND owner::regrole::text ~* 'regress';
REVOKE USAGE ON SCHEMA whisperer FROM PUBLIC;
DROP ROLE regress_ann, "REGRESS_ANN", "Regress Bob", regress_mate, regress_team;
SELECT whisperer.resume();
