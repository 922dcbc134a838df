# Another number of workers begins at the bookmark that is furthest behind.  Two may differ in nothing but a
# transaction that was running for the one and had ended for the other.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('bookmarks');
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

done_testing();
