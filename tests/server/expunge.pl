# Forgetting: after expunge() nothing more arrives of an event, and its bytes are neither in the log nor in the ledger nor,
# once they have been vacuumed, in the files; whatever state its deliveries were in, through crashes, beside a reader, a
# retry and an open transaction; and whisperer.payload_retention does the same to all that is old.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('expunge', extra => "restart_after_crash = on\nwhisperer.poll_interval = 100ms\nautovacuum = off\n");
my $receiver = new_receiver('expunge');
my $base = $receiver->url('');
my $later = q('{"choice": "fixed", "kwargs": {"seconds": 1000}}');

sub sql { return $node->safe_psql('postgres', join '', @_) }

sub error_of {
    my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]");
    return $error =~ /ERROR:  (.*)/ ? $1 : 'no error';
}

sub record { return sql(qq(SELECT whisperer.deliver_event('$_[0]', '{"note": "$_[1]"}', object_id => '$_[2]'))) }
sub outcome { return sql("SELECT string_agg(concat_ws(' ', state, retry_count, error, response_http_status, coalesce(response_content, '-'), coalesce(body, '-')), ', ' ORDER BY hook_id) FROM whisperer.delivery WHERE event_id = '$_[0]'") }
sub requests_are_done { return wait_for('the requests', sub { sql("SELECT count(*) FROM whisperer.request WHERE kind <> 'hooks'") eq '0' }) }
sub arrived { return scalar grep { $_->{body} =~ /$_[0]/ } $receiver->requests($_[1]) }

# Everything that the database has of a text, whoever asks.
sub found {
    my ($text) = @_;
    return sql("SELECT concat_ws(' ', (SELECT count(*) FROM whisperer.outbox o WHERE o::text LIKE '%$text%'), "
        . "(SELECT count(*) FROM whisperer.delivery d WHERE d::text LIKE '%$text%'), "
        . "(SELECT count(*) FROM whisperer.past_attempt a WHERE a::text LIKE '%$text%'))");
}

# How many files below base/ have it.
sub files_with {
    my ($text) = @_;
    sql('CHECKPOINT');
    my $found = `grep -rlaF '$text' '@{[ $node->data_dir ]}/base' | wc -l`;
    return $found + 0;
}

sql(<<"SQL");
SELECT whisperer.register_event(e) FROM unnest('{ok,failing,waiting,slow,lined,quoted,late,made}'::text[]) e;
SELECT whisperer.register_event('shaped', schema => '{"additionalProperties": {"type": "string"}}');
SELECT whisperer.create_hook('ok', '$base/echo/ok');
SELECT whisperer.create_hook('failing', '$base/echo/500/failing', retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 1000}, "max_retries": 0}');
SELECT whisperer.create_hook('waiting', '$base/echo/500/waiting', retry_countdown_config => $later);
SELECT whisperer.create_hook('slow', '$base/delay/1500/200/slow');
SELECT whisperer.create_hook('lined', '$base/fail-first/1/500/lined', retry_countdown_config => $later, ordering => 'key');
CREATE FUNCTION public.quote(event json) RETURNS json LANGUAGE plpgsql AS 'BEGIN RAISE ''cannot use %'', event; END';
SELECT whisperer.create_hook('quoted', '$base/ok/quoted', transform => 'public.quote', retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 1000}, "max_retries": 0}');
CREATE FUNCTION public.same(event json) RETURNS json LANGUAGE sql RETURN event;
SELECT whisperer.create_hook('made', '$base/ok/made', transform => 'public.same');
SELECT whisperer.create_hook('shaped', '$base/ok/shaped');
SQL

# --- what was delivered, has failed, waits -----------------------------------------------------
my $delivered = record('ok', 'marker-one', 17);
my $failed = record('failing', 'marker-two', 17);
my $waits = record('waiting', 'marker-three', 17);
my $quoted = record('quoted', 'marker-four', 17);
my $made = record('made', 'marker-seven', 17);
my $shaped = sql(q(SELECT whisperer.deliver_event('shaped', '{"marker-five": 1}')));
my $keyed_call = q(whisperer.deliver_event('ok', '{"note": "marker-six"}', idempotency_key => 'signup-marker-ann@example.com'));
my $keyed = sql("SELECT $keyed_call");
wait_idle($node);
is(arrived('marker-one', '/echo/ok'), 1, 'delivered');
like(sql("SELECT error FROM whisperer.delivery WHERE event_id = '$quoted'"), qr/marker-four/, 'the error of a function quotes the data');
is(sql("SELECT error FROM whisperer.delivery WHERE event_id = '$shaped'"), 'schema: /marker-five: type', 'that of a schema names a member');
like(outcome($made), qr/^delivered 1 200 ok .*marker-seven/, 'what a transform made stays with what was delivered');
is(sql("SELECT whisperer.expunge(e) FROM unnest('{$delivered,$failed,$waits,$quoted,$made,$shaped,$keyed}'::uuid[]) e"), "t\nt\nt\nt\nt\nt\nt", 'expunged');
requests_are_done();
is(found('marker-'), '0 0 0', 'nothing of it is in the log or the ledger');
is(sql("SELECT count(*) FROM (SELECT k::text FROM whisperer.event_key k UNION ALL SELECT d::text FROM whisperer.key_decision d) AS kept (line) WHERE line ~ 'marker-'"), 0, 'nor is its idempotency key anywhere');
is(sql("SELECT count(*) FROM whisperer.event_key k JOIN whisperer.key_decision d USING (key, event_id) WHERE k.event_id = '$keyed'"), 1, 'but a digest of it, for the writer and for the worker');
is(sql("SELECT $keyed_call"), $keyed, 'so who repeats it still gets its id, and records nothing');
like(outcome($delivered), qr/^delivered 1 200 - -$/, 'the result stays');
is(outcome($made), 'delivered 1 200 - -', 'that of a transform does not');
like(outcome($failed), qr/^failed 1 HTTP status 500.* 500 - -$/, 'and the error of one that failed');
is(outcome($waits), 'failed 1 expunged 500 - -', 'what was pending has failed');
is(sql("SELECT error FROM whisperer.delivery WHERE event_id = '$quoted'"), 'transform: expunged (SQLSTATE P0001)', 'what a function said is gone, its SQLSTATE is not');
is(sql("SELECT string_agg(concat(d.error_code, ' ', d.event_id), ', ' ORDER BY d.error_code) FROM whisperer.delivery d WHERE d.error LIKE '%expunged%'"),
    "20 $quoted, 21 $shaped, 34 $waits", 'their numbers say what they were');
is(outcome($shaped), 'failed 0 schema: expunged - -', 'and what did not fit the schema');
is(sql("SELECT string_agg(DISTINCT error, ' ') FROM whisperer.attempt WHERE event_id = '$quoted'"), 'transform: expunged (SQLSTATE P0001)', 'in the attempts, too');
is(sql("SELECT concat_ws(' ', event_type, source, object_id, meta ? 'expunged_at') FROM (SELECT event_type, source, object_id, meta::jsonb FROM whisperer.outbox WHERE id = '$waits') o"),
    'waiting 17 t', 'id, type and object_id stay, and when it was done');
is(sql("SELECT whisperer.expunge('$waits')"), 'f', 'once');
like(sql("SELECT whisperer.why('$waits', 3)"), qr/^failed after 1 attempts: expunged; its data was expunged at 2/, 'why says so');

# --- nothing sends it again ----------------------------------------------------------------------
like(error_of("SELECT whisperer.retry('$failed')"), qr/^55000: the data of event $failed has been expunged/, 'retry says so');
like(error_of("SELECT whisperer.retry('$delivered', force => true)"), qr/^55000: the data of event .* has been expunged/, 'by force, too');
like(error_of("SELECT * FROM whisperer.preview('$delivered')"), qr/^55000: the data of event .* has been expunged/, 'and preview');
my $kept = record('failing', 'kept', 18);
wait_idle($node);
is(sql("SELECT whisperer.recover(2, now() - interval '1 h')"), 1, 'recover leaves it out');
is(sql("SELECT whisperer.replay(2, now() - interval '1 h', dry_run => true)"), 1, 'and replay');
sql("SELECT whisperer.recover(2, now() - interval '1 h'); SELECT whisperer.replay(2, now() - interval '1 h'); SELECT whisperer.replay(1, now() - interval '1 h')");
wait_idle($node);
is(arrived('marker-one', '/echo/ok') . arrived('marker-two', '/echo/500/failing'), '11', 'nothing has arrived again');

# --- the files -----------------------------------------------------------------------------------
isnt(files_with('marker-'), 0, 'until it is vacuumed, the files have it');
# The worker notes the last error a moment later, and a row that it may still see stays.
wait_for('a vacuum that finds nobody who needs them', sub {
    sql('DELETE FROM whisperer.hook_minute; UPDATE whisperer.hook_run SET function_error = NULL');
    sql("VACUUM FULL whisperer.outbox_$_; VACUUM FULL whisperer.delivery_$_; VACUUM FULL whisperer.past_attempt_$_") for 0 .. 7;
    sql('VACUUM FULL whisperer.hook_minute; VACUUM FULL whisperer.hook_run');
    return files_with('marker-') == 0;
});
pass('afterwards they have not');

# --- before it is read, in line, in flight ---------------------------------------------------------
sql('SELECT whisperer.pause()');
my $unread = record('ok', 'unread', 1);
is(sql("SELECT whisperer.expunge('$unread')"), 't', 'one that nobody has read');
requests_are_done();
pass('in a paused database, too');
like(sql("SELECT whisperer.why('$unread', 1)"), qr/^its data was expunged, so nobody gets it any more/, 'why says so');
my $same = sql(q(BEGIN; CREATE TEMP TABLE t AS SELECT whisperer.deliver_event('ok', '{"note": "at once"}') AS id; SELECT whisperer.expunge(id) FROM t; COMMIT; SELECT id FROM t));
like($same, qr/^t\n/, 'one of the same transaction');
sql('SELECT whisperer.resume()');
wait_idle($node);
is(arrived('unread', '/echo/ok') + arrived('at once', '/echo/ok'), 0, 'neither is sent');
is(outcome($unread), '', 'nor has a delivery');
my @line = map { record('lined', "line-$_", 'l') } 1 .. 3;
wait_for('the first of the line', sub { arrived('line-1', '/fail-first/1/500/lined') });
sql("SELECT whisperer.expunge('$line[0]'), whisperer.expunge('$line[1]')");
wait_for('the last of the line', sub { arrived('line-3', '/fail-first/1/500/lined') });
is(arrived('line-2', '/fail-first/1/500/lined'), 0, 'a line goes on without those that were expunged');
requests_are_done();
like(outcome($line[1]), qr/^failed 0 expunged/, 'which have failed');

my $slow = record('slow', 'in-flight', 1);
wait_for('the slow one to arrive', sub { arrived('in-flight', '/delay/1500/200/slow') });
sql("SELECT whisperer.expunge('$slow')");
requests_are_done();
like(outcome($slow), qr/^delivered 1 200 - -$/, 'what is in flight may finish, and its answer is not kept');

# --- crashes, an open transaction, REPEATABLE READ ------------------------------------------------
my $crashed = record('waiting', 'crashed', 1);
wait_idle($node);
hold($node, 'after-requests');
sql("SELECT whisperer.expunge('$crashed')");
wait_held($node, 'after-requests');
kill_worker($node, sql("SELECT pid FROM pg_stat_activity WHERE query = 'held at after-requests'"));
release_hold($node);
requests_are_done();
is(outcome($crashed), 'failed 1 expunged 500 - -', 'after a crash it is as before');
my $before = record('waiting', 'before-it', 1);
wait_idle($node);
hold($node, 'before-page-snapshot');
wait_held($node, 'before-page-snapshot');
sql("SELECT whisperer.expunge('$before')");
kill_worker($node, sql("SELECT pid FROM pg_stat_activity WHERE query = 'held at before-page-snapshot'"));
release_hold($node);
requests_are_done();
is(outcome($before), 'failed 1 expunged 500 - -', 'before the worker knew of it, too');

my $open = record('waiting', 'open', 1);
wait_idle($node);
my $person = $node->background_psql('postgres');
$person->query_safe("BEGIN; SELECT whisperer.expunge('$open')");
my $other = record('ok', 'beside', 1);
wait_idle($node);
is(arrived('beside', '/echo/ok'), 1, 'nobody waits for who has not committed');
my $retried = sql("SELECT whisperer.retry('$open', force => true)");
wait_for('the second attempt', sub { arrived('"open"', '/echo/500/waiting') == 2 });
like(error_of("SET lock_timeout = '100ms'; SELECT whisperer.expunge('$open')"), qr/^55P03/, 'a second one waits');
my $snapshot = $node->background_psql('postgres', on_error_stop => 0);
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$person->query_safe('COMMIT');
$person->quit;
requests_are_done();
is(outcome($open), 'failed 2 expunged 500 - -', 'then it is done');
is($snapshot->query("SELECT whisperer.expunge('$open')"), '', 'a snapshot from before cannot');
$snapshot->quit;

# A retry that was asked for before is carried out after.
my $raced = record('waiting', 'raced', 1);
wait_idle($node);
sql("BEGIN; SELECT whisperer.retry('$raced', force => true); SELECT whisperer.expunge('$raced'); COMMIT");
requests_are_done();
wait_for('its end', sub { outcome($raced) =~ /^failed 1 expunged/ });
is(arrived('raced', '/echo/500/waiting'), 1, 'a retry of the same transaction sends nothing');

# Of a deleted hook.
my $orphan = record('failing', 'orphan', 1);
wait_idle($node);
sql("UPDATE whisperer.delivery SET response_content = 'orphan' WHERE event_id = '$orphan'");
sql('SELECT whisperer.delete_hook(2)');
sql("SELECT whisperer.expunge('$orphan')");
requests_are_done();
is(found('orphan'), '0 0 0', 'a deleted hook keeps nothing either');

# --- payload_retention ---------------------------------------------------------------------------
my $old = record('ok', 'old-marker', 5);
my $pending = record('waiting', 'old-marker', 6);
wait_idle($node);
$person = $node->background_psql('postgres');
$person->query_safe("BEGIN; SELECT whisperer.expunge('$old')");
sql("ALTER SYSTEM SET whisperer.payload_retention = '1s'");
$node->reload;
my $young = record('ok', 'young-marker', 5);
wait_idle($node);
is(arrived('young-marker', '/echo/ok'), 1, 'nobody waits for who holds one of them');
$person->query_safe('ROLLBACK');
$person->quit;
wait_for('the old ones', sub { found('old-marker') eq '0 0 0' });
wait_for('the pending one to end', sub { outcome($pending) eq 'failed 1 expunged 500 - -' });
like(outcome($old), qr/^delivered 1 200 - -$/, 'its result stays');
wait_for('the younger one', sub { found('young-marker') eq '0 0 0' });
sql("ALTER SYSTEM SET whisperer.payload_retention = '10d'");
$node->reload;
my $fresh = record('ok', 'fresh-marker', 5);
wait_idle($node);
is(found('fresh-marker'), '1 1 0', 'what is younger stays');

# What nobody has read stays as well, however old it is; and several workers do it together.
sql('SELECT whisperer.pause()');
my $unseen = record('ok', 'unseen-marker', 5);
sql("ALTER SYSTEM SET whisperer.payload_retention = '1s'; ALTER SYSTEM SET whisperer.workers = 3");
$node->reload;
wait_for('what was read to go', sub { found('fresh-marker') eq '0 0 0' });
is(found('unseen-marker'), '1 0 0', 'what nobody has read stays');
sql('SELECT whisperer.resume()');
wait_for('its delivery', sub { arrived('unseen-marker', '/echo/ok') });
wait_for('three workers to forget it', sub { found('unseen-marker') eq '0 0 0' });

done_testing();
