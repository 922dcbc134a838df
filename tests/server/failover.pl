# Failover: the primary dies under load, its synchronous standby is promoted.  The worker starts there by
# itself; nothing that a client was told is committed is missing, nothing is sent that the standby has not.
use strict;
use warnings;
use Faults;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $trial = Faults->new('failover', paths => [ '/ok/one', '/ok/two' ], init => { allows_streaming => 1 });

sub new_standby {
    my ($primary, $name) = @_;
    $primary->backup("for_$name");
    my $standby = PostgreSQL::Test::Cluster->new($name);
    $standby->init_from_backup($primary, "for_$name", has_streaming => 1);
    $standby->start;
    # Settings of the backup's time would come along.
    $primary->safe_psql('postgres', "SET synchronous_commit = local; ALTER SYSTEM SET synchronous_standby_names = '*'");
    $primary->reload;
    wait_for('the standby', sub { $trial->ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") });
    return $standby;
}

# A client that prints the key of each row once its INSERT has been acknowledged.
sub start_witness {
    my ($file) = @_;
    my $script = "$trial->{folder}/witness";
    append_to_file($script, "INSERT INTO item (round) VALUES ($trial->{round}) RETURNING key;\n" x 20000) unless -e $script;
    return IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $trial->{node}->host, '-p', $trial->{node}->port,
        '-f', $script, 'postgres' ], '<', \undef, '>', $file, '2>', "$file.err");
}

my $promotions = 0;
my %told;

$trial->try_fault('failover to a synchronous standby', sub {
    my $primary = $trial->{node};
    my $standby = new_standby($primary, 'standby_' . ++$promotions);
    my $acknowledged = "$trial->{folder}/acknowledged_$promotions";
    my $witness = start_witness($acknowledged);
    wait_for('the witness', sub { -s $acknowledged });
    $trial->wait_for_rows(100);
    is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'whisperer'"), 0, 'nothing of ours runs on a standby');
    $trial->mark;
    $primary->kill9;
    $trial->stop_load;
    $witness->finish;
    $told{$_} = 1 for grep { /^[-0-9a-f]{36}$/ } split /\n/, slurp_file($acknowledged);
    $standby->promote;
    $trial->{node} = $standby;
    $trial->worker;
    $trial->start_load('mixed');
});

my $there = $trial->committed;
cmp_ok(scalar keys %told, '>', 0, 'clients were told of commits: ' . scalar keys %told);
is(scalar(grep { !$there->{$_} } keys %told), 0, 'and each of those is in the promoted server');

done_testing();
