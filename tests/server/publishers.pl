# A table that is subscribed on a delivery node: what is applied is recorded here unless the publisher's events come, too;
# and where nobody knows whether they do, that is said, with a hint that helps.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('publishers', extra => "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 20\nwal_retrieve_retry_interval = 200ms\nmax_worker_processes = 30\n");

sub at { my ($database, $sql) = @_; return $node->safe_psql($database, $sql) }

sub said {
    my ($database, $sql) = @_;
    my ($status, $out, $error) = $node->psql($database, $sql);
    is($status, 0, "it runs: $sql") or diag $error;
    return $error;
}

# Without a copy, which would wait for a slot of its own on this server.
sub subscribe {
    my ($name, $connection, $publication) = @_;
    my ($from) = $connection =~ m{dbname='?(\w+)|/(\w+)\?} ? ($1 // $2) : die $connection;
    at($from, "SELECT pg_create_logical_replication_slot('$name', 'pgoutput')");
    return said('node', sprintf q(CREATE SUBSCRIPTION %s CONNECTION '%s' PUBLICATION %s WITH (create_slot = false, slot_name = '%s', copy_data = false)),
        $name, $connection =~ s/'/''/gr, $publication, $name);
}

sub events {
    my ($table, $count) = @_;
    wait_for("$count events of $table", sub { at('node', "SELECT count(*) FROM whisperer.outbox WHERE source = 'public.$table'") >= $count });
    return at('node', <<"SQL");
WITH gone AS (DELETE FROM whisperer.outbox WHERE source = 'public.$table' RETURNING id, event_type, data)
SELECT string_agg(event_type || ' ' || (data->>'id'), ', ' ORDER BY id) FROM gone
SQL
}
my $problems = q(SELECT coalesce(string_agg("table" || ' ' || trigger || ': ' || problem, ', '), 'none') FROM whisperer.check_triggers());

my @databases = ('first', 'second', 'node');
at('postgres', "CREATE DATABASE $_") for @databases;
for my $database (@databases) {
    at($database, 'CREATE EXTENSION whisperer; SELECT whisperer.pause()');
    at($database, "CREATE TABLE $_ (id int PRIMARY KEY)") for 'early', 'ours', 'theirs', 'elsewhere';
}
at('first', 'SELECT whisperer.publish_events(); CREATE PUBLICATION tables FOR TABLE early, ours, theirs');
at('second', 'CREATE PUBLICATION tables FOR TABLE elsewhere');
at('node', q(SELECT whisperer.watch('early', operations => '{insert}')));
my ($host, $port) = ($node->host, $node->port);

# The events of one database, and a table of another.
subscribe('events', "host=$host port=$port dbname=first password='it''s = no /one''s'" =~ s/''/\\'/gr, 'whisperer_events');
is(subscribe('second_tables', $node->connstr('second'), 'tables'), '', 'a table of another database is subscribed');
is(said('node', q(SELECT whisperer.watch('elsewhere', operations => '{insert}'))), '', 'and watched');
at('second', 'INSERT INTO elsewhere VALUES (1)');
is(events('elsewhere', 1), 'elsewhere-created 1', 'what is applied to it is recorded, whosever events come along');

# Tables of the database whose events come, by a subscription of their own, which names it in another way.
my $uri = sprintf 'postgresql://%s:%s/first?application_name=x', $host =~ s{/}{%2F}gr, $port;
like(subscribe('first_tables', $uri, 'tables'), qr/NOTICE:  what is applied to these tables is recorded where it was written, if it is watched there: (public\.)?early\n/,
    'a table that was watched before is named');
at('first', q(SELECT whisperer.watch('theirs', operations => '{insert}'); INSERT INTO theirs VALUES (1)));
is(events('theirs', 1), 'theirs-created 1', 'what is watched there comes');
my $warned = said('node', q(SELECT whisperer.watch('ours', operations => '{insert}')));
like($warned, qr/WARNING:  what is applied to table (public\.)?ours by its subscription is recorded by its publisher or not at all/, 'of what may be watched nowhere it is said');
like(at('node', $problems), qr/^early whisperer_created: it does not see .*, early whisperer_created: what is applied .*, ours whisperer_created: what is applied [^,]*, and no event of it has come from there$/, 'and check_triggers() says it');
my ($unwatch, $always) = $warned =~ /HINT:  .*(SELECT whisperer\.unwatch\('[\w.]+'\)) here .*(ALTER TABLE .*)\.\s*$/;
ok($always, 'with what to do') or diag $warned;
at('node', $always // '');
at('first', 'INSERT INTO ours VALUES (1)');
is(events('ours', 1), 'ours-created 1', 'it is recorded here then');
is(said('node', q(SELECT whisperer.watch('ours', operations => '{insert}'))), '', 'watch() leaves it so, and is content');
at('node', $unwatch =~ s/ours/early/r);
is(at('node', $problems), 'none', 'the other way out is to watch it there alone');

# As a role that may read neither subscriptions nor the log.
at('node', q(CREATE ROLE app; ALTER TABLE early OWNER TO app; GRANT USAGE ON SCHEMA whisperer TO app));
like(said('node', q(SET ROLE app; SELECT whisperer.watch('early', operations => '{insert}'))), qr/WARNING:  what is applied to table/, 'a role without rights is told, too');
at('node', "ALTER SUBSCRIPTION $_ DISABLE") for 'events', 'second_tables', 'first_tables';
at('node', "DROP SUBSCRIPTION $_") for 'events', 'second_tables', 'first_tables';
$node->stop;
done_testing();
