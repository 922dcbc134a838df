# Somebody holds an old snapshot, so no entry of an index may go: what the worker does page by page walks each entry once,
# not those of all pages before.
use strict;
use warnings;
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('held');
my $receiver = new_receiver('held');
my $url = $receiver->url('/ok');
my $rows = 12000;
sub sql { return $node->safe_psql('postgres', shift) }
sub pending { return sql('SELECT count(*) FROM whisperer.delivery WHERE state = ' . ($_[0] // q('pending'))) }
# Entries that scans of the index of due deliveries, or another, have met, once the worker has told of them.
sub entries {
    my ($index) = @_;
    my $last = -1;
    $index //= '^delivery_\\d_hook_id_next_attempt_at_event_id_idx';
    return wait_for("the counters", sub {
        my $now = sql("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE indexrelname ~ '$index'");
        (my $before, $last) = ($last, $now);
        Time::HiRes::sleep(1.2);    # they are told of once a second
        return $now == $before ? $now + 1 : 0;
    }) - 1;
}
use Time::HiRes ();

sql("SELECT whisperer.register_event('e'); SELECT whisperer.pause_hook(whisperer.create_hook('e', '$url'))");
sql("SELECT count(whisperer.deliver_event('e', '{}')) FROM generate_series(1, $rows)");
wait_for('the backlog', sub { pending() == $rows });
sql('VACUUM ANALYZE whisperer.delivery');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM whisperer.hook');
my $before = entries();
sql('SELECT whisperer.delete_hook(1)');
wait_for('the cancellation', sub { pending() == 0 });
is(pending(q('cancelled')), $rows, 'a backlog is cancelled beside an old snapshot');
cmp_ok(entries() - $before, '<', 3 * $rows, 'each entry is walked once');

# --- one after the other, as people do it: each request is found, and those that are done are not walked again -------
my $singles = 1500;
sql("SELECT whisperer.pause_hook(whisperer.create_hook('e', '$url/singles'))");
sql("SELECT count(whisperer.deliver_event('e', '{}')) FROM generate_series(1, $singles)");
wait_for('the backlog', sub { pending() == $singles });
$before = entries('^request_to_do$|^request_pkey$');
sql(join '', map { "SELECT whisperer.cancel('$_');" } split /\n/, sql(q(SELECT event_id FROM whisperer.delivery WHERE state = 'pending')));
wait_for('the cancellation', sub { pending() == 0 });
wait_for('the end of the requests', sub { sql(q(SELECT count(*) FROM whisperer.request WHERE kind <> 'hooks')) == 0 });
my $walked = entries('^request_to_do$|^request_pkey$') - $before;
note "$walked entries for $singles requests";
cmp_ok($walked, '<', 20 * $singles, 'requests that are done are not walked again and again');
$holder->quit;
$node->stop;

# --- what expires -----------------------------------------------------------------------------------------------
# As many as expire within the sixth of the retention for which a slot is the oldest, on a slow machine, too: a slot that is
# not through by then is walked once more when its turn comes again.
$rows = 10000;
$node = new_node('held_retention', extra => "whisperer.retention = 20s\n");
sql("SELECT whisperer.register_event('e'); SELECT whisperer.pause_hook(whisperer.create_hook('e', '$url'))");
sql("SELECT count(whisperer.deliver_event('e', '{}')) FROM generate_series(1, $rows)");
wait_for('the backlog', sub { pending() == $rows });
$holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM whisperer.hook');
$before = entries('^delivery_\d_');
hold($node, 'between-stretches');
wait_held($node, 'between-stretches');
is(sql(q(SELECT backend_type, backend_xmin IS NULL FROM pg_stat_activity WHERE query = 'held at between-stretches')), 'whisperer retention|t',
    'while retention reads a slot it holds up no vacuum');
release_hold($node);
wait_for('retention', sub { $rows == sum(0, slurp_file($node->logfile) =~ /events removed after whisperer\.retention: (\d+)/g) });
pass('a backlog expires beside an old snapshot');
$walked = entries('^delivery_\d_') - $before;
note "$walked entries for $rows rows";
cmp_ok($walked, '<', 6 * $rows, 'each entry is walked a few times');
$holder->quit;
done_testing();
