# A hook whose row changes is loaded again: what the worker knows of how it runs stays, but for what the change is about.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('reloads', extra => "whisperer.callback_timeout = '1min'\n");
my $receiver = new_receiver('reloads');
my $base = $receiver->url('');

sub sql { return $node->safe_psql('postgres', shift) }
sub log_has { return scalar(() = slurp_file($node->logfile) =~ /$_[0]/g) }
sub arrived { return scalar(() = $receiver->requests($_[0])) }
sub record { return sql("SELECT whisperer.deliver_event('$_[0]', '{}')") }
sub hook { my ($type, $path, $more) = @_; sql("SELECT whisperer.register_event('$type')"); return sql("SELECT whisperer.create_hook('$type', '$base$path'" . ($more // '') . ')') }
sub ended { my ($hook, $state, $count) = @_; wait_for("$count that are $state", sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hook AND state = '$state'") == $count }) }
sub state_of { return sql("SELECT state FROM whisperer.hook WHERE id = $_[0]") }

# Changes what says nothing of how the hook runs.
my $changes = 0;
sub change {
    my ($hook) = @_;
    sql(sprintf q(SELECT whisperer.update_hook(%d, '{"description": "%d", "metadata_headers": [%s]}')), $hook, ++$changes, $changes % 2 ? '"time"' : '');
}
# The worker has read it afterwards.
sub load_again { change(@_); wait_idle($node) }
my $once = q(, retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
my $hourly = q(, retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 3600}, "max_retries": 3}');

# --- a circuit --------------------------------------------------------------------------------------
my $open = hook('open', '/status/500/open', $hourly);
record('open') for 1 .. 12;
wait_for('the circuit to open', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $open") eq 'open' });
wait_for('all to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $open AND error IS NOT NULL") == 12 });
load_again($open);
my ($tried, $retry_at) = (arrived('/status/500/open'), sql("SELECT circuit_retry_at FROM whisperer.hook_run WHERE hook_id = $open"));
record('open');
wait_for('the next to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $open AND error = 'circuit is open' AND retry_count = 0") });
is(arrived('/status/500/open'), $tried, 'an open circuit stays open');
like(sql("CALL whisperer.ping_hook($open)"), qr/^f\|500/, 'a probe finds nothing new');
wait_for('its next probe to be put off', sub { sql("SELECT circuit_retry_at FROM whisperer.hook_run WHERE hook_id = $open") ne $retry_at });
is(log_has("hook $open: circuit open"), 1, 'of which the log says nothing again');
$receiver->control({ path => '/status/500/open', steps => ['ok'] });
like(sql("CALL whisperer.ping_hook($open)"), qr/^t\|200/, 'and one that the receiver is back');
wait_for('the circuit to close', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $open") eq 'closed' });
is(log_has("hook $open: circuit closed"), 1, 'which closes it');

# --- what is due ------------------------------------------------------------------------------------
my $later = hook('later', '/fail-first/2/500/later', q(, retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 1}}'));
record('later');
wait_for('its first attempt', sub { arrived('/fail-first/2/500/later') });
load_again($later);
wait_for('the second', sub { arrived('/fail-first/2/500/later') == 2 });
load_again($later);
ended($later, 'delivered', 1);
is(arrived('/fail-first/2/500/later'), 3, 'what waits for another attempt has it, once');
is(state_of($later), 'active', 'and the hook is active');

# --- lines ------------------------------------------------------------------------------------------
my $lined = hook('lined', '/fail-first/1/500/lined', q(, ordering => 'hook', retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.5}}'));
my @events = map { record('lined') } 1 .. 3;
wait_for('the first attempt of the head', sub { arrived('/fail-first/1/500/lined') });
load_again($lined);
ended($lined, 'delivered', 3);
my @came = map { JSON::PP::decode_json($_->{body})->{event}{uuid} } $receiver->requests('/fail-first/1/500/lined');
is("@came", join(' ', map { s/-//gr } map { ($_, $_) } @events), 'a line keeps its order');

# What lines wait for is the hook's rate, until it has another: here for a quarter of an hour.
my $spaced = hook('spaced', '/ok/spaced', ", ordering => 'key', rate_limit => 0.001");
sql("CREATE TABLE thing (id int PRIMARY KEY); CREATE TRIGGER thing AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('spaced')");
sql('INSERT INTO thing SELECT generate_series(1, 6)');
ended($spaced, 'delivered', 1);
wait_for('the heads that are spaced', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $spaced AND error = 'rate limit'") >= 4 });
sql('INSERT INTO thing SELECT generate_series(11, 16)');
ended($spaced, 'pending', 11);
change($spaced);
# The worker goes on meanwhile, and looks at all lines.
record('later');
ended($later, 'delivered', 2);
is(arrived('/ok/spaced'), 1, 'lines wait for the rate');
sql(qq(SELECT whisperer.update_hook($spaced, '{"rate_limit": 100}')));
ended($spaced, 'delivered', 12);
pass('until that is another');

# --- functions --------------------------------------------------------------------------------------
# That a hook's first call begins is noted, lest the server crash in it.  Here each waits for a lock.
sql(q(CREATE FUNCTION locked(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_advisory_xact_lock(1)'));
my $called = hook('called', '/ok/called', "$once, transform => 'public.locked'");
my $lock = $node->background_psql('postgres');
for my $call (1, 2) {
    $lock->query_safe('SELECT pg_advisory_lock(1)');
    record('called');
    wait_for('the call', sub { sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer helper' AND wait_event = 'advisory'") });
    is(sql("SELECT count(function_began) FROM whisperer.hook_run WHERE hook_id = $called"), $call == 1 ? 1 : 0, $call == 1 ? 'a first call is noted' : 'no other is');
    $lock->query_safe('SELECT pg_advisory_unlock(1)');
    ended($called, 'delivered', $call);
    wait_for('its end to be noted', sub { sql("SELECT count(function_began) FROM whisperer.hook_run WHERE hook_id = $called") == 0 });
    load_again($called);
}
$lock->quit;

sql("ALTER SYSTEM SET whisperer.callback_timeout = '100ms'");
$node->reload;
sql(q(CREATE FUNCTION shape(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_sleep(600)'));
my $slow = hook('slow', '/ok/slow', "$once, transform => 'public.shape'");
sub time_out { my ($count) = @_; record('slow'); wait_for("$count time-outs", sub { sql("SELECT function_timeouts FROM whisperer.hook_run WHERE hook_id = $slow") eq $count }) }
for my $count (1 .. 9) {
    time_out($count);
    load_again($slow);
}
is(state_of($slow), 'active', 'time-outs are counted on');
time_out(10);
wait_for('the hook to be disabled', sub { state_of($slow) eq 'disabled' });
is(sql("SELECT state_reason FROM whisperer.hook WHERE id = $slow"), 'ten time-outs of its functions in a row', 'the tenth disables the hook');
sql("SELECT whisperer.resume_hook($slow)");
time_out(1);
is(state_of($slow), 'active', 'and after resume_hook they are counted anew');

# --- failures ---------------------------------------------------------------------------------------
sql("ALTER SYSTEM SET whisperer.disable_after = '2s'; ALTER SYSTEM SET whisperer.circuit_breaker = off");
$node->reload;
my $failing = hook('failing', '/status/500/failing', q(, retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 1000}'));
record('failing');
wait_for('the hook to be disabled', sub { change($failing); state_of($failing) eq 'disabled' });
like(sql("SELECT state_reason FROM whisperer.hook WHERE id = $failing"), qr/^nothing but failures for \d+ s/, 'nor is forgotten since when there is nothing but failures');

# --- resumed before the worker has loaded what it wrote itself ----------------------------------------
# The disabling is committed while the worker is held.
sub disabled_and_resumed {
    my ($hook, $act) = @_;
    hold($node, 'after-ledger');
    $act->();
    wait_held($node, 'after-ledger');
    is(state_of($hook), 'disabled', 'the hook is disabled');
    sql("SELECT whisperer.resume_hook($hook)");
    release_hold($node);
    wait_idle($node);
}
my $dying = hook('dying', '/status/500/dying', $once);
record('dying');
ended($dying, 'failed', 1);
wait_for('it to fail for long', sub { sql("SELECT max(requested_at) < now() - interval '2.1 s' FROM whisperer.attempt WHERE hook_id = $dying") eq 't' });
disabled_and_resumed($dying, sub { record('dying') });
record('dying');
ended($dying, 'failed', 3);
wait_idle($node);
is(state_of($dying), 'active', 'after resume_hook the time of failures begins anew');

sql("CREATE FUNCTION shape_too(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_sleep(600)'");
$slow = hook('slow_too', '/ok/slow_too', "$once, transform => 'public.shape_too'");
for my $count (1 .. 9) {
    record('slow_too');
    ended($slow, 'failed', $count);
}
disabled_and_resumed($slow, sub { record('slow_too') });
sql("CREATE OR REPLACE FUNCTION shape_too(event json) RETURNS json LANGUAGE sql AS 'SELECT event'");
record('slow_too');
ended($slow, 'delivered', 1);
is(state_of($slow), 'active', 'and so do time-outs');

# --- what is told once --------------------------------------------------------------------------------
my $unserved = hook('unserved', '/ok/unserved', "$once, secret_key => 'secret'");
sql("UPDATE whisperer.secret SET secret_key = 'whsec_no base64!' WHERE hook_id = $unserved");
load_again($unserved) for 1 .. 3;
is(log_has("hook $unserved cannot be served"), 1, 'why a hook cannot be served is told once');

my $refused = hook('refused', '/ok/refused', $hourly);
sql("ALTER SYSTEM SET whisperer.allowed_networks = ''");
$node->reload;
# The first may still be sent.
my $refusals = 0;
for (1 .. 3) {
    my $before = $refusals;
    wait_for('a refusal', sub { record('refused'); wait_idle($node); $before < ($refusals = sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $refused AND error LIKE '%whisperer.allowed_networks%'")) });
    load_again($refused);
}
is(log_has("LOG:  whisperer: hook $refused: "), 1, 'that nothing may be sent to its address, too');

done_testing();
