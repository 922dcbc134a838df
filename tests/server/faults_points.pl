# The worker is killed with -9 exactly where it hurts, while a load runs: between any two steps of the life of
# a page.
use strict;
use warnings;
use Faults;
use Test::More;
use Whisperer;

my $trial = Faults->new('faults_points', paths => [ '/ok', '/late-first/50/x', '/ok/batch', '/late-first/50/batch', '/ok/ordered', '/ok/ordered_batch',
    '/late-first/50/ordered_batch' ], rate => 200);
my $node = $trial->{node};

my @points = (
    'before-page-snapshot',
    'after-page-snapshot',
    'after-hooks-loaded',
    'in-page',                # half of it is with the engine
    'after-post',             # answered, and not in the ledger
    'before-ledger-commit',   # ledger and bookmark are written, and not committed
    'after-bookmark',         # more is under way
    'after-ledger',           # the bookmark does not know of it
);

for my $point (@points) {
    $trial->try_fault("worker killed with -9 at $point", sub {
        hold($node, $point);
        wait_held($node, $point);
        kill('KILL', $trial->ask("SELECT pid FROM pg_stat_activity WHERE query = 'held at $point'"));
        wait_for('the server', sub { $trial->ask('ALTER SYSTEM RESET whisperer.hold_at; SELECT 1') });
        $node->reload;
    });
}

done_testing();
