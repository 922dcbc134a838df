# What goes through the log has an end, also while others record without a pause: replay and recover of an ordered
# hook end, and what it got meanwhile follows them.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('steady', extra => 'whisperer.circuit_breaker = off');
my $receiver = new_receiver('steady');
my ($ordered, $slow) = map { $receiver->url($_) } '/fail-first/1/500/e', '/delay/700';
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event(e) FROM unnest('{e,other}'::text[]) e;
SELECT whisperer.create_hook('e', '$ordered', ordering => 'hook',
    retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
SELECT whisperer.create_hook('other', '$slow');
SELECT whisperer.deliver_event('e', '{}') FROM generate_series(1, 20);
SQL
wait_idle($node);
sub requests { return scalar(() = $receiver->requests('/fail-first/1/500/e')) }
my $first = requests();

# There is always one of the other hook's in flight.
my $folder = PostgreSQL::Test::Utils::tempdir('load');
my $load = IPC::Run::start([ 'sh', '-c', "until [ -e $folder/stop ]; do echo \"SELECT whisperer.deliver_event('other', '{}');\"; sleep 0.05; done"
        . " | psql -X -q -o /dev/null -h @{[$node->host]} -p @{[$node->port]} postgres" ], '<', \undef, '>', "$folder/out", '2>', "$folder/err");
END { append_to_file("$folder/stop", '') if $folder; $load->finish if $load }
wait_for('the load', sub { 0 < (() = $receiver->requests('/delay/700')) });

my $left = 'SELECT count(*) FROM whisperer.request WHERE kind = ';
is($node->safe_psql('postgres', "SELECT whisperer.replay(1, '-infinity', 'infinity')"), 20, 'a replay of all there is');
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('e', '{"new": 1}')));
wait_for('the end of the replay', sub { $node->safe_psql('postgres', "$left 'replay'") == 0 });
wait_for('what waited for it', sub { requests() >= $first + 21 });
is(requests(), $first + 21, 'ends beside a steady load');
like((($receiver->requests('/fail-first/1/500/e'))[-1])->{body}, qr/new/, 'and what came meanwhile follows');

is($node->safe_psql('postgres', "SELECT count(*) > 0 FROM whisperer.past_attempt WHERE hook_id = 1"), 't', 'one had failed');
$node->safe_psql('postgres', "SELECT whisperer.recover(1, '-infinity', 'infinity')");
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('e', '{"new": 2}')));
wait_for('the end of the recovery', sub { $node->safe_psql('postgres', "$left 'recover'") == 0 });
wait_for('what waited for that', sub { (($receiver->requests('/fail-first/1/500/e'))[-1])->{body} =~ /"new": 2/ });
# What logical replication brings of another database has that one's xids.  A page has a thousand rows.
sub arrive {
    my ($xid, $type, $count, $data) = @_;
    $node->safe_psql('postgres', "INSERT INTO whisperer.outbox (id, event_type, data, xid, incarnation)
        SELECT whisperer_internal.new_event_id(), '$type', '$data', '$xid', 1 FROM generate_series(1, $count)");
}
arrive(1_000_000, 'of-nobody', 1500, '{}');
arrive(1_000_001, 'e', 1, '{"arrived": "before"}');
hold($node, 'after-requests');
$node->safe_psql('postgres', "SELECT whisperer.replay(1, '-infinity', 'infinity')");
wait_held($node, 'after-requests');
arrive(1_000_002, 'e', 1, '{"arrived": "later"}');
release_hold($node);
wait_for('the end of the replay', sub { $node->safe_psql('postgres', "$left 'replay'") == 0 });
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('e', '{"new": 3}')));
wait_for('what waited for that', sub { (($receiver->requests('/fail-first/1/500/e'))[-1])->{body} =~ /"new": 3/ });
is(join(' ', grep { $_ } map { $_->{body} =~ /"arrived": "(\w+)"/ } $receiver->requests('/fail-first/1/500/e')), 'before',
    'a replay has what was replicated here before it began, and nothing that arrives meanwhile');
ok($load->pumpable, 'the load went on all the time');
done_testing();
