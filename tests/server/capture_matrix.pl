# Capture triggers with every option, at both levels, under every command: each event is byte for byte what the
# changed row makes of it, however many rows there are, however wide, in memory or on disk.
#
# Every option meets every level, command, number of rows, width, work_mem and session: one with settings of its own, one in
# which the statement broke off half way, one in which it was rolled back.  Which of them meet at once is random, and
# WHISPERER_SEED repeats it.  What lies on disk is tried for every option.
use strict;
use warnings;
use Captures;
use CaptureVerdict;
use Test::More;
use Whisperer;

seeded();
my $is_soak = ($ENV{WHISPERER_TRIES} // 1) > 1;
my $node = new_capture_node('capture_matrix', $is_soak ? (toasted => 20_000) : ());
my @commands = shuffled(commands());

# Each of the values about as often as the others, in random order.
sub dealt {
    my ($count, @values) = @_;
    return map { shuffled(@values) } 1 .. $count / @values;
}

sub cell {
    my ($table, $command, $rows, $width, $work_mem, $session, $on_disk) = @_;
    $rows = many_of($width) if $rows eq 'many';
    return { table => $table, command => $command, rows => $rows, width => $width, work_mem => $work_mem, session => $session, on_disk => $on_disk };
}

# The largest statement of each option has another command each time; where old rows count, it has two tables.
my @largest = shuffled(@commands, @commands);
my @sizes = shuffled(0, 1, 99, 100, 101, 'many');
my $group = 0;
for my $option (options_of_capture()) {
    for my $level ('row', 'statement') {
        my $table = watched($node, name => 'item', option => $option, level => $level, breaks_off => 1);
        my @width = dealt(scalar @commands, qw(narrow wide toasted));
        my @work_mem = dealt(scalar @commands, '64kB', '64MB');
        my @session = dealt(scalar @commands, 'plain', 'odd', 'failed', 'undone', 'failed', 'undone');
        # Every size meets every level of every option, and every command.
        my @cells = map { cell($table, $commands[$_], $sizes[ ($_ + $group) % @sizes ], $width[$_], $work_mem[$_], $session[$_]) } 0 .. $#commands;
        $group++;
        if ($level eq 'statement') {
            my $command = $option->{changed} || $option->{include_old} ? 'UPDATE' : shift @largest;
            push @cells, map { cell($table, $_, 'many', 'wide', '64kB', 'plain', 1) } @commands;
            push @cells, cell($table, $command, 'many', 'narrow', '64kB', 'plain', 1);
        }
        run_cells($node, @cells);
    }
}

# Far more than one run of rows holds, on disk.
my ($any) = shuffled(options_of_capture());
my $large = watched($node, name => 'large', option => $any, level => 'statement');
run_cells($node, map { cell($large, $_, 20_000, 'wide', '64kB', 'plain', 1) } @commands);
# 400 MB a statement, which takes minutes.  So many do not all lie in the order of their ids: PostgreSQL puts one into a page
# that had room left.
run_cells($node, map { { %{ cell($large, $_, 20_000, 'toasted', '64kB', 'plain', 1) }, unordered => 1 } } @commands) if $is_soak;

done_testing();
