# What a standby says of itself: nothing delivers there, and that is how it should be.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_node('primary', init => { allows_streaming => 1 });
my $receiver = new_receiver('standby');
$primary->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event('e');
SELECT whisperer.create_hook('e', '@{[ $receiver->url('/ok') ]}');
SELECT whisperer.deliver_event('e', '{}');
SQL
wait_idle($primary);
$primary->backup('for_standby');
my $standby = Cluster->new('standby');
$standby->init_from_backup($primary, 'for_standby', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->wait_for_catchup('standby');

is($standby->safe_psql('postgres', 'SELECT state, reason FROM whisperer.status'),
    'down|this server is a standby: its primary delivers, and it will itself once it is promoted', 'status says so');
is($standby->safe_psql('postgres', 'SELECT state, delivered FROM whisperer.hook_stats'), 'active|1', 'hook_stats can be read');
my (undef, undef, $error) = $standby->psql('postgres', "CALL whisperer.wait_idle('2 s')");
like($error, qr/wait_idle cannot run on a standby.*HINT:  Its primary delivers: call it there/s, 'wait_idle does not wait');
(undef, undef, $error) = $standby->psql('postgres', "SELECT whisperer.deliver_event('e', '{}')");
like($error, qr/read-only transaction|during recovery/, 'and nothing is recorded');
$standby->promote;
worker_pid($standby);
is($standby->safe_psql('postgres', 'SELECT state, reason FROM whisperer.status'), 'running|', 'once it is promoted a worker runs');

done_testing();
