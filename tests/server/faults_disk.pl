# A full file system: the ledger's tablespace has no room left, gets some, and nothing is missing.
use strict;
use warnings;
use Faults;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my ($folder, $small) = Faults::small_folder('ledger');
plan skip_all => 'a full disk: only root can make a small file system' unless $folder;

my $trial = Faults->new('faults_disk', paths => [ '/ok/plain', '/ok/other' ]);
my $node = $trial->{node};
$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$folder'");
$node->safe_psql('postgres', "ALTER TABLE whisperer.delivery_$_ SET TABLESPACE small") for 0 .. 7;

$trial->try_fault('no space left for the ledger', sub {
    my $pid = $trial->worker;
    my $ballast = Faults::fill($folder);
    $node->safe_psql('postgres', "INSERT INTO item (round) SELECT $trial->{round} FROM generate_series(1, 2000)");
    wait_for('the worker to give up', sub { ($trial->ask("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") // 1) == 0 });
    unlink $ballast or die "cannot remove the ballast: $!";
}, ends_worker => 1);
like(slurp_file($node->logfile), qr/No space left on device/, 'there was no space left');

$node->stop;
done_testing();
