-- Hooks for several event types: each part is checked and matched, and no two hooks of one owner overlap at one URL.
SELECT whisperer.pause();
SELECT clock_timestamp() AS start \gset
CREATE ROLE regress_several; CREATE ROLE regress_heir;
GRANT USAGE ON SCHEMA whisperer TO regress_several, regress_heir;
SELECT whisperer.register_event(e) FROM unnest('{order-paid,order-cancelled,invoice-sent,invoice-due,secret-thing}'::text[]) e;
SELECT whisperer.allow(e, r, 'subscribe') FROM unnest('{order-paid,order-cancelled,invoice-sent,invoice-due}'::text[]) e, unnest('{regress_several,regress_heir}'::regrole[]) r;
-- What names what.
SELECT pattern, string_agg(t.name, ' ' ORDER BY t.name) FILTER (WHERE whisperer_internal.names(pattern, t.name)) AS named
FROM unnest('{"order-paid, invoice-*","*, x","invoice-*, order-cancelled","x, *","x, order-pai","order-paid, x*","order, invoice",order-*}'::text[]) pattern, whisperer.event_type t
WHERE t.name ~ '^(order|invoice|secret)-' GROUP BY pattern ORDER BY pattern COLLATE "C";
SET ROLE regress_several;
SELECT whisperer.create_hook(E' order-paid,order-cancelled ,\tinvoice-*,order-paid', 'https://example.com/several') AS several \gset
SELECT event_type FROM whisperer.hook WHERE id = :several;
SELECT whisperer.create_hook(' order-paid ', 'https://example.com/one') AS one \gset
SELECT event_type FROM whisperer.hook WHERE id = :one;
-- Each part must be there and allowed.
SELECT failure($$SELECT whisperer.create_hook('order-paid, order-lost', 'https://example.com/x')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid, secret-thing', 'https://example.com/x')$$);
SELECT failure($$SELECT whisperer.create_hook('order-paid,', 'https://example.com/x')$$);
SELECT failure($$SELECT whisperer.create_hook(',', 'https://example.com/x')$$);
SELECT failure($$SELECT whisperer.create_hook('', 'https://example.com/x')$$);
SELECT failure(format($$SELECT whisperer.create_hook(%L, 'https://example.com/x')$$, (SELECT string_agg('invoice-' || i || '*', ',') FROM generate_series(1, 60) i)));
-- A receiver does not get an event twice.
SELECT wanted, regexp_replace(failure(format($$SELECT whisperer.create_hook(%L, 'https://example.com/several')$$, wanted)), 'hook \d+', 'hook N') AS refusal
FROM unnest('{order-paid,"invoice-due, x","*",invoice-d*,"invoice-sent, order-cancelled",in*}'::text[]) wanted;
SELECT failure(format($$SELECT whisperer.create_hook('order-*', 'https://example.com/several')$$)) ~ ('hook ' || :several || ' ') AS says_which;
SELECT failure(format($$SELECT whisperer.update_hook(%s, '{"target_url": "https://example.com/several"}')$$, :one)) ~ ('hook ' || :several || ' ') AS says_which;
SELECT regexp_replace(failure(format($$SELECT whisperer.create_hook('order-*', %L)$$, same)), 'hook \d+', 'hook N') AS one_place_in_other_words
FROM unnest('{HTTPS://Example.COM/several,https://example.com:443/several}'::text[]) AS same;
SELECT whisperer.create_hook('whisperer-*', 'https://example.com/several') > 0 AS no_overlap;
SELECT regexp_replace(failure($$SELECT whisperer.create_hook('whisperer-hook-disabled, order-paid', 'https://example.com/several')$$), 'hook \d+', 'hook N');
SELECT whisperer.update_hook(:several, '{"event_type": "order-cancelled, invoice-sent"}');
SELECT whisperer.create_hook('order-paid, invoice-due', 'https://example.com/several') > 0 AS no_overlap;
SELECT regexp_replace(failure(format($$SELECT whisperer.update_hook(%s, '{"event_type": "order-cancelled, invoice-*"}')$$, :several)), 'hook \d+', 'hook N');
SELECT whisperer.update_hook(:several, '{"description": "changed"}');
SELECT failure(format($$UPDATE whisperer.hook SET event_type = 'invoice-due' WHERE id = %s$$, :several)) ~ '^23505' AS by_dml_neither;
-- Nor where one statement moves two there, or makes them.
SELECT whisperer.create_hook('order-paid', 'https://example.com/two') AS paid, whisperer.create_hook('order-*', 'https://example.com/wild') AS wild \gset
-- Which of them comes second is up to where they lie.
SELECT regexp_replace(regexp_replace(failure(format($$UPDATE whisperer.hook SET target_url = 'https://example.com/same' WHERE id IN (%s, %s)$$, :paid, :wild)), 'hook \d+', 'hook N'), '"order-(paid|[*])"', '"order-(paid|*)"');
SELECT regexp_replace(failure($$INSERT INTO whisperer.hook (event_type, target_url) VALUES ('order-paid', 'https://example.com/same'), ('order-*', 'https://example.com/same')$$), 'hook \d+', 'hook N');
SELECT target_url FROM whisperer.hook WHERE id IN (:paid, :wild) ORDER BY id;
-- A name is that of one hook, whoever gives it and how.
UPDATE whisperer.hook SET name = 'orders' WHERE id = :paid RETURNING name;
SELECT failure(format($$UPDATE whisperer.hook SET name = 'orders' WHERE id = %s$$, :wild));
SELECT failure(format($$UPDATE whisperer.hook SET name = 'both' WHERE id IN (%s, %s)$$, :paid, :wild));
SELECT failure($$INSERT INTO whisperer.hook (event_type, target_url, name) VALUES ('order-paid', 'https://example.com/named', 'orders')$$);
UPDATE whisperer.hook SET name = 'orders' WHERE id = :paid RETURNING name;
SELECT whisperer.delete_hook(:paid);
UPDATE whisperer.hook SET name = 'orders' WHERE id = :wild RETURNING name AS of_one_that_is_deleted;
SELECT whisperer.delete_hook(:wild), whisperer.update_hook(:several, '{"name": "orders"}');
-- Another owner's hook is another's.
SET ROLE regress_heir;
SELECT whisperer.create_hook('order-*, invoice-sent', 'https://example.com/several') > 0 AS made;
RESET ROLE;
SELECT failure($$SELECT whisperer.reassign_owned('regress_several', 'regress_heir')$$) ~ '^23505 . you have a hook for "order-\*, invoice-sent" at this URL already' AS refused;
SET ROLE regress_heir;
SELECT whisperer.update_hook(id, '{"target_url": "https://example.com/heir", "name": "orders"}') FROM whisperer.hook;
RESET ROLE;
SELECT failure($$SELECT whisperer.reassign_owned('regress_several', 'regress_heir')$$);
SELECT failure($$SELECT whisperer.reassign_owned('regress_heir', 'regress_several')$$);
SELECT whisperer.reassign_owned('regress_heir', 'regress_heir');
-- As many as a role may have, however they come to be its own; a superuser says otherwise.
CREATE ROLE regress_both; GRANT regress_several, regress_heir TO regress_both; GRANT USAGE ON SCHEMA whisperer TO regress_both;
BEGIN;
UPDATE whisperer.hook SET name = NULL, target_url = 'https://example.com/of-the-heir' WHERE owner = 'regress_heir'::regrole;
SELECT format('ALTER ROLE regress_several SET whisperer.max_hooks_per_role = %s', count(*) FILTER (WHERE owner = 'regress_several'::regrole) + count(*) FILTER (WHERE owner = 'regress_heir'::regrole) - 1)
FROM whisperer.hook WHERE is_active \gexec
SET ROLE regress_both;
SELECT failure($$SELECT whisperer.reassign_owned('regress_heir', 'regress_several')$$) ~ '^53400 . role regress_several has \d hooks already . Delete some, or ask a superuser' AS refused;
SELECT count(*) AS that_stay FROM whisperer.hook WHERE owner = 'regress_heir'::regrole AND is_active;
SELECT whisperer.delete_hook(max(id)) FROM whisperer.hook WHERE owner = 'regress_several'::regrole AND is_active;
SELECT whisperer.reassign_owned('regress_heir', 'regress_several');
RESET ROLE;
SELECT whisperer.reassign_owned('regress_several', 'regress_heir');
ALTER ROLE regress_heir SET whisperer.max_hooks_per_role = 0;
SELECT whisperer.reassign_owned('regress_heir', 'regress_several');
SELECT whisperer.reassign_owned('regress_several', 'regress_heir');
ROLLBACK;
REVOKE USAGE ON SCHEMA whisperer FROM regress_both; DROP ROLE regress_both;
-- What tells of hooks knows it.
SELECT failure($$SELECT whisperer.unregister_event('invoice-sent')$$) ~ '55006';
SELECT whisperer.deliver_event('order-cancelled', '{}') AS cancelled \gset
SELECT p.target_url FROM whisperer.preview(:'cancelled') p JOIN whisperer.hook h ON h.id = p.hook_id WHERE h.owner = 'regress_several'::regrole;
SELECT whisperer.why(:'cancelled', :several) !~ 'not subscribed' AS subscribed, whisperer.why(:'cancelled', :one) ~ 'not subscribed' AS other;
SELECT whisperer.replay(:several, :'start', dry_run => true) AS to_replay, whisperer.replay(:one, :'start', dry_run => true) AS none;
SELECT failure(format($$SELECT whisperer.backfill(%s, 'pg_class')$$, :several)) ~ 'is for several event types' AS which_one;
SELECT whisperer.create_hook('order-paid, whisperer-delivery-failed', 'https://example.com/operator') AS operator \gset
SELECT :operator IN (SELECT whisperer_internal.operator_hooks(:one, 'whisperer-delivery-failed')) AS told, :operator IN (SELECT whisperer_internal.operator_hooks(:one, 'whisperer-hook-disabled')) AS not_told;
DELETE FROM whisperer.hook_definition;
SELECT count(whisperer.unregister_event(name)) FROM whisperer.event_type WHERE name ~ '^(order|invoice|secret)-';
REVOKE USAGE ON SCHEMA whisperer FROM regress_several, regress_heir;
DROP ROLE regress_several, regress_heir;
SELECT whisperer.resume();
