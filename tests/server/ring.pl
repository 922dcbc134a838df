# Slots are emptied while a load runs: nothing that a worker has not read goes, nobody's insert stands in a
# queue, and the setting may change at any time.  The setting is as short as it may be: a slot is filled for
# 1.7 s.  WHISPERER_RING_TURNS: how many slots are waited for first.
use strict;
use warnings;
use Faults;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

my $trial = Faults->new('ring', rate => 200, extra => <<'CONF');
whisperer.retention = 10s
whisperer.poll_interval = 100ms
log_lock_waits = on
deadlock_timeout = 5s
CONF
my $node = $trial->{node};
my $turns = $ENV{WHISPERER_RING_TURNS} // 2;
my @sizes;

sub emptied { return scalar(() = slurp_file($node->logfile) =~ /events removed after whisperer\.retention: [1-9]/g) }

sub wait_for_turns {
    my ($more) = @_;
    my $before = emptied();
    while (emptied() < $before + $more) {
        my $so_far = emptied();
        wait_for('a slot to be emptied', sub {
            push @sizes, $node->safe_psql('postgres', "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
                WHERE c.relname ~ '^(outbox|delivery|past_attempt)_[0-7]\$'");
            sleep 0.2;
            return emptied() > $so_far;
        });
    }
}

my @once = (tries => 1);
$trial->try_fault('slots are emptied', sub { wait_for_turns($turns) }, @once);
my $third = int(@sizes / 3);
Faults::report(sprintf 'outbox and ledger: at most %.1f MB in the first third, %.1f MB in the last',
    map { max(@$_) / 1e6 } [ @sizes[0 .. $third] ], [ @sizes[-1 - $third .. -1] ]);
cmp_ok(max(@sizes[-1 - $third .. -1]), '<=', 1.5 * max(@sizes[0 .. $third]), 'the disk that is used does not grow') if $turns >= 20;

$trial->try_fault('delivery is paused for longer than the retention', sub {
    $node->safe_psql('postgres', 'SELECT whisperer.pause()');
    wait_for('a slot to be refused', sub { slurp_file($node->logfile) =~ /is not emptied yet: it has events that no worker has read/ });
    $node->safe_psql('postgres', 'SELECT whisperer.resume()');
    wait_for_turns(1);
}, @once);

# The process lives for a moment; in front of a slot that somebody reads it lives for a second.
for my $way ('killed with -9', 'ended by pg_terminate_backend') {
    $trial->try_fault("retention process $way", sub {
        my $reader = $node->background_psql('postgres', on_error_stop => 0);
        $reader->query('BEGIN; LOCK TABLE whisperer.outbox IN ACCESS SHARE MODE');
        my $pid = $trial->process('whisperer retention');
        $way =~ /kill/ ? kill('KILL', $pid) : $trial->ask("SELECT pg_terminate_backend($pid)");
        eval { $reader->quit };
    });
}

$trial->try_fault('whisperer.retention is changed', sub {
    $trial->set('whisperer.retention' => "'$_ s'"), sleep Faults::moment(0.2, 1) for 60, 11, 3600, 10;
});

Faults::report(sprintf 'the longest transaction of the load took %.0f ms', $trial->longest_transaction_ms);
my @waits = grep { / load LOG:  process \d+ still waiting for/ } split /\n/, slurp_file($node->logfile);
is(scalar @waits, 0, 'no insert waited for a lock for 5 s') or diag @waits;
wait_for('the last events to go', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM whisperer.outbox') == 0 });
is($node->safe_psql('postgres', 'SELECT count(*) FROM whisperer.delivery'), 0, 'in the end nothing is left');

done_testing();
