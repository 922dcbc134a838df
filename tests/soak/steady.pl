# A long time at half of what this machine can do, with hooks that fail and one that is slow: the worker's
# memory and descriptors, and the tables that it updates, do not grow.
#
# WHISPERER_SOAK_S: how long; WHISPERER_SOAK_RATE: transactions a second, else it is measured first.
use strict;
use warnings;
use Faults;
use IPC::Run ();
use List::Util qw(max min sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Whisperer;

my $seconds = $ENV{WHISPERER_SOAK_S} // 1800;
my $period_s = min(120, $seconds / 6);    # then what was committed and received is compared
my @tables = qw(hook_run bookmark request);

my $trial = Faults->new('steady', paths => [ '/ok/plain', '/flaky/20/500/x', '/delay/300' ]);
my $node = $trial->{node};
my $url = $trial->{receiver}->url('/status/500');
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.create_hook('item-created', '$url', retry_countdown_config =>
    '{"choice": "fixed", "kwargs": {"seconds": 1}, "max_retries": 1}')
SQL

# Half of the rate at which events are committed and delivered by all hooks.
sub half_of_the_maximum {
    my ($begun, $out, $err) = time;
    IPC::Run::run([ 'pgbench', '-n', '-c', 2, '-t', 1500, '-D', 'round=0', '-h', $node->host, '-p', $node->port,
        '-f', "$trial->{folder}/plain", 'postgres' ], '<', \undef, '>', \$out, '2>', \$err) or die $err;
    $trial->settle;
    $trial->received;    # of no round that is compared
    return int(3000 / (time - $begun) / 2);
}

sub sample {
    my $pid = $trial->worker;
    my ($anonymous) = slurp_file("/proc/$pid/smaps_rollup") =~ /^Anonymous:\s+(\d+)/m;
    my %sample = (anonymous_kb => $anonymous, descriptors => scalar(() = glob "/proc/$pid/fd/*"));
    for my $table (@tables) {
        @sample{ "$table kB", "$table dead" } = split /\|/, $node->safe_psql('postgres', <<"SQL");
SELECT pg_relation_size(relid) / 1024, n_dead_tup FROM pg_stat_all_tables WHERE relid = 'whisperer.$table'::regclass
SQL
    }
    $sample{'xmin age'} = $node->safe_psql('postgres',
        "SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity WHERE pid = $pid");
    return \%sample;
}

$trial->{rate} = $ENV{WHISPERER_SOAK_RATE} // half_of_the_maximum();
Faults::report("steady: $seconds s at $trial->{rate} transactions/s");
my (@samples, %sum);
my $end = time + $seconds;
while (time < $end) {
    $trial->{round}++;
    $trial->start_load('mixed');
    my $pause_at = min(time + $period_s, $end);
    while (time < $pause_at) {
        sleep 2;
        push @samples, sample();
    }
    $trial->stop_load;
    $trial->settle;
    my $row = $trial->compare;
    $sum{$_} += $row->{$_} for qw(committed missing invented duplicates again);
}
Faults::report("steady: $sum{committed} committed, $sum{missing} missing, $sum{invented} invented, $sum{duplicates} duplicates, sent again $sum{again}");
is("$sum{missing} missing, $sum{invented} invented", '0 missing, 0 invented', 'nothing is missing, nothing invented');

# What the worker needs for its work it has after a while: the first samples are not counted.
splice @samples, 0, int(@samples / 10);
my $third = int(@samples / 3) || 1;
my (%first, %last);
for my $what (sort keys %{ $samples[0] }) {
    $first{$what} = max(map { $_->{$what} } @samples[0 .. $third - 1]);
    $last{$what} = max(map { $_->{$what} } @samples[-$third .. -1]);
    Faults::report(sprintf 'steady: %-14s at most %8d in the first third, %8d in the last', $what, $first{$what}, $last{$what});
}
cmp_ok($last{anonymous_kb}, '<=', 1.05 * $first{anonymous_kb}, 'memory grew by at most 5 %');
cmp_ok($last{descriptors}, '<=', $first{descriptors}, 'no descriptor was left open');
cmp_ok($last{"$_ kB"}, '<=', max(2 * $first{"$_ kB"}, 256), "whisperer.$_ does not bloat") for @tables;

done_testing();
