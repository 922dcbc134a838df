# Capture triggers where statements go wrong, write more than they say, or have company: errors and savepoints, other
# triggers and serializers that write, several triggers on one statement, rows that move between partitions, and
# transition tables of which one lies on disk and the other does not.
use strict;
use warnings;
use Captures;
use CaptureVerdict;
use Test::More;
use Whisperer;

my $node = new_capture_node('capture_nested');
my $on_disk = "SET work_mem = '64kB';\n";

# --- errors and savepoints --------------------------------------------------------------------------
my %raising = (
    sql => q(SELECT json_build_object('id', 1000 / (r.id - 2950))),
    plpgsql => q(BEGIN IF r.id = 2950 THEN RAISE division_by_zero USING MESSAGE = 'division by zero'; END IF; RETURN json_build_object('id', r.id); END));

# Where a run of rows has been recorded already.
sub raising_serializer {
    my ($level, $language) = @_;
    my $how = "a serializer in $language raises, $level level";
    my $table = watched($node, name => 'raising', level => $level, option => { language => $language, type => 'json', body => $raising{$language} });
    my ($few, $raises, $more) = map { insert_sql($table, "id BETWEEN $_") } '1 AND 400', '401 AND 3000', '1001 AND 1500';
    my $err = act($node, "$how: nothing is recorded, and the next statement is", [ $table, 500 ], $on_disk . $raises . $more);
    like($err, qr/ERROR:  division by zero/, 'it did raise');
    act($node, "$how in a savepoint: only its part goes", [ $table, 900 ], "$on_disk BEGIN; $few SAVEPOINT s; $raises ROLLBACK TO s; $more COMMIT");
    act($node, "$how in a block with a handler: only its part goes", [ $table, 900 ],
        "$on_disk DO \$\$ BEGIN $few BEGIN $raises EXCEPTION WHEN division_by_zero THEN NULL; END; $more END \$\$");
}

sub other_errors {
    my ($level) = @_;
    my $table = watched($node, name => 'refusing', level => $level, more => <<'SQL');
ALTER TABLE {table} ADD CONSTRAINT small CHECK (id < 3000);
CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT max(id) FROM {table}) > 2500 THEN RAISE check_violation; END IF; RETURN NULL; END $$;
CREATE TRIGGER refuse AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_{table}();
SQL
    my $insert = sub { insert_sql($table, "id BETWEEN $_[0] AND $_[1]") };
    my $ten = $insert->(1, 10);
    act($node, "the last row breaks a constraint, $level level", [ $table, 10 ], $on_disk . $insert->(1, 3000) . $ten);
    act($node, "a trigger that fires later raises, $level level", [ $table, 10 ], $on_disk . $insert->(1, 2600) . $ten);
    act($node, "COPY breaks off at a row that is there, $level level", [ $table, 11 ], $on_disk . $insert->(2000, 2000)
        . "COPY (SELECT id, lane FROM stage_narrow WHERE id <= 2000 ORDER BY id) TO :'rows_file';\nCOPY $table->{name} (id, lane) FROM :'rows_file';\n$ten",
        unordered => 1);
    act($node, "savepoints in savepoints, $level level", [ $table, 206 ], $on_disk . 'BEGIN;' . $insert->(1, 1) . 'SAVEPOINT a;' . $insert->(2, 1500)
        . 'SAVEPOINT b;' . $insert->(2000, 2000) . 'RELEASE b; ROLLBACK TO a;' . $insert->(101, 300) . 'RELEASE a; SAVEPOINT c;'
        . $insert->(301, 305) . 'RELEASE c; COMMIT');
    act($node, "a transaction is rolled back, $level level", [ $table, 0 ], $on_disk . 'BEGIN;' . $insert->(1, 1500) . 'ROLLBACK');
}

# --- triggers and serializers that write ------------------------------------------------------------
# For each row a trigger does the same to the row of another watched table.
sub writing_triggers {
    my ($level) = @_;
    for my $when ('BEFORE', 'AFTER') {
        my $inner = watched($node, name => 'inner', level => $level, option => { columns => [ 'id', 'note' ], include_old => 1 });
        my $outer = watched($node, name => 'outer', level => $level, more => <<"SQL");
CREATE FUNCTION write_{table}() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN INSERT INTO $inner->{name} (id, lane, note) VALUES (NEW.id, 0, 'from ' || NEW.id);
        WHEN 'UPDATE' THEN UPDATE $inner->{name} SET note = 'by ' || NEW.note WHERE id = NEW.id;
        WHEN 'DELETE' THEN DELETE FROM $inner->{name} WHERE id = OLD.id;
    END CASE;
    RETURN coalesce(NEW, OLD); END \$\$;
CREATE TRIGGER a_write $when INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION write_{table}();
SQL
        my %statement = (
            INSERT => [ 'false', insert_sql($outer, 'id <= 2000') ],
            UPDATE => [ 'id <= 2003', "UPDATE $outer->{name} SET note = note || '!' WHERE id <= 2000" ],
            DELETE => [ 'id <= 2003', "DELETE FROM $outer->{name} WHERE id <= 2000" ],
            MERGE => [ 'id % 2 = 0 AND id <= 2003', touch_sql($outer, 'MERGE', 2000, 'narrow')->{statement} ]);
        for my $command (sort keys %statement) {
            my ($before, $sql) = @{ $statement{$command} };
            act($node, "a trigger $when the row of $command writes to another watched table, $level level", [ $outer, 2000, $inner, 2000 ],
                $on_disk . $sql, before => $before, unordered => $command eq 'MERGE');
        }
    }
}

# Down to the second level of its own table; what is cached of triggers and functions is forgotten in the middle.
sub writing_serializers {
    my ($level) = @_;
    my $inner = watched($node, name => 'told', option => { key => [ 'note', 'id' ] });
    my $outer = watched($node, name => 'telling', level => $level, option => { language => 'plpgsql', type => 'json', key => ['note'], body => <<"SQL" });
BEGIN
    IF current_setting('test.writing', true) = 'on' THEN
        IF r.id % 50 = 0 THEN
            EXECUTE 'CREATE OR REPLACE FUNCTION noise() RETURNS int LANGUAGE sql AS ''SELECT ' || r.id || '''';
            ANALYZE {table} (id);
        END IF;
        INSERT INTO $inner->{name} (id, lane, note) SELECT r.id * 1000 + g, 0, r.note FROM generate_series(1, 3) g;
        IF r.id <= 2000 THEN
            INSERT INTO {table} (id, lane, note) VALUES (r.id + 2000, 0, 'below ' || r.note);
        END IF;
    END IF;
    RETURN json_build_object('id', r.id, 'note', r.note);
END
SQL
    act($node, "a serializer writes to another watched table and to its own, $level level", [ $outer, 2000, $inner, 6000 ],
        $on_disk . "SET test.writing = 'on';\n" . insert_sql($outer, 'id <= 1000'), unordered => 1);
    my $catching = watched($node, name => 'catching', level => $level, option => { language => 'plpgsql', type => 'jsonb', body => <<'SQL' });
DECLARE found int; BEGIN
    BEGIN found := 1 / (r.id % 2); EXCEPTION WHEN division_by_zero THEN found := -1; END;
    RETURN jsonb_build_object('found', found, 'id', r.id);
END
SQL
    act($node, "a serializer raises and catches, $level level", [ $catching, 1000 ], $on_disk . insert_sql($catching, 'id <= 1000'));
}

for my $level ('row', 'statement') {
    raising_serializer($level, $_) for 'sql', 'plpgsql';
    other_errors($level);
    writing_triggers($level);
    writing_serializers($level);
}

# At the end of the transaction.
for my $option (grep { $_->{include_old} || $_->{language} } options_of_capture()) {
    my $table = watched($node, name => 'late', level => 'deferred', option => $option);
    run_cells($node, map { { table => $table, command => $_, rows => 101, width => 'narrow', work_mem => '64kB', session => 'odd' } } commands());
}
my $late = watched($node, name => 'late', level => 'deferred');
my ($first, $second, $third) = map { insert_sql($late, "id BETWEEN $_") } '1 AND 200', '201 AND 400', '401 AND 600';
act($node, 'a deferred trigger and a savepoint: only its part goes', [ $late, 400 ], "BEGIN; $first SAVEPOINT s; $second ROLLBACK TO s; $third COMMIT");

# --- several of them, and one statement that is more ------------------------------------------------
# Each reads the same transition tables from their start.
my $shared = watched($node, name => 'shared', option => { include_old => 1 }, more => <<'SQL');
CREATE TABLE seen_{table} (trigger text, rows int);
CREATE FUNCTION see_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen_{table} SELECT TG_NAME, count(*) FROM new_rows JOIN old_rows USING (id); RETURN NULL; END $$;
CREATE TRIGGER a_see AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION see_{table}();
CREATE TRIGGER capture_more AFTER UPDATE ON {table} REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('more', 'columns=note', 'changed=note');
CREATE TRIGGER capture_rows AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION whisperer.capture('more', 'columns=id');
CREATE TRIGGER z_see AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION see_{table}();
SQL
act($node, 'several capture triggers and others share the transition tables', [ $shared, 3000 ],
    "$on_disk UPDATE $shared->{name} SET note = CASE WHEN id % 3 = 0 THEN note ELSE id::text END, amount = 7 WHERE id <= 3000", before => 'id <= 3003');
is($node->safe_psql('postgres', "SELECT trigger, rows FROM seen_$shared->{name} ORDER BY trigger"), "a_see|3000\nz_see|3000", 'the others see all of them');
is($node->safe_psql('postgres', <<'SQL'), "2000|2000|2000\n3000|3000|0", 'the second capture trigger of each level has its events');
SELECT count(*), count(DISTINCT object_id), count(*) FILTER (WHERE data::text = format('{"note":"%s"}', object_id)) FROM whisperer.outbox
WHERE event_type = 'more' GROUP BY data->'id' IS NULL ORDER BY 1
SQL

my $from = watched($node, name => 'origin');
my $to = watched($node, name => 'target');
act($node, 'rows that move from one watched table to another', [ $from, 1000, $to, 1000 ],
    "$on_disk WITH gone AS (DELETE FROM $from->{name} WHERE id <= 1000 RETURNING id, lane, note) INSERT INTO $to->{name} (id, lane, note) SELECT id + 2000, lane, note FROM gone",
    before => 'id <= 1003', unordered => 1);
my $parent = watched($node, name => 'parent');
my $child = watched($node, name => 'child', more => "ALTER TABLE {table} ADD FOREIGN KEY (id) REFERENCES $parent->{name} ON DELETE CASCADE");
act($node, 'rows that a foreign key deletes', [ $parent, 300, $child, 300 ], "$on_disk DELETE FROM $parent->{name} WHERE id <= 300", before => 'id <= 303');

# --- partitions -------------------------------------------------------------------------------------
# Where MERGE updates a row of a partitioned table after it inserted another, some PostgreSQL give the other one once
# more as the new row: findings/merge_transition_rows.sh.  A plain trigger tells.
sub loses_merged_rows {
    my $seen = $node->safe_psql('postgres', <<'SQL');
CREATE TABLE merged (id int, n int) PARTITION BY LIST (id);
CREATE TABLE merged_1 PARTITION OF merged FOR VALUES IN (1);
CREATE TABLE merged_2 PARTITION OF merged FOR VALUES IN (2);
CREATE TABLE merged_seen (id int, n int);
CREATE FUNCTION see_merged() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO merged_seen SELECT id, n FROM new_rows; RETURN NULL; END $$;
CREATE TRIGGER see AFTER UPDATE ON merged REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION see_merged();
INSERT INTO merged VALUES (2, 0);
SET enable_hashjoin = off; SET enable_nestloop = off;
MERGE INTO merged m USING generate_series(1, 2) s(id) ON m.id = s.id WHEN MATCHED THEN UPDATE SET n = 1 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0);
SELECT id, n FROM merged_seen;
SQL
    like($seen, qr/^(2\|1|1\|0)$/, 'a trigger in plpgsql sees the row that MERGE updated, or inserted');
    return $seen ne '2|1';
}
my $loses = loses_merged_rows();
note 'PostgreSQL loses rows of MERGE here' if $loses;

for my $level ('row', 'statement') {
    for my $option (options_of_capture()) {
        my $table = watched($node, name => 'parted', level => $level, option => $option, partitioned => 1,
            all_matched => $loses && $level eq 'statement');
        my @size = $level eq 'statement' && $option->{include_old} ? (1000, 'wide') : (101, 'narrow');
        run_cells($node, map { { table => $table, command => $_, rows => $size[0], width => $size[1], work_mem => '64kB', session => 'plain' } } commands());
    }
}

# --- one on disk, the other not ---------------------------------------------------------------------
for (
    [ 'narrow rows become wide', 1, 'narrow', 'repeat(md5(id::text), 32)' ], [ 'wide rows become narrow', 1, 'wide', q('x') ],
    [ 'wide rows stay wide', 2, 'wide', 'md5(fill) || fill' ], [ 'narrow rows stay narrow', 0, 'narrow', q('x') ]) {
    my ($what, $files, $width, $fill) = @$_;
    for my $option ({ include_old => 1 }, { changed => ['fill'] }) {
        my $table = watched($node, name => 'uneven', option => $option);
        my $err = act($node, "$what, " . join(',', keys %$option), [ $table, 120 ],
            "$on_disk SET log_temp_files = 0; SET client_min_messages = log; UPDATE $table->{name} SET fill = $fill WHERE id <= 120", before => 'id <= 123', width => $width);
        is(scalar(() = $err =~ /LOG:  temporary file/g), $files, "transition tables on disk: $files");
    }
}

done_testing();
