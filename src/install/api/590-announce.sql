-- Telling the launcher about this database.
CREATE FUNCTION whisperer_internal.announce() RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_announce';
COMMENT ON FUNCTION whisperer_internal.announce() IS
    'tells the launcher that this database has the extension; warns if the library is not preloaded';
