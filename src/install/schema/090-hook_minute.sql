-- What each hook did in each minute of the last day, and since it was made.  Written by the worker, a few
-- seconds late; figures, not data: a dump leaves them behind.  A row is updated only within its minute.
CREATE TABLE whisperer.hook_minute (
    hook_id         bigint NOT NULL,
    minute          timestamptz NOT NULL,
    delivered       integer NOT NULL,
    failed_attempts integer NOT NULL,
    failed          integer NOT NULL,
    response_times  integer[] NOT NULL,
    delivered_total       bigint NOT NULL,
    failed_attempts_total bigint NOT NULL,
    failed_total          bigint NOT NULL,
    response_us_total     bigint NOT NULL,
    last_error      text,
    without_key     integer NOT NULL DEFAULT 0,
    PRIMARY KEY (hook_id, minute)
) WITH (fillfactor = 70);
COMMENT ON TABLE whisperer.hook_minute IS
    'what each hook did in each minute of the last day; the views delivery_rate and hook_stats show it';
COMMENT ON COLUMN whisperer.hook_minute.response_times IS
    'of what was delivered: element n counts times from 0.1 ms * 2^((n-1)/2) on, the first also what is shorter, element 48 what is longer';
COMMENT ON COLUMN whisperer.hook_minute.last_error IS 'of an attempt';
COMMENT ON COLUMN whisperer.hook_minute.without_key IS 'events without an object_id, of a hook that is ordered by it';
