-- Tells the worker, through the request log, and the other backends, through their caches, that the
-- hook set changed.
CREATE FUNCTION whisperer_internal.note_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_note_change';
COMMENT ON FUNCTION whisperer_internal.note_change() IS
    'trigger on the tables that the hook set is made of';

CREATE FUNCTION whisperer_internal.wake_workers() RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_wake_workers';
COMMENT ON FUNCTION whisperer_internal.wake_workers() IS
    'has the workers of this database look at the log when this transaction commits';
CREATE FUNCTION whisperer_internal.new_event_id() RETURNS uuid
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_new_event_id';
COMMENT ON FUNCTION whisperer_internal.new_event_id() IS 'a UUIDv7, larger than every one that this server made before';
GRANT EXECUTE ON FUNCTION whisperer_internal.new_event_id() TO PUBLIC;
CREATE FUNCTION whisperer.event_id_bound(moment timestamptz) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_event_id_bound';
COMMENT ON FUNCTION whisperer.event_id_bound(timestamptz) IS 'the least id that an event recorded at this moment or later can have';
GRANT EXECUTE ON FUNCTION whisperer.event_id_bound(timestamptz) TO PUBLIC;

-- ALWAYS, as every trigger of ours: also in a session with session_replication_role = replica, which people
-- set to load data, and which is what rows come in by replication with.
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON whisperer.event_type
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON whisperer.event_type_privilege
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.hook_definition
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.note_change('id');
CREATE TRIGGER note_truncate AFTER TRUNCATE ON whisperer.hook_definition
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.note_change('id');
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.secret
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.note_change('hook_id');
CREATE TRIGGER note_truncate AFTER TRUNCATE ON whisperer.secret
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.note_change('hook_id');
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.hook_node
    FOR EACH ROW EXECUTE FUNCTION whisperer_internal.note_change('hook_id');
CREATE TRIGGER note_truncate AFTER TRUNCATE ON whisperer.hook_node
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.note_change('hook_id');
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON whisperer.control
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer_internal.note_change();
ALTER TABLE whisperer.event_type ENABLE ALWAYS TRIGGER note_change;
ALTER TABLE whisperer.event_type_privilege ENABLE ALWAYS TRIGGER note_change;
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER note_change;
ALTER TABLE whisperer.secret ENABLE ALWAYS TRIGGER note_change;
ALTER TABLE whisperer.hook_definition ENABLE ALWAYS TRIGGER note_truncate;
ALTER TABLE whisperer.secret ENABLE ALWAYS TRIGGER note_truncate;
ALTER TABLE whisperer.hook_node ENABLE ALWAYS TRIGGER note_change;
ALTER TABLE whisperer.hook_node ENABLE ALWAYS TRIGGER note_truncate;
ALTER TABLE whisperer.control ENABLE ALWAYS TRIGGER note_change;
