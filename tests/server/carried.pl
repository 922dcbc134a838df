# What a dump carries into another database: everything comes along, nothing of it is sent by itself,
# and resume() delivers exactly what was undelivered.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $source = new_node('source', extra => 'whisperer.poll_interval = 100ms');
my $receiver = new_receiver('carried');
my $base = $receiver->url('');

# The note of every event that arrived at a path, sorted.
sub received {
    my ($path) = @_;
    return join ' ', sort map { JSON::PP::decode_json($_->{body})->{data}{note} } $receiver->requests($path);
}

sub record {
    my ($node, $database, @notes) = @_;
    $node->safe_psql($database, join '', map { qq(SELECT whisperer.deliver_event('e', '{"note": "$_"}');) } @notes);
}

# Roles whose oids differ in the other cluster.  beta is renamed after it made its hook.
$source->safe_psql('postgres', <<"SQL");
CREATE ROLE alpha; CREATE ROLE beta; CREATE ROLE gone;
GRANT USAGE ON SCHEMA whisperer TO alpha, beta, gone;
SELECT whisperer.register_event('e');
SELECT whisperer.allow('e', r, 'subscribe') FROM unnest('{alpha,beta,gone}'::regrole[]) r;
SET ROLE alpha; SELECT whisperer.create_hook('e', '$base/ok/alpha', 'secret');
SET ROLE beta; SELECT whisperer.create_hook('e', '$base/ok/beta');
SET ROLE gone; SELECT whisperer.create_hook('e', '$base/ok/gone');
RESET ROLE; SELECT whisperer.create_hook('e', '$base/status/500/failing', filter => '{"note": "delivered-1"}');
SELECT whisperer.create_hook('e', '$base/ok/filtered', filter => '{"note": "nothing"}');
ALTER ROLE beta RENAME TO gamma;
SQL
wait_for('the new name', sub {
    $source->safe_psql('postgres', "SELECT count(*) FROM whisperer.hook_definition WHERE owner_name = 'gamma'") == 1;
});
is($source->safe_psql('postgres', "SELECT string_agg(role_name, ' ' ORDER BY role_name) FROM whisperer.event_type_privilege"),
    'alpha gamma gone', 'the names kept for a dump follow a rename');
record($source, 'postgres', 'delivered-1', 'delivered-2');
wait_idle($source);
$source->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$base/ok/late')");
record($source, 'postgres', 'delivered-3');
wait_idle($source);
is(received('/ok/late'), 'delivered-3', 'a hook does not get what came before it');

$source->safe_psql('postgres', q(SELECT whisperer.update_hook(5, '{"filter": null}')));

# From here on nobody delivers; 1,500 events are several pages of the scan.
$source->safe_psql('postgres', 'ALTER SYSTEM SET whisperer.enabled = off');
$source->reload;
wait_for('the worker to leave', sub { $source->safe_psql('postgres', 'SELECT pid FROM whisperer.status') eq '' });
sub record_undelivered {
    my ($first, $last) = @_;
    $source->safe_psql('postgres', "SELECT count(whisperer.deliver_event('e', json_build_object('note', 'undelivered-' || g)))
        FROM generate_series($first, $last) g");
}
record_undelivered(1, 700);
$source->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$base/ok/latest')");
record_undelivered(701, 1500);
my $dumps = PostgreSQL::Test::Utils::tempdir('dump');
my $dump = "$dumps/custom";
$source->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump, custom');
$source->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$dumps/folder", 'postgres' ], 'pg_dump, a folder, in parallel');
$source->command_ok([ 'pg_dump', '-Fp', '-f', "$dumps/plain", 'postgres' ], 'pg_dump, plain');

# How many rows of each table, and what is in them.  The worker that was there first has a bookmark of its own.
sub contents {
    my ($node, $database) = @_;
    return $node->safe_psql($database, join ';', map {
        "SELECT '$_', count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM whisperer.$_ t"
            . ($_ eq 'bookmark' ? ' WHERE t.incarnation = (SELECT min(h.incarnation) FROM whisperer.hook_definition h)' : '')
    } qw(event_type event_type_privilege hook_definition secret hook_run outbox delivery past_attempt bookmark));
}
my $contents = contents($source, 'postgres');

# Another cluster, with roles of other oids, without one of them, and with a worker that is there first.
my $target = new_node('target', bare => 1, extra => "restart_after_crash = on\nwhisperer.poll_interval = 100ms");
$target->safe_psql('postgres', 'CREATE ROLE filler; CREATE ROLE gamma; CREATE ROLE alpha');
$target->safe_psql('postgres', "CREATE DATABASE $_") for qw(restored folder plain);
my $before = () = $receiver->requests;
$target->command_ok([ 'pg_restore', '--exit-on-error', '--no-owner', '--no-acl', '-j', '2', '-d', 'restored', $dump ],
    'pg_restore in parallel');
wait_for('the carried hooks to be seen', sub {
    $target->safe_psql('restored', 'SELECT reason FROM whisperer.status') =~ /^hooks carried here .*resume\(\): 7$/;
});
like(slurp_file($target->logfile), qr/hooks carried here by a restore or copy .*paused: 7/, 'the log says so, and so does status');
is($target->safe_psql('restored', 'SELECT DISTINCT state, state_reason FROM whisperer.hook'),
    'paused|carried here by a restore or copy of another database', 'every carried hook is paused');

$target->command_ok([ 'pg_restore', '--exit-on-error', '--no-owner', '--no-acl', '-j', '2', '-d', 'folder', "$dumps/folder" ],
    'pg_restore of a folder in parallel');
$target->command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-d', 'plain', '-f', "$dumps/plain" ], 'psql of a plain dump');
for my $database (qw(restored folder plain)) {
    is(contents($target, $database), $contents, "$database: everything came along");
    is($target->safe_psql($database, 'SELECT DISTINCT state FROM whisperer.hook'), 'paused', "$database: every hook is paused");
}

record($target, 'restored', 'native-1');
$target->safe_psql('restored', 'SELECT pg_current_xact_id() FROM generate_series(1, 10)');
$target->safe_psql('restored', 'CREATE TABLE t (i int)');
$target->safe_psql('restored', "DO 'BEGIN FOR i IN 1..3000 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END'");
wait_idle($target, 'restored');
is(scalar(() = $receiver->requests), $before, 'nothing carried is sent, after thousands of transactions neither');
is($target->safe_psql('restored', q(SELECT count(*) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id
    WHERE o.data->>'note' = 'native-1' AND d.state = 'pending')), 5, 'what is recorded here waits for them');
my ($status, $out, $error) = $target->psql('restored', 'SELECT whisperer.resume_hook(1)');
like($error, qr/carried here.*HINT:  SELECT whisperer\.resume\(\)/s, 'resume_hook says who can adopt');

# One of this database's own is in the way.
my $own = $target->safe_psql('restored', "SELECT whisperer.create_hook('*', '$base/ok/filtered')");

# The worker dies in the middle of taking over.
hold($target, 'after-ledger');
($status, $out, $error) = $target->psql('restored', 'SELECT whisperer.resume()');
is($status, 0, 'resume()');
like($error, qr/hook 5 stays paused: its owner has hook $own, which sends events of the same types to the same URL/, 'no two hooks for one place');
($status, $out, $error) = $target->psql('restored', "SELECT whisperer.delete_hook($own); SELECT whisperer.resume()");
unlike($error, qr/hook 5 stays paused/, 'and without the other one it is adopted');
like($error, qr/hook 3 stays paused: its owner, role "gone", does not exist here/, 'a hook without an owner stays behind');
wait_held($target, 'after-ledger');
is($target->safe_psql('restored', 'SELECT count(*) FROM whisperer.hook_run WHERE taken_over IS NOT NULL'), 0,
    'not yet taken over');
$target->safe_psql('restored', 'CREATE TABLE flushes_what_the_ledger_has_so_far ()');
kill_worker($target, $target->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'held at after-ledger'"));
release_hold($target);
wait_idle($target, 'restored');

my %first_of = (alpha => 1, beta => 1, late => 1, filtered => 1, latest => 701);
for my $hook (sort keys %first_of) {
    my $expected = join ' ', sort 'native-1', map { "undelivered-$_" } $first_of{$hook} .. 1500;
    my @notes = grep { !/^delivered-/ } split / /, received("/ok/$hook");
    ok(join(' ', @notes) eq $expected, "hook $hook gets exactly what was undelivered, once")
        or diag(scalar(@notes) . " events");
}
is(received('/ok/filtered') =~ /\bdelivered-1\b/ ? 'sent' : 'not sent', 'not sent', 'nothing that its own database had done with');
is(received('/ok/gone'), 'delivered-1 delivered-2 delivered-3', 'the one without an owner gets nothing new');
wait_for('the retry of what was pending there', sub { 2 == (() = $receiver->requests('/status/500/failing')) });
is($target->safe_psql('restored', 'SELECT count(*) FROM whisperer.delivery WHERE hook_id = 4'), 1, 'and nothing else of that hook is');
is($target->safe_psql('restored', 'SELECT owner FROM whisperer.hook WHERE is_active ORDER BY id'), "alpha\ngamma\n\npostgres\npostgres\npostgres\npostgres",
    'owners are found by name');
is(scalar(grep { $_->{body} =~ /"undelivered-7"/ && Whisperer::Receiver::header($_, 'webhook-signature') } $receiver->requests('/ok/alpha')),
    1, 'signed as before');

# The role comes later.
$target->safe_psql('restored', 'CREATE ROLE gone');
$target->safe_psql('restored', 'SELECT whisperer.resume()');
wait_idle($target, 'restored');
my @notes = grep { /^undelivered-/ } split / /, received('/ok/gone');
is(scalar @notes, 1500, 'and resume() again adopts the rest');
is($target->safe_psql('restored', 'SELECT count(*) FROM whisperer.status WHERE reason IS NOT NULL'), 0, 'nothing is left to adopt');
record($target, 'restored', 'native-2');
wait_idle($target, 'restored');
like(received($_), qr/\bnative-2\b/, "$_ goes on") for '/ok/alpha', '/ok/gone';

# The other formats carried the same.
my $outcome = "SELECT d.hook_id, d.state, count(*) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id
    WHERE o.data->>'note' NOT LIKE 'native%' GROUP BY 1, 2 ORDER BY 1, 2";
for my $database (qw(folder plain)) {
    $target->psql($database, 'SELECT whisperer.resume()');
    wait_idle($target, $database);
    is($target->safe_psql($database, $outcome), $target->safe_psql('restored', $outcome), "$database: resume() delivers the same");
}

done_testing();
