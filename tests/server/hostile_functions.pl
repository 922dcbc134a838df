# Functions that loop, lie, leave things behind and reach for what is not theirs.  Whatever they do, the
# worker goes on, nobody else's delivery waits for them, and nothing runs with more rights than ann's.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('hostile', extra => "whisperer.callback_timeout = '400ms'\nwhisperer.park_after = '100ms'\n");
my $receiver = new_receiver('hostile');
my $base = $receiver->url('');

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query) }
sub record { return sql(qq(SELECT whisperer.deliver_event('$_[0]', '{"note": "$_[1]"}'))) }
# Pairs of event type and note, in one transaction.
sub record_at_once { return sql(join '; ', 'BEGIN', (map { qq(SELECT whisperer.deliver_event('$_->[0]', '{"note": "$_->[1]"}')) } @_), 'COMMIT') }
sub helper_error { my ($hook) = @_; return sql("SELECT function_error FROM whisperer.hook_stats WHERE hook_id = $hook") }
sub bodies { return map { JSON::PP::decode_json($_->{body}) } $receiver->requests($_[0]) }
sub log_has { return scalar(() = slurp_file($_[1] // $node->logfile) =~ /$_[0]/g) }
sub helpers { return sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer helper' AND state = 'active'") }

# Segments that the worker has with its helper: two queues of 64 kB.
sub segments {
    my $maps = slurp_file('/proc/' . worker_pid($node) . '/maps');
    return scalar grep { $_ > 128 * 1024 && $_ < 192 * 1024 } map { hex($_->[1]) - hex($_->[0]) } map { [ m{^(\w+)-(\w+) .*/PostgreSQL\.} ] } grep { m{/PostgreSQL\.} } split /\n/, $maps;
}

my $setup = <<"SQL";
CREATE SCHEMA app AUTHORIZATION ann; GRANT USAGE ON SCHEMA app TO bob;
GRANT USAGE ON SCHEMA whisperer TO ann, bob;
SELECT whisperer.register_event(e) FROM unnest('{loop,swallow,slow,scratch,kill,big,again,role,leave,deferred,good,seen}'::text[]) e;
SELECT whisperer.allow(t.name, r, p) FROM whisperer.event_type t, unnest('{ann,bob}'::regrole[]) r, unnest('{publish,subscribe}'::text[]) p;
SET ROLE ann;
CREATE FUNCTION app.loop(event json) RETURNS json LANGUAGE plpgsql AS 'BEGIN LOOP END LOOP; END';
CREATE FUNCTION app.swallow(event json) RETURNS json LANGUAGE plpgsql AS
    'BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled OR others THEN NULL; END; END LOOP; END';
SQL
sql("CREATE ROLE ann; CREATE ROLE bob; $setup");
my $later = q({"choice": "fixed", "kwargs": {"seconds": 3600}});
my $good = sql(<<"SQL");
SET ROLE bob;
SELECT whisperer.create_hook('good', '$base/ok/good');
SQL

# Makes a hook of ann's with a function, records one event for it, and returns the hook's id.
sub try_function {
    my ($type, $what, $name, $body, %options) = @_;
    my $arguments = $what eq 'transform' ? 'event json' : 'response jsonb, event_type text, data json, payload json';
    my $result = $what eq 'transform' ? 'json' : 'void';
    sql("SET ROLE ann; CREATE FUNCTION app.$name($arguments) RETURNS $result LANGUAGE plpgsql AS \$f\$$body\$f\$") if $body;
    my $hook = sql("SET ROLE ann; SELECT whisperer.create_hook('$type', '$base/ok/$type', $what => 'app.$name', retry_countdown_config => '$later')");
    record($type, 'x');
    return $hook;
}

# --- endless ------------------------------------------------------------------------------------------
my $worker = worker_pid($node);
my $loop = try_function('loop', 'transform', 'loop');
my $swallow = try_function('swallow', 'transform', 'swallow');
record('good', 'beside');
wait_for('the good one', sub { () = $receiver->requests('/ok/good') });
for my $hook ($loop, $swallow) {
    wait_for('the time-out', sub { helper_error($hook) });
    is(helper_error($hook), 'transform: timed out after 400 ms', 'a function that loops is cut off');
    is(sql("SELECT state, retry_count, error FROM whisperer.delivery WHERE hook_id = $hook"), 'pending|1|transform: timed out after 400 ms',
        'as a failed attempt');
}
is(scalar(() = $receiver->requests($_)), 0, 'nothing is sent') for '/ok/loop', '/ok/swallow';

# --- greedy, quarrelsome ------------------------------------------------------------------------------
sql('SET ROLE ann; CREATE TABLE app.scratch (t text); CREATE TABLE app.junk (t text)');
my $scratch = try_function('scratch', 'callback', 'scratch', 'BEGIN DROP TABLE app.scratch; END');
wait_for('the table to go', sub { sql("SELECT to_regclass('app.scratch') IS NULL") eq 't' });
record('scratch', 'y');
wait_for('the error', sub { helper_error($scratch) eq 'callback: table "scratch" does not exist (SQLSTATE 42P01)' });
pass('a function that drops its table fails the next time');
my $kill = try_function('kill', 'callback', 'kill', <<"F");
BEGIN
    PERFORM pg_terminate_backend($worker);
EXCEPTION WHEN insufficient_privilege THEN
    PERFORM pg_terminate_backend(pg_backend_pid());
END;
F
wait_for('the error', sub { helper_error($kill) });
like(helper_error($kill), qr/^callback: (must be a superuser to terminate superuser process|permission denied to terminate process)/, 'it may not terminate us');
is(worker_pid($node), $worker, 'the worker is still the same');
my $big = try_function('big', 'callback', 'big', q(BEGIN INSERT INTO app.junk SELECT repeat('x', 10000) || g FROM generate_series(1, 100000000) g; END));
wait_for('the end', sub { helper_error($big) eq 'callback: timed out after 400 ms' });
is(sql('SELECT count(*) FROM app.junk'), 0, 'a flood of rows ends with its time and is undone');

# --- without end --------------------------------------------------------------------------------------
my $again = try_function('again', 'callback', 'again', q(BEGIN PERFORM whisperer.deliver_event(event_type, json_build_object('note', random())); END));
wait_for('a few rounds', sub { 20 < (() = $receiver->requests('/ok/again')) });
my $before = () = $receiver->requests('/ok/good');
record('good', $_) for 1 .. 5;
wait_for('the good ones', sub { $before + 5 == (() = $receiver->requests('/ok/good')) });
pass('a callback may record events, and its endless rounds starve nobody');
sql("SET ROLE ann; SELECT whisperer.delete_hook($again)");

# --- rights -------------------------------------------------------------------------------------------
try_function('role', 'transform', 'role', <<'F');
DECLARE
    tried text; said json[] := '{}';
BEGIN
    FOREACH tried IN ARRAY ARRAY['SET ROLE postgres', 'SET ROLE bob', 'RESET ROLE', 'SET LOCAL ROLE postgres', 'SET SESSION AUTHORIZATION postgres',
        'RESET SESSION AUTHORIZATION', 'SELECT set_config(''role'', ''postgres'', false)', 'COMMIT', 'DO ''BEGIN COMMIT; END''', 'DISCARD ALL', 'RESET ALL',
        'CREATE TEMP TABLE t ()', 'LISTEN x', 'CREATE ROLE mine SUPERUSER', 'ALTER SYSTEM RESET ALL', 'SELECT * FROM pg_authid', 'SELECT * FROM whisperer.secret',
        'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS ''SELECT 1''']
    LOOP
        BEGIN
            EXECUTE tried;
            said := said || json_build_object('did', tried);
        EXCEPTION WHEN others THEN
            NULL;
        END;
    END LOOP;
    RETURN json_build_object('who', current_user, 'did', said);
END;
F
wait_for('it', sub { bodies('/ok/role') });
my ($role) = bodies('/ok/role');
is($role->{who}, 'ann', 'SET ROLE and its like change nothing of whose rights count');
is_deeply([ map { $_->{did} =~ s/ RETURNS.*//r } @{ $role->{did} } ], [ 'RESET ALL', 'CREATE FUNCTION pg_temp.f()' ], 'nor does anything else get out of the restricted operation');

# A deferred trigger would run at commit, when the owner is gone.
sql(<<'SQL');
SET ROLE ann;
CREATE TABLE app.trap (i int); CREATE TABLE app.caught (who text);
CREATE FUNCTION app.spring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO app.caught VALUES (current_user); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON app.trap DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.spring();
SQL
my $deferred = try_function('deferred', 'callback', 'deferred', 'BEGIN INSERT INTO app.trap VALUES (1); END');
wait_for('the error', sub { helper_error($deferred) });
like(helper_error($deferred), qr/^callback: cannot fire deferred trigger within security-restricted operation/, 'nothing is left for the time after');
is(sql('SELECT count(*) FROM app.caught'), 0, 'and nothing ran then');

# --- what is left behind ------------------------------------------------------------------------------
my $leave = try_function('leave', 'callback', 'leave', <<'F');
BEGIN
    PERFORM set_config('app.secret', 'hidden', false), set_config('search_path', 'app', false), set_config('TimeZone', 'Asia/Tokyo', false);
    PERFORM pg_advisory_lock(42);
    RAISE EXCEPTION 'left by % in %', pg_backend_pid(), current_setting('TimeZone');
END;
F
sql(<<"SQL");
SET ROLE ann;
CREATE FUNCTION app.see(event json) RETURNS json LANGUAGE sql STABLE AS \$\$
    SELECT json_build_object('pid', pg_backend_pid(), 'secret', coalesce(current_setting('app.secret', true), ''), 'path', current_setting('search_path'),
        'zone', current_setting('TimeZone'), 'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), 'temp', pg_my_temp_schema()::int)\$\$;
SELECT whisperer.create_hook('seen', '$base/ok/seen-by-ann', transform => 'app.see');
SET ROLE bob;
SELECT whisperer.create_hook('seen', '$base/ok/seen-by-bob', transform => 'app.see');
SQL
wait_for('the call', sub { helper_error($leave) });
my ($pid) = helper_error($leave) =~ /left by (\d+) in Asia/;
sql("CREATE OR REPLACE FUNCTION app.leave(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'SELECT set_config(''app.secret'', ''hidden'', false), set_config(''TimeZone'', ''Asia/Tokyo'', false), pg_advisory_lock(42)'");
record('leave', 'y');
wait_idle($node);
wait_for('the callback to end', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $leave AND next_attempt_at IS NOT NULL") == 0 });
record('seen', 'x');
wait_for('both', sub { bodies('/ok/seen-by-ann') && bodies('/ok/seen-by-bob') });
my ($ann, $bob) = (bodies('/ok/seen-by-ann'), bodies('/ok/seen-by-bob'));
is("$_->{secret}|$_->{path}|$_->{zone}|$_->{locks}", '|pg_catalog, pg_temp|UTC|0', 'a call finds a clean session') for $ann, $bob;
is($bob->{temp}, 0, 'and nothing temporary of another owner');
isnt($bob->{pid}, $ann->{pid}, 'another owner has another process');

# --- slow ---------------------------------------------------------------------------------------------
sql("SET ROLE ann; CREATE FUNCTION app.slow(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_sleep(0.2)'");
sql("SET ROLE ann; SELECT whisperer.create_hook('slow', '$base/ok/slow', transform => 'app.slow')");
record_at_once((map { [ 'slow', $_ ] } 1 .. 14), [ 'seen', 'slow' ]);
wait_for('all of the slow one', sub { 14 == (() = bodies('/ok/slow')) });
my ($other, $last) = map { ($receiver->requests($_))[-1]{n} } '/ok/seen-by-bob', '/ok/slow';
cmp_ok($other, '<', $last, "another owner's function has its turn while a slow one's calls wait");

# --- ten time-outs ------------------------------------------------------------------------------------
sql("SET ROLE ann; SELECT whisperer.update_hook($loop, '{\"callback\": null}')");
record_at_once((map { [ 'loop', $_ ] } 1 .. 12), [ 'good', 'meanwhile' ], [ 'seen', 'meanwhile' ]);
wait_for('the hook to be disabled', sub { sql("SELECT state FROM whisperer.hook WHERE id = $loop") eq 'disabled' });
wait_for('the other', sub { 3 == (() = bodies('/ok/seen-by-bob')) });
is(sql("SELECT d.created_at < r.disabled_at FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id AND h.target_url LIKE '%/seen-by-bob', whisperer.hook_run r
        WHERE r.hook_id = $loop ORDER BY d.created_at DESC LIMIT 1"), 't', "bob's function has its turn in between");
is(sql("SELECT state_reason FROM whisperer.hook WHERE id = $loop"), 'ten time-outs of its functions in a row', 'ten time-outs in a row disable a hook');
is(sql("SELECT function_timeouts FROM whisperer.hook_stats WHERE hook_id = $loop"), 10, 'as hook_stats counts');
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $loop AND state = 'pending'"), 13, 'its deliveries wait');
sql("SET ROLE ann; CREATE OR REPLACE FUNCTION app.loop(event json) RETURNS json LANGUAGE sql AS 'SELECT event'; SELECT whisperer.resume_hook($loop)");
sql("SELECT whisperer.retry(event_id, hook_id, true) FROM whisperer.delivery WHERE hook_id = $loop");
wait_for('what waited', sub { 13 <= (() = $receiver->requests('/ok/loop')) });
pass('and go out when the function is mended and the hook resumed');
is(worker_pid($node), $worker, 'all the while the worker was the same');

# --- leaving while a function loops -------------------------------------------------------------------
wait_for('the last call', sub { helpers() == 0 });
sql("ALTER SYSTEM SET whisperer.callback_timeout = '10min'");
$node->reload;
sql('CREATE DATABASE other');
sql("CREATE EXTENSION whisperer; $setup", 'other');
sql("SET ROLE ann; SELECT whisperer.create_hook('swallow', '$base/ok/other', transform => 'app.swallow'); SELECT whisperer.deliver_event('swallow', '{}')", 'other');
wait_for('the loop', sub { helpers() == 1 });
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'whisperer helper' AND state = 'active'");
wait_for('the error', sub { sql('SELECT error FROM whisperer.delivery', 'other') eq 'transform: the helper process ended' });
pass('a helper that is terminated costs one attempt');
sql("SET ROLE ann; SELECT whisperer.deliver_event('swallow', '{}')", 'other');
wait_for('the loop', sub { helpers() == 1 });
sql('DROP DATABASE other');
is(helpers(), 0, 'DROP DATABASE ends a function that loops');
record('swallow', 'x');
wait_for('the loop', sub { helpers() == 1 });
sql("SELECT pg_terminate_backend($worker)");
wait_for('another worker', sub { worker_pid($node) != $worker });
wait_for('one loop, not two', sub { sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer helper'") == 1 });
pass('so does the end of the worker');
# Out of a lock's queue it leaves without farewell.
my $helper = wait_for('the loop', sub { sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'whisperer helper' AND state = 'active'") });
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE whisperer.delivery IN SHARE MODE');
record('good', 'waits');
my $waiting = wait_for('the worker to wait', sub { sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'whisperer worker' AND wait_event_type = 'Lock'") });
sql("SELECT pg_terminate_backend($waiting)");
wait_for('the helper to go', sub { sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $helper") == 0 });
$locker->quit;
pass('also one that is sudden');
wait_for('the loop', sub { helpers() == 1 });
is(segments(), 1, 'worker and helper share one segment');
$node->stop('fast');
pass('and a fast shutdown');

# --- no room ------------------------------------------------------------------------------------------
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->start;
record('good', 'no room');
wait_for('the good one', sub { grep { $_->{data}{note} eq 'no room' } bodies('/ok/good') });
wait_for('the line', sub { log_has('no room for the process that runs hooks') });
is(log_has('no room for the process that runs hooks'), 1, 'without room for the process: one line, and the others are delivered');
is(segments(), 0, 'and nothing is kept for one that was not started');
wait_for('the call to be parked', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $swallow AND state = 'pending'") == 2 });
pass('the calls wait');

done_testing();
