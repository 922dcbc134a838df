# The worker's own limit of memory (RLIMIT_DATA): with more hooks at their limits than there is room for, and with a
# setting that is made smaller than what the worker has.  The server goes on, and so do those hooks that fit.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('worker_memory', extra => <<'CONF');
whisperer.worker_memory = '160MB'
whisperer.max_queued_bytes = '1MB'
whisperer.max_payload = '1MB'
whisperer.poll_interval = 100ms
log_statement = none
restart_after_crash = on
CONF
my $receiver = new_receiver('worker_memory');
my $base = $receiver->url('');
sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query) }
sub logged { my ($pattern) = @_; return scalar(() = slurp_file($node->logfile) =~ /$pattern/g) }
sub outcome { my ($state) = @_; return sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'many' AND d.state = '$state'") }
sub set_memory {
    my ($size) = @_;
    sql("ALTER SYSTEM SET whisperer.worker_memory = '$size'");
    $node->reload;
    wait_for('the setting', sub { sql('SHOW whisperer.worker_memory') eq $size });
}
my $started = sql('SELECT pg_postmaster_start_time()');
my $worker = worker_pid($node);

# --- many hooks at their limits -------------------------------------------------------------------------------
# Of each some 85 kB are counted, 125 MB in all, and a quarter of 160 MB may be theirs.
my $hooks = 1500;
sql(<<"SQL");
SELECT whisperer.register_event(t) FROM unnest('{many,few,large}'::text[]) t;
SELECT whisperer.create_hook('few', '$base/ok/few');
SELECT whisperer.create_hook('large', '$base/ok/large', filter => '{"n": 1}');
SELECT count(whisperer.create_hook('many', '$base/ok/many/' || g, secret_key => repeat('s', 1000), config => jsonb_build_object('x', repeat('y', 8000)),
    filter => jsonb_build_object('n', 1, 'x', (SELECT jsonb_agg(i % 10) FROM generate_series(1, 2500) i)))) FROM generate_series(1, $hooks) g;
SQL
my $one = q(SELECT whisperer.deliver_event('many', json_build_object('n', 1, 'x', (SELECT json_agg(i) FROM generate_series(0, 9) i))));
sql($one);
wait_for('a result or a row for each', sub { outcome('delivered') + outcome('pending') == $hooks && outcome('delivered') > 300 });
# As large as an event may be, and the most values that so many bytes can be.
sql(q(SELECT whisperer.deliver_event('large', ('{"n": 1, "x": [' || repeat('[],', 340000) || '0]}')::json)));
sql(q(SELECT whisperer.deliver_event('few', '{"n": 1}')));
wait_for('the others', sub { () = $receiver->requests('/ok/few') });
wait_for('the large one', sub { () = $receiver->requests('/ok/large') });
cmp_ok(logged(qr/cannot be served, its deliveries wait: the hooks take a quarter of whisperer.worker_memory/), '>', 900, 'what there is no room for is said of each hook');
cmp_ok(outcome('delivered'), '<', 600, 'and waits, while the others get their events');
is(worker_pid($node), $worker, 'in all that the worker was the same');
is(logged(qr/out of memory/), 0, 'it lacked nothing');

# --- a setting that is made small -----------------------------------------------------------------------------
set_memory('1GB');
wait_for('all of them', sub { outcome('delivered') >= $hooks });
my $resident_kb = (slurp_file("/proc/" . worker_pid($node) . "/status") =~ /VmData:\s+(\d+)/)[0];
note "the worker has $resident_kb kB with all hooks";
set_memory('16MB');
sql(q(SELECT whisperer.deliver_event('few', '{"n": 2}')));
wait_for('the others', sub { 2 == (() = $receiver->requests('/ok/few')) });
pass('a worker whose memory was taken away goes on with what fits');
cmp_ok(logged(qr/background worker "whisperer worker.*exited with exit code/), '<=', 2, 'it may have begun again for that');
$worker = worker_pid($node);
sql(q(SELECT whisperer.deliver_event('few', '{"n": 3}')));
wait_for('the next', sub { 3 == (() = $receiver->requests('/ok/few')) });
is(worker_pid($node), $worker, 'and then no more');
is(logged(qr/terminated by signal/), 0, 'no process was killed');
is(sql('SELECT pg_postmaster_start_time()'), $started, 'the server is the same');
set_memory('1GB');
wait_idle($node);
is(outcome('pending'), 0, 'with the memory all is delivered');
done_testing();
