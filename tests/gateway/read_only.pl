# A server that takes no changes: they are 503, reading goes on, /readyz says so, and as soon as there is a
# server that takes them it is found.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use PostgreSQL::Test::Cluster;
use Test::More;
use Whisperer;

my $node = new_node('primary', init => { allows_streaming => 1 });
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'subscriber', 'e');
my $count = 0;

sub create { my ($gateway) = @_; return $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => 'http://127.0.0.1:9/' . ++$count }) }
sub changes_are_refused {
    my ($gateway, $why) = @_;
    for (1, 2) {
        my $answer = create($gateway);
        is("$answer->{status} $answer->{json}{message}", '503 the database takes no changes now', "$why: no change");
        ok($answer->{headers}{'retry-after'}, 'but when to try again');
    }
    is($gateway->status_of('GET', '/whisperer/hooks/', token => $token), 200, 'reading goes on');
    is($gateway->status_of('GET', '/readyz'), 503, 'it is not ready');
    is($gateway->status_of('GET', '/healthz'), 200, 'and lives');
}
sub changes_are_made {
    my ($gateway, $why) = @_;
    wait_for('a change', sub { create($gateway)->{status} == 201 });
    is(create($gateway)->{status}, 201, $why);
    is($gateway->status_of('GET', '/readyz'), 200, 'and it is ready');
}

# --- by a setting -------------------------------------------------------------------------------
my $gateway = new_gateway($node, options => [ '--pool', 2 ]);
changes_are_made($gateway, 'all is well');
sub switch { my ($sql) = @_; $node->safe_psql('postgres', $_) for $sql, 'SELECT pg_reload_conf()' }
switch('ALTER SYSTEM SET default_transaction_read_only = on');
wait_for('the setting', sub { $node->safe_psql('postgres', 'SHOW default_transaction_read_only') eq 'on' });
changes_are_refused($gateway, 'default_transaction_read_only');
$node->safe_psql('postgres', 'SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()');
changes_are_made($gateway, 'with the setting gone changes are made');
$node->safe_psql('postgres', 'ALTER ROLE gateway SET default_transaction_read_only = on');
my $limited = new_gateway($node);
changes_are_refused($limited, 'a role that may not');
$node->safe_psql('postgres', 'ALTER ROLE gateway RESET default_transaction_read_only');
changes_are_made($limited, 'a role that may again');

# --- a standby ----------------------------------------------------------------------------------
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
my $reading = new_gateway($standby);
changes_are_refused($reading, 'a standby alone');
my @hosts = map { join ',', @$_ } [ $standby->host, $node->host ], [ $standby->port, $node->port ];
my $both = new_gateway($node, database => "host=$hosts[0] port=$hosts[1] dbname=postgres user=gateway");
changes_are_made($both, 'of two servers the one that takes changes is found, though it is named second');

$node->stop('immediate');
changes_are_refused($both, 'only the standby is left');
$standby->promote;
changes_are_made($both, 'when it is promoted changes are made');
changes_are_made($reading, 'also by who has no other server');

done_testing();
