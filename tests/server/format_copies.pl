# A hook whose format changes where not one server alone knows of it: on a delivery node, in a restored dump, after a
# failover, after an update of the extension.  No webhook-id stands for two bodies there either.
use strict;
use warnings;
use Cluster;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $receiver = new_receiver('format_copies');

# The bodies of an event, by its number.
sub bodies { my ($path, $n) = @_; return map { $_->{body} } grep { $_->{body} =~ /"n": ?$n\b/ } $receiver->requests("/ok/$path") }
sub wait_for_requests { my ($path, $n, $count) = @_; wait_for("request $count of event $n", sub { $count == (() = bodies($path, $n)) }) }
sub is_repeated { my ($path, $n) = @_; my ($first, $second) = bodies($path, $n); is($second, $first, "$path: the same bytes again") }
sub record { my ($node, $n, $database) = @_; $node->safe_psql($database // 'postgres', qq(SELECT whisperer.deliver_event('said', '{"n": $n}'))) }
sub create_hook { my ($node, $path, $database) = @_; return $node->safe_psql($database // 'postgres', "SELECT whisperer.create_hook('said', '@{[ $receiver->url(\"/ok/$path\") ]}')") }
sub change { my ($node, $hook, $format, $database) = @_; $node->safe_psql($database // 'postgres', qq(SELECT whisperer.update_hook($hook, '{"format": "$format"}'))) }
sub kill_held { my ($node) = @_; kill_worker($node, sql($node, q(SELECT pid FROM pg_stat_activity WHERE query LIKE 'held at %'))); release_hold($node) }
my $patient = "restart_after_crash = on\nwhisperer.park_after = '60s'\nwhisperer.request_timeout = '5min'\n";

# --- a node: the primary changes the hook while a request of the node is under way, and the node's worker dies
my $primary = new_primary('primary');
my $a = new_delivery_node('a');
$a->append_conf('postgresql.conf', $patient);
$a->restart;
sql($primary, "SELECT whisperer.register_event('said'), whisperer.publish_events(hooks => true)");
subscribe($primary, $a, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));
my $hook = create_hook($primary, 'node');
record($primary, 1);
settle($primary, $a);
hold($a, 'after-post');
record($primary, 2);
wait_held($a, 'after-post');
change($primary, $hook, 'standard');
arrive($primary, $a);
kill_held($a);
wait_for_requests('node', 2, 2);
is_repeated('node', 2);
record($primary, 3);
settle($primary, $a);
like((bodies('node', 3))[0], qr/"timestamp"/, 'and what comes after the change has the new format');
$_->stop for $a, $primary;

# --- a dump: what was under way then is sent once more by the copy
my $node = new_node('dumped', extra => $patient);
sql($node, "SELECT whisperer.register_event('said')");
$hook = create_hook($node, 'dumped');
record($node, 1);
wait_idle($node);
$receiver->control({ path => '/ok/dumped', steps => [ 'hang', 'ok' ] });
record($node, 2);
wait_for_requests('dumped', 2, 1);
change($node, $hook, 'standard');
record($node, 3);
wait_for_requests('dumped', 3, 1);
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/data';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
for my $copy (qw(copy changed)) {
    sql($node, "CREATE DATABASE $copy");
    $node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $copy, $dump ], 'restored');
    change($node, $hook, 'data', $copy) if $copy eq 'changed';
    $node->safe_psql($copy, 'SELECT whisperer.resume()');
    wait_for_requests('dumped', 2, $copy eq 'copy' ? 2 : 3);
    wait_idle($node, $copy);
}
is(scalar(grep { $_ !~ /^\{"event"/ } (bodies('dumped', 2))[1]), 0, 'a copy sends what was under way in the format that it had');
$receiver->control({ release => JSON::PP::true });
$node->stop;

# --- a failover: a synchronous standby knows of the format before anything is sent in it
$node = new_node('failing', init => { allows_streaming => 1 }, extra => $patient . "autovacuum = off\n");
sql($node, "SELECT whisperer.register_event('said')");
$hook = create_hook($node, 'failing');
record($node, 1);
wait_idle($node);
$node->backup('copy');
my $standby = Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
sql($node, "SET synchronous_commit = local; ALTER SYSTEM SET synchronous_standby_names = '*'");
$node->reload;
wait_for('the standby', sub { sql($node, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") });
hold($node, 'before-page-snapshot');
wait_held($node, 'before-page-snapshot');
change($node, $hook, 'standard');
record($node, 2);
wait_for('the standby has both', sub { sql($node, 'SELECT pg_current_wal_flush_lsn() <= flush_lsn FROM pg_stat_replication') eq 't' });
$standby->stop('immediate');
# Not with release_hold: its commit would wait for the standby.
sql($node, 'SET synchronous_commit = local; ALTER SYSTEM RESET whisperer.hold_at');
$node->reload;
wait_for('the note', sub { sql($node, "SELECT count(*) FROM whisperer.hook_run WHERE current_format = 'standard'") });
# Until the worker has had another turn.
sql($node, q(SET synchronous_commit = local; ALTER SYSTEM SET whisperer.hold_at = 'before-page-snapshot'));
$node->reload;
wait_for('the next page', sub { sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE query = 'held at before-page-snapshot')) });
is(scalar(() = bodies('failing', 2)), 0, 'failing: nothing is sent in a format of which the standby does not know');
$node->kill9;
$standby->start;
wait_server($standby);
$standby->promote;
wait_for('the event', sub { scalar(() = bodies('failing', 2)) });
is(scalar(keys %{ { map { $_ => 1 } bodies('failing', 2) } }), 1, 'and it has one body');
$standby->stop('immediate');

# --- an update: what the released version may have sent has its only format
$node = new_node('updated', bare => 1);
sql($node, "CREATE EXTENSION whisperer VERSION '1.1'; SELECT whisperer.register_event('said')");
$hook = create_hook($node, 'updated');
# As a worker leaves it that was killed: its place is before the event that it has sent.
sql($node, <<'SQL');
INSERT INTO whisperer.bookmark (worker, incarnation, workers, seen, reading)
SELECT 0, whisperer.my_incarnation(), 1, pg_current_snapshot(), pg_current_snapshot()
SQL
record($node, 1);
sql($node, qq(BEGIN; ALTER EXTENSION whisperer UPDATE; SELECT whisperer.update_hook($hook, '{"format": "standard"}'); COMMIT));
wait_idle($node);
like((bodies('updated', 1))[0], qr/^\{"event"/, 'updated: what the released version may have sent has its format');

done_testing();
