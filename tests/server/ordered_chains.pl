# Chains: where a receiver answers fast, the next events of a line go out before the ledger knows of the answer to the one
# before.  Whatever stops them in the middle finds the others where they were, and what a crash repeats is in order.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Test::More;
use Whisperer;

my $node = new_node('ordered_chains', extra => "restart_after_crash = on\nwhisperer.park_after = 60s\nwhisperer.circuit_breaker = off\n");
my $receiver = new_receiver('ordered_chains');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# What the requests had: "1 2 3", of batches "1 2|3".
sub seen {
    my @bodies = map { decode_json($_->{body}) } $receiver->requests($_[0]);
    return join ref($bodies[0]) eq 'ARRAY' ? '|' : ' ', map { ref $_ eq 'ARRAY' ? join(' ', map { $_->{data} } @$_) : $_->{data} } @bodies;
}
sub wait_seen { my ($path, $wanted) = @_; wait_for("$wanted at $path", sub { seen($path) eq $wanted }) }
sub count { my ($hook, $state) = @_; return sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hook AND state = '$state'") }
sub deliver { my ($type, @texts) = @_; sql("SELECT count(whisperer.deliver_event('$type', to_jsonb(t))) FROM unnest('{" . join(',', @texts) . "}'::text[]) t") }
sub event { my ($hook, $text) = @_; return sql("SELECT o.id FROM whisperer.outbox o JOIN whisperer.delivery d ON d.event_id = o.id WHERE d.hook_id = $hook AND o.data #>> '{}' = '$text'") }
sub script { my ($path, @steps) = @_; $receiver->control({ path => $path, steps => \@steps }) }
sub release { $receiver->control({ release => JSON::PP::true }) }

# What was committed before has been seen by the worker.
my $notices = 0;
sub noticed { deliver('notice', ++$notices); wait_for('the notice', sub { (() = $receiver->requests('/ok/notice')) == $notices }) }
sql("SELECT whisperer.register_event('notice'); SELECT whisperer.create_hook('notice', '" . $receiver->url('/ok/notice') . "')");

my $soon = q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.05}, "max_retries": 1000}');

# An ordered hook of an event type of its own, whose receiver is known to be fast.
sub hook {
    my ($type, $path, $more, $ordering) = @_;
    $ordering //= 'hook';
    sql("SELECT whisperer.register_event('$type')");
    my $hook = sql("SELECT whisperer.create_hook('$type', '" . $receiver->url($path) . "', ordering => '$ordering'" . ($more ? ", $more" : '') . ')');
    script($path, 'ok') if $path =~ /^.script/;
    deliver($type, 'a');
    wait_idle($node);
    deliver($type, 'b');
    wait_idle($node);
    return $hook;
}

# The same, with ten events that go out to a receiver that answers so.
sub ten {
    my ($type, $more, @steps) = @_;
    my $hook = hook($type, "/script/$type", $more);
    sql("SELECT whisperer.pause_hook($hook)");
    deliver($type, 1 .. 10);
    wait_for('ten to stand in line', sub { count($hook, 'pending') == 10 });
    script("/script/$type", @steps);
    sql("SELECT whisperer.resume_hook($hook)");
    return $hook;
}
my @hangs_at_4 = (('ok') x 3, 'hang', 'ok');
sub hanging { my ($type, $more) = @_; my $hook = ten($type, $more, @hangs_at_4); wait_seen("/script/$type", 'a b 1 2 3 4'); return $hook }
sub all_of { my ($type, $wanted, $what) = @_; wait_idle($node); is(seen("/script/$type"), "a b $wanted", $what) }

# --- what goes together into the ledger ------------------------------------------------------------------------------
my $many = hook('many', '/ok/many', undef);
sql("SELECT whisperer.pause_hook($many)");
deliver('many', 1 .. 500);
wait_for('all to stand in line', sub { count($many, 'pending') == 500 });
sql("SELECT whisperer.resume_hook($many)");
wait_idle($node);
is(seen('/ok/many'), join(' ', 'a', 'b', 1 .. 500), 'many events are in order');
SKIP: {
    skip 'the receiver is slow now, and is given one event after the other', 1
        if sql("SELECT avg(response_time) > interval '2 ms' FROM whisperer.delivery WHERE hook_id = $many") eq 't';
    cmp_ok(sql("SELECT count(DISTINCT modified_at) FROM whisperer.delivery WHERE hook_id = $many"), '<', 400, 'and many answers enter the ledger together');
}
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $many AND state = 'delivered' AND retry_count = 1"), 502, 'each with its attempt');

# --- many lines ------------------------------------------------------------------------------------------------------
# Events 1 to $count of each of three objects, in turn, of a hook that was paused meanwhile; some requests fail.
sub three_lines {
    my ($type, $path, $count, @steps) = @_;
    my $hook = hook($type, $path, $soon, 'key');
    sql("SELECT whisperer.pause_hook($hook)");
    sql("SELECT count(whisperer.deliver_event('$type', to_jsonb(o || n), object_id => o)) FROM generate_series(1, $count) n, unnest('{x,y,z}'::text[]) o");
    wait_for('all to stand in line', sub { count($hook, 'pending') == 3 * $count });
    script($path, @steps) if @steps;
    sql("SELECT whisperer.resume_hook($hook)");
    wait_idle($node);
    return $hook;
}
# Of an object, what came; an attempt that was repeated once.
sub of_object { my ($path, $object) = @_; return join(' ', grep { /^$object/ } split / /, seen($path)) =~ s/\b(\w+)(?: \1\b)+/$1/gr }
my $lines = three_lines('lines', '/ok/lines', 200);
for my $object (qw(x y z)) { is(of_object('/ok/lines', $object), join(' ', map { "$object$_" } 1 .. 200), "of many lines each is in order: $object") }
SKIP: {
    skip 'the receiver is slow now, and is given one event after the other', 1
        if sql("SELECT avg(response_time) > interval '2 ms' FROM whisperer.delivery WHERE hook_id = $lines") eq 't';
    cmp_ok(sql("SELECT count(*) FROM (SELECT FROM whisperer.delivery WHERE hook_id = $lines GROUP BY line, modified_at HAVING count(*) > 1) together"), '>', 0,
        'and several answers of one line enter the ledger together');
}
three_lines('stumbling', '/script/stumbling', 20, (('ok') x 7, 'status/500') x 4, 'ok');
for my $object (qw(x y z)) { is(of_object('/script/stumbling', $object), join(' ', map { "$object$_" } 1 .. 20), "and where requests fail: $object") }

# --- failures --------------------------------------------------------------------------------------------------------
my $failing = ten('failing', $soon, 'ok', 'ok', 'status/500', 'status/503', 'ok');
all_of('failing', '1 2 3 3 3 4 5 6 7 8 9 10', 'one that fails holds up what is behind it');
is(sql("SELECT string_agg(retry_count::text, ' ' ORDER BY event_id) FROM whisperer.delivery WHERE hook_id = $failing"), '1 1 1 1 3 1 1 1 1 1 1 1', 'which costs nobody else an attempt');
my $lost = ten('lost', $soon =~ s/1000/0/r, 'ok', 'ok', 'status/500', 'ok');
all_of('lost', '1 2 3 4 5 6 7 8 9 10', 'one that is given up lets the next pass');
is(count($lost, 'failed'), 1, 'and has failed');
my $gone = ten('gone', undef, 'ok', 'ok', 'status/410', 'ok');
wait_for('the hook to be disabled', sub { sql("SELECT state FROM whisperer.hook WHERE id = $gone") ne 'active' });
is(count($gone, 'pending'), 7, 'after 410 the others wait');
is(seen('/script/gone'), 'a b 1 2 3', 'and were not sent');
sql("SELECT whisperer.resume_hook($gone)");
all_of('gone', '1 2 3 4 5 6 7 8 9 10', 'until it is resumed');

# --- stopped in the middle -------------------------------------------------------------------------------------------
my $paused = hanging('paused');
like(sql("SELECT whisperer.why('" . event($paused, 7) . "', $paused)"), qr/^waits in line behind earlier events/, 'why says what an event waits for');
sql("SELECT whisperer.pause_hook($paused)");
noticed();
release();
wait_for('the fourth', sub { count($paused, 'delivered') == 6 });
noticed();
is(seen('/script/paused'), 'a b 1 2 3 4', 'pause_hook stops what has not begun');
is(count($paused, 'pending'), 6, 'which waits');
sql("SELECT whisperer.resume_hook($paused)");
all_of('paused', '1 2 3 4 5 6 7 8 9 10', 'and goes on');

my $moved = hanging('moved');
sql("SELECT whisperer.update_hook($moved, '{\"target_url\": \"" . $receiver->url('/ok/elsewhere') . "\"}')");
noticed();
release();
wait_idle($node);
is(seen('/script/moved'), 'a b 1 2 3 4', 'of a hook that has a new address');
is(seen('/ok/elsewhere'), '5 6 7 8 9 10', 'the others go there');

my $shaped = hanging('shaped');
sql("CREATE FUNCTION shaped(event json) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''data'', ''t'' || (event->>''data''))'");
sql("SELECT whisperer.update_hook($shaped, '{\"transform\": \"public.shaped\"}')");
noticed();
release();
all_of('shaped', '1 2 3 4 t5 t6 t7 t8 t9 t10', 'one that has a transform now has it for the others');

my $unordered = hanging('unordered');
sql("SELECT whisperer.update_hook($unordered, '{\"ordering\": \"none\"}')");
noticed();
release();
all_of('unordered', '1 2 3 4 5 6 7 8 9 10', 'what stood in line stays in line');

my $cancelled = hanging('cancelled');
sql("SELECT whisperer.cancel('" . event($cancelled, $_) . "', $cancelled)") for 7, 9;
wait_for('them to be cancelled', sub { count($cancelled, 'cancelled') == 2 });
release();
all_of('cancelled', '1 2 3 4 5 6 8 10', 'cancel reaches what has not begun');

my $expunged = hanging('expunged');
sql("SELECT whisperer.expunge('" . event($expunged, 8) . "')");
wait_for('it to have failed', sub { count($expunged, 'failed') == 1 });
release();
all_of('expunged', '1 2 3 4 5 6 7 9 10', 'so does expunge');

my $deleted = hanging('deleted');
sql("SELECT whisperer.delete_hook($deleted)");
noticed();
release();
wait_for('the line to be cancelled', sub { count($deleted, 'pending') == 0 });
is(seen('/script/deleted'), 'a b 1 2 3 4', 'delete_hook, too');
is(count($deleted, 'cancelled'), 6, 'and cancels it');

my $held = hanging('held');
sql('SELECT whisperer.pause()');
wait_for('the pause', sub { sql('SELECT state FROM whisperer.status') eq 'paused' });
release();
wait_for('the fourth', sub { count($held, 'delivered') == 6 });
is(seen('/script/held'), 'a b 1 2 3 4', 'pause() as well');
sql('SELECT whisperer.resume()');
all_of('held', '1 2 3 4 5 6 7 8 9 10', 'until resume()');

# --- an end in order ---------------------------------------------------------------------------------------------------
my $stopped = hanging('stopped');
my $pid = worker_pid($node);
sql("SELECT pg_terminate_backend($pid)");
release();
wait_for('another worker', sub { worker_pid($node) != $pid });
all_of('stopped', '1 2 3 4 5 6 7 8 9 10', 'a worker that ends leaves the others to the next');

# --- slow at times -----------------------------------------------------------------------------------------------------
sql("ALTER SYSTEM SET whisperer.park_after = '1s'; SELECT pg_reload_conf()");
my $parked = hanging('parked');
wait_for('it to be parked', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $parked AND next_attempt_at < 'infinity' AND state = 'pending'") == 1 });
is(seen('/script/parked'), 'a b 1 2 3 4', 'nothing goes beside one that is parked');
release();
all_of('parked', '1 2 3 4 5 6 7 8 9 10', 'and all behind it');

hook('limited', '/ok/limited', 'rate_limit => 20');
deliver('limited', 1 .. 60);
wait_idle($node);
is(seen('/ok/limited'), join(' ', 'a', 'b', 1 .. 60), 'with a rate_limit they are in order');
my @at = map { $_->{at_us} } $receiver->requests('/ok/limited');
cmp_ok($at[-1] - $at[2], '>=', 1_900_000, 'and wait for it');

# --- an earlier event that is committed later --------------------------------------------------------------------------
my $early = hook('late', '/script/late', undef);
sql("SELECT whisperer.pause_hook($early)");
my $late = $node->background_psql('postgres');
$late->query_safe(q(BEGIN; SELECT whisperer.deliver_event('late', '"x"')));
deliver('late', 1 .. 10);
wait_for('ten to stand in line', sub { count($early, 'pending') == 10 });
script('/script/late', @hangs_at_4);
sql("SELECT whisperer.resume_hook($early)");
wait_seen('/script/late', 'a b 1 2 3 4');
$late->query_safe('COMMIT');
$late->quit;
wait_for('it to stand in line', sub { count($early, 'pending') == 8 });
release();
wait_idle($node);
is(join(' ', grep { $_ ne 'x' } split / /, seen('/script/late')), 'a b 1 2 3 4 5 6 7 8 9 10', 'one that is committed late changes the order of no others');
is(count($early, 'delivered'), 13, 'and is not forgotten');

# --- batches -----------------------------------------------------------------------------------------------------------
my $batches = hook('batches', '/script/batches', q(batch => '{"size": 2, "wait": "0 ms"}'));
sql("SELECT whisperer.pause_hook($batches)");
deliver('batches', 1 .. 10);
wait_for('ten to stand in line', sub { count($batches, 'pending') == 10 });
script('/script/batches', 'ok', 'hang', 'ok');
sql("SELECT whisperer.resume_hook($batches)");
wait_seen('/script/batches', 'a|b|1 2|3 4');
sql("SELECT whisperer.update_hook($batches, '{\"batch\": {\"size\": 3, \"wait\": \"0 ms\"}}')");
noticed();
release();
wait_idle($node);
is(seen('/script/batches'), 'a|b|1 2|3 4|5 6 7|8 9 10', 'other batches count for what has not begun');

# --- killed where it hurts -----------------------------------------------------------------------------------------------
my %events = (crash => undef, crash_batch => q(batch => '{"size": 5, "wait": "5 ms"}'));
for my $type (sort keys %events) {
    my $path = "/flaky/5/500/$type";
    my $hook = hook($type, $path, join ', ', $soon, $events{$type} // ());
    my @points = qw(after-post before-ledger-commit after-ledger);
    my $n = 0;
    for my $point (@points) {
        my $before = () = $receiver->requests($path);
        deliver($type, $n + 1 .. $n + 200);
        $n += 200;
        wait_for('some requests', sub { (() = $receiver->requests($path)) > $before + 20 });
        hold($node, $point);
        deliver($type, ++$n);
        wait_held($node, $point);
        kill_worker($node, sql("SELECT pid FROM pg_stat_activity WHERE query = 'held at $point'"));
        release_hold($node);
    }
    wait_idle($node);
    wait_for('all', sub { count($hook, 'delivered') == $n + 2 });
    my ($done, $next, $back, $wrong) = (0, 1, 0, 0);
    for my $request (grep { $_->{body} !~ /"[ab]"/ } $receiver->requests($path)) {
        my $body = decode_json($request->{body});
        my @in = map { $_->{data} } ref $body eq 'ARRAY' ? @$body : $body;
        $wrong++ if join(' ', @in) ne join(' ', $in[0] .. $in[-1]) || $in[0] > $done + 1;
        $back++ if $in[0] < $next;
        my $fails = (($request->{n} * 2654435761) & 0xffffffff) % 100 < 5;
        $next = $fails ? $in[0] : $in[-1] + 1;
        $done = $in[-1] if !$fails && $in[-1] > $done;
    }
    is($wrong, 0, "$type: nothing was sent before what stood before it had been accepted");
    is($done, $n, 'all was');
    cmp_ok($back, '<=', @points, 'and nothing was repeated but after a crash');
}

my %body_of;
is(scalar(grep { my ($id) = Whisperer::Receiver::header($_, 'webhook-id'); ($body_of{$id} //= $_->{body}) ne $_->{body} } $receiver->requests), 0, 'no id stands for two bodies');
done_testing();
