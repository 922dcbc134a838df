# The worker as a neighbour: no transaction while it waits, none at all when idle; where it starts and
# where it does not; and that writers need no rights.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

# A request may hang for as long as it takes to take a hundred samples.
my $node = new_node('worker', bare => 1, extra => "autovacuum = off\nwhisperer.request_timeout = '10min'\n");
my $receiver = new_receiver('worker');
my $base = $receiver->url('');

# CREATE EXTENSION starts a worker, in several databases at once.
$node->safe_psql('postgres', "CREATE DATABASE db$_") for 1 .. 3;
$node->safe_psql("db$_", 'CREATE EXTENSION whisperer') for 1 .. 3;
my $started = sub {
    my ($database) = @_;
    return $node->safe_psql('postgres',
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer worker' AND datname = '$database'");
};
for my $database (map { "db$_" } 1 .. 3) {
    wait_for("the worker of $database", sub { $started->($database) });
    pass("$database: CREATE EXTENSION starts a worker");
}
for my $database (map { "db$_" } 1 .. 3) {
    $node->safe_psql($database, <<"SQL");
CREATE TABLE item (id int);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '$base/ok/$database');
INSERT INTO item VALUES (1);
SQL
}
for my $database (map { "db$_" } 1 .. 3) {
    wait_idle($node, $database);
    is(scalar(() = $receiver->requests("/ok/$database")), 1, "$database has a worker of its own");
}

# Without a right on schema whisperer.
$node->safe_psql('db1', 'CREATE ROLE writer; GRANT INSERT ON item TO writer');
$node->safe_psql('db1', 'SET ROLE writer; INSERT INTO item VALUES (2)');
wait_idle($node, 'db1');
is(scalar(() = $receiver->requests('/ok/db1')), 2, 'a writer needs no right on schema whisperer');
my ($status, $out, $error) = $node->psql('db1', "SET ROLE writer; SELECT whisperer.deliver_event('item-created', '{}')");
like($error, qr/permission denied for schema whisperer/, 'and gets none');

# No transaction is open while a receiver hangs.
$node->safe_psql('db1', "SELECT whisperer.update_hook(1, '{\"target_url\": \"$base/hang\"}'); INSERT INTO item VALUES (3)");
wait_for('the hanging request', sub { () = $receiver->requests('/hang') });

# Counts the samples that saw a transaction open for longer than a statement takes, and those that saw
# an xmin behind many transactions that came since: each sample adds one.
sub sample {
    my ($samples) = @_;
    my %seen = (open => 0, pinned => 0);
    for (1 .. $samples) {
        my $row = $node->safe_psql('postgres', <<'SQL');
SELECT pg_current_xact_id() \g /dev/null
SELECT count(*) FILTER (WHERE clock_timestamp() - xact_start > '50 ms'), count(*) FILTER (WHERE age(backend_xmin) > 20)
FROM pg_stat_activity WHERE backend_type = 'whisperer worker'
SQL
        my ($open, $pinned) = split /\|/, $row;
        $seen{open} += $open;
        $seen{pinned} += $pinned;
    }
    return \%seen;
}
my $seen = sample(100);
is($seen->{open}, 0, 'no transaction is held open while a receiver hangs');
is($seen->{pinned}, 0, 'and no xmin');
wait_for('the parked delivery', sub {
    $node->safe_psql('db1', "SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") == 1;
});
pass('a delivery that takes longer than park_after is parked');
$receiver->control({ release => JSON::PP::true() });
wait_for('the released delivery', sub {
    $node->safe_psql('db1', "SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered'") == 3;
});
pass('and is entered when it ends');

# An idle worker starts no transaction.  What it counts of hooks it writes 2 s later at most.
my $transactions = sub {
    return $node->safe_psql('postgres', "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'db2'");
};
my $last;
sub wait_until_quiet {
    $last = -1;
    wait_for('db2 to be quiet', sub {
        my $now = $transactions->();
        my $quiet = $now == $last;
        $last = $now;
        sleep 3;
        return $quiet;
    });
}
# One that is to expunge what is days old looks for it now and then.
my $before = $transactions->();
$node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.payload_retention = '5d'");
$node->reload;
wait_for('a look for old payloads', sub { $transactions->() > $before });
wait_until_quiet();
pass('a worker with nothing old to expunge rests between its looks');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET whisperer.payload_retention');
$node->reload;
wait_until_quiet();
sleep 10;
is($transactions->(), $last, 'an idle worker starts no transaction in 10 s');

wait_for('its rate', sub { $node->safe_psql('db3', 'SELECT delivered, rate FROM whisperer.status') eq '1|0' });
pass('and its rate goes down to 0');

# Statements that want the database for themselves.  A template is copied by whoever may make databases.
$node->safe_psql('postgres', 'CREATE ROLE maker CREATEDB; ALTER DATABASE db2 IS_TEMPLATE true');
$node->safe_psql('postgres', 'SET ROLE maker; CREATE DATABASE copy TEMPLATE db2');
$node->safe_psql('postgres', 'ALTER DATABASE db2 IS_TEMPLATE false');
is($node->safe_psql('copy', 'SELECT state, state_reason FROM whisperer.hook'),
    'paused|carried here by a restore or copy of another database', 'a copied hook is paused');
$node->safe_psql('copy', 'INSERT INTO item VALUES (9)');
wait_idle($node, 'copy');
is(scalar(() = $receiver->requests('/ok/db2')), 1, 'a copy sends nothing by itself');
$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
worker_pid($node, 'renamed');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
pass('CREATE DATABASE TEMPLATE, RENAME and DROP DATABASE work beside a worker');
worker_pid($node, 'db2');
$node->safe_psql('db2', 'DROP EXTENSION whisperer CASCADE');
wait_for('the worker to leave', sub {
    $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'whisperer worker' AND datname = 'db2'") == 0;
});
pass('the worker leaves a database whose extension was dropped');

# The launcher looked at this database when the server started, and looks again only when it is told.  The string
# is one message, so that nothing else of the session can commit before the worker is there.
$node->safe_psql('postgres', <<'SQL');
BEGIN\; CREATE EXTENSION whisperer\; COMMIT\;
DO $$ BEGIN
    FOR look IN 1 .. 1200 LOOP
        IF EXISTS (SELECT FROM whisperer.status WHERE state = 'running' AND pid IS NOT NULL) THEN RETURN; END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RAISE 'no worker came';
END $$;
SQL
pass('CREATE EXTENSION tells the launcher at once');

# Without preload: a warning with a hint, recording works, and it is delivered later.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
($status, $out, $error) = $node->psql('db2', 'CREATE EXTENSION whisperer');
like($error, qr/WARNING:.*does not deliver/, 'CREATE EXTENSION without preload warns');
like($error, qr/HINT:.*shared_preload_libraries/, 'with a hint');
$node->safe_psql('db2', "SELECT whisperer.register_event('late'); SELECT whisperer.create_hook('late', '$base/ok/late')");
$node->safe_psql('db2', "SELECT whisperer.deliver_event('late', '{}')");
is($node->safe_psql('db2', 'SELECT state, lag_events FROM whisperer.status'), 'down|1', 'status says that nothing runs, and how much waits');
($status, $out, $error) = $node->psql('db2', 'CALL whisperer.wait_idle()');
like($error, qr/not preloaded/, 'wait_idle says why it cannot wait');
($status, $out, $error) = $node->psql('db2', '\set VERBOSITY verbose' . "\nSELECT whisperer.rebalance_workers()");
like($error, qr/ERROR:  55000: .*not preloaded/, 'rebalance_workers finds no workers');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'whisperer'");
$node->restart;
wait_idle($node, 'db2');
is(scalar(() = $receiver->requests('/ok/late')), 1, 'what was recorded then is delivered after the preload');

done_testing();
