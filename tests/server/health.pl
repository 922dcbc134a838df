# A receiver that fails again and again: its circuit, its rate, when it is disabled, and who is told.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('health');
my $receiver = new_receiver('health');
my $base = $receiver->url('');

sub sql { return $node->safe_psql('postgres', shift) }
sub record { return sql(qq(SELECT whisperer.deliver_event('$_[0]', '{"note": "$_[1]"}'))) }
sub log_has { return scalar(() = slurp_file($node->logfile) =~ /$_[0]/g) }

sub bodies { return map { JSON::PP::decode_json($_->{body}) } $receiver->requests($_[0]) }

my $soon = q({"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 1000});
sql("SELECT whisperer.register_event(e) FROM unnest('{bad,slow,gone,good}'::text[]) e");
sql("SELECT whisperer.create_hook('good', '$base/ok/good')");

# --- circuit --------------------------------------------------------------------------------------
my $bad = sql("SELECT whisperer.create_hook('bad', '$base/status/500/bad', retry_countdown_config => '$soon')");
record('bad', $_) for 1 .. 3;
wait_for('the circuit to open', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $bad") eq 'open' });
is(log_has("hook $bad: circuit open: \\d+ of \\d+ attempts failed"), 1, 'an open circuit is one line of the log');
my $attempts = () = $receiver->requests('/status/500/bad');
record('bad', 'meanwhile');
wait_for('the event to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $bad AND error = 'circuit is open'") > 0 });
is(scalar(() = $receiver->requests('/status/500/bad')), $attempts, 'while it is open nothing is sent');
my $aside = sql("SELECT event_id FROM whisperer.delivery WHERE hook_id = $bad AND error = 'circuit is open' AND retry_count = 0 LIMIT 1");
sub why_aside { return sql("SELECT whisperer.why('$aside', $bad)") }
like(why_aside(), qr/^waits: the circuit is open, one attempt is made at [^;]*$/, 'why calls that no error');
# What the words of an error are changes nothing, here and below: numbers are asked.
sql("UPDATE whisperer.delivery SET error = 'worded otherwise' WHERE event_id = '$aside'");
like(why_aside(), qr/^waits: the circuit is open, one attempt is made at [^;]*$/, 'whatever it is called');
sql("UPDATE whisperer.delivery SET error = 'circuit is open', error_code = NULL WHERE event_id = '$aside'");
like(why_aside(), qr/; last error: circuit is open$/, 'but an error that is called so is one');
record('good', 'unharmed');
wait_for('the other hook', sub { () = $receiver->requests('/ok/good') });
wait_for('the figures', sub { sql("SELECT last_error FROM whisperer.hook_stats WHERE hook_id = $bad") ne '' });
my $stats = sql("SELECT pending, circuit_reason, last_error FROM whisperer.hook_stats WHERE hook_id = $bad");
like($stats, qr/^4\|\d+ of \d+ attempts failed within 5 min\|HTTP status 500$/, 'hook_stats shows it');
sql(qq(SELECT whisperer.update_hook($bad, '{"target_url": "$base/ok/mended"}')));
wait_for('the circuit to close', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $bad") eq 'closed' });
is(log_has("hook $bad: circuit closed"), 1, 'another receiver closes it');
sql("SELECT count(whisperer.retry(event_id, hook_id, true)) FROM whisperer.delivery WHERE hook_id = $bad");
wait_idle($node);
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $bad AND state = 'delivered'"), 4, 'and gets what waited');

# What waited for another attempt when it opened is put off once more, and still says what the last one met.
sql("SELECT whisperer.register_event('many')");
my $many = sql("SELECT whisperer.create_hook('many', '$base/status/500/many', retry_countdown_config => '$soon')");
record('many', $_) for 1 .. 40;
wait_for('the circuit to open', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $many") eq 'open' });
wait_for('all of them to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $many AND error IS NOT NULL") == 40 });
is(sql("SELECT string_agg(DISTINCT error, ',') FROM whisperer.delivery WHERE hook_id = $many AND retry_count > 0"), 'HTTP status 500', 'what an attempt met is not hidden');

# An ordered hook waits for its circuit, too, and for nothing once another receiver has closed it: it is served
# before the circuit that opened earlier lets a probe through.
sql("SELECT whisperer.register_event('lined')");
my $lined = sql("SELECT whisperer.create_hook('lined', '$base/status/500/lined', ordering => 'hook', retry_countdown_config => '$soon')");
record('lined', $_) for 1 .. 3;
wait_for('the circuit to open', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $lined") eq 'open' });
wait_for('its first delivery to be overdue', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $lined AND next_attempt_at < now() - interval '1 s'") == 1 });
my $probes = () = $receiver->requests('/status/500/many');
sql(qq(SELECT whisperer.update_hook($lined, '{"target_url": "$base/ok/lined"}')));
wait_for('the line to move', sub { () = $receiver->requests('/ok/lined') });
is(scalar(() = $receiver->requests('/status/500/many')), $probes, 'an ordered hook does not wait for a circuit that has closed');
sql("SELECT whisperer.delete_hook($many); SELECT whisperer.delete_hook($lined)");

# A receiver that is back is known to be back by the next minute, whatever its deliveries wait for: here an
# hour.  Whoever asks need not wait for that.
my $hour = q({"choice": "fixed", "kwargs": {"seconds": 3600}, "max_retries": 2});
sub state_of { return sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $_[0]") }
sub open_circuit {
    my ($name, $more, $make) = @_;
    sql("SELECT whisperer.register_event('$name')");
    my $hook = sql("SELECT whisperer.create_hook('$name', '$base/status/500/$name', retry_countdown_config => '$hour'$more)");
    $make ? $make->() : map { record($name, $_) } 1 .. 12;
    wait_for('the circuit to open', sub { state_of($hook) eq 'open' });
    wait_for('all to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hook AND state = 'pending' AND error IS NOT NULL") == 12 });
    return $hook;
}
my $unasked = open_circuit('unasked', '');
$receiver->control({ path => '/status/500/unasked', steps => ['ok'] });
my $back = open_circuit('back', '');
is(sql("CALL whisperer.ping_hook($back)"), "f|500|" . sql("SELECT response_time FROM whisperer.attempt WHERE hook_id = $back ORDER BY requested_at DESC LIMIT 1") . '|status 500|HTTP status 500',
    'a ping is sent to an open circuit');
is(state_of($back), 'open', 'which stays open when it fails');
# What never went out would be the probe.
sql("UPDATE whisperer.delivery SET next_attempt_at = now() + interval '2 hours' WHERE hook_id = $back AND error = 'circuit is open'");
my $tried = () = $receiver->requests('/status/500/back');
sql("SELECT whisperer.resume_hook($back)");
wait_for('the probe', sub { $tried < (() = $receiver->requests('/status/500/back')) });
wait_for('its result', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $back AND retry_count = 2") == 1 });
is(sql("SELECT round_start || ' ' || cardinality(request_datetimes) || ' ' || (next_attempt_at > now() + interval '55 min') FROM whisperer.delivery WHERE hook_id = $back AND retry_count = 2"),
    '1 2 true', 'resume_hook has the first in turn probe it, which costs that nothing of its countdown');
is(sql("SELECT count(*) FROM whisperer.attempt a JOIN whisperer.delivery d USING (event_id, hook_id) WHERE hook_id = $back AND retry_count = 2"), 2, 'and is an attempt as others');
$receiver->control({ path => '/status/500/back', steps => ['ok'] });
is(substr(sql("CALL whisperer.ping_hook($back)"), 0, 6), 't|200|', 'a ping shows that it is back');
wait_for('what waited for the circuit alone', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $back AND state = 'delivered'") >= 3 });
is(state_of($back), 'closed', 'and closes the circuit');

# Nor do those that are for later, however many of them come first.
my $crowded = open_circuit('crowded', '');
sql("UPDATE whisperer.delivery SET next_attempt_at = now() + interval '2 hours' WHERE hook_id = $crowded AND error = 'circuit is open'");
sql(q(SELECT count(whisperer.deliver_event('crowded', '{}', deliver_at => now() + '30 min')) FROM generate_series(1, 70)));
wait_for('what is for later', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $crowded AND state = 'pending'") == 82 });
$tried = () = $receiver->requests('/status/500/crowded');
sql("SELECT whisperer.resume_hook($crowded)");
wait_for('the probe', sub { $tried < (() = $receiver->requests('/status/500/crowded')) });
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $crowded AND retry_count = 0 AND next_attempt_at < now() + interval '1 h'"), 70, 'what is for later hides nothing that can probe, and does not itself');
sql("SELECT whisperer.delete_hook($crowded)");

my $forced = open_circuit('forced', '');
sql(qq(SELECT whisperer.update_hook($forced, '{"retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 3600}, "give_up": [500]}}')));
sql("SELECT whisperer.resume_hook($forced)");
wait_for('the probe', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $forced AND state = 'failed'") == 1 });
pass('a probe ends its delivery where the hook gives up on its answer');
$receiver->control({ path => '/status/500/forced', steps => ['ok'] });
sql("SELECT whisperer.retry((SELECT event_id FROM whisperer.delivery WHERE hook_id = $forced ORDER BY next_attempt_at DESC LIMIT 1), $forced, force => true)");
wait_for('the circuit to close', sub { state_of($forced) eq 'closed' });
pass('retry(force) has it probed at once');

# Of an ordered hook a head is the probe, which stays the head.
sql("CREATE TABLE thing (id int PRIMARY KEY); CREATE TRIGGER thing AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('row')");
my $row = open_circuit('row', ", ordering => 'key'", sub { sql('INSERT INTO thing SELECT generate_series(1, 12)') });
sql("DELETE FROM whisperer.delivery WHERE hook_id = $row AND retry_count = 0");
$tried = () = $receiver->requests('/status/500/row');
sql("SELECT whisperer.resume_hook($row)");
wait_for('the probe', sub { $tried < (() = $receiver->requests('/status/500/row')) });
$receiver->control({ path => '/status/500/row', steps => ['ok'] });
wait_for('its result', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $row AND retry_count = 2 AND round_start = 1 AND line IS NOT NULL") == 1 });
sql("SELECT whisperer.resume_hook($row)");
wait_for('the circuit to close', sub { state_of($row) eq 'closed' });
is(sql("SELECT string_agg(retry_count || ' ' || state, ',') FROM whisperer.delivery WHERE hook_id = $row AND retry_count <> 1"), '3 delivered', 'a line goes on with its head');
sql("SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE id IN ($back, $forced, $row)");

wait_for('the probe in its time', sub { state_of($unasked) eq 'closed' });
is(sql("SELECT count(*) > 0 FROM whisperer.delivery WHERE hook_id = $unasked AND state = 'delivered'"), 't', 'nobody need ask: it is probed in its time');
sql("SELECT whisperer.delete_hook($unasked)");

# A worker that starts anew knows of no circuit.
sql(qq(SELECT whisperer.update_hook($bad, '{"target_url": "$base/status/500/again"}')));
record('bad', $_) for 1 .. 3;
wait_for('the circuit to open', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $bad") eq 'open' });
$node->restart;
wait_for('hook_stats to forget it', sub { sql("SELECT circuit FROM whisperer.hook_stats WHERE hook_id = $bad") eq 'closed' });
pass('a new worker begins with a closed circuit');
sql("SELECT whisperer.delete_hook($bad)");

# --- rate limit -----------------------------------------------------------------------------------
sql("SELECT whisperer.create_hook('slow', '$base/ok/limited', rate_limit => 20)");
sql(q(SELECT count(whisperer.deliver_event('slow', json_build_object('note', g))) FROM generate_series(1, 60) g));
record('good', 'beside');
wait_idle($node);
my @times = map { $_->{at_us} / 1000 } $receiver->requests('/ok/limited');
is(scalar @times, 60, 'a hook with a rate limit gets everything');
# A bucket of 20, refilled with 20 a second: 60 requests cannot be made in less than 2 s.
cmp_ok($times[-1] - $times[0], '>=', 1900, 'no faster than it allows');
my ($status, $out, $error) = $node->psql('postgres', "SELECT whisperer.create_hook('slow', '$base/x', rate_limit => 0)");
like($error, qr/rate_limit must be from 0.001/, 'a rate limit of nothing is refused');
# What was spaced by one rate does not keep to it under another; one an hour and a half apart would be.
sql("SELECT whisperer.register_event('hourly')");
my $hourly = sql("SELECT whisperer.create_hook('hourly', '$base/ok/hourly', rate_limit => 0.001)");
sql("SELECT count(whisperer.deliver_event('hourly', '{}')) FROM generate_series(1, 6)");
wait_for('the rest to be spaced', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hourly AND state = 'pending' AND error = 'rate limit' AND next_attempt_at > now() + interval '10 min'") >= 4 });
is(sql("SELECT DISTINCT error_code FROM whisperer.delivery WHERE hook_id = $hourly AND error = 'rate limit'"), 1, 'with the number of a rate limit');
my $alike = sql("SELECT event_id FROM whisperer.delivery WHERE hook_id = $hourly AND error = 'rate limit' ORDER BY next_attempt_at DESC LIMIT 1");
sql("UPDATE whisperer.delivery SET error = 'worded otherwise' WHERE hook_id = $hourly AND state = 'pending';
    UPDATE whisperer.delivery SET error = 'rate limit', error_code = NULL WHERE event_id = '$alike'");
sql(qq(SELECT whisperer.update_hook($hourly, '{"rate_limit": 100}')));
wait_for('all that it spaced', sub { (() = $receiver->requests('/ok/hourly')) == 5 });
pass('a new rate is that of what waits already');
is(sql("SELECT state, next_attempt_at > now() + interval '30 min' FROM whisperer.delivery WHERE event_id = '$alike'"), 'pending|t', 'but not of what waits for another reason in the same words');
sql("SELECT whisperer.delete_hook($hourly)");

# --- disabled, and who is told ----------------------------------------------------------------------
sql(<<"SQL");
CREATE ROLE stranger; GRANT USAGE ON SCHEMA whisperer TO stranger;
CREATE ROLE app; GRANT USAGE ON SCHEMA whisperer TO app;
SELECT whisperer.allow('gone', 'app', 'subscribe'); SELECT whisperer.allow('bad', 'app', 'subscribe');
SELECT whisperer.create_hook('whisperer-*', '$base/ok/operator');
SET ROLE stranger; SELECT whisperer.create_hook('whisperer-*', '$base/ok/stranger');
SET ROLE app; SELECT whisperer.create_hook('whisperer-hook-disabled', '$base/ok/app');
SELECT whisperer.create_hook('whisperer-delivery-failed', '$base/status/500/loop', retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
SQL
my $gone = sql("SET ROLE app; SELECT whisperer.create_hook('gone', '$base/status/410/gone')");
record('gone', 'x');
wait_for('the operator to be told twice', sub { 2 == (() = bodies('/ok/operator')) });
my %told = map { $_->{event}{type} => $_->{data} } bodies('/ok/operator');
is("$told{'whisperer-hook-disabled'}{hook_id}: $told{'whisperer-hook-disabled'}{reason}", "$gone: the receiver answered 410 Gone",
    'whisperer-hook-disabled says which and why');
is("$told{'whisperer-delivery-failed'}{hook_id}: $told{'whisperer-delivery-failed'}{error}", "$gone: HTTP status 410",
    'whisperer-delivery-failed too');
wait_for('the owner to be told', sub { 1 == (() = bodies('/ok/app')) });

# The next test's hook fails for so long that it is disabled.
sql("ALTER SYSTEM SET whisperer.disable_after = '1s'; ALTER SYSTEM SET whisperer.circuit_breaker = off");
$node->reload;
my $dying = sql("SET ROLE app; SELECT whisperer.create_hook('bad', '$base/status/500/dying', retry_countdown_config => '$soon')");
record('bad', 'y');
wait_for('the hook to be disabled', sub { sql("SELECT state FROM whisperer.hook WHERE id = $dying") eq 'disabled' });
like(sql("SELECT state_reason FROM whisperer.hook WHERE id = $dying"), qr/^nothing but failures for \d+ s/, 'nothing but failures disables a hook');
is(log_has("hook $dying disabled: nothing but failures"), 1, 'with a line in the log');
wait_for('the owner to be told', sub { 2 == (() = bodies('/ok/app')) });
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $dying AND state = 'pending'"), 1, 'its backlog waits');
sql("SELECT whisperer.resume_hook($dying); SELECT whisperer.update_hook($dying, '{\"target_url\": \"$base/ok/risen\"}')");
wait_for('its backlog', sub { () = bodies('/ok/risen') });
pass('and is delivered after resume_hook');

wait_idle($node);
is(scalar(() = bodies('/ok/stranger')), 0, 'a stranger is told nothing');
is(scalar(grep { $_->{data}{event_type} && $_->{data}{event_type} =~ /^whisperer-/ } bodies('/ok/operator')), 0, 'nor anybody of operator events that fail');
cmp_ok(scalar(() = bodies('/status/500/loop')), '>', 0, 'though some did');

done_testing();
