# Behind a real pooler, whose sessions are lent for a transaction, or all taken: everybody is served, and nothing of
# ours is left in a session that another one gets.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Socket::INET ();
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my ($program) = grep { -x } '/usr/sbin/pgbouncer', map { "$_/pgbouncer" } split /:/, $ENV{PATH};
plan skip_all => 'there is no pgbouncer' unless $program;

my $node = new_node('pooler');
my $receiver = new_receiver('pooler');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'subscriber', 'e');
my $folder = PostgreSQL::Test::Utils::tempdir('pooler');
my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
my $server = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
append_to_file("$folder/users", qq("gateway" ""\n));
append_to_file("$folder/conf", <<"CONF");
[databases]
lent = $server pool_mode=transaction pool_size=3
taken = $server pool_mode=session pool_size=1
one = $server pool_mode=transaction pool_size=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $folder/users
logfile = $folder/log
pidfile = $folder/pid
CONF
my $pooler = IPC::Run::start([ $program, '-q', "$folder/conf" ], '<', \undef, '>', "$folder/out", '2>', "$folder/err");
wait_for('the pooler', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });

my $count = 0;
for my $database ('lent', 'taken') {
    my $gateway = new_gateway($node, database => "host=127.0.0.1 port=$port dbname=$database user=gateway");
    my @asked = map { $gateway->start_request('GET', '/whisperer/hooks/', token => $token) } 1 .. 40;
    my %times;
    $times{ $gateway->answer_of($_)->{status} }++ for @asked;
    is_deeply(\%times, { 200 => 40 }, "$database: all are served");
    my $made = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/ok/' . ++$count) });
    is($made->{status}, 201, 'changes are made');
    is($gateway->post("/whisperer/hooks/$made->{json}{id}/ping/", $token)->{json}{ok}, JSON::PP::true(), 'outcomes are waited for');
    is($gateway->status_of('GET', '/whisperer/session/', token => 'what_1_' . 'x' x 43), 401, 'and tokens looked at');
    next if $database eq 'taken';
    # Each of them, as another client would find it.
    my %found;
    IPC::Run::run([ 'psql', '-XAtq', '-d', "host=127.0.0.1 port=$port dbname=lent user=gateway", map { ('-c', $_) } ("SELECT current_user || ' ' || current_setting('search_path') || ' ' || current_setting('statement_timeout')") x 20 ], '>', \my $said) or die 'psql failed';
    $found{$_}++ for split /\n/, $said;
    is_deeply(\%found, { 'gateway "$user", public 0' => 20 }, 'nothing is left behind');
}

# --- none to be lent ----------------------------------------------------------------------------
my $gateway = new_gateway($node, database => "host=127.0.0.1 port=$port dbname=one user=gateway");
is($gateway->get('/whisperer/hooks/', $token)->{status}, 200, 'with one session for all');
my $holder = IPC::Run::start([ 'psql', '-XqAt', '-d', "host=127.0.0.1 port=$port dbname=one user=gateway" ], '<', \my $commands, '>', \my $held);
$commands = "BEGIN; SELECT 'held';\n";
wait_for('the session to be held', sub { $holder->pump_nb; ($held // '') =~ /held/ });
my %late = (event_type => 'e', target_url => $receiver->url('/ok/late'));
my @refused = map { $gateway->answer_of($gateway->start_request('POST', '/whisperer/hooks/', token => $token, json => \%late)) } 1 .. 3;
is(join(' ', map { $_->{status} } @refused), '503 503 503', 'while somebody holds it, nobody waits for ever');
$commands = "ROLLBACK;\n\\q\n";
$holder->finish;
wait_for('the next', sub { $gateway->get('/whisperer/hooks/', $token)->{status} == 200 });
is($gateway->get('/whisperer/hooks/?target_url=' . $late{target_url}, $token)->{json}{results}[0], undef, 'and nothing of it is done later');
my @why = grep { ($_->{event} // '') eq 'work lost' } $gateway->log_lines;
is($why[0]{detail}, 'the pooler lends no session', 'the log knows why');
$pooler->kill_kill;

done_testing();
