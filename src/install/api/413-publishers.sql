-- A table that is subscribed may come from a database whose events come, too.

-- For nobody to call who could compare with a subscription of his own making.
CREATE FUNCTION whisperer_internal.has_same_publisher(subscription oid, other oid) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'whisperer_has_same_publisher';
COMMENT ON FUNCTION whisperer_internal.has_same_publisher(oid, oid) IS
    'whether two subscriptions connect to the same database, as far as their connection strings tell';

-- Events that a node gets are its own, so that nothing tells of whom they are; those that a publication FOR ALL TABLES
-- brings have the incarnation of their database.
CREATE FUNCTION whisperer_internal.came_along(relation oid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM whisperer.outbox o
                   WHERE o.incarnation <> whisperer_internal.my_incarnation()
                     AND o.source = (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                                     WHERE c.oid = came_along.relation));
END;
COMMENT ON FUNCTION whisperer_internal.came_along(oid) IS
    'whether the log has events of a table of this name that another database recorded';
GRANT EXECUTE ON FUNCTION whisperer_internal.came_along(oid) TO PUBLIC;
