# Ordered hooks that move between a primary and its delivery nodes begin on the new one when the old one has come to the
# end of their lines, by themselves and in order, whatever stops in between.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $hooks = 8;
my $primary = new_primary('primary');
my $receiver = new_receiver('hand_over');
my %node = map { $_ => new_delivery_node($_) } qw(a b);
my $n = 0;

sub record { return map { sql($primary, sprintf q(SELECT whisperer.deliver_event('order-line', '{"n": %d}')), ++$n) } 1 .. shift }

sub received { my ($hook) = @_; return join ' ', map { $_->{body} =~ /"n" ?: ?(\d+)/ } $receiver->requests("/line/$hook") }

sub answer_with { my ($status) = @_; $receiver->control({ path => "/line/$_", steps => ["status/$status"] }) for 1 .. $hooks }

# Once, for what failed before comes again.
sub accepted { my ($hook) = @_; my %seen; return join ' ', grep { !$seen{$_}++ } split / /, received($hook) }

# Those that wait, by who has to deliver what came before.
sub waiting { my ($on) = @_; return sql($on, q(SELECT count(*) FROM whisperer.hook WHERE state_reason ~ 'has to deliver what came before')) }

sub all_in_order {
    my ($what) = @_;
    my $all = join ' ', 1 .. $n;
    # If not, what follows says what came instead.
    eval { wait_for($what, sub { !grep { accepted($_) ne $all } 1 .. $hooks }) };
    is(accepted($_), $all, "$what: hook $_ in order") || diag("LOG of hook $_: ", join ' ', map { ($_->{body} =~ /"n" ?: ?(\d+)/ ? $1 : '?') . '@' . ($_->{at_us} / 1e6) . ':' . $_->{port} } $receiver->requests("/line/$_")) for 1 .. $hooks;
}

sql($primary, <<"SQL");
CREATE ROLE shop;
GRANT USAGE ON SCHEMA whisperer TO shop;
CREATE ROLE stranger LOGIN;
SET ROLE shop;
SELECT whisperer.register_event('order-line');
SELECT whisperer.create_hook('order-line', '@{[ $receiver->url('/line') ]}/' || n, ordering => 'hook', retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 1}, "max_retries": 1000}')
FROM generate_series(1, $hooks) n;
RESET ROLE;
SELECT whisperer.publish_events(hooks => true);
SQL
subscribe($primary, $node{$_}, $_) for qw(a b);

# --- from the primary to its first node ------------------------------------------------------------------------------
answer_with(500);
record(2);
wait_for('their lines', sub { sql($primary, 'SELECT count(*) FROM whisperer.delivery WHERE retry_count > 0') == $hooks });
# What is under way when a turn ends is the primary's, if a younger transaction has ended by then, and comes before what is
# recorded later.  Else it is the node's alone, which has it in the order of the commits.
my $late = $primary->background_psql('postgres', on_error_stop => 1);
$n++;
$late->query_safe(qq(BEGIN; SELECT whisperer.deliver_event('order-line', '{"n": $n}')));
sql($primary, 'SELECT pg_current_xact_id()');
sql($primary, q(SELECT whisperer.add_node('a')));
record(1);
arrive($primary, $node{a});
is(waiting($node{a}), $hooks, 'on their node they wait for the primary');
answer_with(200);
wait_for('the lines of the primary', sub { sql($primary, q(SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered')) == 2 * $hooks });
is(waiting($node{a}), $hooks, 'also while something is under way there');
$late->query_safe('COMMIT');
all_in_order('from the primary');
is(waiting($node{a}), 0, 'the primary has handed them over');

# --- from one node to another ----------------------------------------------------------------------------------------
answer_with(500);
record(2);
wait_for('their lines', sub { sql($node{a}, q(SELECT count(DISTINCT hook_id) FROM whisperer.delivery WHERE state = 'pending' AND retry_count > 0)) == $hooks });
my $moved = sql($primary, q(SELECT whisperer.add_node('b')));
cmp_ok($moved, '>', 0, 'some move to a second node');
cmp_ok($moved, '<', $hooks, 'and not all');
record(1);
arrive($primary, values %node);
is(waiting($node{b}), $moved, 'there they wait');
my $awaited = sql($primary, 'SELECT min(hook_id) FROM whisperer.hook_node WHERE waits_for IS NOT NULL');
my ($status, $out, $error) = $primary->psql('postgres', "SELECT whisperer_internal.hand_line_over($awaited, 'a')", extra_params => [ '-U', 'stranger' ]);
like($error, qr/ERROR:  role "stranger" does not read the slot of node "a"/, 'a stranger does not speak for a node');
is(sql($primary, "SELECT whisperer_internal.hand_line_over($awaited, 'b')"), 'f', 'nor another node');
$node{a}->stop('immediate');
$node{a}->start;
# Without its subscription it cannot say anything.
sql($node{a}, 'ALTER SUBSCRIPTION whisperer_hooks DISABLE');
answer_with(200);
wait_for('its complaint', sub { slurp_file($node{a}->logfile) =~ /could not tell the primary that \d+ ordered hooks have nothing left to deliver here: there is no enabled subscription/ });
is(waiting($node{b}), $moved, 'a node without its subscription hands nothing over');
# What a transaction that is open meanwhile tells of a hook must not have it wait again.
my $change = $primary->background_psql('postgres', on_error_stop => 1);
$change->query_safe(qq(BEGIN; SELECT whisperer.update_hook($awaited, '{"description": "changed"}')));
sql($node{a}, 'ALTER SUBSCRIPTION whisperer_hooks ENABLE');
wait_for('the others', sub { waiting($node{b}) <= 1 });
$change->query_safe('COMMIT');
all_in_order('from the first to the second');
is(waiting($node{b}), 0, 'the first has handed them over');
is(scalar(() = slurp_file($node{a}->logfile) =~ /could not tell the primary/g), 1, 'what kept it from that is told once');

# --- back to the primary ---------------------------------------------------------------------------------------------
answer_with(500);
record(1);
wait_for('their lines', sub { sql($_, q(SELECT count(DISTINCT hook_id) FROM whisperer.delivery WHERE state = 'pending' AND retry_count > 0)) == sql($_, q(SELECT count(*) FROM whisperer.hook_node n WHERE n.node = current_setting('whisperer.node'))) }) for values %node;
sql($primary, q(SELECT whisperer.remove_node('b')));
record(1);
arrive($primary, values %node);
is(waiting($node{a}), $moved, 'of a node that is removed they wait for its lines');
answer_with(200);
all_in_order('from the second to the first');
answer_with(500);
record(1);
wait_for('their lines', sub { sql($node{a}, q(SELECT count(DISTINCT hook_id) FROM whisperer.delivery WHERE state = 'pending' AND retry_count > 0)) == $hooks });
sql($primary, q(SELECT whisperer.remove_node('a')));
record(1);
is(waiting($primary), $hooks, 'in the primary they wait for the last node');
answer_with(200);
all_in_order('from the last node to the primary');

# --- while a chain of requests is under way ----------------------------------------------------------------------------
# Ten events that are there at once; what hangs behind the fourth has not begun when the hook moves.
record(1);
all_in_order('to a receiver that is fast');
$receiver->control({ path => "/line/$_", steps => [ ('ok') x 3, 'hang', 'ok' ] }) for 1 .. $hooks;
my $first = $n + 1;
$n += 10;
sql($primary, qq(SELECT count(whisperer.deliver_event('order-line', json_build_object('n', i))) FROM generate_series($first, $n) i));
wait_for('the fourth of each', sub { !grep { received($_) !~ / @{[ $first + 3 ]}$/ } 1 .. $hooks });
sql($primary, q(SELECT whisperer.add_node('a')));
record(1);
arrive($primary, $node{a});
is(waiting($node{a}), $hooks, 'they wait for what hangs behind a request');
$receiver->control({ release => JSON::PP::true });
all_in_order('from the middle of a chain');

is_deeply([ grep { !/hand_over\.pl|role "stranger"/ && /ERROR|PANIC|WARNING|leak/ && !/publisher|primary: |WAL stream|replication origin/ } split /\n/, slurp_file($_->logfile) ], [], 'no errors at ' . $_->name)
    for $primary, values %node;
$_->stop for $primary, values %node;
done_testing();
