# Hooks of a primary whose owners a delivery node lacks: what comes meanwhile waits there for the owner, and nothing of it is
# lost or delivered twice, nor anything from before.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_primary('primary');
my $node = new_delivery_node('a');
my $receiver = new_receiver('owners');

sub record { my ($type, $n) = @_; return sql($primary, qq(SELECT whisperer.deliver_event('$type', '{"n": $n}'))) }

sub received { my ($path) = @_; return join ' ', sort { $a <=> $b } map { $_->{body} =~ /"n" ?: ?(\d+)/ } $receiver->requests($path) }

sub state { return sql($node, "SELECT state FROM whisperer.hook WHERE id = $_[0]") }

sub add { return sql($primary, q(SELECT whisperer.add_node('a'))) }

sql($primary, <<"SQL");
CREATE ROLE shop; GRANT USAGE ON SCHEMA whisperer TO shop;
CREATE ROLE late; GRANT USAGE ON SCHEMA whisperer TO late;
SELECT whisperer.publish_events(hooks => true);
SELECT whisperer.register_event('paid'), whisperer.register_event('sent');
SELECT whisperer.allow('paid', r, 'subscribe'), whisperer.allow('sent', r, 'subscribe') FROM unnest('{shop,late}'::regrole[]) r;
SET ROLE shop;
SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/ok/shop') ]}');
SQL
subscribe($primary, $node, 'a');
add();

# --- a hook of a role that was never there ------------------------------------------------------------------------------
record('paid', 1);
sql($primary, "SET ROLE late; SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/ok/late') ]}')");
record('paid', 2);
settle($primary, $node);
is(received('/ok/shop'), '1 2', 'who is there gets all');
is(state(2), 'paused', 'the hook of a role that the node lacks rests');
sql($node, 'CREATE ROLE late');
add();
record('paid', 3);
settle($primary, $node);
is(received('/ok/late'), '2 3', 'and gets what came since it was made, once');

# --- a role that is renamed in the primary -------------------------------------------------------------------------------
my $before = record('sent', 4);
settle($primary, $node);
wait_for('the bookmark', sub { sql($node, "SELECT bool_and(pg_visible_in_snapshot(o.xid, b.seen)) FROM whisperer.bookmark b, whisperer.outbox o WHERE o.id = '$before'") eq 't' });
sql($primary, q(SET ROLE shop; SELECT whisperer.update_hook(1, '{"event_type": "paid,sent"}')));
sql($primary, 'ALTER ROLE shop RENAME TO store');
wait_for('its new name', sub { sql($primary, q(SELECT count(*) FROM whisperer.hook_definition WHERE owner_name = 'store')) == 1 });
record('paid', 5);
record('sent', 6);
settle($primary, $node);
is(state(1), 'paused', 'the hook of a role that has another name in the primary rests');
is(received('/ok/shop'), '1 2 3', 'it gets nothing then');
sql($node, 'ALTER ROLE shop RENAME TO store');
add();
record('paid', 7);
settle($primary, $node);
is(received('/ok/shop'), '1 2 3 5 6 7', 'until the node has the role: what came meanwhile, and nothing from before');

# --- a role that is dropped on the node, and made again --------------------------------------------------------------------
sql($primary, 'ALTER ROLE late RENAME TO later');
wait_for('its new name', sub { sql($primary, q(SELECT count(*) FROM whisperer.hook_definition WHERE owner_name = 'later')) == 1 });
record('paid', 8);
settle($primary, $node);
sql($node, 'CREATE ROLE later');
# As the owner of the node may do by himself.
sql($node, 'SELECT whisperer.resume()');
record('paid', 9);
settle($primary, $node);
is(received('/ok/late'), '2 3 5 7 8 9', 'resume() on the node finds the role, too');
sql($node, 'DROP ROLE later');
record('paid', 10);
settle($primary, $node);
is(received('/ok/late'), '2 3 5 7 8 9', 'the hook of a role that was dropped there gets nothing');
sql($node, 'CREATE ROLE later');
add();
record('paid', 11);
settle($primary, $node);
is(received('/ok/late'), '2 3 5 7 8 9 10 11', 'until it is made again');

is_deeply([ grep { /ERROR|PANIC|leak/ && !/node_owners\.pl/ } split /\n/, slurp_file($_->logfile) ], [], 'no errors at ' . $_->name) for $primary, $node;
done_testing();
