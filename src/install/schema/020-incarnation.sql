-- Which database this is.  A number made here and never dumped, mixed with the database's oid: a
-- restored dump and a CREATE DATABASE ... TEMPLATE copy are other incarnations than their original,
-- a promoted standby and a pg_upgraded cluster are the same.
--
-- It is the body of a function, which goes with the catalogs and nowhere else: rows of a table, a sequence
-- too from PostgreSQL 19 on, come by logical replication from another database, and a copy put in the
-- table's place is empty to the transactions that are open.
DO $do$
BEGIN
    EXECUTE format('CREATE FUNCTION whisperer_internal.incarnation_number() RETURNS bigint LANGUAGE sql IMMUTABLE RETURN bigint %L',
                   ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint);
END
$do$;
COMMENT ON FUNCTION whisperer_internal.incarnation_number() IS
    'which database this is among its copies, before my_incarnation() mixes in its oid; made with the extension';

CREATE VIEW whisperer.incarnation AS SELECT whisperer_internal.incarnation_number() AS number;
COMMENT ON VIEW whisperer.incarnation IS
    'which database this is among its copies: one row, never dumped or replicated';

CREATE FUNCTION whisperer_internal.my_incarnation() RETURNS bigint
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'whisperer_my_incarnation';
COMMENT ON FUNCTION whisperer_internal.my_incarnation() IS
    'identifies this database among its restored and copied siblings';
GRANT EXECUTE ON FUNCTION whisperer_internal.my_incarnation() TO PUBLIC;
