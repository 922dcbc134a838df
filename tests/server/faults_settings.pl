# Settings that somebody made for people, for the whole server, the database or the role, must not stop the
# worker; the application says what it needs itself.
use strict;
use warnings;
use Faults;
use Test::More;
use Whisperer;

my $trial = Faults->new('faults_settings', paths => [ '/ok/plain', '/ok/transform' ]);
my $node = $trial->{node};

my %timeouts = (statement_timeout => 1, lock_timeout => 1, idle_in_transaction_session_timeout => 1);
$timeouts{transaction_timeout} = 1 if $node->pg_version >= 17;
my %characteristics = (default_transaction_read_only => 'on', default_transaction_isolation => 'serializable',
    default_transaction_deferrable => 'on');

my @ends_worker = (ends_worker => 1);

# New processes start with the settings, old ones are given them.
sub end_worker {
    $trial->ask("SELECT pg_terminate_backend(@{[$trial->worker]})");
}

$trial->try_fault('timeouts of 1 ms for the whole server', \&end_worker, settings => \%timeouts, @ends_worker);

for my $whom ('DATABASE postgres', "ROLE @{[$node->safe_psql('postgres', 'SELECT current_user')]}") {
    my %all = (%timeouts, %characteristics);
    $trial->try_fault("timeouts, read only, serializable for $whom", sub {
        $trial->insist("ALTER $whom SET $_ = $all{$_}") for sort keys %all;
        end_worker();
        $trial->wait_for_rows(1);
        $trial->worker;
        $trial->insist("ALTER $whom RESET $_") for sort keys %all;
    }, @ends_worker);
}

# Whoever starts a deferrable transaction waits for serializable ones that write.
$trial->try_fault('serializable, read only, deferrable for the whole server', sub {
    my $session = $node->background_psql('postgres');
    $session->query_safe("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; INSERT INTO item (round) VALUES ($trial->{round})");
    my $pid = $trial->worker;
    end_worker();
    isnt(wait_for('another worker', sub { my $other = $trial->worker; $other ne $pid && $other }), $pid, 'a worker starts beside a serializable transaction');
    $session->query_safe('COMMIT');
    $session->quit;
}, settings => \%characteristics, @ends_worker);

# Every setting of ours that a file may set, to a value that makes a difference and back.  Attempts may fail for it; what is
# committed arrives all the same.
my %other = (
    allowed_networks => '10.0.0.0/8', denied_networks => '127.0.0.0/8', ca_file => '/nowhere', callback_timeout => '1min', circuit_breaker => 'on',
    connect_timeout => '100ms', disable_after => '1d', divert_to => 'http://127.0.0.1:1/', enabled => 'off', log_deliveries => 'on', track_hooks => 'off',
    max_in_flight => 1, max_in_flight_per_hook => 1, max_payload => '1kB', max_queued_bytes => '1MB', max_response_bytes => 0,
    park_after => '10ms', payload_retention => '30min', poll_interval => '10ms', proxy => 'http://127.0.0.1:1', request_timeout => '100ms', require_https => 'on',
    retention => '1h', idempotency_window => '1s', secret_key_file => '/nowhere', workers => 3, helper_memory => '512MB', worker_memory => '512MB', max_hooks_per_role => 1, max_requests_per_second => 1, tls_key_exchange => 'unrestricted', node => 'a');
is(join(' ', sort keys %other), $node->safe_psql('postgres', q(SELECT string_agg(split_part(name, '.', 2), ' ' ORDER BY name COLLATE "C")
    FROM pg_settings WHERE name LIKE 'whisperer.%' AND context <> 'user')), 'no setting is forgotten');
$trial->try_fault('every setting is changed and reloaded', sub {
    for my $name (sort keys %other) {
        $trial->set("whisperer.$name" => "'$other{$name}'");
        $trial->wait_for_rows(5);
        $trial->reset_settings("whisperer.$name");
        # What new_node and this test set for all servers is in postgresql.conf, so that it holds again now.
        $trial->wait_for_rows(5);
    }
}, tries => 1);

done_testing();
