# A primary that only records, for its delivery is paused: what it has recorded goes after the retention all the same, for its
# nodes' slots keep what they have not had.  What a hook of its own still has to get stays.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_primary('primary', "whisperer.retention = 10s\nwhisperer.poll_interval = 100ms\n");
my $node = new_delivery_node('a');
my $receiver = new_receiver('records');

sub record { my ($type, $n) = @_; return sql($primary, qq(SELECT whisperer.deliver_event('$type', '{"n": $n}'))) }

sub received { my ($path) = @_; return join ' ', sort { $a <=> $b } map { $_->{body} =~ /"n" ?: ?(\d+)/ } $receiver->requests($path) }

sub is_kept { my ($id) = @_; return sql($primary, "SELECT count(*) FROM whisperer.outbox WHERE id = '$id'") }

sub gone { my ($what, @ids) = @_; wait_for($what, sub { !grep { is_kept($_) } @ids }); pass($what) }

sub refused {
    my $from = -s $primary->logfile;
    wait_for('a slot to be refused', sub { substr(slurp_file($primary->logfile), $from) =~ /is not emptied yet: it has events that no worker has read/ });
}

sub pause {
    sql($primary, 'SELECT whisperer.pause()');
    wait_for('the pause', sub { sql($primary, 'SELECT DISTINCT state FROM whisperer.status') eq 'paused' });
}

# --- events for the hooks of a node -----------------------------------------------------------------------------------
sql($primary, q(SELECT whisperer.register_event('paid'), whisperer.register_event('sent'), whisperer.publish_events()));
sql($node, "SELECT whisperer.register_event('paid'); SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/ok/node') ]}')");
sql($node, sql($primary, sprintf q(SELECT whisperer.subscription_command('a', '%s')), ($primary->connstr('postgres') . ' user=reader') =~ s/'/''/gr));
pause();
my $first = record('paid', 1);
arrive($primary, $node);
sql($node, 'ALTER SUBSCRIPTION whisperer_events DISABLE');
wait_for('the node to leave', sub { sql($primary, q(SELECT count(*) FROM pg_replication_slots WHERE active)) == 0 });
gone('what the node has had goes from the paused primary, and what it has not had', $first, record('paid', 2));
sql($node, 'ALTER SUBSCRIPTION whisperer_events ENABLE');
settle($primary, $node);
is(received('/ok/node'), '1 2', 'which the slot has kept');

# --- hooks of its own -------------------------------------------------------------------------------------------------
my $hook = sql($primary, "SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/ok/own') ]}')");
my $own = record('paid', 3);
refused();
ok(is_kept($own), 'what a hook of the primary has to get stays while delivery is paused, however old');
sql($node, 'DROP SUBSCRIPTION whisperer_events; DELETE FROM whisperer.hook_definition');
sql($primary, 'SELECT whisperer.publish_events(hooks => true)');
subscribe($primary, $node, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));
my $moved = record('paid', 4);
settle($primary, $node);
is(received('/ok/own'), '4', 'what is recorded after a node has taken the hook over the node delivers');
refused();
ok(is_kept($own), 'what the primary has to deliver for it stays');
sql($primary, 'SELECT whisperer.resume()');
settle($primary, $primary);
is(received('/ok/own'), '3 4', 'until resume(), and is delivered then');
gone('then it goes', $own, $moved);

# --- hooks of its own that others deliver -------------------------------------------------------------------------------
pause();
gone('what the node alone delivers goes from the paused primary', record('paid', 5));
settle($primary, $node);
is(received('/ok/own'), '3 4 5', 'which has delivered it');
sql($primary, "SELECT whisperer.create_hook('sent', '@{[ $receiver->url('/ok/sent') ]}')");
gone('so it is with a hook that is made then', record('sent', 6));
settle($primary, $node);
is(received('/ok/sent'), '6', 'of which the node has made the first');

# --- without nodes ------------------------------------------------------------------------------------------------------
sql($primary, q(SELECT whisperer.remove_node('a')));
my $last = record('paid', 7);
refused();
ok(is_kept($last), 'a hook that comes back to the primary has its events kept again');
sql($primary, 'SELECT whisperer.resume()');
settle($primary, $primary);
is(received('/ok/own'), '3 4 5 7', 'and gets them');
gone('and they go', $last);

is_deeply([ grep { /ERROR|PANIC|leak/ && !/node_primary\.pl|WAL stream|publisher/ } split /\n/, slurp_file($_->logfile) ], [], 'no errors at ' . $_->name) for $primary, $node;
done_testing();
