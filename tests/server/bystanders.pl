# Other people's transactions: one forgotten in a snapshot, one that has recorded an event and does not
# commit.  Everybody else's events flow, and the worker holds no snapshot.
use strict;
use warnings;
use Faults;
use IPC::Run ();
use Test::More;
use Time::HiRes qw(time);
use Whisperer;

my $trial = Faults->new('bystanders', extra => "deadlock_timeout = 5s\n");
my $node = $trial->{node};

# Events a second, from the first insert of a backlog to the last receipt.
sub drain {
    my ($events) = @_;
    my $begun = time;
    my $client = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-t', $events / 2, '-D', "round=$trial->{round}",
        '-h', $node->host, '-p', $node->port, '-f', "$trial->{folder}/plain", 'postgres' ], '<', \undef, '>', \my $out, '2>', \my $err);
    my %sampled;
    while ($client->pumpable) {
        $client->pump_nb;
        my $row = $trial->ask("SELECT backend_xmin IS NOT NULL, coalesce(extract(epoch FROM now() - xact_start), 0)
            FROM pg_stat_activity WHERE backend_type = 'whisperer worker'") // next;
        my ($holds, $age) = split /\|/, $row;
        $sampled{$holds}++;
        $sampled{age} = $age if $age > ($sampled{age} // 0);
    }
    $client->finish;
    wait_idle($node);
    return ($events / (time - $begun), \%sampled);
}

my ($alone) = drain(2000);

my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM item');
my $writer = $node->background_psql('postgres');
$writer->query_safe("BEGIN; INSERT INTO item (round) VALUES (1000)");

my ($beside, $sampled) = drain(2000);
note sprintf '%.0f events/s alone, %.0f beside two open transactions: ratio %.2f', $alone, $beside, $beside / $alone;
cmp_ok($sampled->{f} // 0, '>', 0, "the worker holds no snapshot between its steps ($sampled->{f} of @{[$sampled->{f} + ($sampled->{t} // 0)]} looks)");
cmp_ok($sampled->{age}, '<', 30, "and none for long (at most $sampled->{age} s)");

my $row = $trial->compare;
is("$row->{missing} missing, $row->{invented} invented, $row->{duplicates} duplicates", '0 missing, 0 invented, 0 duplicates',
    "everybody else's $row->{committed} events arrive, once each");

# Events that came since the last look.
sub came { return scalar keys %{ $trial->received->{'/ok/plain'} // {} } }

is(came(), 0, 'the event of the open transaction is not sent');
$writer->query_safe('COMMIT');
wait_for('its event', sub { came() == 1 });
pass('it is, once that commits');
$reader->query_safe('COMMIT');
$_->quit for $reader, $writer;

done_testing();
