# The database goes and comes back; the gateway is told to stop while it works; options.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
use JSON::PP ();
use Test::More;
use Whisperer;

# Over TCP, where a server that has closed a connection looks more alive than at a Unix socket.
my $node = new_node('gateway_life', extra => "listen_addresses = '127.0.0.1'\n");
my $receiver = new_receiver('gateway_life');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'subscriber', 'e');
my $gateway = new_gateway($node, database => 'host=127.0.0.1 port=' . $node->port . ' dbname=postgres', options => [ '--pool', 3 ]);

sub status { my ($path, $with) = @_; my $answer = $gateway->get($path, $with); return $answer->{status} . ($answer->{headers}{'retry-after'} ? ' later' : '') }

# --- the database -------------------------------------------------------------------------------
is(join(', ', map { status($_) } '/healthz', '/readyz'), '200, 200', 'all is well');
is(status('/whisperer/hooks/', $token), '200', 'and answers');
my $hook = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/hang') })->{json}{id};

$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway'");
wait_for('the connections to end', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway'") == 0 });
is($gateway->post("/whisperer/hooks/$hook/$_/", $token)->{status}, 200, "connections that were cut are made anew: $_") for qw(pause resume);
is(status('/whisperer/hooks/', $token), '200', 'and again') for 1 .. 3;

$node->stop('immediate');
is(status('/whisperer/hooks/', $token), '503 later', 'a dead database is 503 and when to come again');
is(status('/whisperer/hooks/', 'what_1_' . 'x' x 43), '503 later', 'for unknown tokens, too');
is(join(', ', map { status($_) } '/healthz', '/readyz'), '200, 503 later', 'the gateway lives and is not ready');
my $lost = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/ok') });
unlike($lost->{content}, qr/socket|connection to|port|SELECT/, 'without a word of the inside');
$node->start;
wait_for('the gateway to find it again', sub { status('/whisperer/hooks/', $token) eq '200' });
is(status('/readyz'), '200', 'it comes back by itself');
is(scalar(grep { ($_->{event} // '') eq 'database lost' } $gateway->log_lines), 1, 'and the log said it once');

# --- what is asked while it goes ----------------------------------------------------------------
# A lock makes a change wait; then its connection is cut.
my $locker = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \my $commands, '>', \my $said);
$commands = "BEGIN; UPDATE whisperer.hook SET description = 'locked' WHERE id = $hook;\n\\echo locked\n";
wait_for('the lock', sub { $locker->pump_nb; ($said // '') =~ /locked/ });
sub in_background {
    my (@request) = @_;
    pipe(my $reader, my $writer);
    my $child = fork // die "cannot fork: $!";
    return ($child, $reader) if $child;
    my $answer = eval { $gateway->request(@request) };
    syswrite $writer, $answer ? "$answer->{status} $answer->{content}" : "error: $@";
    POSIX::_exit(0);
}
sub result { my ($child, $reader) = @_; sysread $reader, my $text, 65536; waitpid $child, 0; return $text }
sub wait_for_lock { wait_for('a change that waits', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway' AND wait_event_type = 'Lock'") > 0 }) }
my @changing = in_background('PATCH', "/whisperer/hooks/$hook/", token => $token, json => { description => 'x' });
wait_for_lock();
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway' AND wait_event_type = 'Lock'");
like(result(@changing), qr/^503 .*may have been done/s, 'of a change that was cut off it is said that nobody knows');

# --- stop ---------------------------------------------------------------------------------------
@changing = in_background('PATCH', "/whisperer/hooks/$hook/", token => $token, json => { description => 'last' });
wait_for_lock();
my $idle = $gateway->connect;
my $half = $gateway->connect;
syswrite $half, "GET /healthz HTTP/1.1\r\n";
$gateway->signal('TERM');
is(Gateway::read_to_end($idle) . Gateway::read_to_end($half), '', 'told to stop, it hangs up on who has not asked');
wait_for('the door to close', sub { !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) });
ok(!defined $gateway->end_status, 'lets nobody in, and works on');
$commands = "ROLLBACK;\n\\q\n";
$locker->finish;
like(result(@changing), qr/^200 .*"last"/s, 'what was asked is done and answered');
is($gateway->wait_end, 0, 'and then it ends well');

my $busy = new_gateway($node);
$busy->signal('INT');
is($busy->wait_end, 0, 'SIGINT does the same');

# --- without a database -------------------------------------------------------------------------
sub first_of { my ($event, %with) = @_; my $gateway = new_gateway($node, %with); return wait_for($event, sub { (grep { ($_->{event} // '') eq $event } $gateway->log_lines)[0] })->{detail} }
like(first_of('database lost', database => 'host=127.0.0.1 port=1 user=gateway'), qr/port 1 failed/, 'who starts it without a database is told, before anybody asks');
$node->safe_psql('postgres', 'CREATE DATABASE bare');
like(first_of('the database is not set up for the gateway', database => $node->connstr('bare') . ' user=gateway'), qr/whisperer/, 'or with one that has no extension');

like(first_of('database lost', options => [ '--database', 'host=127.0.0.1 port=1 user=gateway' ]), qr/port 1 failed/, 'also of one beside the first');
like(first_of('a database cannot be read', options => [ '--database', $node->connstr('bare') . ' user=gateway' ]), qr/bare.*whisperer/, 'whatever it lacks');

# --- options ------------------------------------------------------------------------------------
sub run_gateway {
    my ($environment, @arguments) = @_;
    my ($out, $error) = ('', '');
    IPC::Run::run([ 'env', @$environment, $ENV{WHISPERER_GATEWAY}, @arguments ], '<', \undef, '>', \$out, '2>', \$error);
    return ($? >> 8) . " $out$error";
}
like(run_gateway([], '--help'), qr/^0 .*\n.*whisperer-gateway \[OPTIONS\]\n.*--database.*--listen.*\b127\.0\.0\.1:8080.*--pool.*\b8\b.*--threads.*\b64\b.*--trusted-proxies.*--embed-origins/s, '--help');
like(run_gateway([], '--help'), qr/--$_ .*\(Env:WHISPERER_GATEWAY_\U@{[ s{-}{_}r ]}\)/, "with the variable of --$_") for qw(database listen pool threads trusted-proxies embed-origins);
like(run_gateway([], '--version'), qr/^0 whisperer-gateway \d+\.\d+\n$/, '--version');
like(run_gateway([], @$_), qr/^2 whisperer-gateway: /, "refused: @$_") for [ '--pool', 0 ], [ '--pool', 'x' ], [ '--pool' ], [ '--listen', '8080' ], [ '--listen', 'localhost:1' ],
    [ '--listen', '127.0.0.1:65536' ], [ '--trusted-proxies', '10.0.0.0/33' ], [ '--trusted-proxies', 'x' ], map({ [ '--embed-origins', $_ ] } 'shop.example', 'https://shop.example/', 'https://*', "'self'", 'https://a; script-src *', 'https://a,,https://b', '*', "https://a\n"), [ '--what', 1 ], ['what'];
is(run_gateway([], '--poool', 4) =~ s/\n.*//sr, '2 whisperer-gateway: there is no option --poool; there are --help --version --database --listen --pool --threads --trusted-proxies --embed-origins', 'which there are');
is(run_gateway([], '--database', 'host=x', 'password=secret') =~ s/\n.*//sr, '2 whisperer-gateway: there is no option password; a value with spaces needs quotes', 'a password is not repeated');
like(run_gateway([ 'WHISPERER_GATEWAY_POOL=x' ], @$_), qr/^2 whisperer-gateway: --pool: it must be from 1 to 1000 \(from WHISPERER_GATEWAY_POOL\)\n/, 'and from the environment') for [], [ '--threads', 4 ];
like(run_gateway([ 'WHISPERER_GATEWAY_POOL=x' ], '--pool', 3, '--version'), qr/^0 /, 'over which the command line wins');
unlike(run_gateway([], '--pool', 0), qr/\(from/, 'and is then what is wrong');
my $other = new_gateway($node, options => [ '--embed-origins', 'https://shop.example,http://127.0.0.1:8000' ]);
like($other->get('/console/')->{headers}{'content-security-policy'}, qr/; frame-ancestors https:\/\/shop\.example http:\/\/127\.0\.0\.1:8000$/, 'origins that may show the console in a frame');
like(run_gateway([], '--listen', "127.0.0.1:$other->{port}"), qr/^1 whisperer-gateway: bind: /, 'a port that is taken');

done_testing();
