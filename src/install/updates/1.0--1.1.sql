-- What the tables of 1.0 lack.  A delta does to an older installation what schema/ does to a new one;
-- the API's fragments follow it.
CREATE INDEX delivery_failed ON whisperer.delivery (event_id, hook_id) WHERE state = 'failed';

COMMENT ON TABLE whisperer.incarnation IS
    'which database this is among its copies: one row, never dumped';
COMMENT ON TABLE whisperer.event_type_privilege IS
    'what allow() granted: which role, besides the owner''s members, may publish or subscribe to an event type';
COMMENT ON TABLE whisperer.hook_definition IS
    'subscriptions as people write them; the view whisperer.hook adds their state';
COMMENT ON TABLE whisperer.past_attempt IS
    'attempts that a delivery did not end with, a hundred of each at most; the view whisperer.attempt adds the success it ended with';
COMMENT ON TABLE whisperer.bookmark IS
    'how far each worker has read the outbox; written by the worker alone';
COMMENT ON TABLE whisperer.request IS
    'what people asked of the worker, and it has not done yet';
COMMENT ON TABLE whisperer.control IS
    'whether delivery is paused in this database: one row, or none if it never was';
