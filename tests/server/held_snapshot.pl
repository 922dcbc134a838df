# Somebody holds an old snapshot, so no entry of an index may go: what the worker does page by page walks each entry once,
# not those of all pages before.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('held');
my $receiver = new_receiver('held');
my $url = $receiver->url('/ok');
my $rows = 12000;
sub sql { return $node->safe_psql('postgres', shift) }
sub pending { return sql('SELECT count(*) FROM whisperer.delivery WHERE state = ' . ($_[0] // q('pending'))) }
# Entries that scans of the index of due deliveries have met, once the worker has told of them.
sub entries {
    my $last = -1;
    return wait_for("the counters", sub {
        my $now = sql(q(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE indexrelname ~ '^delivery_\d_hook_id_next_attempt_at_event_id_idx'));
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
$holder->quit;
done_testing();
