# What a capture trigger and backfill make of a row depends on the row and the trigger's options alone; and what is
# wrong with a trigger is said to whoever makes or changes it, not to those who write.
use strict;
use warnings;
use Test::More;
use Whisperer;

# A locale that has money in another form than C, where localedef and its sources are.
my $locales = PostgreSQL::Test::Utils::tempdir('locales');
my $has_locale = -e '/usr/share/i18n/locales/de_DE' && system("localedef -i de_DE -f UTF-8 $locales/de_DE.UTF-8 >/dev/null 2>&1") == 0;
$ENV{LOCPATH} = $locales if $has_locale;
my $node = new_node('capture_values');
my $receiver = new_receiver('capture_values');
sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# What psql says that is an error or a warning, in one line; nothing: it was done.
sub said {
    my ($sql) = @_;
    my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1, extra_params => [ '-q' ]);
    return join ' | ', $err =~ /(?:ERROR|WARNING|DETAIL|HINT):\s+(.*)/g;
}

sub recorded {
    my ($source) = @_;
    return sql("SELECT coalesce(object_id, 'null') || ' ' || data::text FROM whisperer.outbox WHERE source = 'public.$source' ORDER BY id");
}
sql('SELECT whisperer.pause()');

# --- a payload does not depend on the session -------------------------------------------------------
sql(<<'SQL');
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('fine');
CREATE TABLE shop.item (id int);
CREATE FUNCTION shop.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE DOMAIN priced AS money;
CREATE TYPE pricing AS (price money, kind regtype);
CREATE TABLE shaped (price money, item regclass, f regprocedure, kinds regtype[], priced priced, both_in pricing, span int8range,
    PRIMARY KEY (price, item));
SELECT whisperer.watch('shaped', operations => '{insert}');
SQL
# Not written as text, which a session would read in its own way.
my $row = "(1234.5::money, 'shop.item', 'shop.f(int)', '{shop.mood,int4}', 2::money, ROW(3::money, 'shop.mood'), '[1,2)')";
my @sessions = ('', "SET search_path = shop, public", 'SET quote_all_identifiers = on', "SET search_path = pg_temp, public");
SKIP: {
    skip 'no locale can be made: Debian has localedef in libc-bin and its sources in locales', 1 unless $has_locale;
    like(sql("SET lc_monetary = 'de_DE.UTF-8'; SELECT 1234.5::money"), qr/^1\.234,50/, 'a session may have money in another form');
    push @sessions, "SET lc_monetary = 'de_DE.UTF-8'";
}
for my $session (@sessions) {
    sql("$session; INSERT INTO public.shaped VALUES $row");
    sql('DELETE FROM shaped');
}
my %shapes = map { $_ => 1 } split /\n/, recorded('shaped');
is(scalar(keys %shapes), 1, 'regclass and its kin, and money, also in arrays, domains and composite types: the same in every session')
    or diag(join "\n", keys %shapes);
like((keys %shapes)[0], qr/^\$1\\,234\.50,shop\.item /, 'with the schema, and as the locale C has money');

# Where nothing else of the table follows the session.
sql(<<'SQL');
CREATE DOMAIN named AS regclass; CREATE DOMAIN many_named AS regclass[];
CREATE TABLE of_domain (id int PRIMARY KEY, item named); CREATE TABLE of_domain_array (id int PRIMARY KEY, items many_named);
CREATE TABLE keyed_by_domain (item named PRIMARY KEY);
SELECT whisperer.watch(t, operations => '{insert}') FROM unnest('{of_domain,of_domain_array,keyed_by_domain}'::regclass[]) t;
SET search_path = shop, public;
INSERT INTO of_domain VALUES (1, 'item'); INSERT INTO of_domain_array VALUES (1, '{item}'); INSERT INTO keyed_by_domain VALUES ('item');
SQL
is(recorded('of_domain'), '1 {"id":1,"item":"shop.item"}', 'a domain alone has its schema, too');
is(recorded('of_domain_array'), '1 {"id":1,"items":["shop.item"]}', 'one over an array as well');
is(recorded('keyed_by_domain'), 'shop.item {"item":"shop.item"}', 'and one that is the key');

if ($node->pg_version >= 19) {
    sql(q(CREATE TABLE in_database (id int PRIMARY KEY, d regdatabase); SELECT whisperer.watch('in_database', operations => '{insert}');
        SET quote_all_identifiers = on; INSERT INTO in_database VALUES (1, 'postgres')));
    is(recorded('in_database'), '1 {"id":1,"d":"postgres"}', 'nor does the name of a database');
}

# A cast of the user's to JSON finds his tables; what a row type has may change while others are cached.
sql(<<'SQL');
CREATE TYPE shop.how AS ENUM ('ok');
CREATE TABLE shop.label (how shop.how, label text); INSERT INTO shop.label VALUES ('ok', 'fine');
CREATE FUNCTION shop.how_json(shop.how) RETURNS json LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT to_json(l.label) FROM label l WHERE l.how = $1); END';
CREATE CAST (shop.how AS json) WITH FUNCTION shop.how_json(shop.how);
CREATE TYPE changing AS (a int);
CREATE TABLE cast_to (id int PRIMARY KEY, how shop.how, item regclass); CREATE TABLE composed (id int PRIMARY KEY, c changing);
SELECT whisperer.watch(t, operations => '{insert}') FROM unnest('{cast_to,composed}'::regclass[]) t;
SET search_path = shop, public;
INSERT INTO cast_to VALUES (1, 'ok', 'shop.item');
INSERT INTO composed VALUES (1, ROW(1));
ALTER TYPE changing ADD ATTRIBUTE r regclass;
INSERT INTO composed VALUES (2, ROW(2, 'item'));
SET quote_all_identifiers = on;
CREATE TABLE public.quoted (id int);
SELECT whisperer.watch('public.quoted', operations => '{insert}');
INSERT INTO quoted VALUES (1);
SQL
like(recorded('cast_to'), qr/^1 \{"id":1,"how":"fine",/, 'a cast to JSON runs as the user has it');
is(recorded('composed'), qq(1 {"id":1,"c":{"a":1}}\n2 {"id":2,"c":{"a":2,"r":"shop.item"}}), 'an attribute that a row type gets is seen at once');
is(recorded('quoted'), 'null {"id":1}', 'and a table is named in one form');

# --- JSON that is none --------------------------------------------------------------------------------
sql(<<'SQL');
CREATE CAST (text AS json) WITHOUT FUNCTION;
CREATE TYPE odd AS ENUM ('NaN', '7');
CREATE FUNCTION odd_json(odd) RETURNS json LANGUAGE sql AS 'SELECT ($1::text)::json';
CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);
CREATE TABLE odds (id int PRIMARY KEY, odd odd, odds odd[]);
SELECT whisperer.watch('odds', operations => '{insert,update}', options => '{include=old}');
CREATE FUNCTION bad(r odds) RETURNS json LANGUAGE sql AS $$ SELECT ('{"id": ' || r.id || ', "bad": NaN')::json $$;
CREATE TRIGGER bad AFTER DELETE ON odds FOR EACH ROW EXECUTE FUNCTION whisperer.capture('odds-created', 'serializer=public.bad');
SQL
sql("SELECT whisperer.create_hook('odds-created', '@{[ $receiver->url('/ok/odds') ]}')");
sql(q(INSERT INTO odds VALUES (1, '7', '{7}'), (2, 'NaN', NULL), (3, NULL, '{7,NaN}'), (4, '7', NULL); DELETE FROM odds WHERE id = 4));
sql("UPDATE odds SET odd = '7' WHERE id = 2");
is(sql(q(SELECT count(*) FROM whisperer.outbox WHERE source = 'public.odds' AND data::text::jsonb IS NULL)), 0, 'what is recorded is JSON, whatever a cast or a function gives out');
like(said(q(SELECT whisperer.deliver_event('odds-created', 'NaN'::text::json))), qr/^data of whisperer.deliver_event is not valid JSON/, 'nor is it recorded by hand');
sql('SELECT whisperer.resume()');
wait_idle($node);
is(sql(q(SELECT string_agg(o.object_id || ': ' || d.state || coalesce(' ' || d.error, ''), ', ' ORDER BY o.id) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id)),
    '1: delivered, 2: failed the data of the row is not valid JSON, 3: failed the data of the row is not valid JSON, 4: delivered, 4: failed the data of the row is not valid JSON',
    'such an event fails, and the others are delivered');
sql(<<"SQL");
CREATE FUNCTION wrong(json) RETURNS json LANGUAGE sql AS \$\$ SELECT '{"x": NaN}'::text::json \$\$;
SELECT whisperer.register_event('made'), whisperer.create_hook('*', '@{[ $receiver->url('/ok/made') ]}', transform => 'public.wrong');
SELECT whisperer.deliver_event('made', '{}');
SQL
# on_error=record: the error as it was, at hooks with a filter and a transform too.
sql(<<"SQL");
SELECT whisperer.register_event('risky'), whisperer.create_hook('risky', '@{[ $receiver->url('/ok/risky') ]}', filter => '{"a": 1}', transform => 'public.wrong');
CREATE TABLE risky (id int PRIMARY KEY, a int);
CREATE FUNCTION risky_json(r risky) RETURNS json LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'no "x" in %', r; END \$\$;
CREATE TRIGGER r AFTER INSERT ON risky FOR EACH ROW EXECUTE FUNCTION whisperer.capture('risky', 'serializer=public.risky_json', 'on_error=record');
INSERT INTO risky VALUES (1, 2);
SQL
wait_for('the failure', sub { sql(q(SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'risky' AND d.state = 'failed')) == 1 });
is(sql(q(SELECT whisperer.why(o.id, h.id) FROM whisperer.outbox o, whisperer.hook h WHERE o.event_type = 'risky' AND o.object_id = '1' AND h.event_type = 'risky')),
    'failed after 0 attempts: the data of the row could not be made: no "x" in (1,2) (P0001)', 'why says what the serializer said');
is(scalar(() = $receiver->requests('/ok/risky')), 0, 'and the receiver gets no body of that');
sql(q(SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE event_type = 'risky'));
# Somebody's own data may begin like it.
sql("SELECT whisperer.create_hook('made', '@{[ $receiver->url('/ok/own') ]}'); SELECT whisperer.deliver_event('made', '{\"whisperer-problem\":\"mine\",\"n\":\"1\"}')");
wait_for('it', sub { () = $receiver->requests('/ok/own') });
pass('data that only begins like ours is delivered');
wait_for('the transform', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE error ~ 'the result is not valid JSON'") >= 1 });
is(scalar(() = $receiver->requests('/ok/made')), 0, 'nor is what a transform gives out');
sql('SELECT whisperer.delete_hook(max(id)) FROM whisperer.hook; DROP CAST (text AS json); SELECT whisperer.pause()');

# --- partitions: rows, serializers and keys are those of the table that the trigger was made on ------------
sql(<<'SQL');
CREATE TABLE parted (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_us (v text, gone int, region text NOT NULL, id int NOT NULL);
ALTER TABLE parted_us DROP COLUMN gone;
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
CREATE FUNCTION shape(r parted) RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('v', r.v, 'id', r.id) $$;
CREATE TRIGGER plain AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parted');
INSERT INTO parted VALUES (7, 'eu', 'x'), (7, 'us', 'x');
DROP TRIGGER plain ON parted;
CREATE TRIGGER shaped AFTER UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION whisperer.capture('parted', 'serializer=public.shape', 'changed=v', 'key=region,id');
UPDATE parted SET v = 'y';
UPDATE parted SET v = v;
DROP TRIGGER shaped ON parted;
SQL
is(recorded('parted'), join("\n", '7,eu {"id":7,"region":"eu","v":"x"}', '7,us {"id":7,"region":"us","v":"x"}', 'eu,7 {"v" : "y", "id" : 7}', 'us,7 {"v" : "y", "id" : 7}'),
    'columns in one order, one serializer and one key for all partitions');
sql(<<'SQL');
CREATE TABLE pair (a text, b text, PRIMARY KEY (a, b));
SELECT whisperer.watch('pair', operations => '{insert}');
INSERT INTO pair VALUES ('x,y', 'z'), ('x', 'y,z'), ('x\\', 'y');
SQL
is(sql(q(SELECT count(DISTINCT object_id) FROM whisperer.outbox WHERE source = 'public.pair')), 3, 'two rows have two keys, whatever is in them');

# A row that moves to another partition and is suppressed there is in the old transition table alone.
sql(<<'SQL');
CREATE TABLE moved (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE moved_a PARTITION OF moved FOR VALUES IN ('a'); CREATE TABLE moved_b PARTITION OF moved FOR VALUES IN ('b');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW.id = 2 THEN NULL ELSE NEW END; END';
CREATE TRIGGER refuse BEFORE INSERT ON moved_b FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER moves AFTER UPDATE ON moved REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
    EXECUTE FUNCTION whisperer.capture('moved', 'include=old', 'key=id', 'changed=v');
INSERT INTO moved SELECT g, 'a', g FROM generate_series(1, 4) g;
UPDATE moved SET v = v * 10, region = CASE WHEN id = 2 THEN 'b' ELSE 'a' END;
SQL
is(sql(q(SELECT string_agg(object_id || ': ' || (data->'old'->>'v') || ' to ' || (data->'new'->>'v'), ', ' ORDER BY id) FROM whisperer.outbox WHERE event_type = 'moved')),
    '1: 1 to 10, 3: 3 to 30, 4: 4 to 40', 'each row is told with what it was, when another was suppressed on its way');

sql(<<'SQL');
CREATE TABLE keyless (id int, region text, v int) PARTITION BY LIST (region);
CREATE TABLE keyless_a PARTITION OF keyless FOR VALUES IN ('a'); CREATE TABLE keyless_b PARTITION OF keyless FOR VALUES IN ('b');
CREATE TRIGGER refuse BEFORE INSERT ON keyless_b FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER moves AFTER UPDATE ON keyless REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('keyless', 'include=old');
INSERT INTO keyless SELECT g, 'a', g FROM generate_series(1, 3) g;
UPDATE keyless SET v = v * 10, region = CASE WHEN id = 2 THEN 'b' ELSE 'a' END;
SQL
is(sql(q(SELECT string_agg((data->'old')::text || ' to ' || (data->'new'->>'v'), ', ' ORDER BY id) FROM whisperer.outbox WHERE event_type = 'keyless')),
    'null to 10, null to 30', 'without a key none is told with what another was');

# A key that several rows have, or that the statement sets, does not tell which row it was; its other columns may.
sql(<<'SQL');
CREATE TABLE shifted (grp int, id int, region text, v int) PARTITION BY LIST (region);
CREATE TABLE shifted_a PARTITION OF shifted FOR VALUES IN ('a'); CREATE TABLE shifted_b PARTITION OF shifted FOR VALUES IN ('b');
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON shifted_b FOR EACH ROW EXECUTE FUNCTION suppress();
SQL
for (
    [ 'grp', 'v = v * 10', 'null to 10, null to 30, 4 to 40', 'a key that several rows have' ],
    [ 'id', 'id = id + 1, v = v * 10', 'null to 10, null to 30, null to 40', 'a key that the statement sets' ],
    [ 'id,v', 'v = v * 10', '1 to 10, 3 to 30, 4 to 40', 'a key of which it sets a part' ])
{
    my ($key, $set, $expected, $what) = @$_;
    sql(<<"SQL");
TRUNCATE shifted;
CREATE OR REPLACE TRIGGER moves AFTER UPDATE ON shifted REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
    EXECUTE FUNCTION whisperer.capture('shifted', 'include=old', 'key=$key');
INSERT INTO shifted SELECT g / 4, g, 'a', g FROM generate_series(1, 4) g;
UPDATE shifted SET region = CASE WHEN id = 2 THEN 'b' ELSE 'a' END, $set;
SQL
    is(sql(q(SELECT string_agg(coalesce(data->'old'->>'v', 'null') || ' to ' || (data->'new'->>'v'), ', ' ORDER BY id) FROM (SELECT * FROM whisperer.outbox WHERE event_type = 'shifted' ORDER BY id DESC LIMIT 3) latest)),
        $expected, $what);
}

# --- what could be written before it was watched still can -----------------------------------------------
sql(q(ALTER SYSTEM SET temp_file_limit = '1MB'; SELECT pg_reload_conf()));
wait_for('the limit', sub { sql('SHOW temp_file_limit') eq '1MB' });
sql(q(CREATE TABLE loaded (id int PRIMARY KEY, v text); SELECT whisperer.watch('loaded')));
my $load = q(INSERT INTO loaded SELECT g, repeat('x', 40) FROM generate_series(1, 50000) g);
is(said($load), '', 'a bulk load beyond temp_file_limit');
is(sql(q(SELECT count(*) FROM whisperer.outbox WHERE source = 'public.loaded')), 50000, 'is recorded');
sql(q(ALTER SYSTEM RESET temp_file_limit; SELECT pg_reload_conf(); TRUNCATE loaded));

# --- backfill makes what the trigger makes -------------------------------------------------------------
sql(<<'SQL');
CREATE TABLE person (name text, ssn text, born date, country text, no int, PRIMARY KEY (no, country));
SELECT whisperer.watch('person', operations => '{insert}', options => '{"columns=name,born","key=no,country"}');
SELECT whisperer.register_event('bare');
INSERT INTO person VALUES ('Ann', '078-05-1120', '1999-12-31', 'de', 1);
SQL
my ($hook, $bare) = map { sql("SELECT whisperer.create_hook('$_', '@{[ $receiver->url('/ok/person') ]}')") } 'person-created', 'bare';
sql("SET DateStyle = 'German'; SELECT whisperer.backfill($hook, 'person')");
is(recorded('person'), join("\n", ('1,de {"name":"Ann","born":"1999-12-31"}') x 2), 'the columns, the key and the form that the trigger gives, in any session');
sql("SELECT whisperer.backfill($bare, 'person')");
like(recorded('person'), qr/^de,1 \{"name":"Ann","ssn":"078-05-1120",.*\}\z/m, 'without such a trigger the whole row');
sql('CREATE TABLE t (id int PRIMARY KEY, t int); INSERT INTO t VALUES (1, 36)');
sql("SELECT whisperer.backfill($bare, 't', 't = 36')");
is(recorded('t'), '1 {"id":1,"t":36}', 'also of a table and column named as an alias within might be');
like(said("SELECT whisperer_internal.rows_as_events('t', 'x', $_)"), qr/^the rows are not of table "t"/, "$_ are no rows of it") for 'ARRAY[1, 2]', 'ARRAY[NULL]::t[]', "ARRAY[ROW(1, 2)::pair]";
# Rows for which the trigger does not fire make no events either.
sql(<<"SQL");
CREATE TABLE chosen (id int PRIMARY KEY, v int);
SELECT whisperer.register_event('chosen');
CREATE TRIGGER chosen AFTER INSERT OR UPDATE ON chosen FOR EACH ROW WHEN (NEW.v > 1 AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION whisperer.capture('chosen', 'columns=v');
INSERT INTO chosen VALUES (1, 1), (2, 2), (3, NULL), (4, 4);
SQL
my $chosen = sql("SELECT whisperer.create_hook('chosen', '@{[ $receiver->url('/ok/chosen') ]}')");
is(sql("SELECT whisperer.backfill($chosen, 'chosen')"), 2, 'as many as the WHEN condition of the trigger is true for');
is(recorded('chosen'), join("\n", ('2 {"v":2}', '4 {"v":4}') x 2), 'and they are what the trigger made');
is(sql("SELECT whisperer.backfill($chosen, 'chosen', 'id < 4')"), 1, 'beside the condition of the call');
sql('ALTER TABLE chosen DISABLE TRIGGER chosen');
like(said("SELECT whisperer.backfill($chosen, 'chosen')"), qr/^trigger "chosen" on table "chosen" is disabled \| ALTER TABLE chosen ENABLE TRIGGER chosen/, 'a trigger that does not fire makes nothing');
sql("CREATE TRIGGER second AFTER INSERT ON chosen FOR EACH ROW EXECUTE FUNCTION whisperer.capture('chosen')");
is(sql("SELECT whisperer.backfill($chosen, 'chosen')"), 4, 'beside one that does it does not count');
sql(<<'SQL');
DROP TRIGGER second ON chosen; DROP TRIGGER chosen ON chosen;
CREATE TRIGGER chosen AFTER UPDATE ON chosen FOR EACH ROW WHEN (OLD.v IS DISTINCT FROM NEW.v) EXECUTE FUNCTION whisperer.capture('chosen');
SQL
like(said("SELECT whisperer.backfill($chosen, 'chosen')"), qr/^the WHEN condition of trigger "chosen" on table "chosen" is about a change/, 'a condition about what was before is refused');
SKIP: {
    skip 'virtual columns came with PostgreSQL 18', 4 if sql('SHOW server_version_num') < 180000;
    sql(<<'SQL');
CREATE TABLE virtual (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) VIRTUAL);
SELECT whisperer.watch('virtual', options => '{changed=twice,include=old}');
CREATE TRIGGER by_row AFTER UPDATE ON virtual FOR EACH ROW EXECUTE FUNCTION whisperer.capture('by-row', 'changed=twice', 'key=twice');
INSERT INTO virtual VALUES (1, 5);
UPDATE virtual SET v = 6;
UPDATE virtual SET v = v;
SQL
    is(sql(q(SELECT string_agg(event_type || ' ' || object_id || ' ' || data::text, E'\n' ORDER BY id) FROM whisperer.outbox WHERE source = 'public.virtual')),
        join("\n", 'virtual-created 1 {"id":1,"v":5,"twice":10}', 'by-row 12 {"id":1,"v":6,"twice":12}',
            'virtual-updated 1 {"new":{"id":1,"v":6,"twice":12},"old":{"id":1,"v":5,"twice":10}}'), 'a virtual column is in the payload, compared, and may be a key');
    my $virtual = sql("SELECT whisperer.create_hook('virtual-created', '@{[ $receiver->url('/ok/virtual') ]}')");
    sql("SELECT whisperer.backfill($virtual, 'virtual')");
    like(recorded('virtual'), qr/^1 \{"id":1,"v":6,"twice":12\}\z/m, 'and backfill says the same');
    sql("DROP TRIGGER whisperer_created ON virtual; CREATE TRIGGER v AFTER INSERT ON virtual FOR EACH ROW WHEN (NEW.twice > 12) EXECUTE FUNCTION whisperer.capture('virtual-created')");
    is(sql("SELECT whisperer.backfill($virtual, 'virtual')"), 0, 'a condition may be about it');
    sql('ALTER TABLE virtual ALTER twice SET EXPRESSION AS (v * 3); UPDATE virtual SET v = 7');
    like(recorded('virtual'), qr/"new":\{"id":1,"v":7,"twice":21\}/, 'after its expression was changed, too');
}

# --- what is wrong is said to whoever makes or changes it ---------------------------------------------------
sql(<<'SQL');
CREATE ROLE ann; CREATE ROLE bob;
GRANT USAGE ON SCHEMA whisperer TO ann, bob;
GRANT ALL ON SCHEMA public TO ann, bob;
CREATE TABLE thing (id int PRIMARY KEY, kind text, v int);
ALTER TABLE thing OWNER TO ann;
CREATE FUNCTION as_json(r thing) RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('id', r.id) $$;
SET ROLE ann;
SELECT whisperer.watch('thing', operations => '{update}', options => '{changed=kind,key=id}');
CREATE TYPE shape AS (id int, kind text, v int); CREATE TABLE typed OF shape;
CREATE TRIGGER t AFTER INSERT ON typed FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-updated', 'columns=kind', 'key=id');
CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
CREATE FUNCTION parent_json(r parent) RETURNS json LANGUAGE sql AS $$ SELECT to_json(r.id) $$;
CREATE TRIGGER p AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-updated', 'serializer=public.parent_json');
CREATE TABLE whole (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
CREATE FUNCTION whole_json(r whole) RETURNS json LANGUAGE sql AS $$ SELECT to_json(r.id) $$;
CREATE TRIGGER w AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-updated', 'serializer=public.whole_json');
CREATE TRIGGER serial AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-updated', 'serializer=public.as_json');
SQL
my $insert = 'INSERT INTO thing VALUES (1, \'a\', 1) ON CONFLICT (id) DO UPDATE SET kind = thing.kind || 1';
my $row_trigger = 'CREATE TRIGGER x AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture';
for (
    [ 'a bad option', "$row_trigger('thing-updated', 'colums=id')", qr/unknown option/ ],
    [ 'no event type', "$row_trigger()", qr/names no event type/ ],
    [ 'a column that is not there', "$row_trigger('thing-updated', 'columns=none')", qr/column "none" of table "thing" does not exist/ ],
    [ 'no serializer', "$row_trigger('thing-updated', 'serializer=public.none')", qr/serializer public.none\(thing\) does not exist/ ],
    [ 'no transition table', "CREATE TRIGGER x AFTER INSERT ON thing FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('thing-updated')", qr/lacks a transition table/ ],
    [ 'BEFORE', "CREATE TRIGGER x BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-updated')", qr/must fire AFTER/ ],
    [ 'another owner, by ALTER TABLE', 'ALTER TABLE thing OWNER TO bob', qr/permission denied to publish .*"bob".*whisperer.allow\('thing-updated', 'bob', 'publish'\)/ ],
    [ 'by REASSIGN OWNED', 'REASSIGN OWNED BY ann TO bob', qr/permission denied to publish/ ],
    [ 'a column renamed', 'ALTER TABLE thing RENAME kind TO sort', qr/^column kind is named by trigger "whisperer_updated" on table "thing".*Drop the trigger first/ ],
    [ 'or dropped', 'ALTER TABLE thing DROP kind', qr/^column kind is named by trigger/ ],
    [ 'an attribute of its type renamed', 'ALTER TYPE shape RENAME ATTRIBUTE kind TO sort CASCADE', qr/^column kind is named by trigger "t" on table "typed"/ ],
    [ 'or dropped', 'ALTER TYPE shape DROP ATTRIBUTE id CASCADE', qr/^column id is named by trigger "t"/ ],
    [ 'a child that is none any more', 'ALTER TABLE child NO INHERIT parent', qr/^trigger "p": serializer public.parent_json\(child\) does not exist.*Drop the trigger first/ ],
    [ 'a partition that is none any more', 'ALTER TABLE whole DETACH PARTITION part', qr/^trigger "w": serializer public.whole_json\(part\) does not exist/ ],
    [ 'the serializer dropped', 'DROP FUNCTION as_json(thing)', qr/other objects depend on it.*trigger serial on table thing/ ],
    [ 'renamed', 'ALTER FUNCTION as_json(thing) RENAME TO to_js', qr/^serializer public.as_json is named by trigger "serial" on table "thing"/ ],
    [ 'moved to another schema', 'ALTER FUNCTION as_json(thing) SET SCHEMA shop', qr/^serializer public.as_json is named/ ],
    [ 'its schema renamed', 'ALTER SCHEMA public RENAME TO private', qr/^serializer public.\w+ is named by trigger/ ])
{
    my ($what, $statement, $expected) = @$_;
    like(said($statement), $expected, "refused at once: $what");
    is(said($insert), '', 'and whoever writes is not concerned');
}
sql('CREATE TABLE apart (id int) PARTITION BY LIST (id); CREATE TABLE apart_1 PARTITION OF apart FOR VALUES IN (1)');
sql(<<'SQL');
CREATE TABLE elsewhere (id int PRIMARY KEY); ALTER TABLE elsewhere OWNER TO bob;
CREATE FUNCTION odd_json(r elsewhere) RETURNS json LANGUAGE sql AS 'SELECT to_json(1)';
CREATE TRIGGER e AFTER INSERT ON elsewhere FOR EACH ROW EXECUTE FUNCTION whisperer.capture('elsewhere', 'serializer=public.odd_json');
CREATE TABLE handed (id int); ALTER TABLE handed OWNER TO ann; CREATE ROLE carl;
CREATE FUNCTION alone() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SCHEMA lone;
SQL
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE elsewhere IN ACCESS EXCLUSIVE MODE');
is(said("SET lock_timeout = '5s'; $_"), '', "waits for no other table: $_")
    for 'ALTER FUNCTION alone() RENAME TO lonely', 'ALTER FUNCTION lonely() SET SCHEMA lone', 'ALTER SCHEMA lone RENAME TO lonesome',
    'BEGIN; ALTER TABLE handed OWNER TO bob; ALTER TABLE handed OWNER TO carl; REASSIGN OWNED BY carl TO bob; COMMIT';
$locker->query_safe('ROLLBACK');
$locker->quit;
is(sql(q(BEGIN; ALTER TABLE apart ENABLE ROW LEVEL SECURITY; ALTER TABLE apart OWNER TO ann; SELECT count(*) FROM pg_locks WHERE relation = 'apart_1'::regclass)), 0,
    'an ALTER TABLE locks no other table on our account');
is(said('ALTER TABLE thing RENAME v TO w; ALTER TABLE thing ALTER w TYPE bigint; ALTER TABLE thing ADD x int; ALTER TABLE thing RENAME TO thing2; ALTER TABLE thing2 RENAME TO thing'), '',
    'what touches no trigger is let through');
sql(q(SELECT whisperer.allow('thing-updated', 'bob', 'publish'); REASSIGN OWNED BY ann TO bob; DROP OWNED BY ann; DROP ROLE ann));
is(said($insert), '', 'with the right the table may change hands, and its first owner go');
sql(q(SELECT whisperer.disallow('thing-updated', 'bob', 'publish')));
sql('ALTER TABLE thing OWNER TO bob');
pass('who owns a table already may be named its owner');
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump');
sql('CREATE DATABASE copied');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', '2', '-d', 'copied', $dump ], 'of triggers that record for nobody is restored');
is($node->safe_psql('copied', q(SELECT count(*) FROM pg_trigger WHERE tgrelid = 'thing'::regclass)), 2, 'with them');
is(said("BEGIN; $insert; $insert; COMMIT"), q(event type "thing-updated" is recorded for nobody: "bob" may not publish it | The event type's owner can call whisperer.allow('thing-updated', 'bob', 'publish').),
    'a right that is taken away later stops no writer, who is told once a transaction');
my $two = 'CREATE TABLE a1 (id int); CREATE TABLE a2 (id int);' . join '', map { "CREATE TRIGGER x AFTER INSERT ON $_ FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-updated');" } 'a1', 'a2';
sql("$two SELECT whisperer.allow('thing-updated', 'bob', 'publish'); ALTER TABLE a1 OWNER TO bob; ALTER TABLE a2 OWNER TO bob; SELECT whisperer.disallow('thing-updated', 'bob', 'publish')");
is(scalar(() = said('BEGIN;' . 'INSERT INTO a1 VALUES (1); INSERT INTO a2 VALUES (1);' x 5 . 'COMMIT') =~ /recorded for nobody/g), 2, 'of two tables once each');

# --- a serializer that not all writers may call -----------------------------------------------------------
sql(q(CREATE ROLE maker; CREATE ROLE writer; CREATE ROLE newcomer; CREATE SCHEMA shapes AUTHORIZATION maker; SELECT whisperer.register_event('told');
    CREATE TABLE told (id int PRIMARY KEY); GRANT INSERT, DELETE ON told TO writer; GRANT INSERT ON told TO maker));
sql(q(SET ROLE maker; CREATE FUNCTION shapes.of_told(r told) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''n'', r.id)'));
is(said(q(CREATE TRIGGER told AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION whisperer.capture('told', 'serializer=shapes.of_told'))), '', 'a serializer that everybody may call');
is(said('SET ROLE writer; INSERT INTO told VALUES (1)'), '', 'whoever writes need not have USAGE on its schema');
my $of_told = qr/^who may write to table (?:public\.)?told may not call the serializer of its trigger "told": /;
my $revoked = said('SET ROLE maker; REVOKE EXECUTE ON FUNCTION shapes.of_told FROM PUBLIC');
like($revoked, qr/${of_told}writer \| The writes of these roles fail\. \| GRANT EXECUTE ON FUNCTION shapes\.of_told\(\S*told\) TO writer;$/, 'who takes the right away is told, though he may do nothing with the extension');
like(said('SET ROLE writer; INSERT INTO told VALUES (2)'), qr/permission denied for function of_told/, 'because the write fails');
sql(($revoked =~ /(GRANT .*;)/)[0]);
is(said('SET ROLE writer; INSERT INTO told VALUES (2)'), '', 'and what is said helps');
like(said('GRANT INSERT ON told TO newcomer'), qr/${of_told}newcomer /, 'of another who may write it is said, too');
is(said('REVOKE INSERT ON told FROM newcomer; GRANT SELECT, UPDATE ON told TO newcomer'), '', 'and not of who makes no event');
like(said('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA shapes FROM writer'), qr/${of_told}writer /, 'of all functions of a schema');
like(said(q(DROP TRIGGER told ON told; CREATE TRIGGER told AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION whisperer.capture('told', 'serializer=shapes.of_told'))),
    qr/${of_told}writer /, 'and when the trigger is made');
is(recorded('told'), qq(1 {"n" : 1}\n2 {"n" : 2}), 'the events are there');
done_testing();
