# What the events of a statement on a table of Captures.pm must be, and whether they are.
#
# What is expected is worked out in SQL without the triggers: the changes are the difference of the table before
# and after the statement, and row_to_json or the serializer is called on the rows of that difference.  Recorded
# and expected events are compared byte for byte and, where a statement has an order, in that order.
package CaptureVerdict;

use strict;
use warnings;
use Captures;
use Exporter 'import';
use List::Util ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

our @EXPORT = qw(run_cells act);

# What a column holds must come out the same in every session: these four settings shape its text.
my $odd_session = join '', map { "SET $_;\n" } "TimeZone = 'Asia/Kolkata'", "DateStyle = 'German'",
    "IntervalStyle = 'iso_8601'", "bytea_output = 'escape'", 'extra_float_digits = 0';

# --- what must have been recorded -------------------------------------------------------------------
sub data_of {
    my ($table, $row) = @_;
    my $option = $table->{option};
    return "public.shape_$table->{name}($row)::text" if $option->{language};
    return "row_to_json($row)::text" unless $option->{columns};
    return '(SELECT row_to_json(c) FROM (SELECT ' . join(', ', map { "($row).$_" } @{ $option->{columns} }) . ') c)::text';
}

sub key_of {
    my ($table, $row) = @_;
    my @key = @{ $table->{option}{key} // ($table->{partitioned} ? [ 'id', 'lane' ] : ['id']) };
    # Of several values each has its commas and backslashes escaped.
    return join " || ',' || ", map { my $value = "coalesce(($row).$_\::text, '')"; @key == 1 ? $value : "regexp_replace($value, '([,\\\\])', '\\\\\\1', 'g')" } @key;
}

# Prints the name, what the statement said it touched (psql's variable touched), how many events are wrong or missing,
# and the first of them.  A row that moves to another partition is deleted and created at row level.
sub verdict_sql {
    my ($table, $name, %how) = @_;
    my $t = $table->{name};
    my $same_row = $table->{partitioned} && $table->{level} eq 'row' ? 'b.id = a.id AND b.lane = a.lane' : 'b.id = a.id';
    my $changed = join ' OR ', map { "(old).$_ IS DISTINCT FROM (new).$_" } @{ $table->{option}{changed} // [] };
    my ($new, $old) = map { data_of($table, $_) } 'new', 'old';
    my $updated = $table->{option}{include_old} ? qq('{"new":' || $new || ',"old":' || $old || '}') : $new;
    my $order = $how{unordered} || $table->{partitioned} ? 'object_id, data' : undef;
    my ($by_id, $by_place) = map { 'row_number() OVER (PARTITION BY event_type ORDER BY ' . ($order // $_) . ')' } 'id', 'place';
    return <<"SQL";
WITH change AS (
    SELECT coalesce(a.id, b.id) AS place, b.id AS old_id, a.id AS new_id, b.item AS old, a.item AS new
    FROM before_$t b FULL JOIN (SELECT id, lane, r AS item FROM $t r) a ON $same_row
    WHERE a.id IS NULL OR b.id IS NULL OR a.item IS DISTINCT FROM b.item
), event AS (
    SELECT '$t-created' AS event_type, place, $new AS data, @{[ key_of($table, 'new') ]} AS object_id FROM change WHERE old_id IS NULL
    UNION ALL SELECT '$t-deleted', place, $old, @{[ key_of($table, 'old') ]} FROM change WHERE new_id IS NULL
    UNION ALL SELECT '$t-updated', place, $updated, @{[ key_of($table, 'new') ]} FROM change WHERE old_id = new_id @{[ $changed && "AND ($changed)" ]}
), expected AS (
    SELECT event_type, $by_place AS n, data, object_id, 'public.$t' AS source FROM event
), recorded AS (
    SELECT event_type, $by_id AS n, data::text, object_id, source FROM (SELECT id, event_type, data::text AS data, object_id, source FROM whisperer.outbox
        WHERE xid > :'since'::xid8 AND starts_with(event_type, '$t-')) o
), wrong AS (
    SELECT e AS expected, r AS recorded FROM expected e FULL JOIN recorded r USING (event_type, n)
    WHERE (e.data, e.object_id, e.source) IS DISTINCT FROM (r.data, r.object_id, r.source)
)
SELECT 'verdict', '$name', :'touched' || ' rows, ' || (SELECT count(*) FROM expected) || ' events, ' || count(*) || ' wrong',
       translate(left('expected ' || coalesce(min(expected::text), 'none'), 300) || left(' recorded ' || coalesce(min(recorded::text), 'none'), 300), E'|\\n', '  ') FROM wrong;
SQL
}

# --- running them -----------------------------------------------------------------------------------
# Runs a batch of SQL, through errors, and gives what its verdicts say, by name.  A crash ends it; the server is back
# afterwards.
sub run_batch {
    my ($node, $sql) = @_;
    my ($out, $err);
    my $file = PostgreSQL::Test::Utils::tempdir() . '/rows';
    my $status = $node->psql('postgres', "\\set rows_file '$file'\n$sql", stdout => \$out, stderr => \$err, on_error_stop => 0);
    wait_server($node) if $status != 0;
    my %said;
    for (split /\n/, $out) {
        my ($word, $name, @verdict) = split /\|/;
        $said{$name} = \@verdict if $word eq 'verdict';
    }
    return (\%said, $err, $out);
}

# Of a cell: the table, the command, how many rows of which width, work_mem and session; on_disk: meant to lie there.
# In a session "failed" the statement breaks off first, half way where its triggers are of the row, in "undone" it is
# rolled back first; only what it does the second time counts.
sub cell_sql {
    my ($cell) = @_;
    my $touch = touch_sql(@$cell{qw(table command rows width)});
    my %first = (
        failed => "SET LOCAL test.fail_at = @{[ int(($cell->{rows} + 1) / 2) ]};\n$touch->{statement};\n",
        undone => "$touch->{statement};\n");
    my ($begin, $end) = ('', '');
    if (my $first = $first{ $cell->{session} }) {
        ($begin, $end) = ("BEGIN;\nSAVEPOINT before_it;\n${first}ROLLBACK TO before_it;\n", "COMMIT;\n");
    }
    return $touch->{prepare} . fill_sql($cell->{table}, $cell->{width}, $touch->{before}) . "SET work_mem = '$cell->{work_mem}';\n"
        . ($cell->{session} eq 'odd' ? $odd_session : '')
        . "$begin$touch->{statement};\n\\set touched :ROW_COUNT\n${end}RESET ALL;\n" . verdict_sql($cell->{table}, cell_name($cell), %$touch, %$cell);
}

# Whether a statement of the cell breaks off: a trigger of the row has to have a row.
sub fails { return $_[0]{session} eq 'failed' && ($_[0]{rows} > 0 || $_[0]{table}{level} ne 'row') }

sub cell_name {
    my ($cell) = @_;
    return "$cell->{table}{option}{name}, $cell->{table}{level}" . ($cell->{table}{partitioned} ? ', partitioned' : '')
        . ": $cell->{command} of $cell->{rows} $cell->{width} rows, work_mem $cell->{work_mem}, "
        . ($cell->{on_disk} ? 'on disk' : "$cell->{session} session");
}

sub run_cells {
    my ($node, @cells) = @_;
    my ($said, $err) = run_batch($node, join '', map { cell_sql($_) } @cells);
    for my $cell (@cells) {
        is_captured($said, cell_name($cell), $cell->{rows});
    }
    my $failing = grep { fails($_) } @cells;
    my $failed = () = $err =~ /ERROR:  broken off by the test$/mg;
    is($failed, $failing, "$failing statements broke off first: $cells[0]{table}{option}{name}, $cells[0]{table}{level}") if $failing || $failed;
    diag($err) if $err =~ /(?:ERROR|FATAL|PANIC|WARNING): (?! broken off by the test$)/m || $failed != $failing;
}

# events: how many there must be, where a test knows.
sub is_captured {
    my ($said, $name, $rows, $events) = @_;
    my ($counts, $first) = @{ $said->{$name} // [ 'no answer', '' ] };
    $events //= $counts =~ /(\d+) events/ ? $1 : 'some';
    is($counts, "$rows rows, $events events, 0 wrong", $name) or diag($first);
}

# Runs statements, and asks which events of several tables there are: [table, how many, ...].  before: the rows that the
# tables have at first, of a width; unordered: in any order.  Gives what psql complained of.
sub act {
    my ($node, $what, $tables, $sql, %how) = @_;
    my @tables = List::Util::pairs(@$tables);
    my $name = sub { @tables > 1 ? "$what: $_[0]{name}" : $what };
    my $batch = join '', "\\set touched any\n", map { fill_sql($_->[0], $how{width} // 'narrow', $how{before} // 'false') } @tables;
    $batch .= "$sql;\nRESET ALL;\n";
    $batch .= verdict_sql($_->[0], $name->($_->[0]), %how) for @tables;
    my ($said, $err) = run_batch($node, $batch);
    my $right = 1;
    $right &= is_captured($said, $name->($_->[0]), 'any', $_->[1]) for @tables;
    diag($err) if $err && !$right;
    return $err;
}

1;
