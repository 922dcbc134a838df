# Tables with capture triggers of every option and level, and statements that touch a number of their rows.
# CaptureVerdict.pm says whether their events are right.
package Captures;

use strict;
use warnings;
use Exporter 'import';
use List::Util ();
use Test::More;
use Whisperer;

our @EXPORT = qw(new_capture_node seeded shuffled options_of_capture commands many_of watched fill_sql insert_sql touch_sql);

my @columns = ('id', 'lane', 'kind', 'amount', 'note', 'at', 'ratio', 'span', 'code', '"Odd, name"', 'fill');
my $columns = join ', ', @columns;
my $definition = <<'SQL';
gone int, id int NOT NULL, lane int NOT NULL, kind text, amount numeric, note text, at timestamptz, ratio float8, span interval,
code bytea, "Odd, name" text, fill text, twice int GENERATED ALWAYS AS (id * 2) STORED
SQL
# Rows of each width, and how many are many.
my %fill_of = (
    narrow => q('f' || id),
    wide => q(left(repeat(md5(id::text), 32), 1000)),
    toasted => q((SELECT string_agg(md5(id || '.' || i), '') FROM generate_series(1, 625) i)));
my %many = (narrow => 20_000, wide => 1000, toasted => 150);
# Rows to take from: of wide ones also what makes 20 MB.
my %staged = (%many, wide => 20_000);

# A server whose deliveries are paused, with rows of each width to take from.  toasted: how many of these.
sub new_capture_node {
    my ($name, %options) = @_;
    my $node = new_node($name, extra => "restart_after_crash = on\ntimezone = 'UTC'\nmax_wal_size = 4GB\nautovacuum = off\n" . ($options{extra} // ''));
    my $sql = "SELECT whisperer.pause();\n";
    for my $width (sort keys %fill_of) {
        my $staged = $options{$width} // $staged{$width};
        $sql .= <<"SQL";
CREATE TABLE stage_$width AS
    SELECT id, id % 3 AS lane, CASE WHEN id % 7 > 0 THEN 'kind "' || id % 5 || '", ' || chr(252) END AS kind, id * 1.10 AS amount, 'note ' || id AS note,
           timestamptz '2024-02-29 22:34:56.789+00' + id * interval '1 hour' AS at, id / 3.0::float8 AS ratio,
           id * interval '1 day 02:03:04' AS span, int4send(id) AS code, CASE WHEN id % 2 = 0 THEN 'odd\t' || id END AS "Odd, name", $fill_of{$width} AS fill
    FROM generate_series(1, $staged + 3) id;
CREATE UNIQUE INDEX ON stage_$width (id);
SQL
    }
    $node->safe_psql('postgres', $sql . 'VACUUM ANALYZE;');
    return $node;
}

# Random, and the same again with the seed that is printed.
sub seeded {
    my $seed = $ENV{WHISPERER_SEED} // int(rand(1_000_000));
    srand($seed);
    note "WHISPERER_SEED=$seed";
    return $seed;
}

sub shuffled { return List::Util::shuffle(@_) }

# --- options of the trigger -------------------------------------------------------------------------
# What a serializer makes of its row r, after json_ or jsonb_.
my $shape = q(build_object('id', r.id, 'note', r.note, 'span', r.span, 'fill', r.fill, 'most', (SELECT max(g) FROM generate_series(1, 3) g)));

sub options_of_capture {
    my @quoted = ('"Odd, name"', 'note', 'id', 'fill', 'span', 'code');
    return (
        { name => 'no option' },
        { name => 'columns', columns => \@quoted },
        { name => 'changed', changed => [ 'note', 'fill' ] },
        { name => 'include=old', include_old => 1 },
        { name => 'key', key => [ 'kind', 'at', 'amount' ] },
        (map {
            my ($language, $type) = split ' ';
            { name => "serializer in $language giving $type", language => $language, type => $type }
        } 'sql json', 'sql jsonb', 'plpgsql json', 'plpgsql jsonb'),
        { name => 'columns, changed, include=old, key', columns => \@quoted, changed => ['note'], include_old => 1, key => ['note'] },
        { name => 'serializer in plpgsql, changed, include=old', language => 'plpgsql', type => 'json', changed => ['"Odd, name"', 'note'], include_old => 1 },
        { name => 'serializer in sql, include=old, key', language => 'sql', type => 'jsonb', include_old => 1, key => [ '"Odd, name"', 'id' ] });
}

sub arguments_of {
    my ($table) = @_;
    my $option = $table->{option};
    my @arguments = (
        (map { $option->{$_} ? "$_=" . join(',', @{ $option->{$_} }) : () } qw(columns changed key)),
        ($option->{include_old} ? 'include=old' : ()),
        ($option->{language} ? "serializer=public.shape_$table->{name}" : ()));
    return map { ", '$_'" } @arguments;
}

# --- watched tables ---------------------------------------------------------------------------------
# A table, its capture triggers of all three operations, and where its rows before a statement are kept.
# The name gets a number; breaks_off: a statement fails where test.fail_at says; body: of the serializer; more: SQL that follows; {table} in them is its name.
my $made = 0;
sub watched {
    my ($node, %table) = @_;
    my $table = { option => { name => 'no option' }, level => 'statement', %table };
    my $name = $table->{name} .= '_' . $made++;
    my $key = $table->{partitioned} ? 'id, lane' : 'id';
    # PostgreSQL leaves generated columns empty in transition tables where a partition's columns have other numbers.
    my $own = $table->{partitioned} ? $definition =~ s/ GENERATED.* STORED//r : $definition;
    my $sql = "CREATE TABLE $name ($own, PRIMARY KEY ($key))" . ($table->{partitioned} ? ' PARTITION BY LIST (lane)' : '') . ";\n";
    $sql .= "ALTER TABLE $name DROP COLUMN gone;\n";
    $sql .= <<"SQL" if $table->{partitioned};
CREATE TABLE ${name}_0 PARTITION OF $name FOR VALUES IN (0);
CREATE TABLE ${name}_1 (went text, @{[ $own =~ s/(?=kind)/between_them int, /r ]}, PRIMARY KEY ($key));
ALTER TABLE ${name}_1 DROP COLUMN went, DROP COLUMN gone, DROP COLUMN between_them;
ALTER TABLE $name ATTACH PARTITION ${name}_1 FOR VALUES IN (1);
CREATE TABLE ${name}_2 PARTITION OF $name FOR VALUES IN (2);
SQL
    $sql .= "ALTER TABLE $name ALTER fill SET STORAGE EXTERNAL;\nCREATE TABLE before_$name (id int, lane int, item $name);\n";
    if (my $option = $table->{option}{language} && $table->{option}) {
        my $body = $option->{body} // ($option->{language} eq 'sql' ? "SELECT $option->{type}_$shape" : "BEGIN RETURN $option->{type}_$shape; END");
        $sql .= "CREATE FUNCTION shape_$name(r $name) RETURNS $option->{type} LANGUAGE $option->{language} AS \$\$ $body \$\$;\n";
    }
    my %past = (INSERT => 'created', UPDATE => 'updated', DELETE => 'deleted');
    my %tables = (INSERT => 'NEW TABLE AS new_rows', UPDATE => 'OLD TABLE AS old_rows NEW TABLE AS new_rows', DELETE => 'OLD TABLE AS old_rows');
    for my $operation (sort keys %past) {
        my $level = $table->{level} eq 'statement' ? "REFERENCING $tables{$operation} FOR EACH STATEMENT" : 'FOR EACH ROW';
        $level = "DEFERRABLE INITIALLY DEFERRED $level" if $table->{level} eq 'deferred';
        $sql .= 'CREATE ' . ($table->{level} eq 'deferred' && 'CONSTRAINT ') . "TRIGGER capture_$past{$operation} AFTER $operation ON $name $level EXECUTE FUNCTION whisperer.capture('$name-$past{$operation}'"
            . join('', arguments_of($table)) . ");\n";
    }
    # Behind capture_*, by its name: what comes before has been recorded when this raises.
    $sql .= <<"SQL" if $table->{breaks_off};
CREATE FUNCTION fail_$name() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
    IF TG_LEVEL = 'STATEMENT' AND current_setting('test.fail_at', true) <> '' OR coalesce(NEW.id, OLD.id)::text = current_setting('test.fail_at', true) THEN
        RAISE 'broken off by the test';
    END IF;
    RETURN NULL; END \$\$;
CREATE TRIGGER fail AFTER INSERT OR UPDATE OR DELETE ON $name FOR EACH $table->{level} EXECUTE FUNCTION fail_$name();
SQL
    $sql .= $table->{more} // '';
    $node->safe_psql('postgres', $sql =~ s/\{table\}/$name/gr);
    return $table;
}

# Puts the rows of a width for which the condition holds into an empty table, without events, and remembers them.
# Events are counted from here.
sub fill_sql {
    my ($table, $width, $condition) = @_;
    my $name = $table->{name};
    return <<"SQL";
SET session_replication_role = replica;
TRUNCATE $name, before_$name CASCADE;
INSERT INTO $name ($columns) SELECT $columns FROM stage_$width WHERE $condition ORDER BY id;
INSERT INTO before_$name SELECT id, lane, r FROM $name r;
RESET session_replication_role;
SELECT pg_current_xact_id() AS since \\gset
SQL
}

sub insert_sql {
    my ($table, $condition, $width) = @_;
    return "INSERT INTO $table->{name} ($columns) SELECT $columns FROM stage_" . ($width // 'narrow') . " WHERE $condition ORDER BY id;\n";
}

# A change of every row; of every third one in little.  Half of a partitioned table's rows move.
sub change_of {
    my ($table, $row, $moving) = @_;
    return "note = CASE WHEN $row.id % 3 = 0 THEN $row.note ELSE $row.note || '!' END, amount = $row.amount + 1"
        . ($table->{partitioned} && $moving ? ", lane = CASE WHEN $row.id % 2 = 0 THEN $row.lane ELSE ($row.lane + 1) % 3 END" : '');
}

# --- statements -------------------------------------------------------------------------------------
# A statement that touches that many rows of a width, the rows that must be there before, and what else it takes.
my %commands = (
    INSERT => sub {
        my ($t, $source) = @_;
        return { before => 'false', statement => "INSERT INTO $t->{name} ($columns) $source" };
    },
    COPY => sub {
        my ($t, $source) = @_;
        return { before => 'false', statement => "COPY $t->{name} ($columns) FROM :'rows_file'", prepare => "COPY ($source) TO :'rows_file';\n" };
    },
    UPDATE => sub {
        my ($t, $source, $rows) = @_;
        return { before => "id <= $rows + 3", statement => "UPDATE $t->{name} SET " . change_of($t, $t->{name}, 1) . " WHERE id <= $rows" };
    },
    DELETE => sub {
        my ($t, $source, $rows) = @_;
        return { before => "id <= $rows + 3", statement => "DELETE FROM $t->{name} WHERE id <= $rows" };
    },
    'ON CONFLICT' => sub {
        my ($t, $source, $rows) = @_;
        my $key = $t->{partitioned} ? 'id, lane' : 'id';
        return { before => "id % 2 = 0 OR id > $rows",
            statement => "INSERT INTO $t->{name} ($columns) $source ON CONFLICT ($key) DO UPDATE SET " . change_of($t, $t->{name}, 0) };
    },
    # In the order in which its join finds the rows.  Of a table with all_matched it inserts none.
    MERGE => sub {
        my ($t, $source, $rows) = @_;
        my $values = join ', ', map { "s.$_" } @columns;
        return { before => ($t->{all_matched} ? "id <= $rows + 3" : "id % 2 = 0 OR id > $rows"), unordered => 1,
            statement => "MERGE INTO $t->{name} t USING ($source) s ON t.id = s.id WHEN MATCHED AND s.id % 4 = 0 THEN DELETE"
                . " WHEN MATCHED THEN UPDATE SET " . change_of($t, 't', 0) . " WHEN NOT MATCHED THEN INSERT ($columns) VALUES ($values)" };
    });

sub commands { return sort keys %commands }
sub many_of { return $many{ $_[0] } }

sub touch_sql {
    my ($table, $command, $rows, $width) = @_;
    my $touch = $commands{$command}->($table, "SELECT $columns FROM stage_$width WHERE id <= $rows ORDER BY id", $rows);
    return { prepare => '', %$touch, before => "($touch->{before}) AND id <= $rows + 3" };
}

1;
