# Children by inheritance of a watched table: wherever its triggers are of the row, which do not fire for the rows of
# children, the children have such triggers, which make what the parent's would; or somebody is told.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('children', extra => "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nwal_retrieve_retry_interval = 200ms\nmax_worker_processes = 20\n");
sub sql { return $node->safe_psql('postgres', @_) }

# What is said on the way, beside the result.
sub said {
    my ($sql, $database) = @_;
    my ($status, $out, $error) = $node->psql($database // 'postgres', $sql);
    is($status, 0, "it runs: $sql") or diag $error;
    return $error;
}

# All that was recorded since: event type, table, key and data.
sub events {
    my ($database) = @_;
    return $node->safe_psql($database // 'postgres', <<'SQL');
WITH gone AS (DELETE FROM whisperer.outbox RETURNING id, event_type, source, object_id, data)
SELECT string_agg(concat_ws(' ', event_type, source, object_id, data), ', ' ORDER BY id) FROM gone
SQL
}
sub triggers { return sql("SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = '$_[0]'::regclass") }

sql('SELECT whisperer.pause(); CREATE ROLE app; GRANT CREATE ON SCHEMA public TO app');

# --- a parent that becomes a child -------------------------------------------------------------------

sql(<<'SQL');
SET ROLE app;
CREATE TABLE a (id int, v int);
CREATE TABLE b (id int PRIMARY KEY, v int);
CREATE TABLE c (gone int, more text) INHERITS (b);
ALTER TABLE c DROP COLUMN gone;
RESET ROLE;
SELECT whisperer.watch('b', options => '{include=old}');
INSERT INTO c VALUES (1, 1, 'x');
UPDATE b SET v = 2;
SQL
is(events(), 'b-updated public.b 1 {"new":{"id":1,"v":2},"old":{"id":1,"v":1}}', 'a statement trigger tells of the rows of children');
is(said('SET ROLE app; ALTER TABLE b INHERIT a'), '', 'its table becomes a child');
sql('UPDATE b SET v = 3; UPDATE a SET v = 4');
is(events(), join(', ', map { qq(b-updated public.b 1 {"new":{"id":1,"v":$_},"old":{"id":1,"v":@{[ $_ - 1 ]}}}) } 3, 4), 'and they are told of as before, by either way');
is(sql('SELECT count(*) FROM whisperer.check_triggers()'), 0, 'all is well');

# --- later children ----------------------------------------------------------------------------------

is(said('SET ROLE app; CREATE TABLE d (extra int) INHERITS (c); CREATE TABLE e (v int, id int NOT NULL); ALTER TABLE e INHERIT b'), '', 'children come later');
sql(q(INSERT INTO d VALUES (5, 1, 'x', 9); INSERT INTO e VALUES (1, 6); DELETE FROM b WHERE id = 5; DELETE FROM b WHERE id = 6));
is(events(), join(', ', map { qq(b-$_) } 'created public.b 5 {"id":5,"v":1}', 'created public.b 6 {"id":6,"v":1}', 'deleted public.b 5 {"id":5,"v":1}', 'deleted public.b 6 {"id":6,"v":1}'),
    'their rows are told of, as rows of the table that is watched');
is(said('SET ROLE app; ALTER TABLE e NO INHERIT b'), '', 'a child goes');
sql('INSERT INTO e VALUES (1, 7)');
is(events(), '', 'and is no matter any more');
like(sql(q(SELECT concat_ws(' ', "table", trigger, problem, hint) FROM whisperer.check_triggers() ORDER BY 1 LIMIT 1)),
    qr/^e whisperer_created_of_b-created(_\w+)? .*records nothing: no parent.*Drop it/, 'a trigger that is left over is named');
sql('ALTER TABLE e INHERIT b; DELETE FROM e');
is(events(), 'b-deleted public.b 7 {"id":7,"v":1}', 'until it is a child again');
sql('ALTER TABLE b DISABLE TRIGGER whisperer_created; INSERT INTO c VALUES (8, 1); ALTER TABLE b ENABLE TRIGGER whisperer_created; DELETE FROM c WHERE id = 8');
is(events(), 'b-deleted public.b 8 {"id":8,"v":1}', 'a trigger of the parent that is disabled counts for the children');

# A dump has them, in an order of its own.
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
sql('CREATE DATABASE copied');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'copied', $dump ], 'is restored');
$node->safe_psql('copied', 'UPDATE b SET v = 5');
like(events('copied'), qr/b-updated public\.b 1 \{"new":\{"id":1,"v":5\}/, 'and the children\'s rows are told of');
$node->safe_psql('copied', q(SELECT whisperer.watch('b', options => '{include=old}')));

sql(q(SELECT whisperer.unwatch('b')));
is(triggers($_), '', "unwatch() leaves nothing on $_") for 'b' .. 'e';
is(sql(q(SELECT count(*) FROM whisperer.event_type WHERE name ~ '^b-')), 0, 'nor an event type');

# Other options, without unwatch() in between.
sql(q(SELECT whisperer.watch('b', operations => '{insert}')));
sql(q(DROP TRIGGER whisperer_created ON b; SELECT whisperer.watch('b', operations => '{insert}', options => '{columns=v}'); INSERT INTO c VALUES (9, 1)));
is(events(), 'b-created public.b 9 {"v":1}', 'the children\'s triggers follow the options');
# Back to a trigger of the statement.
sql(q(ALTER TABLE b NO INHERIT a; DROP TRIGGER whisperer_created ON b; SELECT whisperer.watch('b', operations => '{insert,update}', options => '{columns=v}')));
sql('UPDATE b SET v = 2 WHERE id = 9');
is(events(), 'b-updated public.b 9 {"v":2}', 'a row that the parent\'s statement trigger has is told of once');
sql(q(SELECT whisperer.unwatch('b')));

# Somebody writes to a child meanwhile.
sql(q(SELECT whisperer.watch('b', operations => '{update}')));
my $writer = $node->background_psql('postgres');
$writer->query_safe('BEGIN; UPDATE c SET v = 10 WHERE id = 9');
my $told = said('ALTER TABLE b INHERIT a');
my ($by_hand) = $told =~ /WARNING:  trigger "whisperer_updated" on table public\.b does not see the rows of a child, public\.c.*?lock timeout.*?HINT:  (?:As the owner of \S+: )?((?:DROP TRIGGER .*)?CREATE TRIGGER .*?;)/s;
ok($by_hand, 'a child that is locked is waited for no longer than its writer can wait') or diag $told;
$writer->query_safe('UPDATE b SET v = 11 WHERE id = 9; COMMIT');
$writer->quit;
sql('DELETE FROM whisperer.outbox');
sql(($by_hand // '') . q(; UPDATE b SET v = 12 WHERE id = 9));
is(events(), 'b-updated public.b 9 {"id":9,"v":12}', 'what is said then helps');
sql(q(SELECT whisperer.unwatch('b'); ALTER TABLE b NO INHERIT a));

# --- backfill of a child -------------------------------------------------------------------------------
sql(q(ALTER TABLE b INHERIT a; SELECT whisperer.watch('b', operations => '{insert}', options => '{columns=v}'); SELECT whisperer.create_hook('b-created', 'http://127.0.0.1:1/')));
sql(q(SELECT whisperer.backfill(max(id), 'c', 'id = 9') FROM whisperer.hook));
is(events(), 'b-created public.c 9 {"v":12}', 'backfill of a child makes what its parent\'s trigger would');
sql(q(DROP TRIGGER whisperer_created ON b; SELECT whisperer.backfill(max(id), 'c', 'id = 9') FROM whisperer.hook));
is(events(), 'b-created public.c {"id":9,"v":12,"more":null}', 'and of one whose parent has none whole rows');
sql(q(SELECT whisperer.watch('b', operations => '{insert}', options => '{columns=v}'); SELECT whisperer.unwatch('b'); ALTER TABLE b NO INHERIT a; SELECT whisperer.delete_hook(max(id)) FROM whisperer.hook));

# --- other reasons for row triggers --------------------------------------------------------------------

sql(q(SET temp_file_limit = '1MB'; SELECT whisperer.watch('b', operations => '{update}'); UPDATE b SET v = 3 WHERE id = 9));
is(events(), 'b-updated public.b 9 {"id":9,"v":3}', 'where temp_file_limit is set the children are watched, too');
sql(q(SELECT whisperer.unwatch('b')));

# Two parents, a long name, and a child of somebody else's.
my $long = 'x' x 60;
sql(<<"SQL");
CREATE TABLE up (id int);
CREATE TABLE one (id int PRIMARY KEY) INHERITS (up); CREATE TABLE "$long" (id int PRIMARY KEY) INHERITS (up);
CREATE TABLE both_of () INHERITS (one, "$long");
SELECT whisperer.watch('one', operations => '{insert,delete}'); SELECT whisperer.watch('"$long"', operations => '{insert,delete}');
INSERT INTO both_of VALUES (1);
DELETE FROM up;
SQL
is(join(', ', sort split /, /, events()), join(', ', map { my $of = $_; map { "$of-$_ public.$of 1 {\"id\":1}" } 'created', 'deleted' } 'one', $long), 'a child of two watched tables');
sql(q(CREATE ROLE ann; CREATE ROLE bob; GRANT CREATE ON SCHEMA public TO ann; GRANT USAGE ON SCHEMA whisperer TO ann;
    CREATE TABLE top (id int); ALTER TABLE top OWNER TO ann;
    SET ROLE ann; CREATE TABLE anns (PRIMARY KEY (id)) INHERITS (top); CREATE TABLE bobs () INHERITS (anns); RESET ROLE; ALTER TABLE bobs OWNER TO bob));
my $warned = said(q(SET ROLE ann; SELECT whisperer.watch('anns', operations => '{insert}')));
my ($hint) = $warned =~ /WARNING:  trigger "whisperer_created" on table (?:public\.)?anns does not see the rows of a child, (?:public\.)?bobs.*HINT:  (?:As the owner of \S+: )?((?:DROP TRIGGER .*)?CREATE TRIGGER .*;)/s;
ok($hint, 'where watch() may not do it, it says what to do') or diag $warned;
like(sql('SELECT problem FROM whisperer.check_triggers()'), qr/^it does not see the rows of a child, (public\.)?bobs$/, 'and so does check_triggers()');
sql("$hint INSERT INTO bobs VALUES (1)");
is(events(), 'anns-created public.anns 1 {"id":1}', 'what it says helps');
is(sql('SELECT count(*) FROM whisperer.check_triggers()'), 0, 'and then all is well');

# By hand it makes no more than that: nothing of a type that the parent's owner may publish and its table does not record.
sql(q(SELECT whisperer.register_event('secret'), whisperer.allow('secret', 'ann', 'publish'); GRANT USAGE ON SCHEMA whisperer TO bob;
    SET ROLE bob; CREATE TRIGGER forged AFTER INSERT ON bobs FOR EACH ROW EXECUTE FUNCTION whisperer.capture('secret', 'as=parent');
    CREATE TRIGGER other AFTER INSERT ON bobs FOR EACH ROW EXECUTE FUNCTION whisperer.capture('anns-created', 'key=id', 'as=parent'); INSERT INTO bobs VALUES (2)));
is(events(), 'anns-created public.anns 2 {"id":2}', 'a child\'s owner can only have told what the parent\'s trigger tells');

# A serializer takes the parent's rows.
sql(q(CREATE TABLE shaped_up (id int); CREATE TABLE shaped (id int PRIMARY KEY) INHERITS (shaped_up); CREATE TABLE shaped_kid (more int) INHERITS (shaped);
    CREATE FUNCTION shape(r shaped) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''shaped'', r.id)';
    SELECT whisperer.watch('shaped', operations => '{insert}', options => '{serializer=public.shape}'); INSERT INTO shaped_kid VALUES (1, 2)));
is(events(), 'shaped-created public.shaped 1 {"shaped" : 1}', 'a serializer gets the rows of children');
is(said('ALTER TABLE shaped_kid NO INHERIT shaped; INSERT INTO shaped_kid VALUES (2, 3)'), '', 'and is in no way of a child that goes');
is(events(), '', 'of which nothing is told then');

# --- triggers that somebody made himself ------------------------------------------------------------------

sql(q(CREATE TABLE own (id int PRIMARY KEY); CREATE TABLE owns () INHERITS (own); SELECT whisperer.register_event('own'), whisperer.register_event('kid')));
($hint) = said(q(CREATE TRIGGER mine AFTER INSERT OR DELETE ON own FOR EACH ROW WHEN (pg_trigger_depth() < 5) EXECUTE FUNCTION whisperer.capture('own')))
    =~ /WARNING:  trigger "mine" on table (?:public\.)?own does not see the rows of a child.*HINT:  (?:As the owner of \S+: )?((?:DROP TRIGGER .*)?CREATE TRIGGER .*;)/s;
ok($hint, 'are told of');
is(said($hint), '', 'who follows the hint hears nothing');
sql('INSERT INTO owns VALUES (1); DELETE FROM own');
is(events(), 'own public.own 1 {"id":1}, own public.own 1 {"id":1}', 'and has the events');
like(said('CREATE TABLE owns2 () INHERITS (own)'), qr/WARNING:  trigger "mine" on table (public\.)?own does not see the rows of a child, (public\.)?owns2/, 'a later child is told of');
sql(q(CREATE TRIGGER mine AFTER INSERT OR DELETE ON owns2 FOR EACH ROW EXECUTE FUNCTION whisperer.capture('own')));
is(sql(q(SELECT count(*) FROM whisperer.check_triggers() WHERE trigger = 'mine')), 0, 'one that has such a trigger of its own is not');
my ($status, undef, $error) = $node->psql('postgres', q(CREATE TRIGGER bad AFTER INSERT ON owns FOR EACH ROW EXECUTE FUNCTION whisperer.capture('kid', 'as=child')));
like($error, qr/as takes only the value parent/, 'as=child is nothing');

# --- a child that is a foreign table ------------------------------------------------------------------------

SKIP: {
    skip 'postgres_fdw is not installed', 4 unless sql(q(SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'));
    sql(sprintf <<'SQL', $node->host, $node->port);
CREATE EXTENSION postgres_fdw;
CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER self;
CREATE TABLE remote (id int PRIMARY KEY, v text);
CREATE TABLE near (id int PRIMARY KEY, v text);
SELECT whisperer.watch('near', operations => '{insert,update}');
SQL
    is(said(q(CREATE FOREIGN TABLE far () INHERITS (near) SERVER self OPTIONS (table_name 'remote'))), '', 'a watched table gets one');
    is(said(q(INSERT INTO far VALUES (1, 'x'); UPDATE near SET v = 'y')), '', 'what could be written to it still can');
    is(events(), 'near-created public.near 1 {"id":1,"v":"x"}, near-updated public.near 1 {"id":1,"v":"y"}', 'and is recorded');
}

# --- a parent that is subscribed ------------------------------------------------------------------------------

sql(q(CREATE DATABASE sub; CREATE TABLE old (id int PRIMARY KEY, v int); CREATE TABLE young (PRIMARY KEY (id)) INHERITS (old);
    CREATE PUBLICATION old FOR TABLE old));
sql(q(SELECT pg_create_logical_replication_slot('s', 'pgoutput')));
$node->safe_psql('sub', q(CREATE EXTENSION whisperer; SELECT whisperer.pause();
    CREATE TABLE old (id int PRIMARY KEY, v int); CREATE TABLE young (PRIMARY KEY (id)) INHERITS (old)));
$node->safe_psql('sub', sprintf q(CREATE SUBSCRIPTION s CONNECTION '%s' PUBLICATION old WITH (create_slot = false, slot_name = 's', copy_data = false)),
    $node->connstr('postgres') =~ s/'/''/gr);
$node->safe_psql('sub', q(SELECT whisperer.watch('old')));
sql('INSERT INTO young VALUES (1, 1); UPDATE old SET v = 2; DELETE FROM old');
wait_for('the changes', sub { $node->safe_psql('sub', 'SELECT count(*) FROM whisperer.outbox') >= 3 });
is(events('sub'), 'old-created public.old 1 {"id":1,"v":1}, old-updated public.old 1 {"id":1,"v":2}, old-deleted public.old 1 {"id":1,"v":2}', 'what is applied to its children is recorded');
$node->safe_psql('sub', 'DROP SUBSCRIPTION s');

# --- whose triggers they are ----------------------------------------------------------------------------------

# Somebody with more rights makes them, when a table becomes a child.  A name is no part of a statement to him, whatever it
# looks like; and nobody gets a condition of his own on another's table.
sql(q(CREATE ROLE mallory; CREATE SCHEMA m AUTHORIZATION mallory; GRANT USAGE ON SCHEMA whisperer TO mallory; GRANT USAGE ON SCHEMA m TO ann;
    SET ROLE mallory; SELECT whisperer.register_event('ms'); CREATE TABLE m.up (id int)));
sql(q(SET ROLE mallory; CREATE FUNCTION m.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE PROCEDURE m.p() LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''run by %'', current_user; END'));
for my $level ('ROW', 'STATEMENT') {
    my $table = qq("FOR EACH $level EXECUTE FUNCTION m.f();CALL m.p();--");
    my $tables = $level eq 'ROW' ? '' : 'REFERENCING NEW TABLE AS n';
    my $said = said(qq(SET ROLE mallory; CREATE TABLE m.$table (id int); CREATE TRIGGER whisperer_created AFTER INSERT ON m.$table $tables
        FOR EACH $level EXECUTE FUNCTION whisperer.capture('ms'); CREATE TABLE m.kid_$level () INHERITS (m.$table); ALTER TABLE m.$table INHERIT m.up));
    unlike($said, qr/run by/, "a table's name that looks like what follows FOR EACH $level is a name");
    sql("INSERT INTO m.kid_$level VALUES (1)");
    like(events(), qr/^ms m\."FOR EACH $level .*\{"id":1\}\z/, 'and the child is seen to');
}
# The constants of a condition are read when the trigger is made.
sql(q(SET ROLE mallory; CREATE FUNCTION m.reads(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''read by %'', current_user; RETURN true; END';
    CREATE DOMAIN m.told AS text CHECK (m.reads(VALUE));
    CREATE TABLE m.stated (id int); CREATE TRIGGER whisperer_created AFTER INSERT ON m.stated REFERENCING NEW TABLE AS n FOR EACH STATEMENT
        WHEN ('{x}'::m.told[] IS NOT NULL) EXECUTE FUNCTION whisperer.capture('ms');
    CREATE TABLE m.rowed (id int); CREATE TRIGGER whisperer_created AFTER INSERT ON m.rowed FOR EACH ROW
        WHEN ('{x}'::m.told[] IS NOT NULL) EXECUTE FUNCTION whisperer.capture('ms')));
unlike(said("SET ROLE mallory; $_"), qr/read by/, "by whoever made it alone: $_") for 'ALTER TABLE m.stated INHERIT m.up', 'CREATE TABLE m.rows () INHERITS (m.rowed)';
sql(q(SET ROLE mallory; CREATE TABLE m.parent (id int); CREATE TABLE m.c () INHERITS (m.parent); RESET ROLE; ALTER TABLE m.c OWNER TO ann;
    SET ROLE mallory; CREATE FUNCTION m.who() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''run by %'', current_user; RETURN true; END';
    CREATE TRIGGER whisperer_created AFTER INSERT ON m.parent FOR EACH ROW WHEN (m.who()) EXECUTE FUNCTION whisperer.capture('ms')));
my $planted = said('SET ROLE mallory; ALTER TABLE m.parent INHERIT m.up');
like($planted, qr/WARNING:  trigger "whisperer_created" on table m\.parent does not see the rows of a child, m\.c.*HINT:  As the owner of m\.parent: CREATE TRIGGER/s, 'of a child that another owns somebody is told');
is(triggers('m.c'), '', 'and no trigger is made there');
unlike(said('SET ROLE ann; INSERT INTO m.c VALUES (1)'), qr/run by/, 'that would run what its maker wrote as whoever writes');

# --- as the parent's, and not beside another ---------------------------------------------------------------------

sql(<<'SQL');
CREATE TABLE g (id int, v int, w int); CREATE TABLE h (PRIMARY KEY (id)) INHERITS (g); CREATE TABLE i () INHERITS (h);
SELECT whisperer.register_event('h');
CREATE TRIGGER mine AFTER INSERT OR UPDATE OF v ON h FOR EACH ROW EXECUTE FUNCTION whisperer.capture('h');
SQL
($hint) = said('ALTER TABLE h NO INHERIT g; ALTER TABLE h INHERIT g') =~ /HINT:  (?:As the owner of \S+: )?((?:DROP TRIGGER .*)?CREATE TRIGGER .*;)/;
sql($hint // '');
sql('INSERT INTO i VALUES (1, 1, 1); UPDATE h SET w = 2; UPDATE h SET v = 2');
is(events(), 'h public.h 1 {"id":1,"v":1,"w":1}, h public.h 1 {"id":1,"v":2,"w":2}', 'the columns of UPDATE OF count for children, too');
sql(q(CREATE OR REPLACE TRIGGER mine AFTER UPDATE OF v ON h FOR EACH ROW EXECUTE FUNCTION whisperer.capture('h'); INSERT INTO i VALUES (2, 1, 1); UPDATE h SET v = 3 WHERE id = 2));
is(events(), 'h public.h 2 {"id":2,"v":3,"w":1}', 'what the parent\'s trigger does not fire at any more is not told');
is(sql(q(SELECT count(*) FROM whisperer.check_triggers() WHERE trigger = 'mine')), 1, 'and that the child\'s is another is said');
sql('DROP TABLE g CASCADE');

sql(q(CREATE TABLE k (id int); CREATE TABLE l (PRIMARY KEY (id)) INHERITS (k); CREATE TABLE m2 (PRIMARY KEY (id)) INHERITS (l);
    SELECT whisperer.watch('l', 'p', '{insert}'); SELECT whisperer.watch('m2', 'p', '{insert}'); INSERT INTO m2 VALUES (1)));
is(events(), 'p-created public.m2 1 {"id":1}', 'a child that is watched itself with the same name tells of its rows once');
sql(q(SELECT whisperer.unwatch('m2'); INSERT INTO m2 VALUES (2)));
is(events(), 'p-created public.l 2 {"id":2}', 'and when it is not any more, its parent does');
sql('DROP TABLE k CASCADE');

sql(q(CREATE TABLE q (id int); CREATE TABLE r1 (PRIMARY KEY (id)) INHERITS (q); CREATE TABLE r2 (PRIMARY KEY (id)) INHERITS (q); CREATE TABLE s () INHERITS (r1, r2);
    SELECT whisperer.watch('r1', 'p', '{insert}'); SELECT whisperer.watch('r2', 'p', '{insert}'); SELECT whisperer.unwatch('r1'); INSERT INTO s VALUES (1)));
is(events(), 'p-created public.r2 1 {"id":1}', 'of two parents that are watched alike one goes on');
sql(q(SELECT whisperer.unwatch('r2'); SELECT whisperer.watch('r1', 'p', '{insert}', '{columns=id}'); SELECT whisperer.watch('r2', 'p', '{insert}', '{key=id}'); INSERT INTO s VALUES (2)));
is(scalar(() = events() =~ /p-created/g), 2, 'of two that are watched in other ways each is told');
sql('DROP TABLE q CASCADE');

# A child with such a trigger becomes a partition.
sql(q(CREATE TABLE t (id int); CREATE TABLE u (id int NOT NULL) ; CREATE TABLE x (id int) PARTITION BY LIST (id); ALTER TABLE u INHERIT t;
    CREATE TABLE y () INHERITS (u); SELECT whisperer.watch('u', 'p', '{insert}'); ALTER TABLE y NO INHERIT u; ALTER TABLE x ATTACH PARTITION y FOR VALUES IN (1);
    INSERT INTO y VALUES (1)));
is(events(), '', 'a trigger that was its former parent\'s does not come to life in a partition');

# --- a dump ---------------------------------------------------------------------------------------------------

# Triggers come in the order of their tables' names: that of a child before its parent's.
sql(q(CREATE TABLE z_up (id int); CREATE TABLE z (PRIMARY KEY (id)) INHERITS (z_up); CREATE TABLE a_child () INHERITS (z); SELECT whisperer.watch('z', operations => '{insert}')));
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'of children with their parents\' triggers is restored');
$node->safe_psql('restored', 'INSERT INTO a_child VALUES (1)');
like(events('restored'), qr/z-created public\.z 1 \{"id":1\}\z/, 'and their rows are told of as before');

$node->stop;
done_testing();
