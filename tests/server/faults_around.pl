# What goes wrong around the extension while a load runs: a clock that is set, functions without memory, and another
# database whose tables are replicated into this one.
use strict;
use warnings;
use Faults;
use Test::More;
use Time::HiRes qw(sleep);
use WallClock;
use Whisperer;

# --- the clock ----------------------------------------------------------------------------------
{
    my $trial = Faults->new('faults_clock', paths => [ '/ok/plain', '/ok/ordered', '/late-first/50/x' ]);
    my $clock = WallClock->new;
    $clock->restart($trial->{node});
    my $try = 0;
    $trial->try_fault('clock set ahead by 20 s and back, or back by 20 s and ahead', sub {
        $clock->set($try++ % 2 ? -20 : 20);
        $trial->wait_for_rows(20);
        sleep Faults::moment(0, 0.5);
        $clock->set(0);
    }, sets_clock => 1);
    $trial->{node}->stop;
}

# --- memory -------------------------------------------------------------------------------------
{
    my $trial = Faults->new('faults_memory', paths => [ '/ok/plain', '/ok/transform' ]);
    my $node = $trial->{node};
    $node->safe_psql('postgres', <<'SQL');
CREATE OR REPLACE FUNCTION same(event json) RETURNS json LANGUAGE plpgsql AS
$$ BEGIN PERFORM length(repeat('x', CASE WHEN random() < 0.02 THEN 100000000 + length(event::text) ELSE 1 END)); RETURN event; END $$;
SQL
    $trial->try_fault('helper: no memory', sub {
        my $failed = q(SELECT function_error_at FROM whisperer.hook_stats WHERE function_error LIKE '%out of memory%');
        my $before = $trial->answer($failed);
        # On a busy machine a call may take too long, and another helper comes.
        my %had;
        wait_for('a function that finds none', sub {
            my $pid = $trial->process('whisperer helper');
            $had{$pid} //= `prlimit --pid $pid --data --noheadings --raw --output SOFT` =~ /(\w+)/ && $1;
            system("prlimit --pid $pid --data=60000000: 2>/dev/null") if $had{$pid};
            return $trial->answer($failed) ne $before;
        });
        system("prlimit --pid $_ --data=$had{$_}: 2>/dev/null") for grep { $had{$_} } keys %had;
    });
    $node->stop;
}

# --- another database ---------------------------------------------------------------------------
{
    my $logical = "wal_level = logical\nmax_replication_slots = 60\nmax_wal_senders = 60\nmax_worker_processes = 60\n"
        . "max_logical_replication_workers = 30\nmax_sync_workers_per_subscription = 20\nwal_retrieve_retry_interval = 200ms\n";
    my $trial = Faults->new('faults_replicated', paths => [ '/ok/plain', '/late-first/50/x' ], extra => $logical);
    my $node = $trial->{node};
    # Until PostgreSQL 17 max_replication_slots limits them, too.
    if ($node->pg_version >= 18) {
        $node->append_conf('postgresql.conf', 'max_active_replication_origins = 60');
        $node->restart;
    }
    my $other = new_node('faults_publisher', extra => $logical);
    $other->safe_psql('postgres', <<'SQL');
SELECT whisperer.register_event(t) FROM unnest('{item-created,other}'::text[]) t;
SELECT whisperer.create_hook('other', 'http://127.0.0.1:1/');
CREATE PUBLICATION everything FOR ALL TABLES;
SQL
    $node->safe_psql('postgres', sprintf q(CREATE SUBSCRIPTION s CONNECTION '%s' PUBLICATION everything), $other->connstr('postgres') =~ s/'/''/gr);
    wait_for('the copies', sub { $node->safe_psql('postgres', q(SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r')) == 0 });
    my @statements = (
        q(SELECT count(whisperer.deliver_event('item-created', json_build_object('key', gen_random_uuid()))) FROM generate_series(1, 50)),
        'TRUNCATE whisperer.outbox, whisperer.delivery, whisperer.past_attempt, whisperer.hook_definition, whisperer.bookmark',
        # Not for the type that is recorded here: what a hook that is carried here would get waits for resume().
        q(SELECT whisperer.create_hook('other', 'http://127.0.0.1:1/')),
    );
    $trial->try_fault('all tables of another database with the extension come, and are truncated there', sub {
        $other->safe_psql('postgres', $_) for @statements;
        $other->wait_for_catchup('s');
        $trial->ask("SELECT pg_terminate_backend(@{[ $trial->worker ]})");
    });
    $node->safe_psql('postgres', 'DROP SUBSCRIPTION s');
    $_->stop for $other, $node;
}

done_testing();
