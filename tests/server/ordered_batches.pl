# Batches of ordered hooks: runs of their lines.  A batch waits for the one before it of its key, and whatever fails,
# what comes again comes in order.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use Test::More;
use Whisperer;

my $node = new_node('ordered_batches', extra => "restart_after_crash = on\nwhisperer.callback_timeout = 20s\n");
my $receiver = new_receiver('ordered_batches');
sub sql { return $node->safe_psql('postgres', $_[0]) }

# A hook of an event type of its own, which is named like it.
sub hook {
    my ($type, $path, $ordering, $batch, $more) = @_;
    sql("SELECT whisperer.register_event('$type')");
    my $url = $receiver->url($path);
    return sql("SELECT whisperer.create_hook('$type', '$url', ordering => '$ordering', batch => '$batch'" . ($more ? ", $more" : '') . ')');
}

# "a1" is an event of key a.
sub deliver {
    my ($type, @texts) = @_;
    my $list = join ',', map { "'$_'" } @texts;
    sql("SELECT count(whisperer.deliver_event('$type', to_jsonb(t.text), object_id => left(t.text, 1))) FROM (SELECT * FROM unnest(ARRAY[$list]) WITH ORDINALITY AS u (text, n) ORDER BY n) AS t");
}

# What the requests had: "a1 a2|a3".
sub batches { return join '|', map { join ' ', map { $_->{data} } @{ decode_json($_->{body}) } } $receiver->requests($_[0]) }
sub wait_batches { my ($path, $wanted, $what) = @_; wait_for("$wanted at $path", sub { batches($path) eq $wanted }); pass($what) }
sub pending { return sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $_[0] AND state = 'pending'") }
sub ledger {
    my ($hook) = @_;
    return sql(<<"SQL");
SELECT string_agg(concat_ws(' ', o.data #>> '{}', d.state, d.retry_count, d.response_http_status), '; ' ORDER BY o.id)
FROM whisperer.delivery d JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id WHERE d.hook_id = $hook
SQL
}

my $fixed = q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": N}');
my $never = $fixed =~ s/0\.1/1000/r =~ s/N/5/r;
my $retried = $fixed =~ s/N/1000/r;
my $once = $fixed =~ s/N/0/r;

# --- runs, one after the other ------------------------------------------------------------------------------
my $runs = hook('runs', '/script/runs', 'hook', '{"size": 3, "wait": "0 ms"}');
$receiver->control({ path => '/script/runs', steps => [ 'hang', 'ok' ] });
deliver('runs', 'a1');
wait_batches('/script/runs', 'a1', 'an event is in a batch of one');
deliver('runs', map { "a$_" } 2 .. 9);
wait_for('all to stand in line', sub { pending($runs) == 9 });
like(sql("SELECT whisperer.why(event_id, hook_id) FROM whisperer.delivery WHERE hook_id = $runs ORDER BY event_id DESC LIMIT 1"), qr/^waits in line behind earlier events, or for others of its batch/, 'the others stand in line');
is(batches('/script/runs'), 'a1', 'and nothing goes beside it');
$receiver->control({ release => JSON::PP::true });
wait_batches('/script/runs', 'a1|a2 a3 a4|a5 a6 a7|a8 a9', 'then runs of the line, one after the other');
wait_idle($node);
is(ledger($runs), join('; ', map { "a$_ delivered 1 200" } 1 .. 9), 'each has its own row');

hook('waits', '/ok/waits', 'hook', '{"size": 100, "wait": "4 s"}');
deliver('waits', 'a1', 'a2');
deliver('waits', 'a3');
wait_idle($node);
is(batches('/ok/waits'), 'a1 a2 a3', 'one that is not full waits for others');
hook('full', '/ok/full', 'hook', '{"size": 3, "wait": "10 s"}');
deliver('full', 'a1', 'a2', 'a3');
deliver('full', 'a4', 'a5', 'a6');
wait_idle($node);
is(batches('/ok/full'), 'a1 a2 a3|a4 a5 a6', 'one that is full does not');
hook('long', '/ok/long', 'hook', '{"bytes": 1024, "wait": "200 ms"}');
deliver('long', map { "a$_" . 'x' x 300 } 1 .. 4);
wait_idle($node);
is(join('|', map { scalar @{ decode_json($_->{body}) } } $receiver->requests('/ok/long')), '2|2', 'so is one that is long');

# What stands in a line that has its turn again is no part of what others wait for.
my $ready = hook('ready', '/script/ready', 'key', '{"size": 3, "wait": "10 s"}');
hook('pace', '/ok/pace', 'hook', '{"size": 100, "wait": "5 s"}');
$receiver->control({ path => '/script/ready', steps => [ 'hang', 'ok' ] });
deliver('ready', 'a1' .. 'a3');
wait_batches('/script/ready', 'a1 a2 a3', 'a full batch');
deliver('ready', 'a4' .. 'a6');
deliver('ready', 'b1');
wait_for('all to stand in line', sub { pending($ready) == 7 });
deliver('pace', 'a1');
$receiver->control({ release => JSON::PP::true });
wait_batches('/script/ready', 'a1 a2 a3|a4 a5 b1', 'is followed by one that is full by then');
is(batches('/ok/pace'), '', 'which waits for nothing');
wait_idle($node);

# --- keys ----------------------------------------------------------------------------------------------------
my $keys = hook('keys', '/script/keys', 'key', '{"size": 5, "wait": "200 ms"}', $never);
$receiver->control({ path => '/script/keys', steps => ['ok'] });
deliver('keys', 'z0');
wait_idle($node);
$receiver->control({ path => '/script/keys', steps => [ 'hang', 'ok' ] });
deliver('keys', qw(a1 b1 a2 b2 c1));
wait_batches('/script/keys', 'z0|a1 b1 a2 b2 c1', 'ordering key: runs of several keys, as they were recorded');
deliver('keys', qw(a3 d1 b3 d2));
wait_batches('/script/keys', 'z0|a1 b1 a2 b2 c1|d1 d2', 'no key is in two batches at once');
$receiver->control({ release => JSON::PP::true });
wait_batches('/script/keys', 'z0|a1 b1 a2 b2 c1|d1 d2|a3 b3', 'what waited comes then');
wait_idle($node);
$receiver->control({ path => '/script/keys', steps => [ 'status/500', 'ok' ] });
deliver('keys', qw(e1 f1));
wait_for('the failure', sub { ledger($keys) =~ /e1 pending 1 500; f1 pending 1 500/ });
deliver('keys', qw(e2 g1));
wait_batches('/script/keys', 'z0|a1 b1 a2 b2 c1|d1 d2|a3 b3|e1 f1|g1', 'those of a batch that failed hold up their keys alone');
sql("SELECT whisperer.retry(event_id, hook_id, force => true) FROM whisperer.delivery WHERE hook_id = $keys AND state = 'pending' AND retry_count = 1");
wait_batches('/script/keys', 'z0|a1 b1 a2 b2 c1|d1 d2|a3 b3|e1 f1|g1|e1 f1 e2', 'and come again with what stood behind them');

# --- failures --------------------------------------------------------------------------------------------------
$receiver->control({ path => '/script/again', steps => [ 'status/500', 'status/503', 'ok' ] });
my $again = hook('again', '/script/again', 'hook', '{"size": 3, "wait": "0 ms"}', $retried);
deliver('again', 'a1' .. 'a5');
wait_batches('/script/again', 'a1 a2 a3|a1 a2 a3|a1 a2 a3|a4 a5', 'a batch that failed comes again before what is behind it');
wait_idle($node);
is(ledger($again), 'a1 delivered 3 200; a2 delivered 3 200; a3 delivered 3 200; a4 delivered 1 200; a5 delivered 1 200', 'with an attempt of each');

my $refused = hook('refused', '/refuse/422/wrong', 'hook', '{"size": 5, "wait": "0 ms"}', $once);
deliver('refused', 'a1', 'a2wrong', 'a3', 'a4', 'a5', 'a6', 'a7');
wait_idle($node);
is(batches('/refuse/422/wrong'), 'a1 a2wrong a3 a4 a5|a1|a2wrong|a3|a4|a5|a6 a7', 'members of a refused batch are tried alone, in order');
is(ledger($refused), 'a1 delivered 2 200; a2wrong failed 2 422; ' . join('; ', map { "a$_ delivered 2 200" } 3 .. 5) . '; a6 delivered 1 200; a7 delivered 1 200', 'so that one fails alone');

my $named = hook('named', '/name-failed/207/wrong', 'hook', '{"size": 4, "wait": "0 ms"}', $fixed =~ s/N/1/r);
deliver('named', 'a1', 'a2wrong', 'a3', 'a4wrong', 'a5');
wait_idle($node);
is(batches('/name-failed/207/wrong'), 'a1 a2wrong a3 a4wrong|a2wrong a4wrong a5', 'those that an answer names come again before what is behind the batch');
is(ledger($named), 'a1 delivered 1 207; a2wrong failed 2 207; a3 delivered 1 207; a4wrong failed 2 207; a5 delivered 1 207', 'and nothing that was accepted is sent again');

# --- an earlier event that is committed later ------------------------------------------------------------------
# Its id is before that of one that is on its way.
for my $batch ('{"size": 3, "wait": "0 ms"}', 'null') {
    my $path = $batch eq 'null' ? '/script/early_single' : '/script/early';
    my $type = $path =~ s/.*\///r;
    my $early = hook($type, $path, 'hook', $batch);
    $receiver->control({ path => $path, steps => [ 'hang', 'ok' ] });
    my $late = $node->background_psql('postgres');
    $late->query_safe(qq(BEGIN; SELECT whisperer.deliver_event('$type', '"a1"')));
    deliver($type, 'a2');
    wait_for('the request', sub { 1 == (() = $receiver->requests($path)) });
    $late->query_safe('COMMIT');
    $late->quit;
    wait_for('it to stand in line', sub { pending($early) == 2 });
    $receiver->control({ release => JSON::PP::true });
    wait_for("both at $path", sub { 2 == (() = $receiver->requests($path)) });
    wait_idle($node);
    is(ledger($early), 'a1 delivered 1 200; a2 delivered 1 200', "one that is committed late is not forgotten: $type");
}

$receiver->control({ path => '/script/between', steps => [ 'hang', 'hang', 'ok' ] });
my $between = hook('between', '/script/between', 'hook', '{"size": 3, "wait": "0 ms"}');
deliver('between', 'a0');
wait_batches('/script/between', 'a0', 'while one is on its way');
deliver('between', 'a1');
my $late = $node->background_psql('postgres');
$late->query_safe(q(BEGIN; SELECT whisperer.deliver_event('between', '"a2"')));
deliver('between', 'a3');
wait_for('them to stand in line', sub { pending($between) == 3 });
$receiver->control({ release => JSON::PP::true });
wait_batches('/script/between', 'a0|a1 a3', 'others follow');
$late->query_safe('COMMIT');
$late->quit;
wait_for('it to stand in line', sub { pending($between) == 3 });
$receiver->control({ release => JSON::PP::true });
wait_batches('/script/between', 'a0|a1 a3|a2', 'nor is one that comes between those of a batch');
wait_idle($node);

# --- parked, put back, given other batches ----------------------------------------------------------------------
my $parked = hook('parked', '/script/parked', 'hook', '{"size": 3, "wait": "0 ms"}', $retried);
$receiver->control({ path => '/script/parked', steps => [ 'hang', 'ok' ] });
deliver('parked', 'a1' .. 'a5');
wait_for('the batch to be parked', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $parked AND next_attempt_at < 'infinity'") == 3 });
is(batches('/script/parked'), 'a1 a2 a3', 'a batch without an answer');
sql("SELECT whisperer.update_hook($parked, '{\"batch\": {\"size\": 2}}')");
$receiver->control({ release => JSON::PP::true });
wait_batches('/script/parked', 'a1 a2 a3|a4 a5', 'holds up the others until it has one');
wait_idle($node);

my $paused = hook('paused', '/ok/paused', 'hook', '{"size": 3, "wait": "0 ms"}');
sql("SELECT whisperer.pause_hook($paused)");
deliver('paused', 'a1' .. 'a7');
wait_for('all to stand in line', sub { pending($paused) == 7 });
sql("SELECT whisperer.update_hook($paused, '{\"batch\": {\"size\": 4}}'); SELECT whisperer.resume_hook($paused)");
wait_batches('/ok/paused', 'a1 a2 a3 a4|a5 a6 a7', 'one that was paused gets the batches that it has by now');
sql("SELECT whisperer.pause_hook($paused)");
deliver('paused', 'b1', 'b2');
wait_for('both to stand in line', sub { pending($paused) == 2 });
sql("SELECT whisperer.update_hook($paused, '{\"batch\": null}'); SELECT whisperer.resume_hook($paused)");
wait_idle($node);
is(join(' ', map { decode_json($_->{body})->{data} } grep { $_->{body} =~ /"b/ } $receiver->requests('/ok/paused')), 'b1 b2', 'or none');

# --- what a transform makes ----------------------------------------------------------------------------------------
sql(q(CREATE FUNCTION told(event json) RETURNS json LANGUAGE plpgsql AS
    $$BEGIN IF event->>'data' ~ 'wrong' THEN RAISE EXCEPTION 'no'; END IF; RETURN json_build_object('data', event->>'data'); END$$));
my $made = hook('made', '/ok/made', 'hook', '{"size": 30, "wait": "200 ms"}', "transform => 'public.told', $once");
deliver('made', map { sprintf 'a%02d%s', $_, $_ == 25 ? 'wrong' : '' } 1 .. 50);
wait_idle($node);
is(join(' ', map { map { $_->{data} } @{ decode_json($_->{body}) } } $receiver->requests('/ok/made')), join(' ', map { sprintf 'a%02d', $_ } grep { $_ != 25 } 1 .. 50),
    'bodies of a transform are in order');
cmp_ok(scalar(() = $receiver->requests('/ok/made')), '<=', 4, 'and in batches');
is(sql("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM whisperer.delivery WHERE hook_id = $made GROUP BY state) s"), 'delivered 49, failed 1',
    'one that cannot be made fails alone');

# Its functions wait for a lock, until the hook has no batches any more.
sql(q(CREATE FUNCTION held(event json) RETURNS json LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_advisory_xact_lock_shared(4); RETURN json_build_object('data', event->>'data'); END$$));
my $undone = hook('undone', '/script/undone', 'hook', '{"size": 30, "wait": "0 ms"}', "transform => 'public.held'");
hook('seen', '/ok/seen', 'hook', '{"size": 3, "wait": "0 ms"}');
$receiver->control({ path => '/script/undone', steps => ['ok'] });
deliver('undone', "a$_"), wait_idle($node) for 1 .. 4;
$receiver->control({ path => '/script/undone', steps => [ 'hang', 'ok' ] });
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT pg_advisory_xact_lock(4)');
deliver('undone', 'a5' .. 'a9');
wait_for('a function to wait', sub { sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1 });
sql("SELECT whisperer.update_hook($undone, '{\"batch\": null}')");
deliver('seen', 'a1');
wait_batches('/ok/seen', 'a1', 'once the change has been seen');
$holder->query_safe('COMMIT');
$holder->quit;
wait_for('the first', sub { 5 == (() = $receiver->requests('/script/undone')) });
deliver('seen', 'a2');
wait_batches('/ok/seen', 'a1|a2', 'and others go on');
is(scalar(() = $receiver->requests('/script/undone')), 5, 'bodies that were made for a batch go one after the other without it');
$receiver->control({ release => JSON::PP::true });
wait_idle($node);
is(join(' ', map { my $body = decode_json($_->{body}); map { $_->{data} } ref $body eq 'ARRAY' ? @$body : $body } $receiver->requests('/script/undone')),
    join(' ', map { "a$_" } 1 .. 9), 'in order');

# --- the rate ---------------------------------------------------------------------------------------------------------
hook('slow', '/ok/slow', 'hook', '{"size": 50, "wait": "0 ms"}', 'rate_limit => 2');
deliver('slow', map { sprintf 'a%03d', $_ } 1 .. 200);
wait_idle($node);
is(join('|', map { scalar @{ decode_json($_->{body}) } } $receiver->requests('/ok/slow')), '50|50|50|50', 'rate_limit counts requests');

# --- all together, and the worker is killed ------------------------------------------------------------------------
my $flaky = hook('flaky', '/flaky/20/500/all', 'key', '{"size": 20, "wait": "10 ms"}', $fixed =~ s/0\.1/0.05/r =~ s/N/1000/r);
my $strict = sql("SELECT whisperer.create_hook('flaky', '" . $receiver->url('/flaky/20/500/strict') . q(', ordering => 'hook', batch => '{"size": 20, "wait": "10 ms"}', ) . ($fixed =~ s/0\.1/0.02/r =~ s/N/1000/r) . ')');
my @texts = map { my $n = $_; map { sprintf '%s%02d', $_, $n } 'a' .. 'h' } 1 .. 60;
deliver('flaky', splice(@texts, 0, 40)), ($_ % 4 or kill_worker($node, worker_pid($node))) for 1 .. 12;
wait_idle($node);
wait_for('all', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN ($flaky, $strict) AND state = 'delivered'") == 960 });
for my $path ('/flaky/20/500/all', '/flaky/20/500/strict') {
    my (%done, $overtaken);
    for my $request ($receiver->requests($path)) {
        my $fails = (($request->{n} * 2654435761) & 0xffffffff) % 100 < 20;
        my %in;
        for my $text (map { $_->{data} } @{ decode_json($request->{body}) }) {
            my ($key, $n) = $text =~ /^(.)(\d+)$/;
            $overtaken++ if $n > ($in{$key} // $done{$key} // 0) + 1;
            $in{$key} = $n;
        }
        next if $fails;
        $done{$_} = $in{$_} > ($done{$_} // 0) ? $in{$_} : $done{$_} for keys %in;
    }
    is($overtaken // 0, 0, "$path: nothing was sent before what stood before it had been accepted");
    is(join(' ', map { $done{$_} } sort keys %done), join(' ', (60) x 8), "$path: each key got all");
}

# --- at the end
my %body_of;
is(scalar(grep { my ($id) = Whisperer::Receiver::header($_, 'webhook-id'); ($body_of{$id} //= $_->{body}) ne $_->{body} } $receiver->requests), 0, 'no id stands for two bodies');
done_testing();
