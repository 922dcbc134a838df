# The network between gateway and database swallows every packet, and nobody is told: requests are answered, their
# turns of the pool end, /healthz answers all the time, the server's sessions end too, and when packets
# arrive again all is as it was.
#
# In a user and a network namespace of its own, with the server in a second one.  The test speaks to the server
# by its socket in the file system, to the gateway by loopback.
use strict;
use warnings;
use Test::More;

# Before the other modules are read: one of them takes the standard output for itself.
BEGIN {
    my @alone = qw(unshare --user --map-current-user --keep-caps --net);
    if (!$ENV{WHISPERER_IS_ALONE}) {
        # A kernel may not let everybody make them, a container neither.
        plan skip_all => 'no network namespaces here: unshare or ip link refuses'
            if system(join(' ', @alone) . q( sh -c 'ip link set lo up && ip link add name near type veth peer name far' >/dev/null 2>&1)) != 0;
        $ENV{WHISPERER_IS_ALONE} = 1;
        exec @alone, $^X, (map { "-I$_" } @INC), $0 or die "cannot run unshare: $!";
    }
}

use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Whisperer;

# --- two networks -------------------------------------------------------------------------------
sub run { my (@command) = @_; system(@command) == 0 or die "failed: @command" }
my $there = fork // die "cannot fork: $!";
exec qw(unshare --net sleep infinity) if !$there;
END { kill KILL => $there if $there }
wait_for('the other network', sub { (readlink "/proc/$there/ns/net" // '') ne readlink '/proc/self/ns/net' });
sub run_there { return run('nsenter', "--net=/proc/$there/ns/net", @_) }
run(qw(ip link set lo up));
run(qw(ip link add name near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02 netns), $there);
run(qw(ip addr add 10.97.0.1/24 dev near));
run(qw(ip link set near up));
run_there(@$_) for [qw(ip addr add 10.97.0.2/24 dev far)], [qw(ip link set far up)], [qw(ip link set lo up)];
# Else the kernel would notice after three seconds that nobody answers for that address, and say so.
run(qw(ip neigh replace 10.97.0.2 lladdr 02:00:00:00:00:02 dev near nud permanent));

# There no way leads back: what comes from here is not believed, and nothing is answered.
sub swallow { return run_there(qw(ip route add blackhole 10.97.0.1/32)) }
sub swallow_no_more { return run_there(qw(ip route del blackhole 10.97.0.1/32)) }

# --- server and gateway -------------------------------------------------------------------------
my $node = new_node('black_hole', extra => "listen_addresses = '*'\n");
$node->append_conf('pg_hba.conf', 'host all all 10.97.0.0/24 trust');
$node->stop;
run_there('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start');
$node->_update_pid(1);
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'subscriber', 'e');
my $gateway = new_gateway($node, options => [ '--pool', 2 ], database => 'host=10.97.0.2 port=' . $node->port . ' dbname=postgres user=gateway');
my $hook = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => 'http://127.0.0.1:9/' })->{json}{id};
sub sessions { my ($more) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway' $more") }
sub said { my ($answer) = @_; return "$answer->{status} " . ($answer->{json}{message} // '') }
sub lists { return said($gateway->get('/whisperer/hooks/', $token)) }

# Both sessions are there: one waits for a lock, the other one is idle.
my $locker = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \my $commands, '>', \my $said);
$commands = "BEGIN; SELECT FROM whisperer.hook_definition WHERE id = $hook FOR UPDATE;\n\\echo locked\n";
wait_for('the lock', sub { $locker->pump_nb; ($said // '') =~ /locked/ });
my $change = $gateway->start_request('PATCH', "/whisperer/hooks/$hook/", token => $token, json => { description => 'x' });
wait_for('a change that waits', sub { sessions("AND wait_event_type = 'Lock'") == 1 });
is(lists(), '200 ', 'before');

# --- nothing comes through ----------------------------------------------------------------------
swallow();
my $reading = $gateway->start_request('GET', '/whisperer/hooks/', token => $token);
$commands = "ROLLBACK;\n\\q\n";
$locker->finish;
is($gateway->status_of('GET', '/healthz'), 200, '/healthz answers');
is($gateway->status_of('GET', '/readyz'), 503, 'it is not ready');
like(lists(), qr/^503 /, 'who comes is told to come again');
my $changed = $gateway->answer_of($change);
is($changed->{status}, 503, 'a change that was under way');
like($changed->{json}{hint}, qr/may have been done/, 'of which nobody knows');
is($gateway->answer_of($reading)->{status}, 503, 'who read');
is($gateway->status_of('GET', '/healthz'), 200, '/healthz answers still');
# A turn is free again when somebody tries to connect, in place of being told that all turns are taken.
wait_for('the turns to end', sub { lists() eq '503 the database cannot be reached' });
pass('turns end while nothing comes through');
wait_for('the sessions to end', sub { sessions('') == 0 });
pass('so do the sessions, by the server');
is($gateway->status_of('GET', '/healthz'), 200, '/healthz answers after all of it');

# --- and again it does --------------------------------------------------------------------------
swallow_no_more();
wait_for('the gateway to find it again', sub { lists() eq '200 ' });
is($gateway->status_of('GET', '/readyz'), 200, 'it comes back by itself');
is($gateway->request('PATCH', "/whisperer/hooks/$hook/", token => $token, json => { description => 'y' })->{status}, 200, 'and changes are made');
cmp_ok(sessions(''), '<=', 2, 'with no more sessions than --pool');

done_testing();
