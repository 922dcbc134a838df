# What each hook did, minute by minute: hook_stats and delivery_rate without a look at the ledger.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('meters');
my $receiver = new_receiver('meters');
my $base = $receiver->url('');
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub record { sql("SELECT count(whisperer.deliver_event('$_[0]', json_build_object('n', g))) FROM generate_series(1, $_[1]) g"); wait_idle($node) }

# What the view says of a hook, once it says it.
sub shows {
    my ($hook, $columns, $wanted, $what) = @_;
    my $seen = '';
    eval { wait_for($what, sub { ($seen = sql("SELECT concat_ws('|', $columns) FROM whisperer.hook_stats WHERE hook_id = $hook")) eq $wanted }) };
    is($seen, $wanted, $what);
}

sql("SELECT whisperer.register_event(e) FROM unnest('{good,bad,slow}'::text[]) e");
my $good = sql("SELECT whisperer.create_hook('good', '$base/ok/good')");
my $bad = sql("SELECT whisperer.create_hook('bad', '$base/status/500', retry_countdown_config => '{\"choice\": \"fixed\", \"kwargs\": {\"seconds\": 0}, \"max_retries\": 1}')");
my $slow = sql("SELECT whisperer.create_hook('slow', '$base/delay/300')");
my $totals = 'delivered, failed, delivered_total, failed_attempts_total, failed_total';

shows($good, $totals, '0|0|0|0|0', 'a hook that did nothing has figures');
record('good', 20);
record('bad', 3);
record('slow', 2);
shows($good, $totals, '20|0|20|0|0', 'what was delivered is counted');
shows($bad, "$totals, success_rate, last_error", '0|3|0|6|3|0.0000|HTTP status 500', 'and every attempt that failed, and every delivery');
is(sql("SELECT response_time_p50 BETWEEN '300 ms' AND '500 ms' AND response_time_p95 >= response_time_p50 AND response_time_total >= '600 ms' FROM whisperer.hook_stats WHERE hook_id = $slow"),
    't', 'response times are those that were');
is(sql("SELECT response_time_p50 < '300 ms' FROM whisperer.hook_stats WHERE hook_id = $good"), 't', 'each hook has its own');
is(sql("SELECT sum(delivered) || '|' || sum(failed_attempts) || '|' || sum(failed) FROM whisperer.delivery_rate"), '22|6|3', 'delivery_rate shows the same by minutes');
is(sql("SELECT bool_and(minute = date_trunc('minute', minute) AND minute <= now()) FROM whisperer.delivery_rate"), 't', 'of whole minutes');

# What fails without an attempt is a failure as well.
sql("SELECT whisperer.register_event('late')");
my $late = sql("SELECT whisperer.create_hook('late', '$base/ok/late')");
sql("SELECT whisperer.deliver_event('late', '{}', expires_at => now() - interval '1 s')");
shows($late, "$totals, last_error", '0|1|0|0|1|expired', 'so is a delivery that fails without an attempt');

# Somebody else's figures.
sql("CREATE ROLE ann; CREATE ROLE watcher IN ROLE pg_monitor; GRANT USAGE ON SCHEMA whisperer TO ann, watcher");
is(sql("SET ROLE ann; SELECT count(*) FROM whisperer.delivery_rate"), '0', 'a stranger sees none');
is(sql("SET ROLE watcher; SELECT sum(delivered) FROM whisperer.delivery_rate"), '22', 'a member of pg_monitor sees all');

# Another process goes on where the one before ended.
$node->restart;
record('good', 5);
shows($good, $totals, '25|0|25|0|0', 'the figures go on after a restart');
is(sql("SELECT sum(delivered) FROM whisperer.delivery_rate WHERE hook_id = $good"), '25', 'by minutes, too');
sql("ALTER SYSTEM SET whisperer.workers = 3"); $node->reload;
wait_for('three workers', sub { sql("SELECT count(*) FROM whisperer.status WHERE state = 'running'") eq '3' });
record('good', 5);
record('bad', 1);
shows($good, $totals, '30|0|30|0|0', 'and with another number of workers');
shows($bad, 'failed_attempts_total, failed_total', '8|4', 'whichever has the hook');

# More hooks than a step writes; the last steps are made at the end.
sql("SELECT whisperer.register_event('many'); SELECT count(whisperer.create_hook('many', '$base/ok/many/' || g)) FROM generate_series(1, 70) g");
record('many', 1);
wait_for('all of them', sub { sql("SELECT sum(delivered_total) FROM whisperer.hook_stats WHERE event_type = 'many'") eq '70' });
pass('many hooks are written step by step');
record('many', 1);
$node->restart;
is(sql("SELECT sum(delivered_total) FROM whisperer.hook_stats WHERE event_type = 'many'"), '140', 'a worker that ends writes all');

# One row a minute, and a day of them.
is(sql("SELECT count(*) <= 1 + extract(epoch FROM now() - min(minute)) / 60 FROM whisperer.hook_minute WHERE hook_id = $good"), 't', 'a minute has one row');
sql("INSERT INTO whisperer.hook_minute SELECT $good, date_trunc('minute', now()) - d, 1, 0, 0, '{1}', 1, 0, 0, 100 FROM unnest('{1 day 2 minutes,23 hours,2 days}'::interval[]) d");
is(sql("SELECT count(*) FROM whisperer.delivery_rate WHERE hook_id = $good AND minute <= now() - interval '24 hours'"), '0', 'a day is shown');
sql("INSERT INTO whisperer.hook_minute SELECT $slow, date_trunc('minute', now()) - interval '3 days', 1, 0, 0, '{1}', 1, 0, 0, 100");
$node->restart;
# The first row of a new minute, whichever that is: an earlier one stands for it.
sql("UPDATE whisperer.hook_minute SET minute = minute - interval '5 minutes' WHERE hook_id = $good AND minute > now() - interval '1 hour'");
record('good', 1);
wait_for('the old rows to go', sub { sql("SELECT count(*) FROM whisperer.hook_minute WHERE hook_id = $good AND minute < now() - interval '24 hours'") eq '0' });
is(sql("SELECT count(*) FROM whisperer.hook_minute WHERE hook_id = $good AND minute BETWEEN now() - interval '24 hours' AND now() - interval '22 hours'"), '1', 'what is younger stays');
is(sql("SELECT count(*) FROM whisperer.hook_minute WHERE hook_id = $slow AND minute < now() - interval '2 days'"), '1', 'a hook that does nothing keeps its totals');
shows($good, 'delivered_total', '31', 'totals outlive the day');

# No question about it reads the ledger: only what is pending is counted, by its index.
my $plan = sql("SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN SELECT * FROM whisperer.hook_stats");
unlike($plan, qr/past_attempt/, 'hook_stats does not look at attempts');
is_deeply([grep { /Scan.* on delivery_\d/ && !/delivery_\d_hook_id_next_attempt_at_event_id_idx/ } split /\n/, $plan], [], 'nor at deliveries that are not pending');

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/was terminated by signal/, 'every worker ended in order');

done_testing();
