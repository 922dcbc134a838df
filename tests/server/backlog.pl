# A hook with a large backlog: pause and resume, disabled and resumed, deleted; and that another hook does
# not notice.  WHISPERER_BACKLOG says how many deliveries; a soak has a million.
use strict;
use warnings;
use List::Util qw(max);
use Test::More;
use Whisperer;

my $count = $ENV{WHISPERER_BACKLOG} // 10_000;
$Whisperer::wait_s = max($Whisperer::wait_s, $count / 500);
my $node = new_node('backlog', extra => "max_wal_size = '4GB'\nshared_buffers = '256MB'\n");
my $nginx = new_nginx('backlog');
my $base = $nginx->url('');

sub sql { return $node->safe_psql('postgres', shift) }
sub in_state { return sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $_[0] AND state = '$_[1]'") }
sub wait_state {
    my ($hook, $state, $wanted) = @_;
    wait_for("$wanted $state", sub { in_state($hook, $state) == $wanted });
    is(in_state($hook, $state), $wanted, "$wanted deliveries are $state");
}
sub record_many {
    sql("SELECT count(whisperer.deliver_event('a', json_build_object('n', g))) FROM generate_series(1, $count) g");
}

sql("SELECT whisperer.register_event(e) FROM unnest('{a,b}'::text[]) e");
my $a = sql("SELECT whisperer.create_hook('a', '$base/a')");
my $b = sql("SELECT whisperer.create_hook('b', '$base/b')");

# Changes a and records an event of b in one transaction.  When a's backlog is done, b's was delivered
# before the last of it.
sub change_beside {
    my ($change) = @_;
    return sql("BEGIN; $change; SELECT whisperer.deliver_event('b', '{}'); COMMIT") =~ s/.*\n//sr;
}

sub passed_by {
    my ($event, $what) = @_;
    is(sql("SELECT b.created_at < (SELECT max(a.modified_at) FROM whisperer.delivery a WHERE a.hook_id = $a)
            FROM whisperer.delivery b WHERE b.event_id = '$event' AND b.state = 'delivered'"), 't', "the other hook is served $what");
}

# --- a page of events for several hooks: more results than a batch has at first -----------------------
my $wide = 512;
sql("SELECT whisperer.register_event('wide')");
my @wide = map { sql("SELECT whisperer.create_hook('wide', '$base/wide/$_')") } 1 .. 5;
sql("SELECT whisperer.pause_hook($_)") for @wide;
wait_idle($node);
my $worker = worker_pid($node);
sql("SELECT count(whisperer.deliver_event('wide', json_build_object('n', g))) FROM generate_series(1, $wide) g");
wait_state($_, 'pending', $wide) for @wide;
is(worker_pid($node), $worker, 'by the same worker');

# --- due one by one: they are read in groups, ten times a second -----------------------------------------
my ($paced, $rows) = ($wide[0], $wide);
sub counters {
    return split /\|/, sql(q(SELECT (SELECT sum(n_tup_upd) FROM pg_stat_user_tables WHERE relname ~ '^delivery_[0-7]$'),
        (SELECT max(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname ~ '^delivery_[0-7]_hook_id_next_attempt_at_event_id_idx')));
}
sql("UPDATE whisperer.delivery d SET next_attempt_at = now() + interval '2 s' + n.n * interval '8 ms'
    FROM (SELECT event_id, row_number() OVER () AS n FROM whisperer.delivery WHERE hook_id = $paced) n WHERE d.hook_id = $paced AND d.event_id = n.event_id");
my ($updated, $scans);
wait_for('the counters', sub { ($updated, $scans) = counters(); $updated >= $rows });
sql("SELECT whisperer.resume_hook($paced)");
wait_state($paced, 'delivered', $rows);
my ($updated_then, $scans_then);
wait_for('the counters', sub { ($updated_then, $scans_then) = counters(); $updated_then >= $updated + $rows });
note $scans_then - $scans, " scans for $rows rows";
cmp_ok($scans_then - $scans, '<', 120, 'a backlog that comes due row by row is read in groups');

# --- paused and resumed -----------------------------------------------------------------------------
sql("SELECT whisperer.pause_hook($a)");
record_many();
wait_state($a, 'pending', $count);
my $event = change_beside("SELECT whisperer.resume_hook($a)");
wait_state($a, 'delivered', $count);
passed_by($event, 'while a backlog goes out');
wait_for('the log of nginx', sub { keys %{ $nginx->ids('/a') } >= $count });
is(max(values %{ $nginx->ids('/a') }), 1, 'each came once');

# --- disabled by a 410 and resumed --------------------------------------------------------------------
sql(qq(SELECT whisperer.update_hook($a, '{"target_url": "$base/gone/a"}')));
sql("SELECT whisperer.deliver_event('a', '{}')");
wait_for('410 to disable it', sub { sql("SELECT state FROM whisperer.hook WHERE id = $a") eq 'disabled' });
record_many();
wait_state($a, 'pending', $count);
$event = change_beside(qq(SELECT whisperer.update_hook($a, '{"target_url": "$base/a2"}'); SELECT whisperer.resume_hook($a)));
wait_state($a, 'delivered', 2 * $count);
passed_by($event, 'while what a disabled hook kept goes out');

# --- paused, resumed and paused again in the middle, then deleted ----------------------------------------
sql("SELECT whisperer.pause_hook($a)");
record_many();
wait_state($a, 'pending', $count);
sql("SELECT whisperer.resume_hook($a)");
wait_for('some to go out', sub { in_state($a, 'delivered') > 2 * $count });
sql("SELECT whisperer.pause_hook($a)");
wait_idle($node);
my $left = in_state($a, 'pending');
cmp_ok($left, '>', 0, 'a pause in the middle keeps the rest');
# A slow look at "some to go out" may leave too few to cancel for anybody to pass by.
record_many();
$left += $count;
wait_state($a, 'pending', $left);
$event = change_beside("SELECT whisperer.delete_hook($a)");
wait_state($a, 'cancelled', $left);
passed_by($event, 'while a backlog is cancelled');
is(in_state($a, 'delivered') + $left, 4 * $count, 'and nothing is unaccounted for');

done_testing();
