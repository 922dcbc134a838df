# What happens to a server and its databases in the course of time: dropped, copied, started alone or for an
# upgrade, more of them than there are processes.  WHISPERER_DATABASES: how many; the processes are for fewer.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

# With requests that may be in flight for as long as they last.
my $node = new_node('life', extra => "whisperer.poll_interval = 100ms\nwhisperer.park_after = '60s'\n");
my $receiver = new_receiver('life');
my $base = $receiver->url('');

sub processes {
    my ($database) = @_;
    return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'whisperer%' AND datname = '$database'");
}

# A database with a table, a hook that is served and one whose receiver never answers.
sub make_database {
    my ($database) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, <<"SQL");
CREATE EXTENSION whisperer;
CREATE TABLE item (id bigserial);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '$base/ok/$database');
SELECT whisperer.create_hook('item-created', '$base/hang/$database');
SQL
}

# pgbench until it is told to stop; ends by itself when its database goes.
sub start_load {
    my ($database) = @_;
    my $folder = PostgreSQL::Test::Utils::tempdir("load_$database");
    append_to_file("$folder/insert.sql", "INSERT INTO item DEFAULT VALUES;\n");
    my $load = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-R', 200, '-T', 600, '-f', "$folder/insert.sql", '-h', $node->host, '-p', $node->port, $database ],
        '<', \undef, '>', "$folder/out", '2>', "$folder/err");
    wait_for('the load', sub { () = $receiver->requests("/ok/$database") });
    wait_for('requests that hang', sub { () = $receiver->requests("/hang/$database") });
    return $load;
}

# A statement that wants a database for itself.
sub within_5_s {
    my ($database, $statement) = @_;
    $node->safe_psql($database, "SET statement_timeout = '5s';\n$statement");
    pass("$statement returns beside a load");
}

# --- dropped ---------------------------------------------------------------------------------------------
# Beside somebody who has locked a captured table and has yet to record.
make_database('locked');
my ($writer, $dropper) = map { $node->background_psql('locked', on_error_stop => 0) } 1, 2;
$writer->query_safe('BEGIN; LOCK TABLE item IN ROW EXCLUSIVE MODE');
$dropper->query_until(qr/begun/, "\\echo begun\nDROP EXTENSION whisperer CASCADE;\n");
wait_for('it to wait', sub { $node->safe_psql('locked', q(SELECT count(*) FROM pg_locks WHERE relation = 'item'::regclass AND NOT granted)) == 1 });
$writer->query_safe('INSERT INTO item DEFAULT VALUES; COMMIT');
$writer->quit;
$dropper->quit;
is($node->safe_psql('locked', "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('whisperer')"), 0, 'a writer and DROP EXTENSION wait for each other in one order');

make_database('app');
my $load = start_load('app');
within_5_s('app', 'DROP EXTENSION whisperer CASCADE');
wait_for('the worker to leave', sub { processes('app') == 0 });
is($node->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('whisperer')"), 0, 'and nothing is left');
$load->kill_kill;
within_5_s('postgres', 'DROP DATABASE app');

make_database('forced');
$load = start_load('forced');
within_5_s('postgres', 'DROP DATABASE forced WITH (FORCE)');
is(processes('forced'), 0, 'no process is left');
$load->kill_kill;

# Prepared, and not committed after all: the worker comes back.
make_database('prepared');
$node->safe_psql('prepared', q(INSERT INTO item DEFAULT VALUES));
wait_for('the first event', sub { () = $receiver->requests('/ok/prepared') });
$node->safe_psql('prepared', q(BEGIN; DROP EXTENSION whisperer CASCADE; PREPARE TRANSACTION 'dropped'));
$node->safe_psql('prepared', q(ROLLBACK PREPARED 'dropped'; INSERT INTO item DEFAULT VALUES));
wait_for('the second event', sub { 2 == (() = $receiver->requests('/ok/prepared')) });
pass('a prepared DROP EXTENSION that is rolled back leaves a worker');
within_5_s('postgres', 'DROP DATABASE prepared');

# What an interrupted DROP DATABASE leaves.
my $log_was = -s $node->logfile;
# Not to be seen before it is so.
$node->safe_psql('postgres', 'CREATE DATABASE broken ALLOW_CONNECTIONS false');
$node->safe_psql('postgres', q(UPDATE pg_database SET datconnlimit = -2, datallowconn = true WHERE datname = 'broken'));
make_database('beside');
$node->safe_psql('beside', q(INSERT INTO item DEFAULT VALUES));
wait_for('the database beside it', sub { () = $receiver->requests('/ok/beside') });
unlike(substr(slurp_file($node->logfile), $log_was), qr/invalid database/, 'a database that nobody can connect to is left alone');
$node->safe_psql('postgres', 'DROP DATABASE broken');
within_5_s('postgres', 'DROP DATABASE beside WITH (FORCE)');

make_database('patient');
$load = start_load('patient');
$load->kill_kill;
wait_for('its clients to be gone', sub {
    $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = 'patient'") == 0;
});
within_5_s('postgres', 'ALTER DATABASE patient RENAME TO renamed');
worker_pid($node, 'renamed');
within_5_s('postgres', 'CREATE DATABASE copied TEMPLATE renamed');
worker_pid($node, 'renamed');
within_5_s('postgres', 'DROP DATABASE renamed');
within_5_s('postgres', 'DROP DATABASE copied');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process died of it');

# --- not enabled in one database ---------------------------------------------------------------------------
make_database($_) for 'real', 'test';
for my $database ('real', 'test') {
    $node->safe_psql($database, 'INSERT INTO item DEFAULT VALUES');
    wait_for("a request of $database", sub { () = $receiver->requests("/ok/$database") });
}
like(($node->psql('test', 'SET whisperer.enabled = off'))[2], qr/cannot be set in a session/, 'a session cannot');
my $older = $node->background_psql('test');
is($older->query_safe('SELECT state FROM whisperer.status'), 'running', 'it delivers');
$node->safe_psql('real', 'ALTER DATABASE test SET whisperer.enabled = off');
$node->safe_psql('test', 'INSERT INTO item SELECT FROM generate_series(1, 10)');
is(processes('test'), 0, 'no worker is left when the statement is done');
is($older->query_safe('SELECT state, reason FROM whisperer.status'), 'down|whisperer.enabled is off', 'and an older session is told why');
$older->quit;
$node->safe_psql('real', 'INSERT INTO item DEFAULT VALUES');
wait_for('the other database', sub { (() = $receiver->requests('/ok/real')) == 2 });
$node->restart;
$node->safe_psql('real', 'INSERT INTO item DEFAULT VALUES');
wait_for('the other database', sub { (() = $receiver->requests('/ok/real')) == 3 });
wait_for('the launcher to have looked', sub { PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /nothing is delivered in database "test".*ready to accept.*nothing is delivered in database "test"/s });
is(scalar(() = $receiver->requests('/ok/test')), 1, 'nothing of it is sent, after a restart neither');
is($node->safe_psql('test', 'SELECT count(*) FROM whisperer.outbox'), 11, 'and all recorded');
$node->safe_psql('test', 'BEGIN; ALTER DATABASE test RESET whisperer.enabled; ALTER DATABASE real SET whisperer.enabled = off; COMMIT');
wait_for('what waited', sub { (() = $receiver->requests('/ok/test')) == 11 });
wait_for('the second of a transaction', sub { processes('real') == 0 });
$node->safe_psql('real', 'BEGIN; ALTER DATABASE real RESET ALL; ROLLBACK; ALTER DATABASE test RESET ALL');
is($node->safe_psql('real', 'SELECT reason FROM whisperer.status'), 'whisperer.enabled is off', 'a rollback changes nothing');
my $undisturbed = worker_pid($node, 'test');
$node->safe_psql('test', 'CREATE ROLE anybody; SET ROLE anybody; ALTER ROLE anybody RESET ALL; ALTER ROLE anybody IN DATABASE test RESET ALL');
$node->safe_psql('test', 'INSERT INTO item DEFAULT VALUES');
wait_for('one more', sub { (() = $receiver->requests('/ok/test')) == 12 });
is(worker_pid($node, 'test'), $undisturbed, 'what roles set for themselves restarts no worker');
like(($node->psql('test', "BEGIN; ALTER DATABASE test SET whisperer.enabled = off; PREPARE TRANSACTION 'off'"))[2], qr/cannot PREPARE a transaction that may have changed whisperer.enabled/,
    'no prepared transaction changes it unheard');
$node->safe_psql('postgres', 'DROP ROLE anybody; ALTER ROLE ALL SET whisperer.enabled = off');
wait_for('a setting of all roles', sub { processes('test') == 0 });
$node->safe_psql('postgres', 'ALTER ROLE ALL RESET ALL');
worker_pid($node, 'test');

# --- DROP EXTENSION leaves nothing behind, but what is not its own --------------------------------------------
$node->safe_psql('test', 'DROP EXTENSION whisperer CASCADE');
is($node->safe_psql('test', q(SELECT to_regnamespace('whisperer') IS NULL AND to_regnamespace('whisperer_internal') IS NULL)), 't', 'the schema goes with the extension');
$node->safe_psql('test', 'CREATE SCHEMA whisperer; DROP EXTENSION IF EXISTS whisperer');
is($node->safe_psql('test', q(SELECT to_regnamespace('whisperer'))), 'whisperer', 'where there was none, a schema stays: a restore makes it first');
$node->safe_psql('test', 'CREATE EXTENSION whisperer; CREATE TABLE whisperer.mine (); DROP EXTENSION whisperer');
is($node->safe_psql('test', 'SELECT count(*) FROM whisperer.mine'), 0, 'one with something of somebody\'s stays');
$node->safe_psql('postgres', "DROP DATABASE $_") for 'real', 'test';

# --- a copy of the files, as for a staging server -----------------------------------------------------------
make_database('staged');
$node->safe_psql('staged', 'INSERT INTO item DEFAULT VALUES');
wait_for('a request', sub { () = $receiver->requests('/ok/staged') });
$node->stop;
$node->backup_fs_cold('files');
my $staging = Cluster->new('staging');
$staging->init_from_backup($node, 'files');
$staging->append_conf('postgresql.conf', 'whisperer.enabled = off');
my $before = () = $receiver->requests;
$staging->start;
$staging->safe_psql('staged', 'INSERT INTO item SELECT FROM generate_series(1, 10)');
# The launcher has looked: it is the one that would start a worker.
wait_for('a launcher', sub { $staging->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer launcher'") });
is($staging->safe_psql('staged', 'SELECT state, reason FROM whisperer.status'), 'down|whisperer.enabled is off', 'a copy of the files that is not enabled says so');
is($staging->safe_psql('staged', 'SELECT count(*) FROM whisperer.outbox'), 11, 'and records');
is($staging->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer worker'"), 0, 'without a worker');
is(scalar(() = $receiver->requests), $before, 'nothing of it is sent');
$staging->stop;

# --- modes in which PostgreSQL is alone with itself ---------------------------------------------------------
my ($out, $error);
IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'staged' ], '<', \'INSERT INTO item DEFAULT VALUES', '>', \$out, '2>', \$error);
is($?, 0, 'single-user mode') or diag($error);
unlike($error, qr/whisperer|ERROR|WARNING/, 'is quiet');
$node->start;
wait_idle($node, 'staged');
is(scalar(() = $receiver->requests('/ok/staged')), 2, 'what was recorded there is delivered later');
$node->stop;
# Only pg_upgrade does so; without a socket that it would have chosen, with ours.
command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start' ], 'binary upgrade mode');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'whisperer%'"), 0, 'starts no process of ours');
command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-m', 'fast', 'stop' ], 'and stops');

# --- more databases than there is room for -------------------------------------------------------------------
my $databases = $ENV{WHISPERER_DATABASES} // 10;
my $served = int($databases / 2);
$node->append_conf('postgresql.conf', 'max_worker_processes = ' . ($databases + 20));
$node->start;
$node->safe_psql('postgres', 'DROP DATABASE staged WITH (FORCE)');
$node->safe_psql('postgres', 'DROP EXTENSION whisperer CASCADE');
for my $number (1 .. $databases) {
    $node->safe_psql('postgres', "CREATE DATABASE many_$number");
    $node->safe_psql("many_$number", <<"SQL");
CREATE EXTENSION whisperer;
SELECT whisperer.register_event('e');
SELECT whisperer.create_hook('e', '$base/ok/many/$number');
SQL
}
$node->stop;
# The launcher and, up to PostgreSQL's own launcher for logical replication, one each.
$node->append_conf('postgresql.conf', 'max_worker_processes = ' . ($served + 2));
my $log_begins = -s $node->logfile;
$node->start;
my $running = sub { return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer worker'") };
wait_for('as many workers as there is room for', sub { $running->() == $served });
$node->safe_psql("many_$_", q(SELECT whisperer.deliver_event('e', '{}'))) for 1 .. $databases;
wait_for('the databases that have a worker to be served', sub {
    my %paths = map { $_->{path} => 1 } grep { $_->{path} =~ m{^/ok/many/} } $receiver->requests;
    keys %paths == $served;
});
my $waiting = wait_for('one without', sub {
    (grep { $node->safe_psql("many_$_", 'SELECT state FROM whisperer.status') eq 'down' } 1 .. $databases)[0];
});
like($node->safe_psql("many_$waiting", 'SELECT reason FROM whisperer.status'), qr/raise max_worker_processes/, 'the status of one without says why');
my $pids = sub { return $node->safe_psql('postgres', "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type LIKE 'whisperer%'") };
my $first_pids = $pids->();
sleep 12;    # past the next try, of which there is nothing to see
is($pids->(), $first_pids, 'no process ends and starts again and again');
my $log = substr PostgreSQL::Test::Utils::slurp_file($node->logfile), $log_begins;
is(scalar(() = $log =~ /no room for a delivery worker/g), 1, 'the log says once that there is no room');
like($log, qr/HINT:  Raise max_worker_processes and restart the server/, 'and what to do');
$node->append_conf('postgresql.conf', 'max_worker_processes = ' . ($databases + 20));
$node->restart;
wait_idle($node, "many_$_") for 1 .. $databases;
my %times;
$times{ $_->{path} }++ for grep { $_->{path} =~ m{^/ok/many/} } $receiver->requests;
is(join(' ', map { $times{"/ok/many/$_"} // 0 } 1 .. $databases), join(' ', (1) x $databases), 'with room for all of them all are served, once each');

$node->stop;
done_testing();
