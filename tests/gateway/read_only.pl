# A server that takes no changes: they are 503, reading goes on, /readyz says so, and as soon as there is a
# server that takes them it is found.
use strict;
use warnings;
use Cluster;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
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
my $standby = Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
my $reading = new_gateway($standby);
changes_are_refused($reading, 'a standby alone');

# A lock on the primary makes who reads from the standby wait, so that each has a session.
my $locker = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \my $commands, '>', \my $said);
$commands = "BEGIN; LOCK TABLE whisperer.hook_definition;\n\\echo locked\n";
wait_for('the lock', sub { $locker->pump_nb; ($said // '') =~ /locked/ });
sub of_standby { my ($more) = @_; return split /\n/, $standby->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'whisperer-gateway' $more") }
wait_for('it there', sub { $standby->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE relation = 'whisperer.hook_definition'::regclass AND mode = 'AccessExclusiveLock'") == 1 });
my @readers = map { $reading->start_request('GET', '/whisperer/hooks/', token => $token) } 1 .. 4;
wait_for('four who read', sub { of_standby("AND wait_event_type = 'Lock'") == 4 });
$commands = "ROLLBACK;\n\\q\n";
$locker->finish;
is($reading->answer_of($_)->{status}, 200, 'they read') for @readers;
my %before = map { $_ => 1 } of_standby('');
is($reading->status_of('GET', '/readyz'), 503, 'who asks whether it is ready');
is(create($reading)->{status}, 503, 'or wants a change');
my @after = of_standby('');
is(scalar @after, scalar keys %before, 'takes nobody a session');
cmp_ok(scalar(grep { !$before{$_} } @after), '<=', 2, 'but one, once a second, to look for another server');
my @hosts = map { join ',', @$_ } [ $standby->host, $node->host ], [ $standby->port, $node->port ];
my $both = new_gateway($node, database => "host=$hosts[0] port=$hosts[1] dbname=postgres user=gateway");
changes_are_made($both, 'of two servers the one that takes changes is found, though it is named second');

$node->stop('immediate');
changes_are_refused($both, 'only the standby is left');
$standby->promote;
changes_are_made($both, 'when it is promoted changes are made');
changes_are_made($reading, 'also by who has no other server');

done_testing();
