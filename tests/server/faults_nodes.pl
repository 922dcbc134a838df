# A primary whose hooks two delivery nodes deliver, while a load runs on it: nodes, primary and what is between them fail.
# WHISPERER_NODE_INSTALL: where another version of PostgreSQL is installed, with the extension, which the nodes use.
# WHISPERER_DISABLED_S: for how long the subscription of a node is disabled under the load.
use strict;
use warnings;
use Cluster;
use Faults;
use IO::Socket::INET ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

my $is_soak = ($ENV{WHISPERER_TRIES} // 1) > 1;
my $cut_s = $is_soak ? 60 : 5;
my $many = $is_soak ? 200_000 : 20_000;
my $impatient = $is_soak ? '' : "wal_sender_timeout = 2s\nwal_receiver_timeout = 2s\n";

my $trial = Faults->new('faults_nodes', paths => [ map { "/ok/$_" } 1 .. 4 ], rate => 200, init => { allows_streaming => 'logical' },
    extra => "max_wal_senders = 10\nmax_replication_slots = 10\n$impatient");
my %node;

# --- the nodes ----------------------------------------------------------------------------------------------------

# What hands the node's connections on to whatever is the primary now.
my $relay_port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
my $relay;

sub start_relay {
    my $primary = $trial->{node};
    my $program = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/relay.mjs}r;
    $relay = IPC::Run::start([ 'node', $program, $relay_port, $primary->host . '/.s.PGSQL.' . $primary->port ], '<', \undef, '>', \my $out, '2>', \my $error);
    wait_for('the relay', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $relay_port) });
}

END {
    my $status = $?;
    $relay->kill_kill if $relay;
    $? = $status;
}

sub sql { my $node = shift; return $node->safe_psql('postgres', @_) }

sub subscribe {
    my ($name) = @_;
    sql($node{$name}, sql($trial->{node}, "SELECT whisperer.subscription_command('$name', 'host=127.0.0.1 port=$relay_port user=postgres dbname=postgres', hooks => true)"));
}

sub new_delivery_node {
    my ($name) = @_;
    my @install = $ENV{WHISPERER_NODE_INSTALL} ? (install_path => $ENV{WHISPERER_NODE_INSTALL}) : ();
    $node{$name} = new_node("node_$name", @install, extra => <<"CONF");
whisperer.node = '$name'
whisperer.circuit_breaker = off
wal_retrieve_retry_interval = 200ms
restart_after_crash = on
$impatient
CONF
    subscribe($name);
    sql($trial->{node}, "SELECT whisperer.add_node('$name')");
    $trial->deliver_by(values %node);
}

# Everything that was committed on the primary has reached the nodes.
sub arrive {
    my $end = $trial->answer('SELECT pg_current_wal_lsn()');
    wait_for('the nodes', sub {
        ($trial->ask("SELECT count(*) FROM whisperer.nodes n JOIN pg_replication_slots s ON s.slot_name = 'whisperer_' || n.name WHERE s.confirmed_flush_lsn >= '$end'") // '')
            eq keys %node;
    });
}

start_relay();
sql($trial->{node}, 'SELECT whisperer.publish_events(hooks => true)');
new_delivery_node($_) for qw(a b);
$trial->{before_settling} = \&arrive;
is(sql($trial->{node}, 'SELECT count(*) FROM whisperer.nodes WHERE hooks > 0'), 2, 'both nodes have hooks');

# --- faults -------------------------------------------------------------------------------------------------------

my $a = $node{a};
SKIP: {
    my ($folder, $small) = Faults::small_folder('node');
    skip 'a full disk: only root can make a small file system', 1 unless $folder;
    sql($a, "CREATE TABLESPACE small LOCATION '$folder'");
    sql($a, "ALTER TABLE whisperer.${_} SET TABLESPACE small") for map { ("outbox_$_", "delivery_$_") } 0 .. 7;
    $trial->try_fault('no space left for what a delivery node takes', sub {
        my $seen = -s $a->logfile;
        my $ballast = Faults::fill($folder);
        sql($trial->{node}, "INSERT INTO item (round) SELECT $trial->{round} FROM generate_series(1, 2000)");
        wait_for('it to have no room', sub { substr(slurp_file($a->logfile), $seen) =~ /No space left on device/ });
        unlink $ballast or die "cannot remove the ballast: $!";
        $a->restart;
    });
    sql($a, "ALTER TABLE whisperer.${_} SET TABLESPACE pg_default") for map { ("outbox_$_", "delivery_$_") } 0 .. 7;
}
$trial->try_fault('delivery node killed with -9, started again', sub { $a->kill9; wait_for('it', sub { $a->{_pid} = undef; $a->start(fail_ok => 1) }) });
$trial->try_fault('worker of a delivery node killed with -9', sub { kill_worker($a, worker_pid($a)) });
$trial->try_fault('primary of delivery nodes killed with -9, started again', sub { $trial->{node}->kill9; $trial->start_server });
$trial->try_fault("network between primary and nodes silent for $cut_s s", sub {
    $relay->signal('STOP');
    sleep $cut_s;
    $relay->signal('CONT');
});
$trial->try_fault("network between primary and nodes broken for $cut_s s", sub {
    $relay->kill_kill;
    sleep $cut_s;
    start_relay();
});
$trial->try_fault('subscription disabled meanwhile', sub {
    sql($a, 'ALTER SUBSCRIPTION whisperer_hooks DISABLE');
    sql($trial->{node}, "INSERT INTO item (round) SELECT $trial->{round} FROM generate_series(1, 2000)");
    $trial->wait_for_rows(200);
    sleep($ENV{WHISPERER_DISABLED_S} // 0);
    sql($a, 'ALTER SUBSCRIPTION whisperer_hooks ENABLE');
});
$trial->try_fault("a transaction of $many events", sub {
    sql($trial->{node}, "INSERT INTO item (round) SELECT $trial->{round} FROM generate_series(1, $many)");
}, tries => 2);
my $columns = 0;
$trial->try_fault('columns of a captured table come and go on the primary', sub {
    my $column = 'more_' . ++$columns;
    sql($trial->{node}, "ALTER TABLE item ADD COLUMN $column text DEFAULT 'x'");
    $trial->wait_for_rows(20);
    sql($trial->{node}, "ALTER TABLE item DROP COLUMN $column");
});
$trial->try_fault('delivery node removed, and added again', sub {
    sql($trial->{node}, "SELECT whisperer.remove_node('a')");
    $trial->wait_for_rows(20);
    sql($trial->{node}, "SELECT whisperer.add_node('a')");
});

# --- failover -----------------------------------------------------------------------------------------------------

my $standbys = 0;
my $holds_nodes_back = $trial->{node}->pg_version->major >= 17;

# A synchronous standby, so that what a client was told is there.  From PostgreSQL 17 on no node is sent what it has not.
sub new_standby {
    my ($conf) = @_;
    my ($primary, $name) = ($trial->{node}, 'standby_' . ++$standbys);
    sql($primary, q(SELECT pg_create_physical_replication_slot('standby'))) if $holds_nodes_back;
    $primary->backup("for_$name");
    my $standby = Cluster->new($name);
    $standby->init_from_backup($primary, "for_$name", has_streaming => 1);
    # What the primary says of itself as a standby comes along.
    $standby->append_conf('postgresql.conf', $conf // ($holds_nodes_back ? "primary_slot_name = 'standby'\nsync_replication_slots = off\n" : "primary_slot_name = ''\n"));
    $standby->start;
    sql($primary, "SET synchronous_commit = local; ALTER SYSTEM SET synchronous_standby_names = '$name'");
    sql($primary, q(SET synchronous_commit = local; ALTER SYSTEM SET synchronized_standby_slots = 'standby')) if $holds_nodes_back;
    $primary->reload;
    wait_for('the standby', sub { $trial->ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") });
    return $standby;
}

# The primary dies, and the relay leads to the standby.
sub promote {
    my ($standby) = @_;
    $trial->{node}->kill9;
    $trial->stop_load;
    $relay->kill_kill;
    $trial->{node} = $standby;
    $standby->promote;
    $trial->insist('ALTER SYSTEM RESET synchronous_standby_names');
    $trial->insist('ALTER SYSTEM RESET synchronized_standby_slots') if $holds_nodes_back;
    $standby->reload;
    $trial->commit_prepared;
    start_relay();
    $trial->start_load('mixed');
    $trial->wait_for_rows(20);
}

# From PostgreSQL 17 on a standby can keep the nodes' slots.
sub fail_over_with_slots {
    my $primary = $trial->{node};
    for my $name (sort keys %node) {
        sql($node{$name}, 'ALTER SUBSCRIPTION whisperer_hooks DISABLE');
        wait_for('the slot to be free', sub { sql($primary, "SELECT active FROM pg_replication_slots WHERE slot_name = 'whisperer_$name'") eq 'f' });
        sql($node{$name}, $_) for 'ALTER SUBSCRIPTION whisperer_hooks SET (failover = true)', 'ALTER SUBSCRIPTION whisperer_hooks ENABLE';
    }
    my $standby = new_standby(sprintf "primary_slot_name = 'standby'\nhot_standby_feedback = on\nsync_replication_slots = on\nprimary_conninfo = '%s dbname=postgres application_name=standby_%d'\n",
        'host=' . $primary->host . ' port=' . $primary->port . ' user=postgres', $standbys + 1);
    wait_for('the slots', sub { sql($standby, q(SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary AND invalidation_reason IS NULL)) == 2 });
    $trial->wait_for_rows(100);
    promote($standby);
}

# Before that each node is removed by force and subscribed anew.  What it had when the primary died it delivers; from when on something
# may be missing is what remove_node says, all there is before 17.  What had been delivered before the load began
# somebody knows; the rest is replayed, so some comes twice.
sub fail_over_without_slots {
    my $delivered_until = sql($trial->{node}, "SELECT min(made_at) FROM item WHERE round = $trial->{round}");
    my $standby = new_standby();
    $trial->wait_for_rows(100);
    # The new primary has it prepared, and makes no slot before it ends.
    sql($trial->{node}, "BEGIN; INSERT INTO item (round) VALUES ($trial->{round}); PREPARE TRANSACTION 'of a client that is gone'");
    promote($standby);
    my %from = map { split /\|/ } map { split /\n/, sql($standby, "SELECT hook_id || '|' || replay_from FROM whisperer.remove_node('$_', force => true)") } sort keys %node;
    for my $name (sort keys %node) {
        sql($node{$name}, "ALTER SUBSCRIPTION whisperer_hooks $_") for 'DISABLE', 'SET (slot_name = NONE)';
        sql($node{$name}, 'DROP SUBSCRIPTION whisperer_hooks');
        subscribe($name);
    }
    sql($standby, "SELECT whisperer.replay($_, greatest('$from{$_}'::timestamptz, '$delivered_until'))") for sort keys %from;
    $trial->wait_for_rows(20);
    sql($standby, "SELECT whisperer.add_node('$_')") for sort keys %node;
}

SKIP: {
    skip 'slots are synchronised from PostgreSQL 17 on', 1 if $a->pg_version->major < 17 || $trial->{node}->pg_version->major < 17;
    $trial->try_fault('failover to a standby that has the slots of the nodes', \&fail_over_with_slots);
}
$trial->try_fault('failover to a standby that has no slots for the nodes', \&fail_over_without_slots, repeats => 1, is_ahead => !$holds_nodes_back);

$_->stop for values %node;
$trial->{node}->stop;
done_testing();
