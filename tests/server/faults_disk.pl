# A full file system: the ledger's tablespace has no room left, gets some, and nothing is missing.
use strict;
use warnings;
use Faults;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $small = $ENV{WHISPERER_SMALL};
plan skip_all => 'a full disk: only root can make a small file system' unless $small;

my $trial = Faults->new('faults_disk', paths => [ '/ok/plain', '/ok/other' ]);
my $node = $trial->{node};
my $folder = "$small/tablespace_$$";
mkdir $folder or die "cannot make $folder: $!";
$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$folder'");
$node->safe_psql('postgres', "ALTER TABLE whisperer.delivery_$_ SET TABLESPACE small") for 0 .. 7;

# dd ends when there is no room for more.
$trial->try_fault('no space left for the ledger', sub {
    my $pid = $trial->worker;
    system("dd if=/dev/zero of=$folder/../ballast bs=64k 2>/dev/null");
    $node->safe_psql('postgres', "INSERT INTO item (round) SELECT $trial->{round} FROM generate_series(1, 2000)");
    wait_for('the worker to give up', sub { ($trial->ask("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") // 1) == 0 });
    unlink "$small/ballast" or die "cannot remove the ballast: $!";
}, ends_worker => 1);
like(slurp_file($node->logfile), qr/No space left on device/, 'there was no space left');

$node->stop;
done_testing();
