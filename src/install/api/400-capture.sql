-- The trigger function.  The writing user needs no right on it; who makes the trigger does.

CREATE FUNCTION whisperer.capture() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'whisperer_capture';
COMMENT ON FUNCTION whisperer.capture() IS
    'trigger, AFTER, row or statement level: capture(''<event type>'' [, ''option=value'', ...]) records one event per row; options serializer=, columns=, changed=, key=, include=old; 22023 for a bad option, 42501 if the table''s owner may not publish';
GRANT EXECUTE ON FUNCTION whisperer.capture() TO PUBLIC;
