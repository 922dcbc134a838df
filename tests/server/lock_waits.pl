# The worker looks for deadlocks after 10 ms, which is also when PostgreSQL logs that somebody waits for a lock (log_lock_waits,
# from 19 on by default): its waits are no news.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('lock_waits', extra => "log_lock_waits = on\nwhisperer.retention = '1d'");
my $receiver = new_receiver('lock_waits');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e'); SELECT whisperer.create_hook('e', '" . $receiver->url('/ok') . "')");
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE whisperer.delivery IN SHARE MODE');
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', '{}')");
wait_for('the worker to wait for ten times as long', sub {
    $node->safe_psql('postgres', <<'SQL') eq 't';
SELECT true FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'whisperer worker' AND NOT l.granted AND clock_timestamp() - l.waitstart > '100 ms'
SQL
});
$locker->query_safe('COMMIT');
$locker->quit;
wait_idle($node);
unlike(slurp_file($node->logfile), qr/(still waiting for|acquired) \w+Lock/, 'a lock that the worker waited for is in no log');

wait_for('status', sub { $node->safe_psql('postgres', 'SELECT longest_turn_seconds >= 0.1 FROM whisperer.status') eq 't' });
pass('status says how long that turn took');

done_testing();
