-- What the tables of 1.1 lack.  A delta does to an older installation what schema/ does to a new one;
-- the API's fragments follow it.

-- A session with session_replication_role = replica left config.auth where it was written.
ALTER TABLE whisperer.hook_definition DISABLE TRIGGER keep_auth;
WITH left_open AS (
    UPDATE whisperer.hook_definition h
    SET config = h.config || jsonb_build_object('auth', whisperer.masked_auth(h.config->'auth'))
    FROM whisperer.hook_definition o
    WHERE o.id = h.id AND h.incarnation = whisperer.my_incarnation()
      AND jsonb_typeof(h.config->'auth') = 'object' AND h.config->'auth' <> whisperer.masked_auth(h.config->'auth')
    RETURNING h.id, o.config->'auth' AS auth)
INSERT INTO whisperer.secret (hook_id, auth)
SELECT id, whisperer.seal_secret(id, 'auth', auth::text) FROM left_open
ON CONFLICT ON CONSTRAINT secret_pkey DO UPDATE SET auth = excluded.auth;
ALTER TABLE whisperer.hook_definition ENABLE TRIGGER keep_auth;
