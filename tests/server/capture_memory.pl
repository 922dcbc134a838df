# What a capture trigger takes of the writing backend's memory: it keeps nothing of rows that it has recorded, whatever
# language the serializer is in, and holds a few rows at a time, however large they are and however few are recorded.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

plan skip_all => 'the system does not tell a process its peak' unless -w '/proc/self/clear_refs';

# Pages of shared memory that a backend has touched count as its own; there are few.
my $node = new_node('capture_memory', extra => "shared_buffers = 8MB\nwork_mem = '1MB'\nmax_wal_size = 4GB\nautovacuum = off");
$node->safe_psql('postgres', <<'SQL');
SELECT whisperer.pause();
CREATE TABLE large (fill text);
ALTER TABLE large ALTER fill SET STORAGE EXTERNAL;
INSERT INTO large SELECT string_agg(md5(i::text), '') FROM generate_series(1, 131072) i;
-- Trying to compress what cannot be takes minutes.
SELECT format('ALTER TABLE whisperer.outbox_%s ALTER data SET STORAGE EXTERNAL', slot) FROM generate_series(0, 7) slot \gexec
SQL

sub tables_of {
    my ($operation) = @_;
    return $operation eq 'INSERT' ? 'NEW TABLE AS n' : $operation eq 'DELETE' ? 'OLD TABLE AS o' : 'OLD TABLE AS o NEW TABLE AS n';
}

# A table of its own for each case, with one trigger.
my $made = 0;
sub table {
    my ($operation, $level, $options, $serializer) = @_;
    my $name = 't_' . $made++;
    my @arguments = ("'$name'", map { "'$_'" } @$options, $serializer ? "serializer=public.s_$name" : ());
    my $sql = "CREATE TABLE $name (id int PRIMARY KEY, n int DEFAULT 0, fill text);\nALTER TABLE $name ALTER fill SET STORAGE EXTERNAL;\n";
    $sql .= "CREATE FUNCTION s_$name(r $name) RETURNS json $serializer;\n" if $serializer;
    my %firing = (row => 'FOR EACH ROW', deferred => 'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW', statement => 'REFERENCING ' . tables_of($operation) . ' FOR EACH STATEMENT');
    $sql .= 'CREATE ' . ($level eq 'deferred' && 'CONSTRAINT ') . "TRIGGER c AFTER $operation ON $name $firing{$level}"
        . ' EXECUTE FUNCTION whisperer.capture(' . join(', ', @arguments) . ");\n";
    $node->safe_psql('postgres', $sql);
    return $name;
}

# By how many kB the backend grew while the statements ran: at its peak, and what it kept.  What comes before fills the caches.
sub growth {
    my ($before, $statements) = @_;
    my $out = $node->safe_psql('postgres', <<"SQL");
$before
COPY (SELECT 5) TO '/proc/self/clear_refs';
CREATE FUNCTION pg_temp.kb(what text) RETURNS bigint LANGUAGE sql AS \$\$
    SELECT (regexp_match(pg_read_file('/proc/self/status'), what || ':\\s+(\\d+)'))[1]::bigint \$\$;
SELECT pg_temp.kb('VmRSS') AS resident, sum(total_bytes) AS used FROM pg_backend_memory_contexts \\gset
$statements
SELECT 'grew', pg_temp.kb('VmHWM') - :resident, (sum(total_bytes) - :used) / 1024 FROM pg_backend_memory_contexts;
SQL
    return $out =~ /^grew\|(-?\d+)\|(-?\d+)/m ? ($1, int $2) : die "no figures: $out";
}

sub stays_below {
    my ($what, $peak_kb, $kept_kb, $before, $statements, $table, $events) = @_;
    my ($peak, $kept) = growth($before, $statements);
    cmp_ok($peak, '<', $peak_kb, "$what: bounded at its peak (grew by $peak kB)");
    cmp_ok($kept, '<', $kept_kb, "$what: nothing is kept (grew by $kept kB)");
    is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.outbox WHERE event_type = '$table'"), $events, 'and the events are there');
}

# --- serializers ------------------------------------------------------------------------------------
my %serializer = (
    'SQL' => q(LANGUAGE sql AS $$SELECT json_build_object('n', r.id, 'most', (SELECT max(g) FROM generate_series(1, 3) g))$$),
    'SQL BEGIN ATOMIC' => q(LANGUAGE sql BEGIN ATOMIC SELECT json_build_object('n', r.id); END),
    'SQL with a setting' => q(LANGUAGE sql SET search_path = pg_catalog AS $$SELECT json_build_object('n', r.id)$$),
    'SQL as its definer' => q(LANGUAGE sql SECURITY DEFINER AS $$SELECT json_build_object('n', r.id)$$),
    'PL/pgSQL' => q(LANGUAGE plpgsql AS $$BEGIN RETURN json_build_object('n', r.id); END$$),
    'none' => undef);
for my $kind (sort keys %serializer) {
    for my $level ('row', 'deferred', 'statement') {
        my $table = table('INSERT', $level, [], $serializer{$kind});
        my $insert = "INSERT INTO $table SELECT g FROM generate_series";
        stays_below("serializer $kind, $level level, 3000 rows", 24 * 1024, 4096, "$insert(0, 150) g;", "$insert(151, 3000) g;", $table, 3001);
        next unless $kind =~ /^(SQL|PL\/pgSQL)$/;
        stays_below("serializer $kind, $level level, 1000 transactions", 24 * 1024, 4096, "$insert(4000, 4150) g;",
            "SELECT format('INSERT INTO $table VALUES (%s)', g) FROM generate_series(5000, 5999) g \\gexec", $table, 4152);
    }
}

# --- large rows -------------------------------------------------------------------------------------
# 128 MB of JSON in all, and as much again of old rows.
for my $case ([ 'INSERT', [], 1 ], [ 'UPDATE', ['include=old'], 2 ], [ 'DELETE', [], 1 ]) {
    my ($operation, $options, $times) = @$case;
    my $table = table($operation, 'statement', $options);
    my $fill = "INSERT INTO $table SELECT g, 0, fill FROM large, generate_series(1, 32) g;";
    my %statement = (INSERT => [ '', $fill ], UPDATE => [ $fill, "UPDATE $table SET n = 1;" ], DELETE => [ $fill, "DELETE FROM $table;" ]);
    stays_below(join(', ', "$operation of 32 rows of 4 MB", @$options), $times * 64 * 1024, 4096, @{ $statement{$operation} }, $table, 32);
}

# --- rows that are not recorded ---------------------------------------------------------------------
my $unchanged = table('UPDATE', 'statement', ['changed=fill']);
stays_below('20,000 rows that have not changed', 24 * 1024, 4096, "INSERT INTO $unchanged SELECT g, 0, repeat('x', 1900) FROM generate_series(1, 20000) g;",
    "UPDATE $unchanged SET n = 1;", $unchanged, 0);

# --- old rows that are told by their keys -----------------------------------------------------------
# One row moves to a partition that does not take it: each of the others' old rows is found by its key.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE moved (id int, part int DEFAULT 1, n int DEFAULT 0, fill text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE moved_1 PARTITION OF moved FOR VALUES IN (1); CREATE TABLE moved_2 PARTITION OF moved FOR VALUES IN (2);
CREATE FUNCTION take_none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER none BEFORE INSERT ON moved_2 FOR EACH ROW EXECUTE FUNCTION take_none();
CREATE TRIGGER c AFTER UPDATE ON moved REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT
    EXECUTE FUNCTION whisperer.capture('moved', 'changed=part,fill');
SQL
stays_below('20,000 old rows that are counted by their keys', 24 * 1024, 4096, "INSERT INTO moved SELECT g, 1, 0, repeat('x', 1900) FROM generate_series(1, 20000) g;",
    'UPDATE moved SET n = 1, part = CASE id WHEN 1 THEN 2 ELSE part END;', 'moved', 0);

done_testing();
