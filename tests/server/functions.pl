# Functions of subscribers: transform, callback and a countdown of their own, run as the hook's owner.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('functions', extra => 'restart_after_crash = on');
my $receiver = new_receiver('functions');
my $base = $receiver->url('');

# What somebody set for people is not for the process that runs functions.
$ENV{PGOPTIONS} = '-c default_transaction_read_only=off';
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET default_transaction_read_only = on');

sub sql { return $node->safe_psql('postgres', shift) }
sub record { return sql(qq(SELECT whisperer.deliver_event('$_[0]', '{"note": "$_[1]"}'))) }
sub state_of { return sql("SELECT state, retry_count FROM whisperer.delivery WHERE event_id = '$_[0]'" . ($_[1] ? " AND hook_id = $_[1]" : '')) }
sub wait_state { my ($what, $event, $state, $hook) = @_; wait_for($what, sub { state_of($event, $hook) =~ /^$state\|/ }) }

# Kills the worker at a point; delivery goes on after the server has recovered.
sub kill_worker_at {
    my ($point, $act) = @_;
    hold($node, $point);
    $act->();
    wait_held($node, $point);
    # The ledger is written with synchronous_commit = off.
    my $written = sql('SELECT pg_current_wal_insert_lsn()');
    wait_for('the WAL to be flushed', sub { sql("SELECT pg_current_wal_flush_lsn() >= '$written'") eq 't' });
    kill_worker($node, sql("SELECT pid FROM pg_stat_activity WHERE query = 'held at $point'"));
    release_hold($node);
}

sql(<<"SQL");
CREATE ROLE ann; CREATE SCHEMA app AUTHORIZATION ann;
GRANT USAGE ON SCHEMA whisperer TO ann;
SELECT whisperer.register_event(e), whisperer.allow(e, 'ann', 'subscribe'), whisperer.allow(e, 'ann', 'publish')
FROM unnest('{shaped,dropped,volatile,told,failing,waiting,plain,bad}'::text[]) e;
SET ROLE ann;
CREATE TABLE app.call (event_type text, response jsonb, data json, payload json, who text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION app.shape(event json) RETURNS json LANGUAGE sql AS
    \$\$SELECT json_build_object('text', event->'data'->>'note', 'type', event->'event'->>'type', 'id', event->'event'->>'uuid',
                                'who', current_user, 'zone', current_setting('TimeZone'))\$\$;
CREATE FUNCTION app.drop_it(event json) RETURNS json LANGUAGE sql AS
    \$\$SELECT CASE WHEN event->'data'->>'note' = 'keep' THEN event END\$\$;
CREATE FUNCTION app.anything(event json) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''random'', random())';
CREATE FUNCTION app.told(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'INSERT INTO app.call VALUES (event_type, response, data, payload, current_user)';
CREATE FUNCTION app.broken(event json) RETURNS json LANGUAGE plpgsql AS
    \$\$BEGIN RETURN 1 / (event->'data'->>'note')::int; END\$\$;
CREATE FUNCTION app.broken_told(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'INSERT INTO app.call (event_type) VALUES (event_type); SELECT 1 / 0';
CREATE FUNCTION app.wait(retry_count int, kwargs jsonb) RETURNS interval LANGUAGE sql AS
    \$\$SELECT CASE WHEN retry_count < 3 THEN (kwargs->>'quick')::interval ELSE interval '20 days' END\$\$;
CREATE FUNCTION app.never(retry_count int, kwargs jsonb) RETURNS interval LANGUAGE sql AS 'SELECT interval ''-1 s''';
SQL
my $soon = q({"choice": "fixed", "kwargs": {"seconds": 0.1}});

# --- transform --------------------------------------------------------------------------------------
my $shaped = sql("SET ROLE ann; SELECT whisperer.create_hook('shaped', '$base/ok/shaped', secret_key => 'secret', transform => 'app.shape')");
my $plain = sql("SELECT whisperer.create_hook('shaped', '$base/ok/unshaped', secret_key => 'secret')");
my $event = record('shaped', 'hello');
wait_idle($node);
wait_rest($node);
pass('a worker whose functions have nothing to do rests');
my ($request) = $receiver->requests('/ok/shaped');
is($request->{body}, qq({"text" : "hello", "type" : "shaped", "id" : "@{[$event =~ s/-//gr]}", "who" : "ann", "zone" : "UTC"}),
    'a transform gets the envelope, runs as the owner of the hook, and its result is the body');
my ($unshaped) = $receiver->requests('/ok/unshaped');
like($unshaped->{body}, qr/^\{"event":\{"type":"shaped"/, 'the other hook of the event gets the envelope');
my $verify = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/verify.mjs}r;
command_ok([ 'node', $verify, $receiver->{log}, 'secret' ], 'and the signature is of the body that was sent');
is(sql("SELECT body FROM whisperer.preview('$event') WHERE hook_id = $shaped"), $request->{body}, 'preview shows what it made');
is(sql(qq(BEGIN; SELECT FROM whisperer.deliver_event('shaped', '{"note": "not"}'); SELECT count(*), count(body) FROM whisperer.preview(); ROLLBACK)) =~ s/^\n+//r, '2|1', 'and does not call it');
like(sql("SET ROLE ann; CALL whisperer.ping_hook($shaped)"), qr/^t\|200/, 'a ping is sent as it is');
like(sql(q(CALL whisperer.deliver_now('shaped', '{"note": "now"}'))), qr/"hook_id": $shaped,.*"delivered": true/, 'deliver_now waits for it');

sql("SET ROLE ann; SELECT whisperer.create_hook('dropped', '$base/ok/dropped', transform => 'app.drop_it')");
my @events = map { record('dropped', $_) } qw(no keep);
wait_idle($node);
is(sql("SELECT state, error FROM whisperer.delivery WHERE event_id = '$events[0]'"), 'cancelled|transform returned null', 'null: not delivered');
is(state_of($events[1]), 'delivered|1', 'the other is');
like(sql("SELECT whisperer.why('$events[0]', hook_id) FROM whisperer.delivery WHERE event_id = '$events[0]'"), qr/^cancelled: transform returned null/, 'why says so');

# A flood: more than the queue holds goes through the ledger, each once.
sql(q(SELECT count(whisperer.deliver_event('shaped', json_build_object('note', g))) FROM generate_series(1, 300) g));
wait_for('the flood', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $shaped AND state = 'delivered'") >= 302 });
my %seen;
$seen{$_->{body}}++ for $receiver->requests('/ok/shaped');
is(scalar(grep { $_ == 1 } values %seen), 303, 'a flood of events: each is transformed and delivered once');

# Larger than the queue in shared memory; and larger than it may be, though the data alone is not.
@events = map { sql("SELECT whisperer.deliver_event('dropped', json_build_object('note', 'keep', 'fill', repeat('x', $_)))") } 900_000, 1_048_500;
wait_idle($node);
is(state_of($events[0]), 'delivered|1', 'a large payload is transformed');
is(length((sort { length $b->{body} <=> length $a->{body} } $receiver->requests('/ok/dropped'))[0]{body}) > 900_000, 1, 'and all of it sent');
is(sql("SELECT error FROM whisperer.delivery WHERE event_id = '$events[1]'"), 'transform: the result is larger than whisperer.max_payload (SQLSTATE 54000)',
    'a result that is too large is an error');
sql("SELECT whisperer.cancel('$events[1]')");

# The same bytes on every attempt, also when the worker was killed in between.
sql("SET ROLE ann; SELECT whisperer.create_hook('volatile', '$base/fail-first/2/500/volatile', transform => 'app.anything', retry_countdown_config => '$soon')");
kill_worker_at('after-ledger', sub { $event = record('volatile', 'x') });
wait_state('the third attempt', $event, 'delivered');
my @bodies = map { $_->{body} } $receiver->requests('/fail-first/2/500/volatile');
is(scalar @bodies, 3, 'three attempts');
is($bodies[$_], $bodies[0], "attempt @{[$_ + 1]} has the bytes of the first") for 1, 2;
is(sql("SELECT body FROM whisperer.delivery WHERE event_id = '$event'"), $bodies[0], 'the body is kept to be looked at');
is(sql("SELECT body FROM whisperer.preview('$event')"), $bodies[0], 'preview shows what was sent');
sql("SELECT whisperer.retry('$event', hook_id, force => true) FROM whisperer.delivery WHERE event_id = '$event'");
wait_for('one that was asked for', sub { 4 == (@bodies = map { $_->{body} } $receiver->requests('/fail-first/2/500/volatile')) });
isnt($bodies[3], $bodies[0], 'an attempt that a person asks for after the end has it made anew');
wait_state('it', $event, 'delivered');
is(sql("SELECT body FROM whisperer.preview('$event')"), $bodies[3], 'and that is shown then');

# An error is a failed attempt; nothing is sent.
my $bad = sql("SET ROLE ann; SELECT whisperer.create_hook('bad', '$base/ok/bad', transform => 'app.broken', retry_countdown_config => '{\"choice\": \"fixed\", \"kwargs\": {\"seconds\": 0.1}, \"max_retries\": 1}')");
$event = record('bad', '0');
wait_state('the failure', $event, 'failed');
is(sql("SELECT retry_count, error_code, error FROM whisperer.delivery WHERE event_id = '$event'"), '2|20|transform: division by zero (SQLSTATE 22012)', 'an error is a failed attempt');
is(scalar(() = $receiver->requests('/ok/bad')), 0, 'and nothing is sent');
is(sql("SET ROLE ann; SELECT function_error FROM whisperer.hook_stats WHERE hook_id = $bad"), 'transform: division by zero (SQLSTATE 22012)', 'hook_stats shows it');
sql("SET ROLE ann; CREATE OR REPLACE FUNCTION app.broken(event json) RETURNS json LANGUAGE sql AS 'SELECT ''[1]''::json'");
sql("SELECT whisperer.retry('$event')");
wait_state('the second chance', $event, 'delivered');
is(($receiver->requests('/ok/bad'))[0]{body}, '[1]', 'a function that was replaced is used at once');
sql("REVOKE EXECUTE ON FUNCTION app.broken FROM PUBLIC; ALTER FUNCTION app.broken OWNER TO postgres") if sql('SELECT current_user') eq 'postgres';
$event = record('bad', '0');
wait_state('the refusal', $event, 'failed');
like(sql("SELECT error FROM whisperer.delivery WHERE event_id = '$event'"), qr/^transform: permission denied for function broken/, 'rights count at every call');

sql("DROP FUNCTION app.broken(json); CREATE FUNCTION app.broken(event json) RETURNS text LANGUAGE sql AS 'SELECT ''no json'' '");
$event = record('bad', '0');
wait_state('the refusal', $event, 'failed');
is(sql("SELECT error FROM whisperer.delivery WHERE event_id = '$event'"), 'transform: the function does not return one value of type json (SQLSTATE 42804)',
    'and so does the type of the result');

# --- transform with meta ----------------------------------------------------------------------------
sql(<<"SQL");
SELECT whisperer.register_event('informed'), whisperer.allow('informed', 'ann', 'subscribe'), whisperer.allow('informed', 'ann', 'publish');
GRANT CREATE ON SCHEMA app TO PUBLIC;
SET ROLE ann;
CREATE FUNCTION app.inform(event json, meta jsonb) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''event'', event->''data'', ''meta'', meta, ''who'', current_user)';
CREATE TABLE app.thing (id int PRIMARY KEY);
CREATE TRIGGER tell AFTER INSERT ON app.thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('informed');
SQL
my $informed = sql("SET ROLE ann; SELECT whisperer.create_hook('informed', '$base/fail-first/1/500/informed', transform => 'app.inform', retry_countdown_config => '$soon')");
is(sql("SELECT transform FROM whisperer.hook WHERE id = $informed"), 'app.inform(json, jsonb)', 'a function of two arguments is named with them');
# Whoever may make functions there takes nobody's place.
sql("CREATE ROLE eve; GRANT USAGE ON SCHEMA app TO eve; SET ROLE eve; CREATE FUNCTION app.inform(event json) RETURNS json LANGUAGE sql AS 'SELECT to_json(''eve''::text)'");
sql(q(SET ROLE ann; BEGIN; SET LOCAL whisperer.context = '{"actor": "ann", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'; INSERT INTO app.thing VALUES (7); COMMIT));
wait_for('both attempts', sub { 2 <= (() = $receiver->requests('/fail-first/1/500/informed')) });
my @informed = map { $_->{body} } $receiver->requests('/fail-first/1/500/informed');
is($informed[1], $informed[0], 'a body with meta has the same bytes at the next attempt');
my $said = JSON::PP::decode_json($informed[0]);
is($said->{who}, 'ann', 'it is called as the owner');
is_deeply($said->{event}, { id => 7 }, 'with the envelope');
my ($its_id, $its_time) = split /\|/, sql(q(SELECT replace(id::text, '-', ''), to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM whisperer.outbox WHERE event_type = 'informed'));
is_deeply($said->{meta}, { id => $its_id, type => 'informed', hook => $informed, time => $its_time, source => 'app.thing', object => '7',
    context => { actor => 'ann', traceparent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' } }, 'and with what is known beside it');
sql(qq(SELECT whisperer.deliver_event('informed', '{"n": 1}')));
wait_for('one without anything', sub { 3 <= (() = $receiver->requests('/fail-first/1/500/informed')) });
is(join(' ', sort keys %{ JSON::PP::decode_json(($receiver->requests('/fail-first/1/500/informed'))[2]{body})->{meta} }), 'hook id time type', 'what is not known is not there');
sql('DROP FUNCTION app.inform(json, jsonb)');
$event = record('informed', 'x');
wait_for('the error', sub { sql("SELECT error FROM whisperer.delivery WHERE event_id = '$event'") =~ /^transform: function app.inform\(json, jsonb\) does not exist/ });
pass('one that is dropped is missed, and no other is called');
sql(qq(SET ROLE ann; SELECT whisperer.update_hook($informed, '{"transform": "app.inform"}')));
is(sql("SELECT transform FROM whisperer.hook WHERE id = $informed"), 'app.inform', 'until the hook names the other');
sql("SELECT whisperer.delete_hook($informed); DROP FUNCTION app.inform(json); REVOKE CREATE ON SCHEMA app FROM PUBLIC");

# --- callback ---------------------------------------------------------------------------------------
sql("SET ROLE ann; SELECT whisperer.create_hook('told', '$base/ok/told', callback => 'app.told')");
sql("SET ROLE ann; SELECT whisperer.create_hook('failing', '$base/status/500/told', callback => 'app.told', transform => 'app.shape', retry_countdown_config => '{\"choice\": \"fixed\", \"kwargs\": {\"seconds\": 0.1}, \"max_retries\": 1}')");
$event = record('told', 'well');
wait_for('the callback', sub { sql("SELECT count(*) FROM app.call WHERE event_type = 'told'") });
is(sql("SELECT response->>'delivered', response->>'http_status', response->>'content', (response->>'time')::float > 0, response->>'error', response->>'retry_count', data, payload->'data'->>'note', who FROM app.call"),
    'true|200|ok|t||1|{"note": "well"}|well|ann', 'a callback is told of a delivery');
my $failing = record('failing', 'badly');
wait_for('the callback', sub { sql("SELECT count(*) FROM app.call WHERE event_type = 'failing'") });
is(sql("SELECT response->>'delivered', response->>'http_status', response->>'error', response->>'retry_count', payload->>'text', payload->>'who' FROM app.call WHERE event_type = 'failing'"),
    'false|500|HTTP status 500|2|badly|ann', 'and of one that failed, with what was sent');
sql("SET ROLE ann; SELECT whisperer.create_hook('shaped', '$base/ok/both', transform => 'app.shape', callback => 'app.told')");
record('shaped', 'both');
wait_for('the callback', sub { sql("SELECT count(*) FROM app.call WHERE event_type = 'shaped'") });
is(sql("SELECT data->>'note', payload->>'text' FROM app.call WHERE event_type = 'shaped'"), 'both|both', 'a success, too, comes with what was sent');
wait_for('it to be settled', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE event_id IN ('$event', '$failing') AND next_attempt_at IS NULL") == 2 });
is(sql("SELECT string_agg(pending::text, ',') FROM whisperer.hook_stats WHERE event_type IN ('told', 'failing')"), '0,0', 'nothing is pending');

# Between ledger and callback.
sql('TRUNCATE app.call');
kill_worker_at('after-ledger', sub { $event = record('told', 'crash') });
wait_for('the callback after a crash', sub { sql("SELECT count(*) FROM app.call WHERE data->>'note' = 'crash'") });
is(scalar(grep { $_->{body} =~ /crash/ } $receiver->requests('/ok/told')), 1, 'a crash between ledger and callback: delivered once');
is(sql("SELECT count(*) FROM app.call WHERE data->>'note' = 'crash'"), 1, 'and called back');

# Its errors are seen, and it is not called again.
my $broken = sql("SET ROLE ann; SELECT whisperer.create_hook('plain', '$base/ok/plain', callback => 'app.broken_told')");
$event = record('plain', 'x');
wait_for('the error', sub { sql("SELECT function_error FROM whisperer.hook_stats WHERE hook_id = $broken") eq 'callback: division by zero (SQLSTATE 22012)' });
is(sql("SELECT state, next_attempt_at IS NULL FROM whisperer.delivery WHERE event_id = '$event'"), 'delivered|t', 'a callback that fails changes nothing of the delivery');
is(sql("SELECT count(*) FROM app.call WHERE event_type = 'plain'"), 0, 'what it did is undone');

# --- countdown --------------------------------------------------------------------------------------
my $custom = q({"choice": "custom", "kwargs": {"function": "app.wait", "quick": "50 ms"}, "max_retries": 5});
my $waiting = sql("SET ROLE ann; SELECT whisperer.create_hook('waiting', '$base/status/500/waiting', retry_countdown_config => '$custom')");
$event = record('waiting', 'x');
wait_for('two quick retries', sub { state_of($event) eq 'pending|3' });
wait_for('the third to be far away', sub { sql("SELECT next_attempt_at > now() + interval '19 days' FROM whisperer.delivery WHERE event_id = '$event'") eq 't' });
is(scalar(() = $receiver->requests('/status/500/waiting')), 3, "a countdown of the owner's decides when");
sql(qq(SET ROLE ann; SELECT whisperer.update_hook($waiting, '{"retry_countdown_config": {"choice": "custom", "kwargs": {"function": "app.never"}}}')));
$event = record('waiting', 'y');
wait_for('the error', sub { sql("SELECT function_error FROM whisperer.hook_stats WHERE hook_id = $waiting") =~ /^countdown: the function must return an interval from 0 to 30 days/ });
is(sql("SELECT next_attempt_at < now() + interval '10 s' FROM whisperer.delivery WHERE event_id = '$event'"), 't', 'an error leaves the default');

# --- hooks that change while calls wait ---------------------------------------------------------------
sql("SET ROLE ann; CREATE FUNCTION app.slow(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_sleep(0.3)'");
my $slow = sql("SET ROLE ann; SELECT whisperer.create_hook('plain', '$base/ok/slow', transform => 'app.slow')");
sql("SET ROLE ann; SELECT count(whisperer.deliver_event('plain', json_build_object('note', g))) FROM generate_series(1, 200) g");
wait_for('the first', sub { () = $receiver->requests('/ok/slow') });
sql("SET ROLE ann; SELECT whisperer.pause_hook($slow)");
wait_for('the calls to be given up', sub { sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer helper' AND state = 'active'") == 0 });
wait_for('the rest to wait', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $slow") == 200 });
cmp_ok(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $slow AND state = 'pending'"), '>', 0, 'a hook that is paused: its calls are given up');
sql("SET ROLE ann; CREATE OR REPLACE FUNCTION app.slow(event json) RETURNS json LANGUAGE sql AS 'SELECT event'; SELECT whisperer.resume_hook($slow)");
wait_for('all', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $slow AND state = 'delivered'") == 200 });
is(scalar(() = $receiver->requests('/ok/slow')), 200, 'and made when it is resumed, each once');
sql("SET ROLE ann; SELECT count(whisperer.deliver_event('plain', json_build_object('note', g))) FROM generate_series(1, 200) g; SELECT whisperer.delete_hook($slow)");
wait_for('the end', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $slow AND state IN ('delivered', 'cancelled')") == 400 });
pass('a hook that is deleted: they are cancelled');

# --- bookkeeping ------------------------------------------------------------------------------------
wait_for('all to be settled', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE next_attempt_at IS NOT NULL AND hook_id <> $waiting") == 0 });
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer helper'"), 1, "one process of ann's is there");

# Two workers have a helper each, and stop in order with calls under way.
sql("ALTER SYSTEM SET whisperer.workers = 2");
$node->reload;
wait_for('two workers', sub { sql("SELECT count(*) FROM whisperer.status WHERE state = 'running'") == 2 });
@events = map { record($_, 'two') } qw(shaped told dropped volatile);
wait_for('all calls', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE event_id IN ('@{[join q(','), @events]}') AND state IN ('delivered', 'cancelled') AND next_attempt_at IS NULL") == 6 });
pass('two workers');
$node->stop('fast');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|ERROR:  (unexpected|could not)/, 'no word of trouble in the log');
done_testing();
