# Ordered hooks: a delivery never overtakes another of its key, whatever fails, hangs or crashes.
use strict;
use warnings;
use IPC::Run ();
use Test::More;
use Whisperer;

my $node = new_node('ordering', extra => "restart_after_crash = on\n");
my $receiver = new_receiver('ordering');
my $base = $receiver->url('');
my $never = q('{"choice": "fixed", "kwargs": {"seconds": 1000}, "max_retries": 5}');

sub sql { return $node->safe_psql('postgres', shift) }
sub data { return map { JSON::PP::decode_json($_->{body})->{data} } $receiver->requests($_[0]) }
sub seen { return join ' ', map { "$_->{key}.$_->{n}" } grep { $_->{key} < 40 } data($_[0]) }
sub wait_seen { my ($path, $wanted) = @_; wait_for("$wanted at $path", sub { seen($path) eq $wanted }); pass("$wanted at $path") }
sub bump { sql("UPDATE item SET n = n + 1 WHERE key = $_") for @_ }

sql(<<"SQL");
CREATE TABLE item (key int PRIMARY KEY, n int NOT NULL DEFAULT 0);
INSERT INTO item SELECT generate_series(1, 50);
SELECT whisperer.register_event('item');
CREATE TRIGGER item AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item');
SQL

# --- one at a time, and a head that hangs -----------------------------------------------------------
my $strict = sql("SELECT whisperer.create_hook('item', '$base/script/strict', ordering => 'hook')");
my $keyed = sql("SELECT whisperer.create_hook('item', '$base/script/keyed', ordering => 'key', retry_countdown_config => $never)");
# An endpoint that has answered gets more than one request at a time.
$receiver->control({ path => $_, steps => ['ok'] }) for '/script/strict', '/script/keyed';
bump(41 .. 44);
wait_idle($node);
$receiver->control({ path => $_, steps => [ 'hang', 'ok' ] }) for '/script/strict', '/script/keyed';
bump(1, 2, 1);
wait_for('both heads to be parked', sub {
    sql("SELECT count(*) FROM whisperer.delivery WHERE next_attempt_at < 'infinity' AND state = 'pending'") == 2;
});
wait_seen('/script/keyed', '1.1 2.1');
is(seen('/script/strict'), '1.1', 'ordering hook: nothing beside the first');
like(sql("SELECT whisperer.why(event_id, hook_id) FROM whisperer.delivery WHERE hook_id = $strict ORDER BY event_id DESC LIMIT 1"),
    qr/^waits in line behind earlier events/, 'why says what the others wait for');
$receiver->control({ release => JSON::PP::true });
wait_seen('/script/strict', '1.1 2.1 1.2');
wait_seen('/script/keyed', '1.1 2.1 1.2');
wait_idle($node);
wait_rest($node);
pass('a worker whose ordered hooks have nothing to do rests');

# --- a countdown that comes too late ---------------------------------------------------------------------
# The default goes on meanwhile; what is said of the first must not hold up the second.
sql(<<'SQL');
SELECT whisperer.register_event('late');
CREATE TABLE late_call (n int);
CREATE FUNCTION late(retry_count int, kwargs jsonb) RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.late_call) THEN
        RAISE EXCEPTION 'only once';
    END IF;
    INSERT INTO public.late_call VALUES (1);
    LOOP
        EXIT WHEN EXISTS (SELECT FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'late' AND d.state = 'delivered')
            AND EXISTS (SELECT FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'late' AND d.state = 'pending' AND d.retry_count = 1);
        PERFORM pg_sleep(0.02);
    END LOOP;
    RETURN interval '1 hour';
END $$;
ALTER SYSTEM SET whisperer.callback_timeout = '1min';
SELECT pg_reload_conf();
SQL
$receiver->control({ path => '/script/late', steps => [ 'status/500', 'ok', 'status/500', 'ok' ] });
my $late = sql(qq(SELECT whisperer.create_hook('late', '$base/script/late', ordering => 'hook', retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "public.late"}}')));
sql(q(SELECT whisperer.deliver_event('late', '{"key": 1, "n": 1}'); SELECT whisperer.deliver_event('late', '{"key": 1, "n": 2}')));
wait_seen('/script/late', '1.1 1.1 1.2 1.2');
is(sql('SELECT count(*) FROM late_call'), 1, 'the countdown did answer');
sql("SELECT whisperer.delete_hook($late); ALTER SYSTEM RESET whisperer.callback_timeout; SELECT pg_reload_conf()");

# --- keys whose transform is slow ------------------------------------------------------------------------
sql(<<"SQL");
SELECT whisperer.register_event('shaped');
CREATE FUNCTION shape(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_sleep(0.01)';
CREATE TABLE shaped (key int PRIMARY KEY);
CREATE TRIGGER shaped AFTER INSERT ON shaped FOR EACH ROW EXECUTE FUNCTION whisperer.capture('shaped');
SELECT whisperer.create_hook('shaped', '$base/ok/shaped', ordering => 'key', transform => 'public.shape');
SQL
sub updated { return sql(q(SELECT sum(n_tup_upd) FROM pg_stat_user_tables WHERE relname ~ '^delivery_[0-9]')) }
my $updated = updated();
sql('INSERT INTO shaped SELECT generate_series(1, 300)');
wait_idle($node);
wait_for('the figures', sub { updated() - $updated >= 300 });
cmp_ok(updated() - $updated, '<', 900, 'what the helper has no room for stays where it is');

# --- one that is refused before it stands in line --------------------------------------------------------
$node->append_conf('postgresql.conf', "whisperer.max_payload = '1kB'");
$node->reload;
$receiver->control({ path => '/script/strict', steps => [ 'hang', 'ok' ] });
bump(41, 42);
sql(q(SELECT whisperer.deliver_event('item', json_build_object('key', 43, 'n', repeat('x', 2000)))));
wait_for('the refusal', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $strict AND state = 'failed'") == 1 });
bump(44);
wait_for('the last to stand in line', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $strict AND state = 'pending'") == 3 });
my @before = data('/script/strict');
is($before[-1]{key}, 41, 'nobody passes the head because of one that was refused');
$receiver->control({ release => JSON::PP::true });
wait_idle($node);
is(join(' ', map { $_->{key} } (data('/script/strict'))[-3 .. -1]), '41 42 44', 'and nobody is left behind');
$node->append_conf('postgresql.conf', "whisperer.max_payload = '1MB'");
$node->reload;

# --- a head that fails blocks its key alone, through a restart ----------------------------------------
$receiver->control({ path => '/script/keyed', steps => [ 'status/500', 'ok' ] });
bump(3);
wait_for('the failure', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $keyed AND retry_count = 1 AND state = 'pending'") == 1 });
bump(3, 4);
wait_seen('/script/keyed', '1.1 2.1 1.2 3.1 4.1');
# What is recorded now is the first that the new process meets; the failed head waits in the ledger.
sql("ALTER SYSTEM SET whisperer.hold_at = 'before-page-snapshot'");
$node->restart;
wait_held($node, 'before-page-snapshot');
bump(3, 5);
release_hold($node);
wait_seen('/script/keyed', '1.1 2.1 1.2 3.1 4.1 5.1');
is(sql("SELECT string_agg(state || ' ' || retry_count || ' ' || (next_attempt_at = 'infinity'), ', ' ORDER BY event_id) FROM whisperer.delivery WHERE hook_id = $keyed AND state = 'pending'"),
    'pending 1 false, pending 0 true, pending 0 true', 'its followers stand in line');
sql("SELECT whisperer.retry(event_id, hook_id, force => true) FROM whisperer.delivery WHERE hook_id = $keyed AND retry_count = 1 AND state = 'pending'");
wait_seen('/script/keyed', '1.1 2.1 1.2 3.1 4.1 5.1 3.1 3.2 3.3');

# --- one that is given up lets the next pass ----------------------------------------------------------
$receiver->control({ path => '/script/keyed', steps => [ 'status/500', 'ok' ] });
sql(qq(SELECT whisperer.update_hook($keyed, '{"retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 1}, "max_retries": 0}}')));
sql('BEGIN; UPDATE item SET n = n + 1 WHERE key = 6; UPDATE item SET n = n + 1 WHERE key = 6; COMMIT');
wait_seen('/script/keyed', '1.1 2.1 1.2 3.1 4.1 5.1 3.1 3.2 3.3 6.1 6.2');
wait_idle($node);
is(sql("SELECT whisperer.recover($keyed, now() - interval '1 hour')"), 2, 'it can be recovered, and the one that was refused');
wait_seen('/script/keyed', '1.1 2.1 1.2 3.1 4.1 5.1 3.1 3.2 3.3 6.1 6.2 6.1');
wait_idle($node);

# --- paused, and no longer ordered ----------------------------------------------------------------------
sql("SELECT whisperer.pause_hook($keyed)");
bump(7, 7, 7);
wait_for('all to stand in line', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $keyed AND state = 'pending'") == 3 });
sql(qq(SELECT whisperer.update_hook($keyed, '{"ordering": "none", "target_url": "$base/script/free"}')));
$node->restart;
$receiver->control({ path => '/script/free', steps => [ 'ok', 'hang', 'ok' ] });
sql("SELECT whisperer.resume_hook($keyed)");
wait_seen('/script/free', '7.1 7.2');
bump(7);
wait_seen('/script/free', '7.1 7.2 7.4');
$receiver->control({ release => JSON::PP::true });
wait_seen('/script/free', '7.1 7.2 7.4 7.3');
wait_idle($node);

# --- deleted ----------------------------------------------------------------------------------------------
$receiver->control({ path => '/script/strict', steps => [ 'hang', 'ok' ] });
my $before = () = $receiver->requests('/script/strict');
bump(8, 8, 8);
wait_for('three deliveries', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $strict AND state = 'pending'") == 3 });
# Before that none of them is under way, and all three would be cancelled.
wait_for('the first to be under way', sub { (() = $receiver->requests('/script/strict')) > $before });
sql("SELECT whisperer.delete_hook($_)") for $strict, $keyed;
$receiver->control({ release => JSON::PP::true });
wait_for('the line to be cancelled', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $strict AND state = 'pending'") == 0 });
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $strict AND state = 'cancelled'"), 2, 'delete_hook cancels who stood in line');

# --- B takes its xid first, A changes the row and commits, B changes it -------------------------------------
# The rows between the two put them on different pages of one window.
sql("SELECT whisperer.create_hook('item', '$base/ok/$_', ordering => '$_') FROM (VALUES (1)) v") for qw(hook key);
wait_idle($node);
hold($node, 'before-page-snapshot');
sql('SELECT whisperer.deliver_event($$item$$, $${"key": 0, "n": 0}$$)');
wait_held($node, 'before-page-snapshot');
my $b = $node->background_psql('postgres');
$b->query_safe('BEGIN; SELECT pg_current_xact_id()');
sql('UPDATE item SET n = n + 1 WHERE key = 9');
sql("SELECT whisperer.deliver_event('item', json_build_object('key', 100 + i, 'n', 1)) FROM generate_series(1, 1000) i");
sql('UPDATE item SET n = n + 1 WHERE key = 10');
$b->query_safe('UPDATE item SET n = n + 1 WHERE key IN (9, 10)');
$b->query_safe('COMMIT');
$b->quit;
release_hold($node);
wait_idle($node);
for my $path (qw(/ok/hook /ok/key)) {
    is(join(' ', grep { /^(9|10)\./ } split / /, seen($path)) =~ s/(9\.\d)(.*?)(10\.1)(.*)/x/r ? 'seen' : '', 'seen', "$path got them");
    for my $key (9, 10) {
        is(join(' ', map { $_->{n} } grep { $_->{key} == $key } data($path)), '1 2', "$path: key $key in the order of its changes");
    }
}
sql("SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE is_active");

# --- 50 keys x 200 events, one in ten attempts fails, the worker is killed twice ----------------------------
my $path = '/flaky/10/500/all';
my $soon = q('{"choice": "fixed", "kwargs": {"seconds": 0.05}}');
sql("UPDATE item SET n = 0; SELECT whisperer.create_hook('item', '$base$path', ordering => 'key', retry_countdown_config => $soon)");
my $record = <<'SQL';
DO $$
DECLARE
    k int;
BEGIN
    WHILE EXISTS (SELECT FROM item WHERE n < 200) LOOP
        FOR k IN SELECT key FROM item WHERE n < 200 ORDER BY random() LOOP
            UPDATE item SET n = n + 1 WHERE key = k AND n < 200;
            COMMIT;
        END LOOP;
    END LOOP;
END
$$
SQL

sub recorders {
    return map { IPC::Run::start([ 'psql', '-qX', '-d', $node->connstr('postgres'), '-c', $record ], '<', \'', '>', \my $out, '2>', \my $error) } 1 .. 3;
}

my @recorders = recorders();
for my $kill (1, 2) {
    my $goal = $kill * 3000;
    wait_for("$goal requests", sub { $receiver->requests($path) >= $goal });
    kill_worker($node, worker_pid($node));
    $_->finish for @recorders;
    @recorders = recorders();
}
$_->finish for @recorders;
is(sql('SELECT min(n) FROM item'), 200, 'everything is recorded');
wait_for('all deliveries', sub { sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.is_active AND d.state = 'delivered'") == 10_000 });

my (%done, $overtaken, $failed);
for my $request ($receiver->requests($path)) {
    my ($key, $n) = @{ JSON::PP::decode_json($request->{body})->{data} }{qw(key n)};
    my $fails = (($request->{n} * 2654435761) & 0xffffffff) % 100 < 10;
    $overtaken++ if $n > ($done{$key} // 0) + 1;
    $failed++ if $fails;
    $done{$key} = $n if !$fails && $n == ($done{$key} // 0) + 1;
}
is($overtaken // 0, 0, 'no event was attempted before the one before it had succeeded');
is(scalar(grep { $_ == 200 } values %done), 50, 'each key got all of its events');
cmp_ok($failed, '>', 500, 'many attempts failed');

# --- by hand -------------------------------------------------------------------------------------------------
# An event has a key only where it is given one; what has none is in no line, and that is said.
sql("SELECT whisperer.register_event('by-hand')");
my $by_hand = sql("SELECT whisperer.create_hook('by-hand', '" . $receiver->url('/script/by-hand') . "', ordering => 'key')");
$receiver->control({ path => '/script/by-hand', steps => ['ok'] });
sql("SELECT count(whisperer.deliver_event('by-hand', '{\"n\": 0}', object_id => g::text)) FROM generate_series(1, 4) g");
wait_idle($node);
$receiver->control({ path => '/script/by-hand', steps => [ 'hang', 'ok' ] });
sql(q(SELECT whisperer.deliver_event('by-hand', '{"n": 1}', object_id => '7')));
wait_for('the first', sub { 5 == (() = $receiver->requests('/script/by-hand')) });
sql(q(SELECT whisperer.deliver_event('by-hand', '{"n": 2}', object_id => '7'), whisperer.deliver_event('by-hand', '{"n": 3}', object_id => '8'),
    whisperer.deliver_event('by-hand', '{"n": 4}')));
wait_for('those that need not wait', sub { 7 == (() = $receiver->requests('/script/by-hand')) });
is(join(' ', sort map { $_->{n} } data('/script/by-hand')), '0 0 0 0 1 3 4', 'of one key the second waits');
$receiver->control({ release => JSON::PP::true });
wait_for('the second', sub { 8 == (() = $receiver->requests('/script/by-hand')) });
$node->safe_psql('postgres', q(CALL whisperer.deliver_now('by-hand', '{"n": 5}', object_id => '7')));
$node->safe_psql('postgres', q(CALL whisperer.deliver_now('by-hand', '{"n": 6}'::jsonb)));
is(sql("SELECT string_agg((data->>'n') || coalesce(' of ' || object_id, ''), ', ' ORDER BY id) FROM whisperer.outbox WHERE event_type = 'by-hand' AND data->>'n' <> '0'"),
    '1 of 7, 2 of 7, 3 of 8, 4, 5 of 7, 6', 'deliver_now takes a key, too, and jsonb');
wait_for('the figures', sub { sql("SELECT without_key FROM whisperer.hook_stats WHERE hook_id = $by_hand") eq '2' });
pass('hook_stats says how many had no key');
is(sql("SELECT string_agg(coalesce(substring(whisperer.why(o.id, $by_hand) FROM '; (.*)'), '-'), ', ' ORDER BY o.id) FROM whisperer.outbox o WHERE event_type = 'by-hand' AND data->>'n' <> '0'"),
    '-, -, -, it has no object_id, so it waits in no line, like 2 within the last hour, -, it has no object_id, so it waits in no line, like 2 within the last hour', 'and why, of each');

done_testing();
