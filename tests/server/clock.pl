# A clock that is wrong: ids of events grow all the same, so an ordered hook ends with the last value; and nothing
# that waits waits for as long as the clock was set back.
use strict;
use warnings;
use Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WallClock;
use Whisperer;

my $node = new_node('clock', init => { allows_streaming => 1 });
sub sql { return $node->safe_psql('postgres', shift) }
my $deliver = q(SELECT whisperer.deliver_event('e', '{}'));
sql(q(SELECT whisperer.register_event('e')));

# --- a standby whose clock is behind is promoted: its log has ids of the future ------------------------
# A row of the log as its primary would have written it.
sub plant { sql("INSERT INTO whisperer.outbox (id, event_type, data) VALUES (whisperer.event_id_bound(now() + '$_[0]'), 'e', '{}')") }
plant('1 minute');
$node->restart;
my ($first, $second) = map { sql($deliver) } 1, 2;
is(sql("SELECT count(*) FROM whisperer.outbox WHERE id > '$first'"), 1, 'after a start ids go on behind the newest of the log');
cmp_ok($second, 'gt', $first, 'in every session');
plant('1 day');
$node->restart;
cmp_ok(sql($deliver), 'gt', $second, 'an id of a clock that was a day ahead');
is(sql("SELECT count(*) FROM whisperer.outbox WHERE id < whisperer.event_id_bound(now() + '1 hour')"), 4, 'moves none');
is(sql("SELECT count(DISTINCT id) FROM (SELECT whisperer_internal.new_event_id() AS id FROM generate_series(1, 100000)) n"), 100000, 'ids are unique');

# Without a row in between: what was recorded up to now is recovered, whatever its id says.
my $receiver = new_receiver('clock');
my ($scripted, $ordered) = map { $receiver->url($_) } '/script/e', '/ok/item';
my $once = q('{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
sql("SELECT whisperer.create_hook('e', '$scripted', retry_countdown_config => $once)");
$receiver->control({ path => '/script/e', steps => [ 'status/500', 'ok' ] });
sql($deliver);
wait_for('the failure', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'failed'") == 1 });
is(sql("SELECT whisperer.recover(1, now() - interval '1 day')"), 1, 'recover() finds it');
wait_for('the recovery', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered'") == 1 });

# --- the clock itself is set ------------------------------------------------------------------------
my $clock = WallClock->new;
sub set_clock {
    my ($ahead_s) = @_;
    $clock->set($ahead_s);
    wait_for('the clock', sub { abs(sql('SELECT extract(epoch FROM clock_timestamp())') - time - $ahead_s) < 8 });
}
$clock->restart($node);
sql(q(CREATE TABLE item (value int); INSERT INTO item VALUES (0); SELECT whisperer.register_event('item');
    CREATE TRIGGER item AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item')));
sql("SELECT whisperer.create_hook('item', '$ordered', ordering => 'hook')");
my $bump = sub { sql('UPDATE item SET value = value + 1') };
my $received = sub { join ' ', map { JSON::PP::decode_json($_->{body})->{data}{value} } $receiver->requests('/ok/item') };
my $order = q(SELECT string_agg(data->>'value', ' ' ORDER BY id) FROM whisperer.outbox WHERE event_type = 'item');
sql('SELECT whisperer.pause()');
set_clock(20);
$bump->();
set_clock(0);
$bump->() for 1, 2;
is(sql($order), '1 2 3', 'after the clock was set back ids still grow');
sql('SELECT whisperer.resume()');
wait_idle($node);
is($received->(), '1 2 3', 'and an ordered hook ends with the last value');

set_clock(2 * 86400);
$bump->();
set_clock(0);
$bump->();
like(slurp_file($node->logfile), qr/event ids follow the clock again/, 'a clock that was far ahead is not followed, and the log says so');
is(sql(q(SELECT max(left(id::text, 13)) < whisperer.event_id_bound(clock_timestamp() + '1 hour')::text FROM whisperer.outbox WHERE event_type = 'item' AND data->>'value' = '5')),
    't', 'for longer than it was wrong');

# --- a worker that fails waits before it starts again, by a clock that nobody sets ----------------
set_clock(86400);
sql('ALTER TABLE whisperer.hook_run RENAME TO away');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'whisperer worker'");
wait_for('three failures', sub { 3 <= (() = slurp_file($node->logfile) =~ /whisperer.hook_run" does not exist/g) });
set_clock(0);
sql('ALTER TABLE whisperer.away RENAME TO hook_run');
worker_pid($node);
pass('a worker comes back although the clock was set back by a day');

# --- durations: for how long a hook has failed, and when an attempt is made again ---------------------------
sub state_of { return sql("SELECT state FROM whisperer.hook WHERE id = $_[0]") }
sub attempts { return sql("SELECT coalesce(sum(retry_count), 0) FROM whisperer.delivery WHERE hook_id = $_[0]") }
sub fail_once {
    my ($hook, $type) = @_;
    my $before = attempts($hook);
    sql("SELECT whisperer.deliver_event('$type', '{}')");
    wait_for('an attempt', sub { attempts($hook) > $before });
}
sql('ALTER SYSTEM SET whisperer.circuit_breaker = off');
$node->reload;
sql("SELECT whisperer.register_event(t) FROM unnest('{failing,again,later,told}'::text[]) t");
my $failing = sql("SELECT whisperer.create_hook('failing', '@{[ $receiver->url('/status/500/failing') ]}', retry_countdown_config => $once)");
fail_once($failing, 'failing');
set_clock(10 * 86400);
fail_once($failing, 'failing');
fail_once($failing, 'failing');
is(state_of($failing), 'active', 'a clock that is set forward by ten days disables no hook');
set_clock(0);

# As if it had failed for an hour.
sql("INSERT INTO whisperer.hook_run AS r (hook_id, failing_since, failing_for) VALUES ($failing, now() - interval '1 h', '1 h')
    ON CONFLICT (hook_id) DO UPDATE SET failing_since = excluded.failing_since, failing_for = excluded.failing_for");
sub restart_worker {
    my $pid = worker_pid($node);
    sql("SELECT pg_terminate_backend($pid)");
    wait_for('another worker', sub { worker_pid($node) != $pid });
}
my $failing_for = "SELECT round(extract(epoch FROM clock_timestamp() - failing_since) / 3600) FROM whisperer.hook_run WHERE hook_id = $failing";
restart_worker();
fail_once($failing, 'failing');
set_clock(10 * 86400);
fail_once($failing, 'failing');
wait_for('what hook_run says to follow the clock', sub { sql($failing_for) == 1 });
is(state_of($failing), 'active', 'nor one that fails since before the worker began');
restart_worker();
fail_once($failing, 'failing');
is(state_of($failing), 'active', 'nor does a worker that begins by such a clock');
set_clock(0);
fail_once($failing, 'failing');
wait_for('hook_run to follow it back', sub { sql($failing_for) == 1 });
$node->stop;
{
    local $ENV{LD_PRELOAD} = $clock->library;
    $clock->set(10 * 86400);
    $node->start;
}
fail_once($failing, 'failing');
is(state_of($failing), 'active', 'nor does a server that starts by one');

# The clock is ten days ahead now, when an attempt fails and the next is due in ten seconds.  Nothing is sent until it is right.
my $again = sql("SELECT whisperer.create_hook('again', '@{[ $receiver->url('/script/again') ]}', retry_countdown_config => '{\"choice\": \"fixed\", \"kwargs\": {\"seconds\": 10}}')");
my $later = sql("SELECT whisperer.create_hook('later', '@{[ $receiver->url('/ok/later') ]}')");
sub count_again { my ($condition) = @_; return sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $again AND $condition") }
sub fail_and_pause {
    $receiver->control({ path => '/script/again', steps => [ 'status/500', 'ok' ] });
    attempt_and_pause('again');
}
sub attempt_and_pause {
    my ($type) = @_;
    hold($node, 'after-ledger');
    sql("SELECT whisperer.deliver_event('$type', '{}')");
    wait_held($node, 'after-ledger');
    sql('SELECT whisperer.pause()');
    release_hold($node);
    wait_for('the pause', sub { sql(q(SELECT state FROM whisperer.status WHERE pid IS NOT NULL)) eq 'paused' });
}
sql(q(SELECT whisperer.deliver_event('later', '{}', deliver_at => clock_timestamp() + interval '1 h')));
wait_for('the later one', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $later AND state = 'pending'") == 1 });
my $named = sql("SELECT next_attempt_at FROM whisperer.delivery WHERE hook_id = $later");
fail_and_pause();
is(count_again("state = 'pending' AND retry_count = 1 AND next_attempt_at > clock_timestamp() - interval '1 h'"), 1, 'an attempt is to be made again by a clock that is ahead');
set_clock(0);
sql('SELECT whisperer.resume()');
wait_for('the next attempt', sub { count_again("state = 'delivered'") == 1 });
pass('it does not wait until the clock gets there');
is(sql("SELECT next_attempt_at FROM whisperer.delivery WHERE hook_id = $later"), $named, 'an event for later waits for the time that was named');

# The same when the clock is right again before a worker begins.
set_clock(10 * 86400);
fail_and_pause();
sql('ALTER SYSTEM SET whisperer.enabled = off');
$node->reload;
wait_for('the worker to leave', sub { sql("SELECT count(*) FROM whisperer.status WHERE state = 'down'") == 1 });
set_clock(0);
sql('SELECT whisperer.resume()');
sql('ALTER SYSTEM RESET whisperer.enabled');
$node->reload;
wait_for('the next attempt', sub { count_again("state = 'delivered'") == 2 });
pass('nor does it for a worker that begins when the clock is right again');

# What was only put off has had no attempt.
my $slow = sql("SELECT whisperer.register_event('slow'), whisperer.create_hook('slow', '@{[ $receiver->url('/ok/slow') ]}', rate_limit => 0.5)") =~ s/.*\|//r;
set_clock(10 * 86400);
sql(q(SELECT count(whisperer.deliver_event('slow', '{}')) FROM generate_series(1, 4)));
wait_for('some to be put off', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $slow AND state = 'pending' AND error = 'rate limit' AND next_attempt_at > clock_timestamp()") });
set_clock(0);
wait_for('them', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $slow AND state = 'delivered'") == 4 });
pass('what was put off by such a clock goes out');

# What has ended, and its callback was not called yet.
sql(qq(CREATE TABLE called (how json); CREATE FUNCTION call(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS 'INSERT INTO public.called VALUES (data)';
    SELECT whisperer.create_hook('told', '@{[ $receiver->url('/ok/told') ]}', callback => 'public.call')));
set_clock(10 * 86400);
attempt_and_pause('told');
is(sql('SELECT count(*) FROM called'), 0, 'a callback that waits');
set_clock(0);
sql('SELECT whisperer.resume()');
wait_for('the callback', sub { sql('SELECT count(*) FROM called') == 1 });
pass('is called when the clock is right again');

# --- a machine that starts without a clock: before 2000, where PostgreSQL counts time backwards -----------
set_clock(-28 * 365 * 86400);
my $known = () = $receiver->requests('/ok/item');
$bump->();
is(sql(q(SELECT count(*) FROM whisperer.outbox WHERE created_at < '2000-01-01')), 1, 'an event is recorded in a year before 2000');
wait_for('it to be delivered', sub { $known < (() = $receiver->requests('/ok/item')) });
pass('and delivered');
set_clock(0);

# --- a standby whose clock is behind: who asks there for an id, in vain, does not count as having seen the log ----
$node->backup('b');
my $standby = Cluster->new('behind');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
my $early = $standby->background_psql('postgres', on_error_stop => 0);
$early->query_safe('SELECT whisperer_internal.new_event_id()');
my (undef, undef, $refused) = $standby->psql('postgres', $deliver);
like($refused, qr/ERROR:  cannot execute .* in a read-only transaction|recovery/, 'a standby records nothing');
set_clock(600);
my $ahead = sql($deliver);
$node->wait_for_catchup($standby);
$node->stop;
$standby->promote;
my $after = $early->query_safe($deliver);
cmp_ok($after, 'gt', $ahead, 'after the promotion ids go on behind those of the primary, in a session from before it');
cmp_ok($standby->safe_psql('postgres', $deliver), 'gt', $ahead, 'and in a new one');
$early->quit;
done_testing();
