# A watched table that becomes a partition, a child or part of a subscription goes on being watched; and what a trigger
# that was made by hand would miss there is said, with a hint that helps.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('watched', extra => "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nwal_retrieve_retry_interval = 200ms\nmax_worker_processes = 20\n");

sub sql { return $node->safe_psql('postgres', @_) }

# What is said on the way, beside the result.
sub said {
    my ($sql, $database) = @_;
    my ($status, $out, $error) = $node->psql($database // 'postgres', $sql);
    is($status, 0, "it runs: $sql") or diag $error;
    return $error;
}

sub events {
    my ($table, $database) = @_;
    return $node->safe_psql($database // 'postgres', <<"SQL");
WITH gone AS (DELETE FROM whisperer.outbox WHERE source = 'public.$table' RETURNING id, event_type, data)
SELECT string_agg(regexp_replace(event_type, '.*-', '') || ' ' || (data->>'id'), ', ' ORDER BY id) FROM gone
SQL
}

sql('SELECT whisperer.pause(); CREATE ROLE app LOGIN; GRANT CREATE ON SCHEMA public TO app');

# --- a partition ---------------------------------------------------------------------------------

# By a role that may do nothing with the extension.
sql(<<'SQL');
SET ROLE app;
CREATE TABLE visit_old (id int PRIMARY KEY, at date NOT NULL);
CREATE TABLE visit (id int, at date NOT NULL) PARTITION BY RANGE (at);
RESET ROLE;
SELECT whisperer.watch('visit_old', options => '{include=old}');
SQL
unlike(said("SET ROLE app; ALTER TABLE visit ATTACH PARTITION visit_old FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"), qr/WARNING/,
    'a watched table is attached');
sql("INSERT INTO visit VALUES (2, '2026-01-02'); UPDATE visit SET at = '2026-01-03'; DELETE FROM visit WHERE id = 2; INSERT INTO visit_old VALUES (3, '2026-01-02')");
is($node->safe_psql('postgres', "SELECT string_agg(regexp_replace(event_type, '.*-', '') || ' ' || coalesce(data->'new'->>'id', data->>'id'), ', ' ORDER BY id) FROM whisperer.outbox"),
    'created 2, updated 2, deleted 2, created 3', 'what is written through its parent is recorded, with the options it was watched with');
is(sql(q(SELECT string_agg(w, ' ') FROM whisperer.watch('visit_old', options => '{include=old}') w)), 'visit_old-created visit_old-updated visit_old-deleted', 'watch() finds it well');
sql('DELETE FROM whisperer.outbox');

# Somebody's own trigger.
sql(<<'SQL');
CREATE TABLE own (id int PRIMARY KEY);
SELECT whisperer.register_event('own');
CREATE TRIGGER mine AFTER INSERT ON own REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('own');
CREATE TABLE every (id int) PARTITION BY RANGE (id);
SQL
like(said('ALTER TABLE every ATTACH PARTITION own FOR VALUES FROM (0) TO (10)'), qr/WARNING:  trigger "mine" on table (public\.)?own does not see.*FOR EACH ROW/s, 'a trigger of somebody\'s own is told of');
unlike(said(q(DROP TRIGGER mine ON own; CREATE TRIGGER mine AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION whisperer.capture('own'))), qr/WARNING/, 'who follows the hint hears nothing');
sql('INSERT INTO every VALUES (1)');
is(events('own'), 'own 1', 'and has the event');

# --- a child -------------------------------------------------------------------------------------

sql(q(CREATE TABLE kid (id int PRIMARY KEY); CREATE TABLE mother (id int PRIMARY KEY); SELECT whisperer.watch('kid')));
unlike(said('ALTER TABLE kid INHERIT mother'), qr/WARNING/, 'a watched table gets a parent');
sql('INSERT INTO kid VALUES (50); UPDATE mother SET id = 51; DELETE FROM mother');
is(events('kid'), 'created 50, updated 51, deleted 51', 'what is done to the parent is recorded');

# One that was attached when nobody looked.
sql(<<'SQL');
CREATE TABLE late (id int PRIMARY KEY);
SELECT whisperer.watch('late', operations => '{insert}');
SET session_replication_role = replica;
CREATE TABLE later (id int) PARTITION BY RANGE (id);
ALTER TABLE later ATTACH PARTITION late FOR VALUES FROM (0) TO (10);
DROP TRIGGER whisperer_created ON late;
CREATE TRIGGER whisperer_created AFTER INSERT ON late REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('late-created');
SQL
sql('INSERT INTO later VALUES (1)');
is(events('late'), '', 'a trigger of the statement misses what is written to the parent');
sql(q(SELECT whisperer.watch('late', operations => '{insert}'); INSERT INTO later VALUES (2)));
is(events('late'), 'created 2', 'watch() makes another');

# --- a foreign table -----------------------------------------------------------------------------

SKIP: {
    skip 'postgres_fdw is not installed', 2 unless sql(q(SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'));
    sql(sprintf <<'SQL', $node->host, $node->port);
CREATE EXTENSION postgres_fdw;
CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER self;
CREATE TABLE remote (id int PRIMARY KEY, v text);
CREATE FOREIGN TABLE foreign_one (id int, v text) SERVER self OPTIONS (table_name 'remote');
SQL
    unlike(said(q(SELECT whisperer.watch('foreign_one'))), qr/WARNING/, 'a foreign table is watched');
    sql(q(INSERT INTO foreign_one VALUES (1, 'x'); UPDATE foreign_one SET v = 'y'; DELETE FROM foreign_one));
    is(events('foreign_one'), 'created 1, updated 1, deleted 1', 'by its rows');
}

# --- a subscription -------------------------------------------------------------------------------

sql(<<'SQL');
CREATE DATABASE sub;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE more (id int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'copied');
CREATE PUBLICATION everything FOR TABLE t, p;
SQL
sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");

sub there { return $node->safe_psql('sub', @_) }

there(<<'SQL');
CREATE EXTENSION whisperer;
SELECT whisperer.pause();
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE more (id int PRIMARY KEY, v text);
SELECT whisperer.watch('t');
SELECT whisperer.watch('p');
SELECT whisperer.watch('more');
SQL
# It had to be done by hand, and for the rows that are copied it was enough.
there('ALTER TABLE t ENABLE ALWAYS TRIGGER whisperer_created, ENABLE ALWAYS TRIGGER whisperer_updated, ENABLE ALWAYS TRIGGER whisperer_deleted');
my $warned = said(sprintf(q(CREATE SUBSCRIPTION s CONNECTION '%s' PUBLICATION everything WITH (create_slot = false, slot_name = 's')),
    $node->connstr('postgres') =~ s/'/''/gr), 'sub');
unlike($warned, qr/on table (public\.)?t does/, 'a table that is watched ALWAYS is subscribed');
like($warned, qr/WARNING:  trigger "whisperer_created" on table (public\.)?p does not see.*SELECT whisperer\.watch/s, 'of another it is said that what is applied is not recorded');
# Made here while rows are copied from the same server, a trigger would wait for the copy, which waits for all transactions.
sub wait_copies { wait_for('the copies', sub { there(q(SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r')) == 0 }) }
wait_copies();
there(q(SELECT whisperer.watch('p')));

# The events of a table once there are as many as are expected.
sub wait_events {
    my ($table, $count) = @_;
    wait_for("$count events of $table", sub { there("SELECT count(*) FROM whisperer.outbox WHERE source = 'public.$table'") >= $count });
    return events($table, 'sub');
}
is(wait_events('t', 1), 'created 1', 'what is copied is recorded');
my $changes = sub { "INSERT INTO $_[0] VALUES (2, 'x'); UPDATE $_[0] SET v = 'y' WHERE id = 2; DELETE FROM $_[0] WHERE id = 2" };
sql($changes->('t'));
is(wait_events('t', 3), 'created 2, updated 2, deleted 2', 'and what is applied');
sql($changes->('p'));
is(wait_events('p', 3), 'created 2, updated 2, deleted 2', 'to partitions, too');
there(q(INSERT INTO t VALUES (10, 'local')));
is(events('t', 'sub'), 'created 10', 'and what is written here');
sql('ALTER PUBLICATION everything ADD TABLE more');
like(said('ALTER SUBSCRIPTION s REFRESH PUBLICATION', 'sub'), qr/WARNING:  trigger "whisperer_created" on table (public\.)?more/, 'another is added');
wait_copies();
there(q(SELECT whisperer.watch('more')));
sql($changes->('more'));
is(wait_events('more', 3), 'created 2, updated 2, deleted 2', 'watch() sees to it');
there(q(SELECT whisperer.unwatch('more')));
there(q(SELECT whisperer.watch('more')));
sql($changes->('more'));
is(wait_events('more', 3), 'created 2, updated 2, deleted 2', 'watch() knows that the table is subscribed');
there(q(SELECT whisperer.unwatch('more'); SELECT whisperer.register_event('more')));
my $warning = said(q(CREATE TRIGGER mine AFTER INSERT ON more FOR EACH ROW EXECUTE FUNCTION whisperer.capture('more')), 'sub');
my ($hint) = $warning =~ /WARNING:  trigger "mine" on table .*HINT:  (ALTER TABLE [\w.]+ ENABLE ALWAYS TRIGGER mine)/s;
ok($hint, 'a trigger of somebody\'s own is told of') or diag $warning;
there($hint);
sql(q(INSERT INTO more VALUES (3, 'x')));
is(wait_events('more', 1), 'more 3', 'and who follows the hint has the event');
there('DROP SUBSCRIPTION s');

# --- a label of a graph -----------------------------------------------------------------------------

sql('CREATE TABLE label (id int PRIMARY KEY); CREATE SCHEMA ag_catalog; CREATE TABLE ag_catalog.ag_label (relation regclass)');
unlike(said(q(SELECT whisperer.watch('label'))), qr/WARNING/, 'a table that is no label of Apache AGE');
sql(q(SELECT whisperer.unwatch('label'); INSERT INTO ag_catalog.ag_label VALUES ('label')));
like(said(q(SELECT whisperer.watch('label'))), qr/WARNING:  table (public\.)?label is a label/, 'and one that is');

sql('CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA whisperer TO plain; CREATE TABLE plain_table (id int PRIMARY KEY); ALTER TABLE plain_table OWNER TO plain');
unlike(said('SET ROLE plain; SELECT whisperer.watch(\'plain_table\')'), qr/WARNING/, 'a role without rights on the graphs watches its tables');
# As AGE makes them; it is not here itself.
sql(q(CREATE SCHEMA graph; CREATE TABLE graph._ag_label_vertex (id int PRIMARY KEY); CREATE TABLE graph.person (PRIMARY KEY (id)) INHERITS (graph._ag_label_vertex);
    ALTER TABLE graph.person OWNER TO plain; GRANT USAGE ON SCHEMA graph TO plain));
like(said(q(SET ROLE plain; SELECT whisperer.watch('graph.person'))), qr/WARNING:  table graph\.person is a label/, 'and is warned of a label');

# --- another replication -----------------------------------------------------------------------------

# pglogical's origin, without pglogical.
sql(q(CREATE TABLE applied (id int PRIMARY KEY)));
sql(q(SELECT pg_replication_origin_create('pgl_postgres_old_s')));
my ($said) = said(q(SELECT whisperer.watch('applied', operations => '{insert}')));
like($said, qr/WARNING:  table (public\.)?applied may be written to by another replication.*HINT:.*ENABLE ALWAYS/s, 'where something else than a subscription applies changes, watch() says so');
sql(q(SELECT pg_replication_origin_drop('pgl_postgres_old_s'); SELECT whisperer.unwatch('applied')));
unlike(said(q(SELECT whisperer.watch('applied', operations => '{insert}'))), qr/WARNING/, 'and not elsewhere');

# --- a condition under watch()'s name -----------------------------------------------------------------

sql(q(CREATE TABLE conditional (id int PRIMARY KEY); CREATE TABLE conditional_all (id int NOT NULL) PARTITION BY RANGE (id);
    SELECT whisperer.register_event('conditional-created');
    CREATE TRIGGER whisperer_created AFTER INSERT ON conditional REFERENCING NEW TABLE AS n FOR EACH STATEMENT
        WHEN (current_setting('app.loading', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION whisperer.capture('conditional-created')));
# Somebody else would have to read the condition, with rights of his own.
my $attached = said('ALTER TABLE conditional_all ATTACH PARTITION conditional FOR VALUES FROM (0) TO (10)');
like($attached, qr/WARNING:  trigger "whisperer_created" on table .*conditional does not see all that is written to it.*HINT:  Drop it and create it FOR EACH ROW/s, 'a trigger with a WHEN condition is not made anew, and somebody is told');
sql(q(DROP TRIGGER whisperer_created ON conditional; CREATE TRIGGER whisperer_created AFTER INSERT ON conditional FOR EACH ROW
    WHEN (current_setting('app.loading', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION whisperer.capture('conditional-created');
    INSERT INTO conditional_all VALUES (1); SET app.loading = 'yes'; INSERT INTO conditional_all VALUES (2)));
is(events('conditional'), 'created 1', 'what it says helps');

# --- temp_file_limit of those who write -----------------------------------------------------------------

my $bulk = q(INSERT INTO loaded SELECT g, repeat('x', 40) FROM generate_series(1, 50000) g);
my $as_app = $node->connstr('postgres') . ' user=app';
my $problem = q(SELECT problem FROM whisperer.check_triggers() WHERE "table" = 'loaded'::regclass);
sql(q(CREATE TABLE loaded (id int, v text); GRANT INSERT ON loaded TO app; SELECT whisperer.watch('loaded', operations => '{insert}')));
is(sql($problem), '', 'a table that is watched');
like(said("ALTER ROLE app SET temp_file_limit = '1MB'"), qr/WARNING:  bulk statements on these tables may fail by temp_file_limit, .*: .*\bloaded\b/, 'who limits the temporary files of a role is warned');
like(($node->psql('postgres', $bulk, connstr => $as_app))[2], qr/ERROR:  temporary file size exceeds "?temp_file_limit/, 'because of this');
like(sql($problem), qr/^bulk statements fail by temp_file_limit/, 'check_triggers() names the trigger');
like(sql($problem =~ s/problem/hint/r), qr/^SELECT whisperer\.watch\('(public\.)?loaded'\)/, 'with a hint');
sql(q(SELECT whisperer.watch('loaded', operations => '{insert}')));
is(($node->psql('postgres', $bulk, connstr => $as_app))[2], '', 'who follows it loads');
is(events('loaded') =~ tr/,//, 49999, 'and has the events');
is(sql($problem), '', 'and all is well');
sql(q(CREATE TABLE loaded_later (id int); SELECT whisperer.watch('loaded_later')));
is(sql(q(SELECT count(*) FROM pg_trigger WHERE tgrelid = 'loaded_later'::regclass AND tgtype & 1 = 0)), 0, 'watch() knows the limits of others');
like(said("ALTER SYSTEM SET temp_file_limit = '1MB'"), qr/WARNING:  bulk statements/, 'so does who limits the server\'s');
is(said("ALTER SYSTEM RESET temp_file_limit"), '', 'and not who ends it');
is(said("ALTER ROLE app SET temp_file_limit = -1"), '', 'in either way');
is(said("ALTER DATABASE sub SET temp_file_limit = '1MB'"), '', 'nor who sets it for another database');
like(said("ALTER DATABASE postgres SET temp_file_limit = '1MB'"), qr/WARNING:  bulk statements/, 'who sets it for this one is');

$node->stop;
done_testing();
