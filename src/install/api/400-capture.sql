-- The trigger function.  The writing user needs no right on it; who makes the trigger does.

CREATE FUNCTION whisperer.capture() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_capture';
COMMENT ON FUNCTION whisperer.capture() IS
    'trigger that records one event per row: capture(''event type'' [, ''option=value'' ...])';
GRANT EXECUTE ON FUNCTION whisperer.capture() TO PUBLIC;
