# What the settings ask for and the server has not is said once, when it starts or the settings change.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

# Of this process, and so of the servers that it starts.
system('prlimit', '--pid', $$, '--nofile=1024:') == 0 or die 'prlimit failed';

my $node = new_node('resources');
sub warnings { return grep { /the server has less than the settings ask for/ } split /\n/, slurp_file($node->logfile) }
sub wait_for_warnings { my ($count, $why) = @_; wait_for($why, sub { warnings() >= $count }); is(scalar(warnings()), $count, $why) }
sub set {
    my (%to) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET $_ = '$to{$_}'") for sort keys %to;
    $node->reload;
}

# By then the launcher has looked.
wait_for('a worker', sub { $node->safe_psql('postgres', q(SELECT count(*) FROM whisperer.status WHERE state = 'running')) });
is(scalar(warnings()), 0, 'the defaults fit a server with its defaults');

set('whisperer.max_in_flight' => 2000, 'whisperer.workers' => 5, 'whisperer.worker_memory' => '16MB');
wait_for_warnings(1, 'settings that are too large are told of');
$node->restart;
wait_for_warnings(2, 'and so they are at the next start');
my $log = slurp_file($node->logfile);
like($log, qr/DETAIL: .*max_in_flight is 2000, and of 1024 file descriptors of a process 512 are for requests/, 'descriptors');
like($log, qr/HINT: .*Give the server 4000 file descriptors/, 'and how many it takes');
like($log, qr/max_worker_processes is 8, and 13 are needed/, 'processes');
like($log, qr/Raise max_worker_processes to 13 at least: 2 \+ 2 \* whisperer\.workers \* databases with the extension \+ the launcher of logical replication, and more for parallel queries and logical replication; or lower whisperer\.workers\./,
    'and the formula, with the number that it comes to');
like($log, qr/worker_memory is 16 MB, and a worker may take 388 MB all the same/, 'memory');

# The same once more is not told, another answer is.
set('whisperer.log_deliveries' => 'on');
set('whisperer.worker_memory' => '1GB');
wait_for_warnings(3, 'what is left is told when it has changed');
set('whisperer.workers' => 1, 'whisperer.max_in_flight' => 512);
wait_for('one worker', sub { $node->safe_psql('postgres', q(SELECT count(*) = 1 FROM whisperer.status WHERE state = 'running')) eq 't' });
set('whisperer.max_queued_bytes' => '2000MB', 'whisperer.workers' => 64, 'whisperer.max_payload' => '256MB');
wait_for_warnings(4, 'more than the machine has');
like(slurp_file($node->logfile), qr/Workers may take \d{6} MB, of \d+ MB/, 'memory of all workers together');

# A container may have less than the machine.  The files that say so are put where the server looks for them, in a mount
# of its own: one that the kernel would keep to takes root to make.
my @alone = ('unshare', '--user', '--map-current-user', '--keep-caps', '--mount');
sub start_in_container {
    my ($server, %files) = @_;
    my $make = join ' && ', 'mount -t tmpfs tmpfs /sys/fs/cgroup', map { "mkdir -p \$(dirname /sys/fs/cgroup/$_) && echo $files{$_} >/sys/fs/cgroup/$_" } sort keys %files;
    command_ok([ @alone, 'sh', '-c', "$make && exec pg_ctl -w -D '" . $server->data_dir . "' -l '" . $server->logfile . "' start" ], 'start');
    $server->_update_pid(1);
}
SKIP: {
    skip 'no mount can be made here', 4 unless system(join(' ', @alone, 'mount -t tmpfs tmpfs /sys/fs/cgroup 2>/dev/null')) == 0;
    my $contained = new_node('contained');
    # Its group is called as it is outside, where the files of the container do not show it.
    my ($version_1) = slurp_file('/proc/self/cgroup') =~ /^\d+:(?:[^:]*,)?memory[,:]/m;
    my $file = defined $version_1 ? 'memory/memory.limit_in_bytes' : 'memory.max';
    for (256, 1024) {
        $contained->stop;
        my $seen = -s $contained->logfile;
        start_in_container($contained, $file => $_ << 20);
        wait_for('a worker', sub { $contained->safe_psql('postgres', q(SELECT count(*) FROM whisperer.status WHERE state = 'running')) });
        my $said = substr slurp_file($contained->logfile), $seen;
        if ($_ == 256) { like($said, qr/DETAIL: .*Workers may take 388 MB, of 256 MB\./, 'a container that is too small') }
        else { unlike($said, qr/less than the settings ask for/, 'and one that is large enough') }
    }
}

# Where the launcher itself has no place nobody looks, for PostgreSQL's own is there first: the postmaster says so.
my ($small) = new_node('small', extra => "max_worker_processes = 1", bare => 1);
my $said = slurp_file($small->logfile);
is(scalar(() = $said =~ /WARNING:/g), 1, 'one warning');
like($said, qr/WARNING: .*whisperer: the launcher has no place, so nothing will be delivered/, 'that nothing will be delivered');
like($said, qr/DETAIL: .*max_worker_processes is 1, and none of them is left/, 'why');
my ($enough) = $said =~ /HINT: .*Raise max_worker_processes to (\d+) at least: [^;]*logical replication\.$/m;
is($enough, 5, 'and how many it takes');
$small->append_conf('postgresql.conf', "max_worker_processes = $enough");
$small->restart;
$small->safe_psql('postgres', 'CREATE EXTENSION whisperer');
worker_pid($small);
unlike(substr(slurp_file($small->logfile), length $said), qr/WARNING:/, 'with those there is nothing to say');
done_testing();
