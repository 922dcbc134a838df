# What a primary says of hooks that its nodes deliver, and asks the nodes for: also of what it does not know or have itself.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_primary('primary', "whisperer.retention = 10s\nwhisperer.poll_interval = 100ms\n");
my $node = new_delivery_node('a');
my $receiver = new_receiver('answers');

sub record { my ($type, $n) = @_; return sql($primary, qq(SELECT whisperer.deliver_event('$type', '{"n": $n}'))) }

sub received { my ($path) = @_; return join ' ', sort { $a <=> $b } map { $_->{body} =~ /"n" ?: ?(\d+)/ } $receiver->requests($path) }

sub state { my ($on, $hook) = @_; return sql($on, "SELECT concat_ws(': ', state, state_reason) FROM whisperer.hook WHERE id = $hook") }

sql($primary, <<"SQL");
CREATE ROLE shop;
GRANT USAGE ON SCHEMA whisperer TO shop;
SET ROLE shop;
SELECT whisperer.register_event('paid');
SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/ok/paid') ]}');
SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/status/410') ]}');
SELECT whisperer.create_hook('whisperer-hook-disabled', '@{[ $receiver->url('/ok/operators') ]}');
RESET ROLE;
SELECT whisperer.publish_events(hooks => true);
SQL
is(state($primary, 1), 'active', 'of a hook of the primary\'s own there is nothing to say');
subscribe($primary, $node, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));

# --- a hook that its node has disabled -----------------------------------------------------------------------------------
record('paid', 1);
settle($primary, $node);
wait_for('the node to disable it', sub { state($node, 2) =~ /^disabled: / });
is(state($primary, 2), 'active: node "a" delivers it, and knows whether it is disabled', 'the primary says who knows the state of a hook');
is(sql($primary, 'SET ROLE shop; SELECT state_reason FROM whisperer.hook WHERE id = 2'), 'node "a" delivers it, and knows whether it is disabled', 'also to its owner');
is(state($node, 1), 'active', 'on the node there is nothing to say');
sql($primary, 'SET ROLE shop; SELECT whisperer.pause_hook(1)');
is(state($primary, 1), 'paused: paused by pause_hook', 'what somebody has done to it comes first');
sql($primary, 'SET ROLE shop; SELECT whisperer.resume_hook(1), whisperer.resume_hook(2)');
arrive($primary, $node);
record('paid', 3);
settle($primary, $node);
# It is tried, and disabled again.
is(scalar(() = $receiver->requests('/status/410')), 2, 'resume_hook in the primary resumes it on the node');

# --- an event that was never published -------------------------------------------------------------------------------------
sql($primary, <<"SQL");
CREATE TABLE orders (n int PRIMARY KEY);
ALTER TABLE orders OWNER TO shop;
SET ROLE shop;
SELECT whisperer.register_event('made-other');
SELECT whisperer.create_hook('made-*', '@{[ $receiver->url('/ok/made') ]}');
CREATE TRIGGER made AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION whisperer.capture('made-unawares');
INSERT INTO orders VALUES (2);
SQL
my $made = sql($primary, 'SELECT max(id) FROM whisperer.hook');
my $unpublished = sql($primary, q(SELECT id FROM whisperer.outbox WHERE event_type = 'made-unawares'));
is(sql($primary, "SELECT whisperer.why('$unpublished', $made)"),
    qq(not published: nobody had registered "made-unawares" when it was recorded, so node "a", which delivers the hook, does not have it; a replay with new ids publishes it),
    'why knows what no node can have');
sql($primary, "SET ROLE shop; SELECT whisperer.replay($made, now() - interval '1 hour', new_ids => true)");
settle($primary, $node);
is(received('/ok/made'), '2', 'and what publishes it');

# --- a replay of what only the node still has --------------------------------------------------------------------------------
wait_for('the events to go', sub { !sql($primary, q(SELECT count(*) FROM whisperer.outbox WHERE event_type = 'paid')) });
is(received('/ok/paid'), '1 3', 'events were delivered once, and are gone from the primary');
is(sql($primary, "SET ROLE shop; SELECT whisperer.replay(1, now() - interval '1 hour', dry_run => true)"), 0, 'a replay counts by the log of the primary');
settle($primary, $node);
is(received('/ok/paid'), '1 3', 'without its being carried out');
is(sql($primary, "SET ROLE shop; SELECT whisperer.replay(1, now() - interval '1 hour')"), 0, 'also when it is carried out');
settle($primary, $node);
is(received('/ok/paid'), '1 1 3 3', 'and the node replays what it has');

$_->stop for $node, $primary;
done_testing();
