-- A comma stands between the names that a hook is for, a star behind the beginning of several, and space around them is
-- no part of them.
CREATE FUNCTION whisperer_internal.is_event_type_name(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
RETURN name ~ E'^[^,\\u0001-\\u001f\\u007f]{1,128}$' AND name = btrim(name) AND right(name, 1) <> '*';
COMMENT ON FUNCTION whisperer_internal.is_event_type_name(text) IS
    'whether an event type may have this name: any text of 1 to 128 characters that could not be mistaken for a list or a prefix';
GRANT EXECUTE ON FUNCTION whisperer_internal.is_event_type_name(text) TO PUBLIC;

-- What may be recorded and subscribed to.  Roles are kept by oid for the living database and by name
-- for a dump, whose oids mean nothing elsewhere.
CREATE TABLE whisperer.event_type (
    name        text PRIMARY KEY
        CONSTRAINT event_type_name_check CHECK (whisperer_internal.is_event_type_name(name)),
    owner       oid NOT NULL,
    owner_name  text NOT NULL,
    description text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    incarnation bigint NOT NULL DEFAULT whisperer_internal.my_incarnation(),
    schema      jsonb,
    example     jsonb,
    on_invalid  text NOT NULL DEFAULT 'fail'
        CONSTRAINT event_type_on_invalid_check CHECK (on_invalid IN ('fail', 'send'))
);
REVOKE ALL ON whisperer.event_type FROM PUBLIC; GRANT SELECT ON whisperer.event_type TO PUBLIC;
COMMENT ON COLUMN whisperer.event_type.schema IS
    'JSON Schema 2020-12 of the data, as far as whisperer knows it; null: the data may be anything';
COMMENT ON COLUMN whisperer.event_type.example IS
    'data as an event of this type may have it, for people and for ping_hook; null: none was given';
COMMENT ON COLUMN whisperer.event_type.on_invalid IS
    'what becomes of the deliveries of an event that does not fit the schema: fail: they end failed; send: they are sent all the same';

-- Who, besides the members of its owner, may publish or subscribe to an event type.
CREATE TABLE whisperer.event_type_privilege (
    event_type  text NOT NULL,
    role        oid NOT NULL,
    role_name   text NOT NULL,
    privilege   text NOT NULL
        CONSTRAINT event_type_privilege_check CHECK (privilege IN ('publish', 'subscribe')),
    incarnation bigint NOT NULL DEFAULT whisperer_internal.my_incarnation(),
    PRIMARY KEY (event_type, role, privilege, incarnation)
);
COMMENT ON TABLE whisperer.event_type_privilege IS
    'what allow() granted: which role, besides the owner''s members, may publish or subscribe to an event type';

SELECT pg_catalog.pg_extension_config_dump('whisperer.event_type', '');
SELECT pg_catalog.pg_extension_config_dump('whisperer.event_type_privilege', '');
