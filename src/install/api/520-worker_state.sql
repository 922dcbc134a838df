-- The workers' shared memory as rows; status shows it to people.

CREATE FUNCTION whisperer_internal.worker_state(
    OUT worker integer, OUT pid integer, OUT database name, OUT state text, OUT reason text,
    OUT since timestamptz, OUT in_flight bigint, OUT queued bigint, OUT delivered bigint,
    OUT failed bigint, OUT lag_seconds double precision, OUT rate double precision)
    RETURNS SETOF record LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_worker_state';
CREATE FUNCTION whisperer_internal.worker_turns(OUT worker integer, OUT longest_turn_seconds double precision)
    RETURNS SETOF record LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_worker_turns';
COMMENT ON FUNCTION whisperer_internal.worker_turns() IS
    'how long a turn of each worker''s loop took at most, lately';
GRANT EXECUTE ON FUNCTION whisperer_internal.worker_turns() TO PUBLIC;
CREATE FUNCTION whisperer_internal.worker_wire(OUT worker integer, OUT sent_again bigint, OUT http text, OUT invalid bigint)
    RETURNS SETOF record LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_worker_wire';
COMMENT ON FUNCTION whisperer_internal.worker_wire() IS
    'requests that each worker sent twice within an attempt, the versions of HTTP that it speaks, and events that did not fit their schemas';
GRANT EXECUTE ON FUNCTION whisperer_internal.worker_wire() TO PUBLIC;
COMMENT ON FUNCTION whisperer_internal.worker_state() IS
    'what the workers of this database say of themselves in shared memory';
