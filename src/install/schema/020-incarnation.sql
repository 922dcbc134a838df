-- Which database this is.  A number made here and never dumped, mixed with the database's oid: a
-- restored dump and a CREATE DATABASE ... TEMPLATE copy are other incarnations than their original,
-- a promoted standby and a pg_upgraded cluster are the same.
CREATE TABLE whisperer.incarnation (
    number bigint PRIMARY KEY
);
COMMENT ON TABLE whisperer.incarnation IS
    'which database this is among its copies: one row, never dumped';

INSERT INTO whisperer.incarnation
SELECT ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint;

CREATE FUNCTION whisperer.my_incarnation() RETURNS bigint
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'whisperer_my_incarnation';
COMMENT ON FUNCTION whisperer.my_incarnation() IS
    'identifies this database among its restored and copied siblings';
GRANT EXECUTE ON FUNCTION whisperer.my_incarnation() TO PUBLIC;
