-- Tells the worker, through the request log, and the other backends, through their caches, that the
-- hook set changed.
CREATE FUNCTION whisperer.note_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_note_change';
COMMENT ON FUNCTION whisperer.note_change() IS
    'trigger on the tables that the hook set is made of';

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.event_type
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.event_type_privilege
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.hook_definition
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.secret
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON whisperer.control
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.note_change();
