# Recorded once, although asked twice: an idempotency_key stands for one event, also where two transactions ran at once,
# the worker is killed, or each of two workers reads in an order of its own.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('once', extra => "restart_after_crash = on\nwhisperer.workers = 2\n");
my $receiver = new_receiver('once');
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub pay { return "SELECT whisperer.deliver_event('paid', '{}', idempotency_key => '$_[0]')" }
sub why { return sql("SELECT whisperer.why('$_[0]', $_[1])") }
my @hooks;
sub hook {
    my ($name) = @_;
    my $url = $receiver->url("/ok/$name");
    push @hooks, sql("SELECT whisperer.create_hook('paid', '$url', secret_key => '')");
}
# The keys that came to a hook, each with its ids.
sub ids_of {
    my ($name, $key) = @_;
    my %ids;
    for ($receiver->requests("/ok/$name")) {
        next if Whisperer::Receiver::header($_, 'x-whisperer-idempotency-key') ne $key;
        $ids{ Whisperer::Receiver::header($_, 'webhook-id') =~ s/(.{8})(.{4})(.{4})(.{4})(.{12})/$1-$2-$3-$4-$5/r } = 1;
    }
    return join ' ', sort keys %ids;
}
sql("SELECT whisperer.register_event('paid')");
hook($_) for 'a', 'b';
worker_pid($node);

# --- one after the other
my $first = sql(pay('order 7'));
wait_idle($node);
is(sql(pay('order 7')), $first, 'whoever asks again has the first one');
wait_idle($node);
is(ids_of('a', 'order%207'), $first, 'which is delivered, with its key');
is(sql("CALL whisperer.deliver_now('paid', '{}', idempotency_key => 'order 7')"), sql("CALL whisperer.deliver_now('paid', '{}', idempotency_key => 'order 7')"), 'deliver_now shows its results, again');
is(sql("SELECT count(*) FROM whisperer.outbox"), 1, 'and records nothing');

# --- at once: the second to commit began first
sql("BEGIN; " . pay('at-once') . "; PREPARE TRANSACTION 'early'");
my $late = sql(pay('at-once'));
wait_idle($node);
hook('made-between');
sql("COMMIT PREPARED 'early'");
wait_idle($node);
my $early = sql("SELECT id FROM whisperer.outbox WHERE meta->>'idempotency_key' = 'at-once' AND id <> '$late'");
is(ids_of($_, 'at-once'), $late, "hook $_ has the one that was read first") for 'a', 'b';
is(ids_of('made-between', 'at-once'), '', 'a hook that was made in between has neither');
like(why($early, $hooks[0]), qr/^duplicate of $late: /, 'and why says so of the other');
is(sql(pay('at-once')), $late, 'later calls have the id of the one that is delivered');
is(sql("SELECT count(*) FROM whisperer.preview('$early')"), 0, 'nothing would be sent for the other');
sql("CALL whisperer.deliver_now('paid', '{}', idempotency_key => 'at-once')");

# --- again
my $before = () = $receiver->requests('/ok/a');
is(sql("SELECT whisperer.replay($hooks[0], now() - interval '1 h')"), 2, 'replay counts what was delivered');
wait_for('the replay', sub { $before + 2 <= (() = $receiver->requests('/ok/a')) });
wait_idle($node);
is(ids_of('a', 'at-once'), $late, 'and repeats that alone');
is(sql("SELECT whisperer.replay($hooks[0], now() - interval '1 h', new_ids => true)"), 2, 'with new ids');
wait_idle($node);
is(() = (grep { ($_->{headers} // '') !~ /idempotency/i } $receiver->requests('/ok/a')), $before + 4, 'it makes new events');
is(sql("SELECT count(*) FROM whisperer.outbox WHERE hook_id = $hooks[0] AND meta IS NOT NULL"), 0, 'without a key');

# --- again, while a tool puts a copy in the place of the decisions: its rows are new to every snapshot from before
my $table = sql("SELECT tableoid::regclass FROM whisperer.key_decision WHERE event_id = '$early'");
my $copier = $node->background_psql('postgres');
$copier->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
$before = () = $receiver->requests('/ok/a');
# replay() itself would wait for the lock.
sql("INSERT INTO whisperer.request (kind, hook_id, since, until) VALUES ('replay', $hooks[0], now() - interval '1 h', now())");
wait_for('the worker to wait for it', sub { sql("SELECT count(*) FROM pg_locks WHERE relation = '$table'::regclass AND NOT granted") > 0 });
$copier->query_safe("CREATE TEMP TABLE copy AS TABLE $table; SET LOCAL session_replication_role = replica; TRUNCATE $table; INSERT INTO $table TABLE copy; COMMIT");
$copier->quit;
wait_for('the replay', sub { $before + 2 <= (() = $receiver->requests('/ok/a')) });
wait_for('its end', sub { sql("SELECT count(*) FROM whisperer.request WHERE kind = 'replay'") == 0 });
wait_idle($node);
is(ids_of('a', 'at-once'), $late, 'a duplicate stays one');

# --- killed: sent, and nothing of it in the ledger or the bookmark; then the other one is the first of its window
sql("BEGIN; " . pay('killed') . "; PREPARE TRANSACTION 'killed'");
hold($node, 'after-post');
my $sent = sql(pay('killed'));
wait_held($node, 'after-post');
wait_for('the POSTs', sub { ids_of('a', 'killed') || ids_of('b', 'killed') });
sql('SELECT whisperer.pause()');
$node->stop('immediate');
$node->append_conf('postgresql.auto.conf', "whisperer.hold_at = ''");
$node->start;
sql("COMMIT PREPARED 'killed'");
sql('SELECT whisperer.resume()');
wait_idle($node);
is(ids_of($_, 'killed'), $sent, "killed after the POST: hook $_ has the one that was sent") for 'a', 'b';

# --- killed before anything was sent: one of two, whichever
sql('SELECT whisperer.pause()');
wait_for('the pause', sub { sql("SELECT bool_and(state = 'paused') FROM whisperer.status") eq 't' });
sql("BEGIN; " . pay('undone') . "; PREPARE TRANSACTION 'undone'");
my @both = sql(pay('undone'));
sql("COMMIT PREPARED 'undone'");
hold($node, 'after-decisions');
sql('SELECT whisperer.resume()');
# The other worker goes on by what the first has decided.
wait_for('the decision', sub { sql("SELECT count(*) FROM whisperer.key_decision WHERE key = whisperer_internal.key_digest('undone')") == 2 });
kill_worker($node, sql("SELECT pid FROM whisperer.status WHERE pid IS NOT NULL ORDER BY worker LIMIT 1"));
release_hold($node);
wait_idle($node);
unlike(ids_of('a', 'undone'), qr/ /, 'killed after the decision: one of the two');
is(ids_of('a', 'undone'), ids_of('b', 'undone'), 'the same one for both workers');

# --- many at once
my $folder = PostgreSQL::Test::Utils::tempdir('load');
append_to_file("$folder/pay.sql", <<'SQL');
\set n random(1, 40)
BEGIN;
SELECT whisperer.deliver_event('paid', '{}', idempotency_key => 'load-' || :n);
SELECT pg_sleep(0.002 * random());
COMMIT;
SQL
command_ok([ 'pgbench', '-n', '-c', 8, '-t', 100, '-f', "$folder/pay.sql", '-h', $node->host, '-p', $node->port, 'postgres' ], 'eight clients pay forty orders');
wait_idle($node);
my ($twice, $other) = (0, 0);
for my $n (1 .. 40) {
    my ($a, $b) = map { ids_of($_, "load-$n") } 'a', 'b';
    $twice++ if $a =~ / / || $a eq '';
    $other++ if $a ne $b;
}
is("$twice $other", '0 0', 'each hook has each order once, and both have the same event');
note sql("SELECT count(*) FILTER (WHERE duplicate_of IS NOT NULL) || ' of ' || count(*) || ' were recorded at once' FROM whisperer.key_decision k JOIN whisperer.outbox o ON o.id = k.event_id WHERE o.meta->>'idempotency_key' ~ '^load'");
is(sql("SELECT count(*) FROM whisperer.outbox o JOIN whisperer.delivery d ON d.event_id = o.id JOIN whisperer.key_decision k ON k.event_id = o.id WHERE k.duplicate_of IS NOT NULL"),
    0, 'duplicates have no deliveries');

# --- a dump, restored
# Also what nobody has read yet.
sql('SELECT whisperer.pause()');
wait_for('the pause', sub { sql("SELECT bool_and(state = 'paused') FROM whisperer.status") eq 't' });
sql("BEGIN; " . pay('carried') . "; PREPARE TRANSACTION 'carried'");
sql(pay('carried'));
sql("COMMIT PREPARED 'carried'");
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
is(sql(pay('order 7'), 'restored'), $first, 'a restored dump knows the keys');
is(sql(pay('at-once'), 'restored'), $late, 'and what was decided');
is(ids_of('a', 'carried'), '', 'here nothing is delivered any more');
sql('SELECT whisperer.resume()', 'restored');
wait_idle($node, 'restored');
like(ids_of('a', 'carried'), qr/^\S+$/, 'of two that came along one is delivered');
is(ids_of('a', 'carried'), ids_of('b', 'carried'), 'the same one to both hooks');

done_testing();
