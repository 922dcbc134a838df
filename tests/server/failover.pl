# Failover: the primary dies under load, its synchronous standby is promoted.  The worker starts there by
# itself; nothing that a client was told is committed is missing, nothing is sent that the standby has not.
use strict;
use warnings;
use Cluster;
use Faults;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $trial = Faults->new('failover', paths => [ '/ok/one', '/ok/two' ], init => { allows_streaming => 1 });

my $promotions = 0;
my %told;    # keys of rows whose commit was acknowledged

sub new_standby {
    my ($primary, $name) = @_;
    $primary->backup("for_$name");
    my $standby = Cluster->new($name);
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
    my $script = "$trial->{folder}/witness_$promotions";
    append_to_file($script, "INSERT INTO item (round) VALUES ($trial->{round}) RETURNING key;\n" x 20000);
    return IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $trial->{node}->host, '-p', $trial->{node}->port,
        '-f', $script, 'postgres' ], '<', \undef, '>', $file, '2>', "$file.err");
}

# While the standby's receiver stands still, asynchronous commits go on and are visible.
sub fall_behind {
    my ($standby) = @_;
    my $pid = $standby->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
    kill 'STOP', $pid;
    $trial->wait_for_rows(10);
    return $pid;
}

sub fail_over {
    my (%options) = @_;
    my $primary = $trial->{node};
    my $standby = new_standby($primary, 'standby_' . ++$promotions);
    my $acknowledged = "$trial->{folder}/acknowledged_$promotions";
    my $witness = start_witness($acknowledged);
    wait_for('the witness', sub { -s $acknowledged });
    $trial->wait_for_rows(100);
    is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'whisperer'"), 0, 'nothing of ours runs on a standby');
    my $receiver = $options{behind} ? fall_behind($standby) : undef;
    $primary->kill9;
    # What it had not read yet is gone with it.
    kill 'KILL', $receiver if $receiver;
    $trial->stop_load;
    $witness->finish;
    $told{$_} = 1 for grep { /^[-0-9a-f]{36}$/ } split /\n/, slurp_file($acknowledged);
    $trial->{node} = $standby;
    wait_for('the standby', sub { $trial->ask('SELECT 1') });
    $standby->promote;
    $trial->worker;
    $trial->start_load($options{behind} ? 'asynchronous' : 'mixed');
}

sub check_told {
    my $there = $trial->committed;
    cmp_ok(scalar keys %told, '>', 0, 'clients were told of commits: ' . scalar keys %told);
    is(scalar(grep { !$there->{$_} } keys %told), 0, 'and each of those is in the promoted server');
    %told = ();
}

$trial->try_fault('failover to a synchronous standby', sub { fail_over() });
check_told();
$trial->try_fault('failover to a standby that is behind asynchronous commits', sub { fail_over(behind => 1) }, mix => 'asynchronous');
check_told();

done_testing();
