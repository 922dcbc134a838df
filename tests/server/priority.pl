# Who goes first while there is more to send than can be sent at once: counted by the order in which
# receivers got it.  Nobody goes without.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $count = 400;
my $node = new_node('priority', extra => "whisperer.max_in_flight = 4\n");
my $receiver = new_receiver('priority');

sub sql { return $node->safe_psql('postgres', shift) }

sub record {
    my ($type, $events) = @_;
    sql("SELECT count(whisperer.deliver_event('$type', json_build_object('n', g), object_id => g::text)) FROM generate_series(1, $events) g");
}

# A hook for each priority, by its name; what they are for is in the log when delivery begins.  Each answer takes a while:
# where it comes at once, a worker that PostgreSQL's assertions slow down has nothing that waits to be sent.
my $slow = '/delay/10/200';
sub new_hooks {
    my ($type, $more, @priorities) = @_;
    sql("SELECT whisperer.register_event('$type')");
    return map { $_ => sql("SELECT whisperer.create_hook('$type', '@{[ $receiver->url(qq($slow/$type/$_)) ]}', priority => '$_'$more)") } @priorities;
}

# How many events of each path had come when the last of this one came.
sub counts_at_end_of {
    my ($of) = @_;
    my (%counts, %at_end);
    for my $request ($receiver->requests) {
        next unless $request->{path} =~ m{^(?:/ok|$slow)/(.*)$};
        my $path = $1;
        $counts{$path} += (Whisperer::Receiver::header($request, 'X-Whisperer-Batch') // 1);
        %at_end = %counts if $path eq $of;
    }
    return (\%at_end, \%counts);
}

sub is_served {
    my ($type, $events, $what) = @_;
    wait_idle($node);
    is(sql("SELECT count(DISTINCT d.hook_id) || ' ' || count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id
            WHERE h.event_type = '$type' AND d.state = 'delivered' AND d.retry_count = 1"), $events, "$what: each was sent everything, once");
}

# --- turns ----------------------------------------------------------------------------------------
# 16, 4 and 1: but for the beginning, in which everybody has one request at a time, when high has all of
# its, normal has a quarter of that and low a sixteenth.
sub takes_turns {
    my ($type, $more, $what) = @_;
    new_hooks($type, $more, qw(low normal high));
    sql('SELECT whisperer.pause()');
    record($type, $count);
    sql('SELECT whisperer.resume()');
    is_served($type, '3 ' . 3 * $count, $what);
    my ($at_end, $all) = counts_at_end_of("$type/high");
    my ($normal, $low) = map { $at_end->{"$type/$_"} // 0 } qw(normal low);
    note("$what: of $count each, when high had all: normal $normal, low $low");
    is($all->{"$type/$_"}, $count, "$what: $_ has all at last") for qw(low normal high);
    cmp_ok($normal, '<', $count / 2, "$what: high goes first");
    cmp_ok($normal, '>', $count / 16, 'and normal goes, too');
    cmp_ok($low, '<', $normal, 'low goes after normal');
    cmp_ok($low, '>', $count / 64, 'and goes');
}
takes_turns('plain', '', 'as they come');
takes_turns('lines', ", ordering => 'key'", 'in lines');

# --- a high one that comes last ---------------------------------------------------------------------
new_hooks('bulk', '', 'low');
new_hooks('urgent', '', 'high');
sql('SELECT whisperer.pause()');
record('bulk', 4 * $count);
record('urgent', 20);
sql('SELECT whisperer.resume()');
is_served('bulk', '1 ' . 4 * $count, 'what was there before');
my ($bulk) = counts_at_end_of('urgent/high');
note("of @{[ 4 * $count ]} that were recorded before: $bulk->{'bulk/low'}");
is($bulk->{'urgent/high'}, 20, 'what is urgent came');
cmp_ok($bulk->{'bulk/low'}, '<', 2 * $count, 'before half of what was recorded before it');

# --- hooks of one priority share it --------------------------------------------------------------------
my $first = sql("SELECT whisperer.create_hook('shared', '@{[ $receiver->url('/ok/shared/1') ]}', priority => 'low') FROM whisperer.register_event('shared')");
my $second = sql("SELECT whisperer.create_hook('shared', '@{[ $receiver->url('/ok/shared/2') ]}', priority => 'low')");
sql("SELECT whisperer.pause_hook(h) FROM unnest(ARRAY[$first, $second]) h");
record('shared', $count);
wait_for('both backlogs', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") == 2 * $count });
sql("SELECT whisperer.resume_hook(h) FROM unnest(ARRAY[$first, $second]) h");
is_served('shared', '2 ' . 2 * $count, 'two of one priority');
my ($at_first) = counts_at_end_of('shared/1');
my ($at_second) = counts_at_end_of('shared/2');
cmp_ok($at_first->{'shared/2'}, '>', $count / 2, 'the second is not behind the first');
cmp_ok($at_second->{'shared/1'}, '>', $count / 2, 'nor the first behind the second');

# --- changed while it waits -----------------------------------------------------------------------------
sql(qq(SELECT whisperer.update_hook($_, '{"target_url": "@{[ $receiver->url("/ok/changed/$_") ]}", "priority": "normal"}'), whisperer.pause_hook($_))) for $first, $second;
record('shared', $count);
wait_for('both backlogs', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") == 2 * $count });
sql(qq(SELECT whisperer.update_hook($second, '{"priority": "high"}'); SELECT whisperer.resume_hook(h) FROM unnest(ARRAY[$first, $second]) h));
is_served('shared', '2 ' . 4 * $count, 'a changed one');
my ($changed) = counts_at_end_of("changed/$second");
note("of the other: $changed->{qq(changed/$first)}");
cmp_ok($changed->{"changed/$first"}, '<', $count / 2, 'goes first with what had waited');

# --- batches ----------------------------------------------------------------------------------------------
new_hooks('batched', q(, batch => '{"size": 5}'), qw(low high));
sql('SELECT whisperer.pause()');
record('batched', $count);
sql('SELECT whisperer.resume()');
is_served('batched', '2 ' . 2 * $count, 'in batches');
my ($batched) = counts_at_end_of('batched/high');
note("in batches: $batched->{'batched/low'}");
cmp_ok($batched->{'batched/low'}, '<', $count / 2, 'high goes first');

done_testing();
