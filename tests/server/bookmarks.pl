# Another number of workers begins at the bookmark that is furthest behind.  Two may differ in nothing but a
# transaction that was running for the one and had ended for the other.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('bookmarks', extra => "max_prepared_transactions = 2500\n");
my $receiver = new_receiver('bookmarks');
my $base = $receiver->url('');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE item (id int PRIMARY KEY);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '$base/ok/' || g) FROM generate_series(1, 4) g;
SQL
worker_pid($node);

sub set {
    my (%settings) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.$_ = $settings{$_}") for keys %settings;
    $node->reload;
}

sub snapshot { return $node->safe_psql('postgres', 'SELECT pg_current_snapshot()') }

for my $round (1, 2) {
    set(enabled => 'off');
    wait_for('the workers to end', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM whisperer.status WHERE pid IS NOT NULL') == 0 });

    my @running = map { $node->background_psql('postgres') } 1, 2;
    $running[0]->query_safe("BEGIN; INSERT INTO item VALUES ($round * 10)");
    $running[1]->query_safe("BEGIN; INSERT INTO item VALUES ($round * 10 + 1)");
    $node->safe_psql('postgres', "INSERT INTO item VALUES ($round * 10 + 2)");
    my $behind = snapshot();
    $running[1]->query_safe('COMMIT');
    my $ahead = snapshot();
    is($ahead =~ s/:\d+:.*//r, $behind =~ s/:\d+:.*//r, "round $round: the snapshots begin alike");
    isnt($ahead, $behind, 'and are not the same');
    my @seen = $round == 1 ? ($behind, $ahead) : ($ahead, $behind);
    $node->safe_psql('postgres', "WITH gone AS (DELETE FROM whisperer.bookmark RETURNING incarnation)
        INSERT INTO whisperer.bookmark (worker, workers, incarnation, seen, reading)
        SELECT worker, 2, incarnation, seen::pg_snapshot, seen::pg_snapshot
        FROM (SELECT DISTINCT incarnation FROM gone) g, (VALUES (0, '$seen[0]'), (1, '$seen[1]')) AS v (worker, seen)");
    set(enabled => 'on');
    worker_pid($node);
    $running[0]->query_safe('COMMIT');
    $_->quit for @running;
    wait_idle($node);
    for my $hook (1 .. 4) {
        my @ids = sort map { JSON::PP::decode_json($_->{body})->{data}{id} } $receiver->requests("/ok/$hook");
        is(scalar(grep { int($_ / 10) == $round && $_ % 10 < 2 } @ids), 2, "round $round: hook $hook gets what was committed after either bookmark");
    }
}

# Each is forgotten when the next is written.  With so many transactions running one takes a hundred kilobytes.
set(workers => 1);
wait_for('one worker', sub { $node->safe_psql('postgres', 'SELECT count(pid) FROM whisperer.status') == 1 });
$node->safe_psql('postgres', join ';', map { ('BEGIN', 'SELECT pg_current_xact_id()', "PREPARE TRANSACTION 'running-$_'") } 1 .. 2500);
my $items = 1000;

sub write_bookmarks {
    my ($count) = @_;
    for (1 .. $count) {
        my $before = $node->safe_psql('postgres', 'SELECT reading FROM whisperer.bookmark');
        $node->safe_psql('postgres', 'INSERT INTO item VALUES (' . $items++ . ')');
        wait_for('the next bookmark', sub { $node->safe_psql('postgres', 'SELECT reading FROM whisperer.bookmark') ne $before });
    }
}

sub bytes_used {
    my $said = -s $node->logfile;
    $node->safe_psql('postgres', 'SELECT pg_log_backend_memory_contexts(' . worker_pid($node) . ')');
    return wait_for('the sum', sub { (substr(slurp_file($node->logfile), $said) =~ /Grand total: .* (\d+) used/)[0] });
}
write_bookmarks(2);
my $used = bytes_used();
write_bookmarks(6);
my $more = bytes_used() - $used;
note "$more bytes more";
cmp_ok($more, '<', 300_000, 'a bookmark that was written takes the place of the one before');

done_testing();
