# Dead letters and what people can do about them: retry, recover, replay, cancel; and the functions that
# ask at once: ping_hook, deliver_now, why, backfill.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('chances', extra => "restart_after_crash = on\n");
my $receiver = new_receiver('chances');
my $base = $receiver->url('');
my $never = q('{"choice": "fixed", "kwargs": {"seconds": 1000}, "max_retries": 0}');

sub sql { return $node->safe_psql('postgres', shift) }

sub error_of {
    my ($sql) = @_;
    my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
    return $error =~ /ERROR:  (.*)/ ? $1 : 'no error';
}

sub record {
    my ($note) = @_;
    my $id = sql(qq(SELECT whisperer.deliver_event('e', '{"note": "$note"}')));
    wait_idle($node);
    return $id;
}

sub state { return sql("SELECT state || ' ' || retry_count FROM whisperer.delivery WHERE event_id = '$_[0]' AND hook_id = $_[1]") }

# The notes that arrived at a path, in order; or their ids.
sub notes { return join ' ', map { JSON::PP::decode_json($_->{body})->{data}{note} } $receiver->requests($_[0]) }
sub ids { return map { Whisperer::Receiver::header($_, 'webhook-id') } $receiver->requests($_[0]) }

sql(<<"SQL");
CREATE ROLE stranger; GRANT USAGE ON SCHEMA whisperer TO stranger;
SELECT whisperer.register_event('e');
SELECT whisperer.create_hook('e', '$base/status/500/one', retry_countdown_config => $never);
SQL

# --- retry --------------------------------------------------------------------------------------
my $first = record('first');
is(state($first, 1), 'failed 1', 'a delivery without retries fails');
like(sql("SELECT whisperer.why('$first', 1)"), qr/^failed after 1 attempts: HTTP status 500/, 'why says so');
like(error_of("SET ROLE stranger; SELECT whisperer.retry('$first')"), qr/^42704: event .* has no delivery to an undeleted hook of yours/,
    'a stranger cannot retry it');
is(sql("SELECT whisperer.retry('$first')"), 1, 'retry queues it again');
wait_idle($node);
is(state($first, 1), 'failed 2', 'and it fails again');
sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/ok/one", "retry_countdown_config": {"choice": "schedule", "kwargs": {"seconds": [1000]}}}')));
sql("SELECT whisperer.retry('$first', 1)");
wait_idle($node);
is(state($first, 1), 'delivered 3', 'delivered once the receiver is well');
is((ids('/ok/one'))[0], (ids('/status/500/one'))[0], 'with the same webhook-id');
is(error_of("SELECT whisperer.retry('$first')"), '55000: event already delivered', 'not again by itself');
sql("SELECT whisperer.retry('$first', force => true)");
wait_idle($node);
is(notes('/ok/one'), 'first first', 'but by force');
like(error_of("SELECT whisperer.retry(gen_random_uuid())"), qr/^42704/, 'an unknown event is an error');

# The countdown begins anew: two attempts are used up, and there is a wait for another all the same.
sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/status/500/two"}')));
sql("SELECT whisperer.retry('$first', force => true)");
wait_idle($node);
is(state($first, 1), 'pending 5', 'a retried delivery has its whole countdown before it');
is(error_of("SELECT whisperer.retry('$first')"), '55000: event is still in retry process', 'it is waiting already');
like(sql("SELECT whisperer.why('$first', 1)"), qr/^waits for attempt 6 at .*; last error: HTTP status 500/, 'why says for what');
sql("SELECT whisperer.retry('$first', force => true)");
wait_idle($node);
is(state($first, 1), 'pending 6', 'force does not wait');

# --- cancel -------------------------------------------------------------------------------------
is(sql("SELECT whisperer.cancel('$first')"), 1, 'cancel');
wait_idle($node);
is(state($first, 1), 'cancelled 6', 'ends it');
is(sql("SELECT whisperer.cancel('$first')"), 0, 'once');
sql("SELECT whisperer.retry('$first')");
wait_idle($node);
is(state($first, 1), 'pending 7', 'what was cancelled can be retried');

is(sql("SELECT string_agg(concat_ws(' ', number, response_http_status, error), ', ' ORDER BY number) FROM whisperer.attempt WHERE event_id = '$first'"),
    '1 500 HTTP status 500, 2 500 HTTP status 500, 3 200, 4 200, 5 500 HTTP status 500, 6 500 HTTP status 500, 7 500 HTTP status 500',
    'view attempt has every POST');
is(sql("SELECT count(*) FROM whisperer.attempt a JOIN whisperer.delivery d USING (event_id, hook_id) WHERE a.requested_at = d.request_datetimes[a.number]"),
    7, 'with its moment');

# Asked for in the middle of an attempt: the attempt ends first.
sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/hang"}'); SELECT whisperer.retry('$first', force => true)));
wait_for('the attempt to be parked', sub { state($first, 1) eq 'pending 8' && $receiver->requests('/hang') });
sql("SELECT whisperer.cancel('$first')");
$receiver->control({ release => JSON::PP::true() });
wait_idle($node);
is(state($first, 1), 'delivered 8', 'an attempt under way ends by its result');

sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/delay/2000/500"}'); SELECT whisperer.retry('$first', force => true)));
wait_for('the attempt to be parked', sub { state($first, 1) eq 'pending 9' });
sql("SELECT whisperer.cancel('$first')");
wait_for('the cancellation', sub { state($first, 1) =~ /^cancelled/ });
wait_for('the end of the attempt', sub { sql("SELECT count(*) FROM whisperer.attempt WHERE event_id = '$first' AND number = 9") });
wait_idle($node);
is(state($first, 1), 'cancelled 9', 'one that fails is not tried again after that');

# --- an open transaction of a person -------------------------------------------------------------
sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/status/500/three", "retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 1000}, "max_retries": 0}}')));
my $open = record('open');
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT whisperer.retry('$open'); SELECT whisperer.pause_hook(1)");
sql("SELECT whisperer.create_hook('e', '$base/ok/other')");
record('meanwhile');
is(notes('/ok/other'), 'meanwhile', 'BEGIN; SELECT retry(...) left open stops nothing');
is(state($open, 1), 'failed 1', 'and does nothing');
$session->query_safe('ROLLBACK');
$session->quit;

# --- recover, with the worker killed in the middle -------------------------------------------------
# They fail for their size, which is quicker than by a receiver that always refuses.
sql("ALTER SYSTEM SET whisperer.max_payload = '1kB'");
$node->reload;
sql(q(SELECT count(whisperer.deliver_event('e', json_build_object('note', repeat('x', 1100), 'id', g))) FROM generate_series(1, 6000) g));
wait_idle($node);
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = 1 AND state = 'failed'"), 6002, 'many failed');
sql('ALTER SYSTEM RESET whisperer.max_payload');
$node->reload;
sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/ok/recovered"}')));

my $killed_at;

# The worker dies when some of the first batch has been delivered and the rest of the request is to do.
sub kill_in_the_middle {
    my ($request) = @_;
    hold($node, 'after-requests');
    my $count = sql("SELECT $request");
    wait_held($node, 'after-requests');
    hold($node, 'after-ledger');
    wait_held($node, 'after-ledger');
    sql('CREATE TABLE IF NOT EXISTS flushed (); DROP TABLE flushed');
    $killed_at = sql('SELECT clock_timestamp()');
    kill_worker($node, sql("SELECT pid FROM pg_stat_activity WHERE query = 'held at after-ledger'"));
    release_hold($node);
    wait_idle($node);
    return $count;
}
is(kill_in_the_middle("whisperer.recover(1, '-infinity')"), 6002, 'recover says how many');
is(sql("SELECT string_agg(DISTINCT state, ' ') FROM whisperer.delivery WHERE hook_id = 1 AND event_id <> '$first'"), 'delivered', 'all are recovered');
my %times;
$times{$_}++ for ids('/ok/recovered');
is(scalar keys %times, 6002, 'and delivered, through a crash');
is(sql("SELECT whisperer.recover(1, '-infinity')"), 0, 'there is nothing left to recover');
like(error_of("SELECT whisperer.recover(1, now(), '-infinity')"), qr/^22023/, 'a range that is none');
# What was found may be gone when the worker comes to it.
my $worker = worker_pid($node);
sql("INSERT INTO whisperer.request (kind, hook_id, since, until) VALUES ('recover', 1, '-infinity', '-infinity')");
wait_idle($node);
is(worker_pid($node), $worker, 'a range in which nothing is left');
is(sql("SELECT count(*) FROM whisperer.request WHERE kind <> 'hooks'"), 0, 'requests go when they are done');
# Of two dead letters, one on either side of a moment.
sql("SELECT whisperer.register_event('dead')");
my $ranged = sql("SELECT whisperer.create_hook('dead', '$base/status/500/ranged', retry_countdown_config => $never)");
sub die_once { my $id = sql(q(SELECT whisperer.deliver_event('dead', '{}'))); wait_idle($node); return $id }
my $early = die_once();
my $moment = sql('SELECT clock_timestamp()');
my $later = die_once();
is(sql("SELECT whisperer.recover($ranged, '$moment')"), 1, 'recover since a moment');
wait_idle($node);
is(join(' ', map { state($_, $ranged) } $early, $later), 'failed 1 failed 2', 'leaves what was recorded before it');
sql("SELECT whisperer.delete_hook($ranged)");

# --- replay -------------------------------------------------------------------------------------
sql(qq(SELECT whisperer.update_hook(1, '{"target_url": "$base/ok/replayed"}')));
my $recorded = sql("SELECT count(*) FROM whisperer.outbox WHERE event_type = 'e'");
is(kill_in_the_middle("whisperer.replay(1, '-infinity')"), $recorded, 'replay says how many');
%times = ();
$times{$_}++ for ids('/ok/replayed');
is(scalar keys %times, $recorded, 'all are delivered again, through a crash');
my @durable = split /\n/, sql("SELECT replace(event_id::text, '-', '') FROM whisperer.delivery WHERE hook_id = 1 AND modified_at < '$killed_at'");
cmp_ok(scalar @durable, '>', 0, 'some were delivered before the crash');
is(scalar(grep { $times{$_} > 1 } @durable), 0, 'and not once more after it');
my $late = sql(qq(SELECT whisperer.create_hook('e', '$base/ok/late', filter => '{"note": "first"}')));
is(sql("SELECT whisperer.replay($late, '-infinity', dry_run => true)"), 1, 'a dry run counts what matches');
wait_idle($node);
is(notes('/ok/late'), '', 'and sends nothing');
is(sql("SELECT whisperer.why('$first', $late)"), 'older than the hook', 'why knows its age');
is(sql("SELECT whisperer.replay($late, '-infinity')"), 1, 'replay');
wait_idle($node);
is(join(' ', ids('/ok/late')), join('', split /-/, $first), 'brings a new hook what was there before it');
sql("SELECT whisperer.replay($late, '-infinity')");
wait_idle($node);
is(notes('/ok/late'), 'first first', 'and again what it had');
sql("SELECT whisperer.replay($late, '-infinity', new_ids => true)");
wait_idle($node);
is(notes('/ok/late'), 'first first first', 'as a new event');
my @ids = ids('/ok/late');
isnt($ids[2], $ids[1], 'with a new id');
is(sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE o.hook_id = $late AND d.hook_id <> $late"),
    0, 'for that hook alone');
is(sql("SELECT whisperer.replay($late, '-infinity', (SELECT created_at FROM whisperer.outbox WHERE id = '$first'))"), 0, 'until is exclusive');
# What it had once, and would not get today, and a ping.
sql("SELECT whisperer.register_event('again')");
my $picky = sql("SELECT whisperer.create_hook('again', '$base/ok/picky')");
sql(qq(SELECT whisperer.deliver_event('again', '{"note": "$_"}'))) for 1, 2;
wait_idle($node);
sql("CALL whisperer.ping_hook($picky)");
sql(qq(SELECT whisperer.update_hook($picky, '{"filter": {"note": "1"}, "target_url": "$base/ok/pickier"}')));
is(sql("SELECT whisperer.replay($picky, '-infinity')"), 1, 'a hook with a new filter has less to replay');
wait_idle($node);
is(notes('/ok/pickier'), '1', 'and gets no more than that');
sql("SELECT whisperer.delete_hook($picky)");

# What ran when the hook was made, and the hook's own transaction: it has the first id that its snapshot does not know.
sql("SELECT whisperer.register_event('around')");
my $running = $node->background_psql('postgres');
$running->query_safe(q(BEGIN; SELECT whisperer.deliver_event('around', '{"note": "ran"}')));
sql('SELECT pg_current_xact_id()');
my $own = sql(qq(BEGIN; SELECT whisperer.create_hook('around', '$base/ok/around'); SELECT whisperer.deliver_event('around', '{"note": "own"}'); COMMIT)) =~ s/\n.*//sr;
is(sql("SELECT h.since::text LIKE '%:%:_%' AND pg_snapshot_xmax(h.since) = o.xid FROM whisperer.hook h, whisperer.outbox o WHERE h.id = $own AND o.data->>'note' = 'own'"), 't', 'a hook is made while a transaction runs');
$running->query_safe('COMMIT');
$running->quit;
wait_idle($node);
is(sql("SELECT whisperer.replay($own, '-infinity')"), 2, 'replay counts both');
wait_for('the replay', sub { notes('/ok/around') =~ tr/ // == 3 });
is(join(' ', sort split / /, notes('/ok/around')), 'own own ran ran', 'and repeats what ran, and what came with the hook');

# --- ping_hook, deliver_now ----------------------------------------------------------------------
like(sql("CALL whisperer.ping_hook($late)"), qr/^t\|200\|.*\|ok\|$/, 'ping_hook shows the answer');
like(($receiver->requests('/ok/late'))[-1]{body}, qr/"type":"whisperer-ping"/, 'to a real POST, whatever the filter');
sql(qq(SELECT whisperer.update_hook($late, '{"target_url": "$base/status/500/pinged"}')));
like(sql("CALL whisperer.ping_hook($late)"), qr/^f\|500\|.*HTTP status 500$/, 'a bad one too');
is(scalar(() = $receiver->requests('/status/500/pinged')), 1, 'once');
is(error_of("BEGIN; CALL whisperer.ping_hook($late)"), '25001: whisperer.ping_hook cannot run inside a transaction block', 'not in a block');
sql("SELECT whisperer.pause_hook($late)");
is(error_of("CALL whisperer.ping_hook($late)"), "55000: hook $late is paused", 'nor of a paused hook');
like(error_of("SET ROLE stranger; CALL whisperer.ping_hook($late)"), qr/^42704/, 'nor of another\'s');
my $now = JSON::PP::decode_json(sql(q(CALL whisperer.deliver_now('e', '{"note": "first"}'))));
is(join(' ', map { "$_->{hook_id}:" . ($_->{delivered} ? "delivered:$_->{http_status}" : 'not') } @$now), "1:delivered:200 2:delivered:200 $late:not",
    'deliver_now shows what came of it at each hook');
is(error_of(q(CALL whisperer.deliver_now('nothing', '{}'))), '42704: event type "nothing" is not registered', 'with the errors of deliver_event');
my $waiting = sql(qq(SELECT event_id FROM whisperer.delivery WHERE hook_id = $late ORDER BY created_at DESC LIMIT 1));
is(sql("SELECT whisperer.why('$waiting', $late)"), 'waits: the hook is paused (paused by pause_hook)', 'why knows a paused hook');
sql('SELECT whisperer.pause()');
my $unread = sql(q(SELECT whisperer.deliver_event('e', '{"note": "first"}')));
is(sql("SELECT whisperer.why('$unread', 1)"), 'waits: all delivery is paused, see whisperer.resume()', 'and that nothing is delivered');
sql('SELECT whisperer.resume()');
my $filtered = record('other');
is(sql("SELECT whisperer.why('$filtered', $late)"), q(filtered out by the hook's filter), 'and a filter');

# Longer than whisperer.park_after, too.
my $slow = sql("SELECT whisperer.register_event('slow'); SELECT whisperer.create_hook('slow', '$base/delay/2500')") =~ s/\s//gr;
$now = JSON::PP::decode_json(sql(q(CALL whisperer.deliver_now('slow', '{}', timeout => '60 s'))));
is(join(' ', map { $_->{delivered} ? "delivered $_->{http_status} $_->{response_content}" : 'not' } @$now), 'delivered 200 late', 'deliver_now waits for an answer that takes long');
sql(qq(SELECT whisperer.update_hook($slow, '{"target_url": "$base/delay/2500/500"}')));
$now = JSON::PP::decode_json(sql(q(CALL whisperer.deliver_now('slow', '{}', timeout => '60 s'))));
is(join(' ', map { $_->{delivered} ? 'delivered' : "$_->{http_status} $_->{error}" } @$now), '500 HTTP status 500', 'also for one that is bad');
sql("SELECT whisperer.delete_hook($slow)");

# Beside an endpoint that is left alone.
sql("SELECT whisperer.register_event('both'); SELECT whisperer.create_hook('both', '$base/ok/both')");
my $dead = sql(qq(SELECT whisperer.create_hook('both', 'http://127.0.0.1:9/', retry_countdown_config => $never)));
sql("SELECT count(whisperer.deliver_event('both', '{}')) FROM generate_series(1, 12)");
wait_for('the circuit to open', sub { sql("SELECT circuit_opened_at IS NOT NULL FROM whisperer.hook_run WHERE hook_id = $dead") eq 't' });
$now = JSON::PP::decode_json(sql(q(CALL whisperer.deliver_now('both', '{}'))));
ok((grep { $_->{hook_id} != $dead && $_->{delivered} } @$now), 'deliver_now does not wait for a hook whose circuit is open');
my $held = sql("SELECT event_id FROM whisperer.delivery WHERE hook_id = $dead AND state = 'pending' LIMIT 1");
like(sql("SELECT whisperer.why('$held', $dead)"), qr/^waits: the circuit is open, one attempt is made at /, 'why says so');
like(sql("CALL whisperer.ping_hook($dead)"), qr/^f\|.*refused/, 'but it is pinged at once');
my $failed = sql("SELECT event_id FROM whisperer.delivery WHERE hook_id = $dead AND state = 'failed' LIMIT 1");
cmp_ok(sql("SELECT whisperer.recover($dead, '-infinity', 'infinity')"), '>', 0, 'recover without an end');
sql("SELECT whisperer.delete_hook($dead)");
is(error_of("SELECT whisperer.retry('$failed', $dead)"), "55000: hook $dead is deleted", 'retry at a deleted hook');
is(error_of("SET ROLE stranger; SELECT whisperer.retry('$failed', $dead)"), "42704: event $failed has no delivery to an undeleted hook of yours", 'of which a stranger hears nothing');

# --- backfill -----------------------------------------------------------------------------------
sql(<<"SQL");
CREATE TABLE item (id int PRIMARY KEY, note text);
INSERT INTO item SELECT g, 'row ' || g FROM generate_series(1, 2500) g;
GRANT SELECT ON item TO stranger;
SQL
my $filled = sql(qq(SELECT whisperer.create_hook('e', '$base/ok/filled')));
is(sql("SELECT whisperer.backfill($filled, 'item', 'id > 500')"), 2000, 'backfill says how many rows match');
wait_idle($node);
is(scalar(() = $receiver->requests('/ok/filled')), 2000, 'and each becomes an event');
is(sql("SELECT source || ' ' || object_id FROM whisperer.outbox WHERE hook_id = $filled ORDER BY id LIMIT 1"), 'public.item 501', 'like that of a trigger');
sql(<<"SQL");
CREATE TABLE shaped (id int PRIMARY KEY, at timestamptz, bytes bytea, span interval, f float8);
CREATE TRIGGER shaped AFTER INSERT ON shaped FOR EACH ROW EXECUTE FUNCTION whisperer.capture('e');
INSERT INTO shaped VALUES (1, '2024-01-01 00:00+00', '\\x00ff', '1 day 2 hours', 0.1);
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'; SET extra_float_digits = -3;
SELECT whisperer.backfill($filled, 'shaped', 'at = ''2024-01-01 09:00''');
SQL
is(sql("SELECT count(*) || ' ' || count(DISTINCT data::text) FROM whisperer.outbox WHERE source = 'public.shaped'"), '2 1',
    'whatever the settings, which only the where clause feels');
like(error_of("SET ROLE stranger; SELECT whisperer.backfill($filled, 'item')"), qr/^42704/, 'not for the hook of another');
like(error_of("SELECT whisperer.backfill($filled, 'item', 'id = 1) OR (nonsense')"), qr/^42703/, 'a bad where clause is an error');

done_testing();
