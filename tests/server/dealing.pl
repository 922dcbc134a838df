# Which of several workers serves which hook: a worker more takes its part and leaves the rest alone, hooks that make
# one worker busy are dealt to others, and nothing is lost or repeated by it.
use strict;
use warnings;
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Whisperer;

my $hooks = 12;
my $node = new_node('dealing', extra => "restart_after_crash = on\nwhisperer.workers = 2\nwhisperer.track_hooks = off\n");
my $receiver = new_receiver('dealing');
my $base = $receiver->url('');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub set_to { my ($name, $value) = @_; sql("ALTER SYSTEM SET whisperer.$name = $value"); $node->reload }
sub wait_workers {
    my ($count) = @_;
    wait_for("$count workers", sub { sql("SELECT string_agg(state, ' ') FROM whisperer.status") eq join ' ', ('running') x $count });
}
sub pids { return sql("SELECT string_agg(pid::text, ' ' ORDER BY worker) FROM whisperer.status WHERE state IN ('running', 'paused')") }

sql(<<"SQL");
CREATE TABLE item (id bigserial PRIMARY KEY, hook text);
SELECT count(whisperer.register_event('item-' || g)) FROM generate_series(1, $hooks) g;
SELECT whisperer.create_hook('item-' || g, '$base/ok/' || g) FROM generate_series(1, $hooks) g;
SQL
is(sql('SELECT string_agg(id::text, \' \' ORDER BY id) FROM whisperer.hook'), join(' ', 1 .. $hooks), 'the hooks have the ids that the places below are of');

# Which worker has which hook: hook n is sent 2 ** (n - 1) events more, and each worker says how many it delivered.
sub delivered { return map { [ split /\|/ ] } split /\n/, sql('SELECT worker, delivered FROM whisperer.status ORDER BY worker') }
sub places {
    my ($workers) = @_;
    wait_workers($workers);
    wait_idle($node);
    my $settled = sub { my $seen = ''; wait_for('figures that stay', sub { my $now = join ' ', map { @$_ } delivered(); my $same = $now eq $seen; $seen = $now; return $same }) };
    $settled->();
    my %before = map { @$_ } delivered();
    my $events = 2**$hooks - 1;
    sql("SELECT count(whisperer.deliver_event('item-' || g, '{}')) FROM generate_series(1, $hooks) g, generate_series(1, (2 ^ (g - 1))::integer)");
    wait_idle($node);
    my %after;
    wait_for('all to be counted', sub { %after = map { @$_ } delivered(); return sum(map { $after{$_} - $before{$_} } keys %after) == $events });
    my %place;
    for my $worker (keys %after) {
        $place{$_} = $worker for grep { ($after{$worker} - $before{$worker}) >> ($_ - 1) & 1 } 1 .. $hooks;
    }
    return \%place;
}
sub shown { my ($place) = @_; return join ' ', map { $place->{$_} } 1 .. $hooks }

# --- by the ids alone: nothing is counted
my $two = places(2);
is(shown($two), '0 1 1 1 1 0 1 1 1 0 1 1', 'each of two workers has its part');
set_to('workers', 3);
my $three = places(3);
is(shown($three), '0 2 1 1 2 2 1 1 1 0 1 1', 'a third takes a part of both, and nothing else moves');
set_to('workers', 2);
is(shown(places(2)), shown($two), 'when it leaves they have them back');
# Returns what it says when all have come back.
sub rebalance {
    my $before = pids();
    my $told = sql('SELECT whisperer.rebalance_workers()');
    wait_for('others to have come', sub { my %gone = map { $_ => 1 } split / /, $before; my @now = split / /, pids(); return @now == keys %gone && !grep { $gone{$_} } @now });
    return $told;
}
is(rebalance(), 2, 'both workers are told to leave');
is(shown(places(2)), shown($two), 'where nothing is counted the ids alone say who has a hook');

# --- by their loads, while events come: two busy hooks of one worker, both ordered
my ($first, $second) = (grep { $two->{$_} == 1 } 1 .. $hooks)[ 0, 1 ];
set_to('track_hooks', 'on');
sql("SELECT whisperer.update_hook($_, '{\"ordering\": \"hook\"}')") for $first, $second;
sql("CREATE TRIGGER item_created_$_ AFTER INSERT ON item FOR EACH ROW WHEN (NEW.hook = '$_') EXECUTE FUNCTION whisperer.capture('item-$_')") for $first, $second;
sub begin_load {
    my ($seconds) = @_;
    my $load = $node->background_psql('postgres', on_error_stop => 0);
    $load->query_until(qr/begun/, <<"SQL");
\\echo begun
DO \$\$ BEGIN FOR i IN 1..1000000 LOOP
    INSERT INTO item (hook) VALUES ('$first'), ('$second'); COMMIT; PERFORM pg_sleep(0.002);
    EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'enough');
END LOOP; END \$\$;
\\echo ended
SQL
    return $load;
}
sub end_load {
    my ($load) = @_;
    sql('CREATE TABLE enough ()');
    $load->query_until(qr/ended/, '');
    $load->quit;
    sql('DROP TABLE enough');
    wait_idle($node);
}
# The events that a hook has got, of batches too.
sub came { my ($hook) = @_; return map { ref $_ eq 'ARRAY' ? @$_ : $_ } map { JSON::PP::decode_json($_->{body}) } $receiver->requests("/ok/$hook") }
# What of the table a hook has got, and what it has got twice.
sub missing_and_twice {
    my ($hook) = @_;
    my %times;
    $times{$_}++ for grep { defined } map { $_->{data}{id} } came($hook);
    my @missing = grep { !$times{$_} } split /\n/, sql("SELECT id FROM item WHERE hook = '$hook'");
    return (scalar @missing, scalar grep { $_ > 1 } values %times);
}
sub wait_counted {
    my ($count) = @_;
    wait_for('attempts to be counted', sub { sql("SELECT coalesce(min(n), 0) FROM (SELECT sum(delivered) AS n FROM whisperer.hook_minute WHERE hook_id IN ($first, $second) GROUP BY hook_id HAVING count(*) > 0) AS counted") >= $count
        && sql("SELECT count(DISTINCT hook_id) FROM whisperer.hook_minute WHERE hook_id IN ($first, $second)") == 2 });
}
sub moved { return sql("SELECT string_agg(moved_hook_ids::text, ' ' ORDER BY worker) FROM whisperer.bookmark") }

my $load = begin_load();
wait_counted(300);
is(rebalance(), 2, 'both leave under load and come back');
like(moved(), qr/^\{($first|$second)\} \{\}$/, 'one of the two busy hooks has moved, and no other');
my @at_once = map { $_->[1] } delivered();
wait_for('both workers to deliver', sub { my @now = map { $_->[1] } delivered(); return @now == 2 && $now[0] > $at_once[0] + 50 && $now[1] > $at_once[1] + 50 });
pass('and each worker has one of them');
end_load($load);
is_deeply([ missing_and_twice($_) ], [ 0, 0 ], "hook $_: nothing is lost and nothing repeated by the move") for $first, $second;
sub overtaken {
    my ($hook) = @_;
    my @came = grep { defined } map { $_->{data}{id} } came($hook);
    return scalar grep { $came[$_] < $came[ $_ - 1 ] } 1 .. $#came;
}
is(overtaken($_), 0, "hook $_: nor overtaken") for $first, $second;

# --- with batches, from one worker to the other and back
sql("SELECT whisperer.update_hook($_, '{\"ordering\": \"none\", \"batch\": {\"size\": 10, \"wait\": \"50 ms\"}}')") for $first, $second;
my $batched = begin_load();
wait_for('batches', sub { grep { $_->{body} =~ /^\[/ } $receiver->requests("/ok/$first") });
set_to('track_hooks', 'off');
# A worker that leaves writes what it has counted.
wait_for('a hook with batches to move back to where its id puts it', sub { sql('TRUNCATE whisperer.hook_minute'); rebalance(); return moved() eq '{} {}' });
set_to('track_hooks', 'on');
wait_counted(100);
rebalance();
end_load($batched);
like(moved(), qr/^\{($first|$second)\} \{\}$/, 'and there by its load');
is_deeply([ missing_and_twice($_) ], [ 0, 0 ], "hook $_: nothing is lost of a batch and nothing repeated") for $first, $second;

# --- while delivery is paused
sql('SELECT whisperer.pause()');
my ($recorded) = sql("INSERT INTO item (hook) SELECT unnest('{$first,$second}'::text[]) FROM generate_series(1, 300); SELECT max(id) FROM item");
is(rebalance(), 2, 'both leave and come back while delivery is paused');
unlike(join(' ', map { $_->{data}{id} // () } came($first), came($second)), qr/\b$recorded\b/, 'which then stays so');
sql('SELECT whisperer.resume()');
wait_idle($node);
is_deeply([ missing_and_twice($_) ], [ 0, 0 ], "hook $_: all comes once after it") for $first, $second;
sql("SELECT whisperer.update_hook($_, '{\"ordering\": \"hook\", \"batch\": null}')") for $first, $second;

# --- a worker ends alone: it comes back to the same hooks, while the other goes on
my ($other, $ended) = split / /, pids();
sub dealt { return sql("SELECT string_agg(concat(dealt_at, moved_hook_ids), ' ' ORDER BY worker) FROM whisperer.bookmark") }
my $dealt = dealt();
sql("SELECT pg_terminate_backend($ended)");
wait_for('it to be back', sub { my $now = pids(); return $now =~ /^$other \d+$/ && $now ne "$other $ended" });
is(dealt(), $dealt, 'a worker that comes back alone deals nothing anew');

# --- one has left, and the other still waits for an answer: nobody comes back before that one has left, too
sql("SELECT whisperer.register_event('slow'); SELECT whisperer.create_hook('slow', '$base/delay/900/200/slow')");
sub have_one_leave {
    my $answers = () = $receiver->requests('/delay/900/200/slow');
    sql("SELECT whisperer.deliver_event('slow', '{}')");
    wait_for('the slow request', sub { (() = $receiver->requests('/delay/900/200/slow')) > $answers });
    my @both = split / /, pids();
    sql('SELECT whisperer.rebalance_workers()');
    wait_for('one to have left', sub { sql('SELECT count(*) FROM whisperer.bookmark WHERE workers = 0') == 1 });
    my ($last) = grep { sql("SELECT count(*) FROM whisperer.status WHERE pid = $_") } @both;
    return ($last, @both);
}
my ($last, @both) = have_one_leave();
my %early;
while (1) {
    my %there = map { $_ => 1 } split / /, sql("SELECT concat_ws(' ', VARIADIC array_agg(pid)) FROM whisperer.status WHERE pid IS NOT NULL");
    last unless $there{$last};
    delete @there{@both};
    %early = (%early, %there);
}
is_deeply(\%early, {}, 'no worker comes back before all have left');
wait_workers(2);
wait_idle($node);
is(scalar(() = $receiver->requests('/delay/900/200/slow')), 1, 'what the last one waited for comes once');

# --- the server crashes while the workers leave: what was under way may come twice, nothing is lost
# Both are about to write the ledger, or one has left and the other waits for an answer.
sub crash_while {
    my ($in_the_middle) = @_;
    sql("INSERT INTO item (hook) SELECT unnest('{$first,$second}'::text[]) FROM generate_series(1, 500)");
    $in_the_middle->();
    wait_workers(2);
    wait_idle($node);
}
crash_while(sub {
    hold($node, 'before-ledger-commit');
    wait_held($node, 'before-ledger-commit');
    my ($victim) = split / /, pids();
    sql('SELECT whisperer.rebalance_workers()');
    kill_worker($node, $victim);
    release_hold($node);
});
crash_while(sub {
    my ($victim) = have_one_leave();
    kill_worker($node, $victim);
});
is((missing_and_twice($_))[0], 0, "hook $_: nothing is lost where the server crashes in the middle") for $first, $second;

# --- by itself: a worker does not keep up
# Both hooks are back on one worker, whose engine is full of large events for as long as its receiver takes.
sql('TRUNCATE whisperer.hook_minute');
set_to('poll_interval', 10);    # sixty of these are from one look to the next
rebalance();
is(moved(), '{} {}', 'without loads no hook moves');
sql("SELECT whisperer.update_hook($_, '{\"ordering\": \"none\", \"target_url\": \"$base/delay/20/200/$_\"}')") for $first, $second;
set_to(@$_) for [ max_in_flight => 2 ], [ park_after => "'60s'" ];
sql("INSERT INTO item (hook) SELECT unnest('{$first,$second}'::text[]) FROM generate_series(1, 1000)");
my $log_before = -s $node->logfile;
wait_counted(30);
wait_for('a worker that is behind', sub { sql('SELECT max(lag_seconds) > 1.5 FROM whisperer.status') eq 't' });
is(moved(), '{} {}', 'hooks that were dealt in the last hour stay');
sql("UPDATE whisperer.bookmark SET dealt_at = dealt_at - interval '1 hour'");
wait_for('them to be dealt', sub { moved() =~ /^\{($first|$second)\} \{\}$/ });
# What the other worker had read already it reads again, past all that the hook still has to get, which waits in the ledger.
my ($late) = moved() =~ /^\{(\d+)\}/;
my ($kept_up) = grep { $two->{$_} == 0 } 1 .. $hooks;
sql("SELECT whisperer.deliver_event('item-$kept_up', '{\"after\": \"dealing\"}')");
wait_for('the event of a hook that had kept up', sub { grep { $_->{body} =~ /"after"/ } $receiver->requests("/ok/$kept_up") });
cmp_ok(scalar(() = $receiver->requests("/delay/20/200/$late")), '<', 900, 'a hook that had kept up does not wait until the one that moved has caught up');
cmp_ok(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $late AND state = 'pending' AND request_datetimes = '{}'"), '>', 0, 'whose deliveries wait in the ledger');
like(substr(slurp_file($node->logfile), $log_before), qr/LOG:  whisperer: the hooks of database "postgres" are dealt to its workers anew: the busiest of them would have (4\d|50) % less to do/, 'the log says why');
set_to(@$_) for [ max_in_flight => 256 ], [ park_after => "'1s'" ], [ poll_interval => 1000 ];
wait_workers(2);
wait_idle($node);
for my $hook ($first, $second) {
    my %times;
    $times{ JSON::PP::decode_json($_->{body})->{data}{id} }++ for $receiver->requests("/delay/20/200/$hook");
    is_deeply([ scalar keys %times, scalar grep { $_ > 1 } values %times ], [ 1000, 0 ], "hook $hook: all came once");
}

# --- one worker has them all
set_to('workers', 1);
wait_workers(1);
is(sql('SELECT whisperer.rebalance_workers()'), 0, 'one worker has nothing to share');
is(moved(), '{}', 'and all hooks');

done_testing();
