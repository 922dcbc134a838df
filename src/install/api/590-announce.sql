-- Telling the launcher about this database.
CREATE FUNCTION whisperer.announce() RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_announce';
COMMENT ON FUNCTION whisperer.announce() IS
    'tells the launcher that this database has the extension; warns if the library is not preloaded';
