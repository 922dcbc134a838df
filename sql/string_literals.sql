-- Whatever a backslash means in the session; since PostgreSQL 19 it means one thing.
SELECT current_setting('server_version_num')::int < 190000 AS backslash_escapes \gset
\if :backslash_escapes
SET standard_conforming_strings = off;
\endif
SELECT whisperer.pause();
SELECT whisperer.register_event('slashed');
CREATE FUNCTION informed(event json, meta jsonb) RETURNS json LANGUAGE sql RETURN event;
SELECT whisperer.create_hook('slashed', 'https://example.com/slashed', secret_key => 'secret', transform => 'public.informed ( json , jsonb )',
    signing => '{"header": "X-Own", "value": "t={time},v1={hex}"}', format => 'cloudevents') AS hook \gset
SELECT transform FROM whisperer.hook WHERE id = :hook;
SELECT whisperer.deliver_event('slashed', '{"id": 7}') AS event \gset
SELECT headers->>'X-Own' AS signature FROM whisperer.preview(:'event') WHERE hook_id = :hook;
-- Nobody has it to give but its owner, who is named.
CREATE ROLE regress_slashed;
GRANT USAGE ON SCHEMA whisperer TO regress_slashed;
SET ROLE regress_slashed;
SELECT failure($$SELECT whisperer.create_hook('slash*', 'https://example.com/slashed')$$) ~ '^42501' AS refused;
RESET ROLE;
SELECT whisperer.delete_hook(:hook);
SELECT whisperer.unregister_event('slashed');
DROP FUNCTION informed(json, jsonb);
DROP OWNED BY regress_slashed;
DROP ROLE regress_slashed;
SELECT whisperer.resume();
