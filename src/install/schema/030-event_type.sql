-- What may be recorded and subscribed to.  Roles are kept by oid for the living database and by name
-- for a dump, whose oids mean nothing elsewhere.
CREATE TABLE whisperer.event_type (
    name        text PRIMARY KEY
        CONSTRAINT event_type_name_check CHECK (name ~ '^[A-Za-z0-9._:/-]{1,128}$'),
    owner       oid NOT NULL,
    owner_name  text NOT NULL,
    description text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    incarnation bigint NOT NULL DEFAULT whisperer_internal.my_incarnation()
);

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
