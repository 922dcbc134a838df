# Several workers share the hooks; a change of their number under load loses and repeats nothing.  And
# nothing is sent that a synchronous standby does not have.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

my $node = new_node('workers', extra => "wal_level = replica\nmax_wal_senders = 2\n");
my $receiver = new_receiver('workers');
my $base = $receiver->url('');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE item (id bigserial PRIMARY KEY);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '$base/ok/' || g) FROM generate_series(1, 5) g;
SQL

sub set_workers {
    my ($count) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.workers = $count");
    $node->reload;
    wait_for("$count workers", sub {
        $node->safe_psql('postgres', "SELECT string_agg(state, ' ') FROM whisperer.status")
            eq join ' ', ('running') x $count;
    });
}

my $load = $node->background_psql('postgres');
$load->query_until(qr/begun/, <<'SQL');
\echo begun
DO $$ BEGIN FOR i IN 1..1500 LOOP INSERT INTO item DEFAULT VALUES; COMMIT; PERFORM pg_sleep(0.002); END LOOP; END $$;
\echo ended
SQL
set_workers($_) for 4, 2, 3, 1;
$load->query_until(qr/ended/, '');
$load->quit;
wait_idle($node);
for my $hook (1 .. 5) {
    my %times;
    $times{ JSON::PP::decode_json($_->{body})->{data}{id} }++ for $receiver->requests("/ok/$hook");
    is(scalar keys %times, 1500, "hook $hook: nothing is lost while the number of workers changes");
    is(scalar(grep { $_ > 1 } values %times), 0, "hook $hook: and nothing is repeated");
}
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT workers) FROM whisperer.bookmark'), '1|1',
    'one bookmark per worker is left');

# --- waiting ---------------------------------------------------------------------------------------------
# Whoever waits while the workers are replaced is answered by the new ones.  The batch keeps what he waits for.
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event('gathered');
SELECT whisperer.create_hook('gathered', '$base/ok/gathered', batch => '{"size": 2, "wait": "10 s"}');
SELECT whisperer.deliver_event('gathered', '{}');
SQL
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/waits/, "\\echo waits\nCALL whisperer.wait_idle('${Whisperer::wait_s} s');\n\\echo :SQLSTATE ended\n");
wait_for('it to wait', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^CALL' AND wait_event = 'PgSleep'") == 1 });
set_workers(2);
like($waiter->query_until(qr/ended/, ''), qr/^00000 ended/m, 'a wait ends with the workers that were started in its middle');
is(scalar(() = $receiver->requests('/ok/gathered')), 1, 'when all is sent');
$waiter->quit;

# --- operator events --------------------------------------------------------------------------------------
# Each worker tells of its own hooks, whoever serves the hook that is told.
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event('failing');
SELECT whisperer.create_hook('failing', '$base/status/500/' || g, retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}') FROM generate_series(1, 8) g;
SELECT whisperer.create_hook('whisperer-delivery-failed', '$base/ok/operator');
SELECT whisperer.deliver_event('failing', '{}');
SQL
wait_for('all failures', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE state = 'failed'") == 8 });
wait_idle($node);
is(scalar(() = $receiver->requests('/ok/operator')), 8, 'failures of all workers are told of');
set_workers(1);

# A synchronous standby that is not there: commits with synchronous_commit = local are visible at once,
# but a failover would undo them.
my $before = () = $receiver->requests('/ok/1');
$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'absent'");
# Held by a setting of the same reload, the worker has read the other one too.
hold($node, 'before-page-snapshot');
$node->safe_psql('postgres', 'SET synchronous_commit = local; INSERT INTO item DEFAULT VALUES');
wait_held($node, 'before-page-snapshot');
release_hold($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM item'), 1501, 'the row is visible');
# Processor time in ticks, a hundred a second; a worker that looks without a pause uses all there is.
sub ticks { my $sum = 0; $sum += $_ for map { (split ' ', slurp_file("/proc/$_/stat") =~ s/.*\) //r)[11, 12] } @_; return $sum }
my @workers = split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'whisperer worker'");
my $ticks = ticks(@workers);
sleep 1;      # nothing happens: there is no condition to wait for
cmp_ok(ticks(@workers) - $ticks, '<', 40, 'the worker waits between two looks');
is(scalar(() = $receiver->requests('/ok/1')), $before, 'but what no synchronous standby has is not sent');
$node->safe_psql('postgres', 'SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
wait_for('the event', sub { (() = $receiver->requests('/ok/1')) == $before + 1 });
pass('it is sent once that is settled');

done_testing();
