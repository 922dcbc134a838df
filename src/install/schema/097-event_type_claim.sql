-- Whose a name is, also after unregister_event: the events recorded under it are still in the log, and
-- whoever registered it next would read them.
CREATE TABLE whisperer.event_type_claim (
    event_type  text PRIMARY KEY,
    owner       oid NOT NULL,
    owner_name  text NOT NULL,
    incarnation bigint NOT NULL DEFAULT whisperer_internal.my_incarnation()
);
COMMENT ON TABLE whisperer.event_type_claim IS
    'who registered or unregistered the name of an event type last';

SELECT pg_catalog.pg_extension_config_dump('whisperer.event_type_claim', '');
