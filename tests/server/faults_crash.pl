# Processes and servers that die while a load runs: nothing committed is missing at the receiver, and
# nothing else is there.
use strict;
use warnings;
use Faults;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

my $trial = Faults->new('faults_crash', paths => [ '/ok/plain', '/ok/transform', '/late-first/50/x' ], rate => 200);
my $node = $trial->{node};
my $terminate = 'SELECT pg_terminate_backend';
my @ends_worker = (ends_worker => 1);
my $immediate = sub { $node->stop('immediate'); $node->start };

$trial->try_fault('worker killed with -9', sub { kill('KILL', $trial->worker) });
$trial->try_fault('worker: pg_terminate_backend', sub { $trial->ask("$terminate(@{[$trial->worker]})") }, @ends_worker);
$trial->try_fault('worker: pg_cancel_backend', sub { $trial->ask("SELECT pg_cancel_backend(@{[$trial->worker]})") }, @ends_worker);
$trial->try_fault('backend killed with -9', sub {
    kill 'KILL', wait_for('a client', sub {
        $trial->ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'load' LIMIT 1");
    });
});
$trial->try_fault('launcher killed with -9', sub { kill('KILL', $trial->process('whisperer launcher')) });
$trial->try_fault('helper killed with -9', sub { kill('KILL', $trial->process('whisperer helper')) });
$trial->try_fault('helper: pg_terminate_backend', sub { $trial->ask("$terminate(@{[$trial->process('whisperer helper')]})") });
$trial->try_fault('pg_ctl stop -m immediate, start', $immediate);
$trial->try_fault('postmaster killed with -9, start', sub { $node->kill9; $trial->start_server });
$trial->try_fault('pg_ctl restart -m fast', sub { $node->restart });

# Whatever is visible is not yet safe, and little of the ledger is.
my %asynchronous = (mix => 'asynchronous', settings => { wal_writer_delay => "'10s'" });
$trial->try_fault('all commits asynchronous: stop -m immediate, start', $immediate, %asynchronous);
$trial->try_fault('all commits asynchronous: worker killed with -9', sub { kill('KILL', $trial->worker) }, %asynchronous);

my @formats = qw(standard data cloudevents whisperer);
my $change_format = sub {
    push @formats, my $format = shift @formats;
    $trial->ask("SELECT whisperer.update_hook($trial->{paths}{$_}, '{\"format\": \"$format\"}')") for '/ok/plain', '/ok/transform', '/late-first/50/x';
    sleep Faults::moment(0, 0.1);
};
$trial->try_fault('worker killed with -9 when hooks got another format', sub { $change_format->(); kill('KILL', $trial->worker) });
$trial->try_fault('worker: pg_terminate_backend when hooks got another format', sub { $change_format->(); $trial->ask("$terminate(@{[$trial->worker]})") }, @ends_worker);

done_testing();
