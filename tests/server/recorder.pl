# recorder/whisperer-recorder.sql: what it records of the same statements is byte for byte what the extension records; who
# may record what; and a delivery node that subscribes to it.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('recorder', extra => "wal_level = logical\nmax_replication_slots = 10\nmax_wal_senders = 10\n");
my $file = slurp_file($INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{../recorder/whisperer-recorder.sql}r);
my $database = 'managed';

# No superuser, as a managed service gives none.
$node->safe_psql('postgres', <<'SQL');
SELECT whisperer.pause();
CREATE ROLE recorder NOLOGIN;
CREATE ROLE shop; CREATE ROLE web; CREATE ROLE other;
CREATE DATABASE managed;
SQL
$node->safe_psql($database, 'GRANT CREATE ON DATABASE managed TO recorder; GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC');
$node->safe_psql('postgres', 'GRANT CREATE ON SCHEMA public TO PUBLIC');
sub install { return $node->safe_psql($database, "BEGIN;\nSET ROLE recorder;\n$file\nCOMMIT;") }
install();
like(slurp_file($node->logfile), qr/^(?!.*\bERROR\b)/s, 'a role without any special right installs it');
sub sql { return $node->safe_psql($database, @_) }
sub as { my ($role, $sql) = @_; return sql("SET ROLE $role;\n$sql") }

sub error_of {
    my ($role, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, "SET ROLE $role;\n$sql", on_error_stop => 1);
    return join ' | ', $err =~ /(?:ERROR|HINT):\s+(.*)/g;
}

like(error_of('postgres', "BEGIN;\n$file"), qr/^the recorder's role must not be a superuser/, 'a superuser does not');
sql('GRANT CREATE ON DATABASE managed TO web');
like(error_of('web', "BEGIN;\n$file"), qr/^the schemas whisperer and whisperer_internal belong to somebody else/, 'nor another role than the first time');

sub recorded { return $node->safe_psql($_[0], q(SELECT concat_ws(' ', event_type, source, '[' || object_id || ']', data::text) FROM whisperer.outbox ORDER BY id)) }

# The same in both databases; what each recorded of it.
sub both {
    my ($sql) = @_;
    for my $where ('postgres', $database) {
        $node->safe_psql($where, $where eq 'postgres' ? 'DELETE FROM whisperer.outbox' : 'TRUNCATE whisperer.outbox');
        $node->safe_psql($where, $sql);
    }
    return map { recorded($_) } 'postgres', $database;
}

sub same {
    my ($sql, $count, $name) = @_;
    my ($extension, $recorder) = both($sql);
    is_deeply([ split /\n/, $recorder ], [ split /\n/, $extension ], $name);
    is(scalar(split /\n/, $extension), $count, "$name: $count events");
    return;
}

# --- every type of data, in any session ---------------------------------------------------------------------
my %types = (
    flag => ['boolean', 'true'], small => [ 'smallint', '-7' ], big => [ 'bigint', '9007199254740993' ], amount => [ 'numeric(12,2)', '19.90' ],
    single => [ 'real', '0.1' ], ratio => [ 'float8', "'NaN'" ], third => [ 'float8', '1 / 3.0::float8' ], words => [ 'text', q(E'Zo\u00eb "quoted" \\\\ \\t') ],
    padded => [ 'char(5)', "'ab'" ], code => [ 'varchar(9)', "'x'" ], letter => [ '"char"', "'c'" ], named => [ 'name', "'n'" ], nothing => [ 'text', 'NULL' ],
    uid => [ 'uuid', "'da81e851-3982-4c61-87dd-1e58a7d3f971'" ], day => [ 'date', "'2024-05-01'" ], hour => [ 'time', "'12:00'" ],
    zoned_hour => [ 'timetz', "'12:00+09'" ], at => [ 'timestamp', "'2024-05-01 12:00'" ], instant => [ 'timestamptz', "'2024-05-01 12:00+09'" ],
    forever => [ 'timestamptz', "'infinity'" ], span => [ 'interval', "'1 day 02:03'" ], plain => [ 'json', q('{"b": 1, "a" : 2}') ],
    parsed => [ 'jsonb', q('{"b": 1, "a" : 2}') ], list => [ 'int[]', "'{1,2}'" ], stamps => [ 'timestamptz[]', q('{"2024-05-01 12:00+09"}') ],
    range => [ 'int4range', "'[1,5)'" ], stamped => [ 'tstzrange', q{'["2024-05-01 12:00+09",)'} ], bytes => [ 'bytea', q('\xdeadbeef') ],
    host => [ 'inet', "'10.0.0.1'" ], net => [ 'cidr', "'10.0.0.0/8'" ], mac => [ 'macaddr', "'08:00:2b:01:02:03'" ], bits => [ 'bit(3)', "B'101'" ],
    point => [ 'point', "'(1,2)'" ], document => [ 'xml', "'<a/>'" ], search => [ 'tsvector', "'a b'" ], price => [ 'money', "'1234.5'" ],
    kind => [ 'regtype', "'int4'" ], relation => [ 'regclass', "'pg_catalog.pg_class'" ], role => [ 'regrole', "'shop'" ], kinds => [ 'regtype[]', "'{int4,text}'" ],
    mood => [ 'mood', "'fine'" ], score => [ 'score', '5' ], part => [ 'part', q('(3,"a,b","2024-05-01 12:00+09")') ], parts => [ 'part[]', q(ARRAY['(3,x,)'::part]) ],
    doubled => [ 'int GENERATED ALWAYS AS (small * 2) STORED', 'DEFAULT' ], '"Odd, ""name"' => [ 'text', "'odd'" ]);
my @columns = sort keys %types;
my @key_types = grep { $types{$_}[0] !~ /^(json|xml|point)$|^json$|GENERATED/ && $types{$_}[1] ne 'NULL' } @columns;
my $definition = join ', ', map { "$_ $types{$_}[0]" } @columns;
my $make = <<"SQL";
CREATE TYPE mood AS ENUM ('fine', 'sad');
CREATE DOMAIN score AS int CHECK (VALUE < 10);
CREATE TYPE part AS (n int, t text, at timestamptz);
CREATE TABLE typed (gone int, id int PRIMARY KEY, $definition);
ALTER TABLE typed DROP COLUMN gone;
CREATE TABLE staged AS SELECT 1 AS id, @{[ join ', ', map { $types{$_}[1] eq 'DEFAULT' ? "NULL::int AS $_" : "$types{$_}[1]::$types{$_}[0] AS $_" } @columns ]};
SQL
$node->safe_psql($_, $make) for 'postgres', $database;
my @written = grep { $types{$_}[1] ne 'DEFAULT' } @columns;
my $list = join ', ', 'id', @written;
my $insert = "INSERT INTO typed ($list) SELECT $list FROM staged;";
same("SELECT whisperer.watch('typed'); SET quote_all_identifiers = off; $insert UPDATE typed SET small = 8; UPDATE typed SET nothing = 'x', words = NULL; DELETE FROM typed;", 4, 'every type of data');
my @sessions = ("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = sql_standard", "SET bytea_output = escape; SET extra_float_digits = -3",
    "SET extra_float_digits = -3", "SET extra_float_digits = 0", "SET quote_all_identifiers = on; SET lc_monetary = 'C.UTF-8'", "SET search_path = pg_temp, public", "SET TimeZone = 'Etc/UTC'; SET DateStyle = 'ISO, DMY'");
for my $session (@sessions) {
    same("$session; $insert UPDATE public.typed SET small = 9; DELETE FROM public.typed;", 3, $session);
}
is(sql("SET TimeZone = 'Asia/Tokyo'; BEGIN; $insert SELECT current_setting('TimeZone'), current_setting('search_path'); ROLLBACK"), 'Asia/Tokyo|"$user", public', 'the session stays as it is');
$node->safe_psql($_, q(SELECT whisperer.unwatch('typed'); CREATE TABLE keyed (LIKE typed INCLUDING ALL); SELECT whisperer.register_event('keyed'))) for 'postgres', $database;
for my $key ('kind', 'instant,"Odd, ""name",flag', 'padded,host,price', join(',', @key_types)) {
    same(qq(CREATE TRIGGER t AFTER INSERT ON keyed FOR EACH ROW EXECUTE FUNCTION whisperer.capture('keyed', 'key=$key');
        SET TimeZone = 'Asia/Tokyo'; @{[ $insert =~ s/typed/keyed/r ]} DROP TRIGGER t ON keyed; TRUNCATE keyed;), 1, "a key of $key");
}

# Columns called as the parts of what is made of them, and other settings of the session.
$node->safe_psql($_, 'CREATE TABLE reserved (id int PRIMARY KEY, chosen text, "new" text, "old" int, n int, o int, t int, r int, place int, ticks int, saved int, "É" int)') for 'postgres', $database;
my $reserved = "INSERT INTO reserved VALUES (1, 'c', E'\\\\,', 4, 5, 6, 7, 8, 9, 10, 11, 12); UPDATE reserved SET place = 10; UPDATE reserved SET id = 10; DELETE FROM reserved;";
same(qq[SELECT whisperer.watch('reserved', options => '{"columns=chosen,new,OLD,n,o,t,r,place,ticks,saved,É",include=old,"key=new,old,chosen","changed=new,old,place"}');
    $reserved SELECT whisperer.unwatch('reserved')], 3, 'columns with names that are used here');
# Whatever a backslash means in the session; since PostgreSQL 19 it means one thing.
my $escapes = $node->safe_psql('postgres', q(SELECT current_setting('server_version_num')::int < 190000)) eq 't' ? 'SET standard_conforming_strings = off;' : '';
same(qq[SELECT whisperer.register_event('reserved'); CREATE TRIGGER t AFTER UPDATE ON reserved REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
    EXECUTE FUNCTION whisperer.capture('reserved', 'columns=chosen,n,o,t,r,place', 'include=old', 'key=new,old,n', 'changed=o,place'); $escapes $reserved], 1, 'also in a statement');
like(error_of('recorder', "RESET ROLE; SELECT whisperer.watch('reserved', options => '{columns}')"), qr/^an option must be written as name=value/, 'an option without a value');
# --- every option, level and command --------------------------------------------------------------------------
$node->safe_psql($_, <<'SQL') for 'postgres', $database;
CREATE TABLE item (gone int, id int PRIMARY KEY, note text, amount numeric, at timestamptz DEFAULT '2024-05-01 12:00+09', "Odd, name" text, data json);
ALTER TABLE item DROP COLUMN gone;
CREATE FUNCTION shape_json(r item) RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('id', r.id, 'note', r.note, 'at', r.at) $$;
CREATE FUNCTION shape_jsonb(r item) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(r) - 'amount'; END $$;
CREATE TABLE parted (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_us (v text, gone int, region text NOT NULL, id int NOT NULL);
ALTER TABLE parted_us DROP COLUMN gone;
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
SQL
my @options = ([], ['columns="Odd, name",id,at'], ['changed=note,amount'], ['include=old'], ['key=note,"Odd, name"'], ['serializer=public.shape_json'],
    ['serializer=public.shape_jsonb', 'include=old', 'changed=note'], [ 'columns=note,id', 'changed=note', 'include=old', 'key=note' ]);
# By the key, or the order of rows would be that of the heap: each statement has a condition that the index knows.
my $statements = <<'SQL';
SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;
INSERT INTO item (id, note, amount) SELECT i, CASE WHEN i % 2 = 0 THEN 'n, ' || i ELSE '\' END, i FROM generate_series(1, 5) i;
INSERT INTO item (id) SELECT 1 WHERE false;
INSERT INTO item (id, note) VALUES (1, 'conflict') ON CONFLICT (id) DO UPDATE SET note = excluded.note;
UPDATE item SET amount = 1.00 WHERE id = 1;
UPDATE item SET note = upper(note), data = '{"x" : 1}' WHERE id > 0;
UPDATE item SET "Odd, name" = 'odd' WHERE id > 0;
UPDATE item SET id = id + 10 WHERE id > 3;
BEGIN; SAVEPOINT s; DELETE FROM item WHERE id = 2; ROLLBACK TO s; DELETE FROM item WHERE id = 3; COMMIT;
MERGE INTO item i USING (VALUES (1), (20)) v (id) ON v.id = i.id WHEN MATCHED THEN UPDATE SET note = 'merged' WHEN NOT MATCHED THEN INSERT (id, note) VALUES (v.id, 'new');
DELETE FROM item WHERE id > 0;
SQL
my %level = (watch => undef, row => 'FOR EACH ROW', statement => 1);
my %referencing = (INSERT => 'NEW TABLE AS new_rows', UPDATE => 'OLD TABLE AS old_rows NEW TABLE AS new_rows', DELETE => 'OLD TABLE AS old_rows');

sub triggers {
    my ($table, $level, @options) = @_;
    my $array = '{' . join(',', map { '"' . s/(["\\])/\\$1/gr . '"' } @options) . '}';
    return "SELECT whisperer.watch('$table', options => '$array');\n" if $level eq 'watch';
    return join '', map {
        my $each = $level eq 'row' ? 'FOR EACH ROW' : "REFERENCING $referencing{$_} FOR EACH STATEMENT";
        my $type = "$table-" . { INSERT => 'created', UPDATE => 'updated', DELETE => 'deleted' }->{$_};
        "SELECT whisperer.register_event('$type'); CREATE TRIGGER made_$_ AFTER $_ ON $table $each EXECUTE FUNCTION whisperer.capture(" . join(', ', map { "'$_'" } $type, @options) . ");\n"
    } sort keys %referencing;
}

sub no_triggers {
    my ($table, $level) = @_;
    return "SELECT whisperer.unwatch('$table');\n" if $level eq 'watch';
    return join '', map { "DROP TRIGGER made_$_ ON $table;\n" } sort keys %referencing;
}
my $types_away = q(SELECT whisperer.unregister_event(name) FROM whisperer.event_type WHERE name ~ '^(item|parted)-';);
for my $options (@options) {
    for my $level (sort keys %level) {
        my ($extension, $recorder) = both(triggers('item', $level, @$options) . $statements . no_triggers('item', $level) . $types_away);
        is_deeply([ split /\n/, $recorder ], [ split /\n/, $extension ], "$level: " . (join(' ', @$options) || 'no option'));
        cmp_ok(scalar(split /\n/, $extension), '>', 12, 'with events');
    }
}
for my $level (sort keys %level) {
    same(triggers('parted', $level, 'include=old') . q(INSERT INTO parted VALUES (1, 'eu', 'x'), (2, 'us', 'x'); UPDATE parted SET v = 'y'; UPDATE parted SET region = 'us' WHERE id = 1; DELETE FROM parted;)
        . no_triggers('parted', $level) . $types_away, $level eq 'statement' ? 7 : 8, "$level: partitions");
}

# --- the table changes ----------------------------------------------------------------------------------------
sql('TRUNCATE whisperer.outbox');
sql(q(CREATE TABLE changing (id int PRIMARY KEY, a text, b text); SELECT whisperer.watch('changing', options => '{"changed=a,b"}')));
sql(q(INSERT INTO changing VALUES (0, 'v', 'w'); ALTER TABLE changing ALTER id TYPE bigint; INSERT INTO changing VALUES (5000000000, 'v', 'w');
    ALTER TABLE changing RENAME id TO number; ALTER TABLE changing RENAME a TO first; ALTER TABLE changing ADD c int DEFAULT 2;
    INSERT INTO changing VALUES (1, 'x', 'y', 3); UPDATE changing SET c = 4 WHERE number = 1; UPDATE changing SET first = 'z' WHERE number = 1));
sql(q(INSERT INTO changing VALUES (2, 'x', 'y', 3); ALTER TABLE changing DROP COLUMN b, ALTER c TYPE text; INSERT INTO changing VALUES (3);
    ALTER TABLE changing RENAME TO changed; INSERT INTO changed VALUES (4); SET quote_all_identifiers = on; INSERT INTO changed VALUES (5)));
is(recorded($database), <<'ROWS' =~ s/\n\z//r, 'columns and tables may be renamed, dropped and added, and have another type');
changing-created public.changing [0] {"id":0,"a":"v","b":"w"}
changing-created public.changing [5000000000] {"id":5000000000,"a":"v","b":"w"}
changing-created public.changing [1] {"number":1,"first":"x","b":"y","c":3}
changing-updated public.changing [1] {"number":1,"first":"x","b":"y","c":4}
changing-updated public.changing [1] {"number":1,"first":"z","b":"y","c":4}
changing-created public.changing [2] {"number":2,"first":"x","b":"y","c":3}
changing-created public.changing [3] {"number":3,"first":null,"c":"2"}
changing-created public.changed [4] {"number":4,"first":null,"c":"2"}
changing-created public.changed [5] {"number":5,"first":null,"c":"2"}
ROWS
sql(q(CREATE TABLE dropped (id int PRIMARY KEY); SELECT whisperer.watch('dropped'); DROP TABLE dropped; SELECT whisperer.unwatch('changed'); DROP TABLE changed));
is(sql(q(SELECT count(*) FROM pg_proc WHERE pronamespace = 'whisperer_internal'::regnamespace AND proname ~ '_(changing|changed|dropped)_')), 0, 'and unwatch() leaves nothing behind');
# A new table in a renamed one's place.
sql('TRUNCATE whisperer.outbox');
sql(q(CREATE TABLE swapped (id int PRIMARY KEY); SELECT whisperer.watch('swapped', 'first'); ALTER TABLE swapped RENAME TO swapped_old;
    CREATE TABLE swapped (id int PRIMARY KEY, v int); SELECT whisperer.watch('swapped', 'second', options => '{columns=v}');
    SELECT whisperer.watch('swapped_old', 'first'); INSERT INTO swapped_old VALUES (1); INSERT INTO swapped VALUES (2, 3)));
is(recorded($database), qq(first-created public.swapped_old [1] {"id":1}\nsecond-created public.swapped [2] {"v":3}), 'a renamed table keeps its functions, and can be watched again');
sql(q(SELECT whisperer.unwatch('swapped'); INSERT INTO swapped_old VALUES (2); SELECT whisperer.unwatch('swapped_old')));
my $long_name = chr(0x6587) x 20;
utf8::encode($long_name);
same(qq(CREATE TABLE "$long_name" (id int PRIMARY KEY); SELECT whisperer.watch('"$long_name"', 'long'); INSERT INTO "$long_name" VALUES (1); UPDATE "$long_name" SET id = 2; DELETE FROM "$long_name"), 3, 'a name of 60 bytes in other letters');
sql(q(CREATE TABLE hand (id int PRIMARY KEY, a text); SELECT whisperer.register_event('hand');
    CREATE TRIGGER t AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION whisperer.capture('hand', 'columns=id,a'); ALTER TABLE hand DROP COLUMN a));
my ($status, $out, $said) = $node->psql($database, 'TRUNCATE whisperer.outbox; INSERT INTO hand VALUES (1)');
is(recorded($database), 'hand public.hand [1] {"id":1}', 'by hand too: a write goes on without a column that is gone');
like($said, qr/WARNING:  column "a" of table public\.hand does not exist/, 'and is told');

for my $each ('FOR EACH ROW', 'REFERENCING NEW TABLE AS n FOR EACH STATEMENT') {
    sql(qq(CREATE TABLE bare (id int PRIMARY KEY, a text); CREATE FUNCTION shaped(bare) RETURNS json LANGUAGE sql AS 'SELECT ''{}''::json'; SELECT whisperer.register_event('bare');
        CREATE TRIGGER t1 AFTER INSERT ON bare $each EXECUTE FUNCTION whisperer.capture('bare', 'serializer=public.shaped');
        CREATE TRIGGER t2 AFTER INSERT ON bare $each EXECUTE FUNCTION whisperer.capture('bare', 'columns=a', 'key=a');
        DROP FUNCTION shaped(bare); ALTER TABLE bare DROP a; TRUNCATE whisperer.outbox; SET client_min_messages = error; INSERT INTO bare VALUES (1);
        DROP TABLE bare; SELECT whisperer.unregister_event('bare')));
    is(recorded($database), join("\n", map { qq(bare public.bare [1] {"whisperer-problem":"$_"}) } 'the serializer of the trigger does not exist', 'the table has no column that the trigger names'),
        "without its serializer, or any column, $each");
}

# --- who may do what --------------------------------------------------------------------------------------------
as('shop', q(SELECT whisperer.register_event('order-paid', 'an order was paid')));
as('shop', q(SELECT whisperer.deliver_event('order-paid', '{"id": 1}')));
is(as('shop', q(SELECT whisperer.deliver_event('order-paid', '{"id": 2}', object_id => '2') IS NOT NULL)), 't', 'with a key, too');
like(error_of('web', q(SELECT whisperer.deliver_event('order-paid', '{}'))), qr/^permission denied to publish event type "order-paid" \| The event type's owner can call whisperer.allow\('order-paid', 'web', 'publish'\)/, 'others may not record it');
like(error_of('web', q(SELECT whisperer.allow('order-paid', 'web', 'publish'))), qr/^must be owner/, 'nor allow themselves to');
like(error_of('web', q(INSERT INTO whisperer.event_type_privilege VALUES ('order-paid', 'web', 'publish'))), qr/row-level security/, 'not by hand either');
like(error_of('web', q(BEGIN; LOCK TABLE whisperer.event_type IN SHARE MODE)), qr/^permission denied/, 'nor keep others from recording by a lock');
like(error_of('web', q(INSERT INTO whisperer_internal.removal VALUES ('order-paid'))), qr/row-level security/, 'nor remove it');
like(error_of('web', q(INSERT INTO whisperer.event_type VALUES ('mine', 'shop'))), qr/row-level security/, 'nor make a type in another\'s name');
like(error_of('web', q(INSERT INTO whisperer.outbox (event_type, data) VALUES ('order-paid', '{}'))), qr/row-level security/, 'nor put rows into the outbox');
like(error_of('shop', q(INSERT INTO whisperer.outbox (id, event_type, data) SELECT 'da81e851-3982-4c61-87dd-1e58a7d3f971', 'order-paid', '{}' FROM generate_series(1, 2))), qr/permission denied/, 'its owner cannot choose ids, of which two that are the same would stop a subscription');
like(error_of('shop', q(INSERT INTO whisperer.outbox (id, event_type, data, source) VALUES (gen_random_uuid(), 'order-paid', '{}', 'public.item'))), qr/permission denied/, 'its owner cannot make up a source');
for my $way (q(SELECT whisperer.deliver_event('order-paid', '{}', f)), q(INSERT INTO whisperer.outbox (event_type, data, config_filter) SELECT 'order-paid', '{}', f)) {
    like(error_of('shop', "$way FROM (SELECT jsonb_object_agg(g::text, md5(g::text)) AS f FROM generate_series(1, 999) g) filter"), qr/larger than 8192 bytes|row-level security/, 'nor a filter that is too large');
}
like(error_of('shop', q(SELECT whisperer.deliver_event('order-piad', '{}'))), qr/^event type "order-piad" is not registered \| Call whisperer.register_event\('order-piad'\) first/, 'a type that nobody registered');
as('shop', q(SELECT whisperer.allow('order-paid', 'web', 'publish')));
as('web', q(SELECT whisperer.deliver_event('order-paid', '{"by": "web"}'::jsonb, '{"n": 1}')));
as('shop', q(SELECT whisperer.disallow('order-paid', 'web', 'publish')));
like(error_of('web', q(SELECT whisperer.deliver_event('order-paid', '{}'))), qr/^permission denied/, 'allow() and disallow() decide');
sql('CREATE ROLE "Shop"; CREATE ROLE "app@shop.example"');
like(error_of('"Shop"', q(SELECT whisperer.deliver_event('order-paid', '{}'))), qr/^permission denied to publish/, 'a role whose name differs in case is another one');
like(error_of('"Shop"', q(INSERT INTO whisperer.outbox (event_type, data) VALUES ('order-paid', '{}'))), qr/row-level security/, 'by hand too');
as('"app@shop.example"', q(SELECT whisperer.register_event('app-event'); SELECT whisperer.deliver_event('app-event', '{}')));
is(sql(q(SELECT owner FROM whisperer.event_type WHERE name = 'app-event')), '"app@shop.example"', 'a role whose name needs quotes');
like(error_of('other', q(CREATE TABLE own (id int); SELECT whisperer.watch('own'))), qr/^permission denied for function watch/, 'capture triggers are for those whom the recorder trusts');
as('recorder', q(SELECT whisperer.allow_capture('shop')));
as('shop', q(CREATE TABLE orders (id int PRIMARY KEY, total int); GRANT INSERT ON orders TO web; SELECT whisperer.watch('orders')));
as('web', 'INSERT INTO orders VALUES (1, 7)');
like(recorded($database), qr/orders-created public\.orders \[1\] \{"id":1,"total":7\}/, 'the writer needs no right');
like(error_of('shop', q(CREATE TABLE spying (id int); CREATE TRIGGER t AFTER INSERT ON spying FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created'); INSERT INTO spying VALUES (1))), qr/^Call whisperer.register_event, or/, 'a write does not fail for a type that its table may not publish');
unlike(recorded($database), qr/public\.spying/, 'and is not recorded under it');
like(error_of('web', q(CREATE TABLE lent (id int); SELECT format('CREATE TRIGGER t AFTER INSERT ON lent FOR EACH ROW EXECUTE FUNCTION %s', p.oid::regprocedure) FROM pg_proc p WHERE p.proname ~ '^capture_orders_.*_insert' \gexec)),
    qr/^permission denied for function whisperer_internal\.capture_orders_/, 'the functions of a watched table serve no table of somebody else');
# Operators of somebody else's in front of PostgreSQL's.
sql(<<'SQL');
SET ROLE web;
CREATE SCHEMA web_own;
CREATE TABLE web_own.seen (who name); GRANT ALL ON web_own.seen TO PUBLIC; GRANT USAGE ON SCHEMA web_own TO PUBLIC;
CREATE FUNCTION web_own.note() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO web_own.seen VALUES (current_user); RETURN true; END';
CREATE FUNCTION web_own.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT web_own.note()';
CREATE FUNCTION web_own.same(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT web_own.note()';
CREATE FUNCTION web_own.same(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT web_own.note()';
CREATE OPERATOR web_own.= (LEFTARG = text, RIGHTARG = text, FUNCTION = web_own.same); CREATE OPERATOR web_own.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = web_own.same);
CREATE OPERATOR web_own.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = web_own.same); CREATE OPERATOR web_own.= (LEFTARG = int, RIGHTARG = int, FUNCTION = web_own.same);
CREATE FUNCTION web_own.random() RETURNS float8 LANGUAGE sql AS 'SELECT 0.5::float8 FROM web_own.note()'; CREATE FUNCTION web_own.row_to_json(orders) RETURNS json LANGUAGE sql AS 'SELECT ''{}''::json FROM web_own.note()';
SQL
as('web', "SET search_path = web_own, pg_catalog, public; SET TimeZone = 'Asia/Tokyo'; INSERT INTO orders VALUES (2, 8)");
is(sql('SELECT count(*) FROM web_own.seen'), 0, 'the writer\'s search_path chooses nothing that runs with the recorder\'s rights');

# --- the file once more, and the ring ------------------------------------------------------------------------------
my $before = recorded($database);
install();
is(recorded($database), $before, 'the file again keeps events');
as('web', 'INSERT INTO orders VALUES (3, 9)');
like(recorded($database), qr/orders-created public\.orders \[3\]/, 'and triggers');
my $now = sql('SELECT whisperer_internal.slot_of(whisperer_internal.clock())');
sql("INSERT INTO whisperer.outbox (event_type, data, slot) SELECT 'old', '{}', slot FROM generate_series(0, 7) slot");
my $held = q(SELECT string_agg(back::text, ' ' ORDER BY back) FROM pg_locks CROSS JOIN LATERAL (SELECT (%s - right(relation::regclass::text, 1)::int + 8) %% 8 AS back) AS b WHERE mode = 'AccessExclusiveLock' AND relation::regclass::text ~ '^whisperer.outbox_');
like(sql("BEGIN; SELECT whisperer_internal.empty_old(); @{[ sprintf $held, $now ]}; ROLLBACK"), qr/^2 3 4$/m, 'a writer that cleans locks no partition that is needed soon');
sql(sprintf 'TRUNCATE whisperer.outbox_%s', ($now + 5) % 8);
like(sql("BEGIN; SELECT whisperer_internal.empty_old(); @{[ sprintf $held, $now ]}; ROLLBACK"), qr/^2 4$/m, 'nor one that is empty');
sql("INSERT INTO whisperer.outbox (event_type, data, slot) VALUES ('old', '{}', ($now + 5) % 8)");
is(as('recorder', 'SELECT whisperer.clean_outbox()') =~ s/.*\n//sr, 5, 'old partitions are emptied');
is(sql("SELECT string_agg(slot::text, ' ' ORDER BY (slot - $now + 9) % 8) FROM whisperer.outbox WHERE event_type = 'old'"), join(' ', map { ($now + $_) % 8 } -1, 0, 1), 'not the current one and its neighbours');
like(error_of('web', 'SELECT whisperer.clean_outbox()'), qr/^permission denied/, 'not by everybody');
is(sql('SELECT count(DISTINCT id) = count(*), bool_and(substr(id::text, 15, 1) = \'7\') FROM whisperer.outbox'), 't|t', 'ids are UUIDs of version 7');

# --- a delivery node ---------------------------------------------------------------------------------------------
my $receiver = new_receiver('recorder');
my $deliverer = new_node('deliverer', extra => '');
sql('SELECT whisperer.publish_events()') for 1 .. 2;
my $connection = $node->connstr($database) =~ s/'/''/gr;
my $command = sql("SELECT whisperer.subscription_command('a', '$connection')");
$deliverer->safe_psql('postgres', $command);
$deliverer->safe_psql('postgres', "SELECT whisperer.register_event(t) FROM unnest('{order-paid,orders-created}'::text[]) t; SELECT whisperer.create_hook('*', '" . $receiver->url('/ok/node') . "')");
wait_for('the subscription', sub { $node->safe_psql('postgres', q(SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'whisperer_a' AND active)) == 1 });
my $id = as('shop', q(SELECT whisperer.deliver_event('order-paid', '{"id": 99}'))) =~ s/.*\n//sr;
as('web', "BEGIN; INSERT INTO orders VALUES (4, 1); ROLLBACK; INSERT INTO orders SELECT g, g FROM generate_series(10, 19) g");
$node->wait_for_catchup('whisperer_events');
wait_for('deliveries', sub { (() = $receiver->requests('/ok/node')) >= 11 });
wait_idle($deliverer);
my @got = $receiver->requests('/ok/node');
is(scalar @got, 11, 'each event that was committed is delivered, once');
my ($by_hand) = grep { $_->{body} =~ /"id": ?99/ } @got;
is(Whisperer::Receiver::header($by_hand, 'webhook-id'), $id =~ tr/-//dr, 'under the id that was given out there');
is($deliverer->safe_psql('postgres', q(SELECT string_agg(object_id, ' ' ORDER BY xid, id) FROM whisperer.outbox WHERE event_type = 'orders-created')), join(' ', 10 .. 19), 'in the order of the rows');
$deliverer->safe_psql('postgres', 'DROP SUBSCRIPTION whisperer_events');

# --- the same from a database with the extension ---------------------------------------------------------------------
# Whoever may create publications could have taken the name, and the nodes would get nothing.
my $columns = 'whisperer.outbox (id, event_type, data, source, object_id, config_filter, created_at';
for my $where ('postgres', $database) {
    my $all = $where eq 'postgres' ? "$columns, meta) WHERE (hook_id IS NULL)" : "$columns)";
    my $inserts = q(WITH (publish = 'insert', publish_via_partition_root = true));
    my %other = ('other tables' => 'TABLE typed', 'another table, too' => "TABLE $all, typed $inserts", 'all columns' => "TABLE whisperer.outbox $inserts",
        'a column less' => 'TABLE ' . ($all =~ s/, object_id//r) . " $inserts", 'another filter' => 'TABLE ' . ($all =~ s/ WHERE.*//r) . " WHERE (event_type = 'made') $inserts",
        'all tables' => "ALL TABLES $inserts", 'a schema, too' => "TABLE whisperer.outbox $inserts; ALTER PUBLICATION whisperer_events ADD TABLES IN SCHEMA whisperer",
        'deletes, too' => "TABLE $all " . ($inserts =~ s/'insert'/'insert, delete'/r), partitions => "TABLE whisperer.outbox WITH (publish = 'insert')");
    for my $what (sort keys %other) {
        my ($status, $out, $said) = $node->psql($where, "BEGIN; DROP PUBLICATION IF EXISTS whisperer_events; CREATE PUBLICATION whisperer_events FOR $other{$what}; SELECT whisperer.publish_events(); ROLLBACK");
        like($said, qr/ERROR:  publication "whisperer_events" is another one.*HINT:  Rename it, or drop it/s, "$where: a publication of $what is not taken for it");
    }
}
$node->safe_psql('postgres', 'SELECT whisperer.publish_events(); SELECT whisperer.publish_events()');
$connection = $node->connstr('postgres') =~ s/'/''/gr;
$deliverer->safe_psql('postgres', $node->safe_psql('postgres', "SELECT whisperer.subscription_command('b', '$connection')"));
$deliverer->safe_psql('postgres', "SELECT whisperer.register_event('made'); SELECT whisperer.register_event('refused'); SELECT whisperer.create_hook('*', '" . $receiver->url('/ok/primary') . "')");
wait_for('the subscription', sub { $node->safe_psql('postgres', q(SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'whisperer_b' AND active)) == 1 });
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event('made');
CREATE TABLE here (id int PRIMARY KEY);
CREATE TRIGGER t AFTER INSERT ON here FOR EACH ROW EXECUTE FUNCTION whisperer.capture('made');
GRANT USAGE ON SCHEMA whisperer TO other; SET ROLE other;
SELECT whisperer.register_event('refused');
RESET ROLE;
CREATE TABLE there (id int PRIMARY KEY); ALTER TABLE there OWNER TO web;
CREATE TRIGGER t AFTER INSERT ON there FOR EACH ROW EXECUTE FUNCTION whisperer.capture('refused');
SELECT whisperer.create_hook('made', '@{[ $receiver->url('/ok/paused') ]}');
INSERT INTO there VALUES (1);
INSERT INTO whisperer.outbox (id, event_type, data, object_id, hook_id) SELECT gen_random_uuid(), 'made', '{}', 'for one hook', max(id) FROM whisperer.hook;
INSERT INTO here SELECT generate_series(1, 3);
SQL
$node->wait_for_catchup('whisperer_events');
wait_for('deliveries', sub { (() = $receiver->requests('/ok/primary')) >= 3 });
wait_idle($deliverer);
is($deliverer->safe_psql('postgres', q(SELECT string_agg(concat_ws(' ', event_type, object_id), ', ' ORDER BY xid, id) FROM whisperer.outbox WHERE event_type IN ('made', 'refused'))), 'made 1, made 2, made 3',
    'what the extension records comes along; not what is for nobody, or for a hook of the primary');
is(scalar(() = $receiver->requests('/ok/primary')) . scalar(() = $receiver->requests('/ok/paused')), '30', 'and the node delivers it, though the primary is paused');
is(scalar(() = $receiver->requests('/ok/node')), 14, 'to each hook of its own, the one that was there before included');
$deliverer->safe_psql('postgres', 'DROP SUBSCRIPTION whisperer_events');
unlike(slurp_file($deliverer->logfile), qr/ERROR/, 'the node complains of nothing');

# --- make node: from the recorder to a verified webhook, on a node that is thrown away --------------------------
my $managed = $node->connstr($database);
my ($shown, $problems) = ('', '');
my $trial = IPC::Run::start([ $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{demo/node}r, '--events', 1, $managed ], '<', \undef, '>', \$shown, '2>', \$problems);
wait_for('the trial', sub {
    die "the trial ended: $problems" unless $trial->pumpable || $shown =~ /The node is there/;
    $trial->pump_nb;
    return $shown =~ /The node is there/;
});
sql(q(SELECT whisperer.deliver_event('order-paid', '{"n": "on trial"}')));
$trial->finish;
is($trial->result(0), 0, 'make node shows a webhook') or diag $problems;
like($shown, qr/"n": "on trial".*\n\n\s+=> webhook-signature verifies, X-Whisperer-Signature verifies/, 'of an event that was recorded here, verified');
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'whisperer_trial')), 0, 'and leaves no slot behind');
$_->stop for $node, $deliverer;
done_testing();
