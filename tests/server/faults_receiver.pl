# Receivers that die or freeze while a load runs, and a worker that can open no descriptor or write no more
# of the ledger.
use strict;
use warnings;
use Faults;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

# Small segments of WAL: a limit on the size of files must leave room for those.
my $trial = Faults->new('faults_receiver', init => { extra => ['--wal-segsize=1'] });
my $node = $trial->{node};

sub restart_receiver {
    $trial->{receiver}->signal('KILL');
    $trial->{receiver}->stop;
    sleep Faults::moment(0, 0.5);
    $trial->start_receiver;
}

$trial->try_fault('receiver killed with -9, started again', \&restart_receiver);

# Up to twice as long as an attempt may take.
$trial->try_fault('receiver stopped (SIGSTOP) for a while', sub {
    $trial->{receiver}->signal('STOP');
    sleep Faults::moment(0.2, 4);
    $trial->{receiver}->signal('CONT');
}, settings => { 'whisperer.request_timeout' => "'2s'" });

# Connections that are there must be replaced, and cannot be.
$trial->try_fault('worker: out of file descriptors', sub {
    my $pid = $trial->worker;
    my $open = () = glob "/proc/$pid/fd/*";
    system("prlimit --pid $pid --nofile=$open:") == 0 or die 'prlimit failed';
    restart_receiver();
    sleep Faults::moment(0.2, 1);
    system("prlimit --pid $pid --nofile=1024:") == 0 or die 'prlimit failed';
});

# The ledger grows past what the WAL needs; then its files may not grow at all, and the worker ends with an error.
$trial->try_fault('worker: the ledger cannot grow', sub {
    my $pid = $trial->worker;
    $node->safe_psql('postgres', "INSERT INTO item (round) SELECT $trial->{round} FROM generate_series(1, 10000)");
    my $size = $node->safe_psql('postgres', "SELECT max(pg_relation_size(c.oid)) FROM pg_class c WHERE relname ~ '^delivery_[0-7]\$'");
    my $limit = $size > 1 << 20 ? $size : 1 << 20;
    system("prlimit --pid $pid --fsize=$limit:") == 0 or die 'prlimit failed';
    wait_for('the worker to give up', sub { ($trial->ask("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") // 1) == 0 });
}, ends_worker => 1);

like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/could not extend file|File too large/, 'the ledger could not grow');

done_testing();
