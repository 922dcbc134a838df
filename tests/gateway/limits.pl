# Every row of the table of limits in gateway/README.md, driven over its bound.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Select ();
use IO::Socket::INET ();
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_RCVBUF inet_aton pack_sockaddr_in);
use Test::More;
use Whisperer;

local $SIG{PIPE} = 'IGNORE';
my $node = new_node('limits');
my $receiver = new_receiver('limits');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'reader', 'e');
my $gateway = new_gateway($node);
my $count = 0;
sub create { my ($with) = @_; return $with->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/hang/' . ++$count) }) }
my $hook = create($gateway)->{json}{id};
my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('e', json_build_object('text', repeat(md5('x'), 300000)))::text, '-', '')));
my $delivery = "/whisperer/hook_events/$event-$hook/";
wait_for('a delivery', sub { $gateway->get($delivery, $token)->{status} == 200 });
my $head = "Host: x\r\nAuthorization: Token $token\r\n";

# Holds the row of the hook, so that who changes it waits.
sub hold_hook {
    my $locker = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \my $commands, '>', \my $said);
    $commands = "BEGIN; SELECT FROM whisperer.hook_definition WHERE id = $hook FOR UPDATE;\n\\echo locked\n";
    wait_for('the lock', sub { $locker->pump_nb; ($said // '') =~ /locked/ });
    return $locker;
}
sub start_change { my ($with) = @_; return $with->start_request('PATCH', "/whisperer/hooks/$hook/", token => $token, json => { description => 'x' }) }
sub wait_for_waiting { wait_for('a change that waits', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway' AND wait_event_type = 'Lock'") > 0 }) }
sub status { my ($text) = @_; return $text =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'nothing' }
sub said { my ($answer) = @_; return "$answer->{status} $answer->{json}{message}" . ($answer->{headers}{'retry-after'} ? '' : ', not when to come again') }

sub slow_trigger {
    my ($when) = @_;
    $node->safe_psql('postgres', <<"SQL");
CREATE OR REPLACE FUNCTION wait_long() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN PERFORM pg_sleep(600); RETURN NULL; END\$\$;
CREATE CONSTRAINT TRIGGER wait_long AFTER INSERT ON whisperer.hook_definition DEFERRABLE INITIALLY $when FOR EACH ROW EXECUTE FUNCTION wait_long();
SQL
}
sub no_trigger { $node->safe_psql('postgres', 'DROP TRIGGER wait_long ON whisperer.hook_definition') }
sub deaf {
    my ($path, $from) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp', LocalAddr => $from) // die "no socket: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die "setsockopt: $!";
    CORE::connect($socket, pack_sockaddr_in($gateway->{port}, inet_aton('127.0.0.1'))) or die "connect: $!";
    syswrite $socket, "GET $path HTTP/1.1\r\n$head\r\n";
    return $socket;
}
sub ping { my ($from) = @_; my $socket = $gateway->connect($from); syswrite $socket, "POST /whisperer/hooks/$hook/ping/ HTTP/1.1\r\n${head}Connection: close\r\nContent-Length: 0\r\n\r\n"; return $socket }

# It is looked at last.
my $never = deaf("${delivery}payload/", '127.0.0.2');

my %check = (
    '`--pool`: sessions at the database' => sub {
        my $small = new_gateway($node, options => [ '--pool', 1 ]);
        my $locker = hold_hook();
        my $change = start_change($small);
        wait_for_waiting();
        is(said($small->get('/whisperer/hooks/', $token)), '503 too many requests at once', 'no session is free');
        $locker->kill_kill;
        $small->answer_of($change);
        is($small->status_of('GET', '/whisperer/hooks/', token => $token), 200, 'until one is');
    },
    '`--database`: databases, each with its `--pool`' => sub {
        my $many = eval { new_gateway($node, options => [ map { ('--database', 'dbname=x') } 1 .. 16 ]) };
        like($@, qr/the gateway ended: whisperer-gateway: --database: there may be 16$/m, 'one database more');
    },
    'an answer of a database beside the first' => sub {
        my $mute = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1');
        my $two = new_gateway($node, options => [ '--database', 'host=127.0.0.1 dbname=postgres port=' . $mute->sockport ]);
        my $answer = $two->get('/whisperer/hooks/', $token);
        is("$answer->{status} $answer->{json}{unavailable}[0]{message}", '200 it cannot be reached', 'one that says nothing is left out');
    },
    '`--threads`: requests at the database, or waiting for a session' => sub {
        my $small = new_gateway($node, options => [ '--threads', 1, '--pool', 1, '--trusted-proxies', '127.0.0.1' ]);
        my $locker = hold_hook();
        my $change = start_change($small);
        wait_for_waiting();
        my @asked = map { $small->start_request('GET', '/whisperer/hooks/', token => $token) } 1 .. 12;
        is($small->status_of('GET', '/healthz'), 200, 'what needs no thread is served');
        is_deeply([ map { said($small->answer_of($_)) } @asked ], [ ('503 too many requests at once') x 12 ], 'what needs one is not');
        $locker->kill_kill;
        $small->answer_of($change);
        is($small->status_of('GET', '/whisperer/hooks/', token => $token), 200, 'until one is free');
    },
    'a request, from its first byte to its last' => sub { is(status($gateway->raw("GET /healthz HTTP/1.1\r\n")), 408, 'a head that has no end') },
    'a head' => sub {
        is(status($gateway->raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX: " . 'x' x 17000)), 431, 'a long head');
        is(status($gateway->raw("GET /healthz HTTP/1.1\r\nHost: x\r\n" . "X: y\r\n" x 101 . "\r\n")), 431, 'many headers');
    },
    'a URL' => sub { is(status($gateway->raw('GET /' . 'x' x 8193 . " HTTP/1.1\r\nHost: x\r\n\r\n")), 414, 'a long URL') },
    'a body' => sub {
        is(status($gateway->raw("POST /whisperer/hooks/ HTTP/1.1\r\n${head}Content-Length: 1048577\r\n\r\n")), 413, 'a long body');
        is(status($gateway->raw("POST /whisperer/hooks/ HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n")), 411, 'one of unknown length');
    },
    'bodies that are being gathered' => sub {
        my @half = map { my $socket = $gateway->connect('127.0.0.' . (10 + $_ % 4)); syswrite $socket, "POST /whisperer/hooks/ HTTP/1.1\r\n${head}Content-Length: 1048576\r\n\r\n{"; $socket } 1 .. 65;
        my ($refused) = wait_for('the one that is too much', sub { my @some = IO::Select->new(@half)->can_read(0); @some && \@some })->@*;
        like(Gateway::read_to_end($refused), qr/^HTTP\/1\.1 503 .*Retry-After/s, 'one body more');
    },
    'an answer, until the client has taken it' => sub {
        # What is in the socket may still be read; then there is an end, before that of the payload.
        my $got = 0;
        wait_for('its end', sub { !length($gateway->get('/metrics', $token)->{content} =~ /^whisperer_gateway_connections 1$/m ? '' : 'x') });
        while (my $read = sysread $never, my $text, 1 << 20) { $got += $read }
        cmp_ok($got, '<', 9_600_000, 'who does not read it does not get it all');
    },
    'what waits to be sent' => sub {
        my @deaf = map { deaf("${delivery}payload/", '127.0.0.3') } 1 .. 40;
        my @status = map { sysread $_, my $text, 12; substr $text, 9 } @deaf;
        ok((grep { $_ eq '503' } @status), 'one client has its share');
        ok((grep { $_ eq '200' } @status), 'and no less');
        is($gateway->get($delivery, $token)->{status}, 200, 'small answers are always given');
    },
    'a page of a list' => sub {
        $node->safe_psql('postgres', "SET ROLE reader; SELECT count(whisperer.create_hook('e', 'http://127.0.0.1:9/' || g, description => repeat('d', 8000))) FROM generate_series(1, 200) g");
        my $page = $gateway->get('/whisperer/hooks/?limit=200', $token)->{json};
        cmp_ok(scalar @{ $page->{results} }, '<', 200, 'fewer rows');
        ok($page->{next}, 'and more of them behind it');
    },
    'a payload beside its delivery' => sub { is_deeply([ @{ $gateway->get($delivery, $token)->{json} }{qw(payload payload_link)} ], [ undef, 'payload/' ], 'a large payload') },
    'deliveries that one call tries again' => sub {
        $node->safe_psql('postgres', "SELECT whisperer.register_event('f'); SELECT whisperer.allow('f', 'reader', 'subscribe')");
        my $many = $gateway->post('/whisperer/hooks/', $token, { event_type => 'f', target_url => $receiver->url('/ok/many') })->{json}{id};
        my $state = sub { my ($state) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE hook_id = $many AND state = '$state'") };
        $node->safe_psql('postgres', "SELECT count(whisperer.deliver_event('f', '{}')) FROM generate_series(1, 501)");
        wait_for('all of them', sub { $state->('delivered') == 501 });
        $node->safe_psql('postgres', "UPDATE whisperer.delivery SET state = 'failed' WHERE hook_id = $many");
        my $retry = sub { my ($query, $json) = @_; return $gateway->post("/whisperer/hook_events/retry/$query", $token, $json // {})->{json} };
        is($retry->("?webhook=$many", { dry_run => JSON::PP::true })->{count}, 501, 'they are counted all');
        my $first = $retry->("?webhook=$many");
        is($first->{count}, 500, 'and not done all');
        like($first->{next}, qr/^\?webhook=$many&cursor=/, 'there is more');
        is_deeply([ @{ $retry->($first->{next}) }{qw(count next)} ], [ 1, undef ], 'which the next call does');
        wait_for('all of them again', sub { $state->('delivered') == 501 });
        is(scalar(my @sent = $receiver->requests('/ok/many')), 1002, 'each once more');
    },
    'an idle connection' => sub {
        my $idle = $gateway->connect('127.0.0.20');
        syswrite $idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        my $many = $gateway->raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" x 1001, '127.0.0.21');
        is(scalar(() = $many =~ /HTTP\/1\.1 200 /g), 1000, 'a thousand requests');
        like(Gateway::read_to_end($idle), qr/^HTTP\/1\.1 200 .*"ok"\}\z/s, 'and an end without any');
    },
    'connections of one address (a /64 of IPv6)' => sub {
        my @many = map { my $socket = $gateway->connect('127.0.0.22'); syswrite $socket, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"; sysread $socket, my $text, 4096; $socket } 1 .. 48;
        like($gateway->raw('', '127.0.0.22'), qr/^HTTP\/1\.1 429 .*Retry-After.*"too_many_connections"/s, 'one more');
    },
    'connections in all' => sub {
        my $small = new_gateway($node, options => [ '--pool', 1 ], shell => 'ulimit -n 83');
        my @crowd = map { my $from = "127.0.0.$_"; map { $small->connect($from) } 1 .. 5 } 100 .. 139;
        is(status($small->raw("GET /whisperer/session/ HTTP/1.1\r\n${head}Connection: close\r\n\r\n")), 200, 'room is made');
    },
    'requests that wait for an outcome' => sub {
        my @pings = map { ping('127.0.0.23') } 1 .. 17;
        my ($refused) = wait_for('the one that is too much', sub { my @some = IO::Select->new(@pings)->can_read(0); @some && \@some })->@*;
        like(Gateway::read_to_end($refused), qr/^HTTP\/1\.1 429 .*Retry-After.*"too_many_waiting"/s, 'one ping more');
        Gateway::read_to_end($_) for grep { $_ != $refused } @pings;
    },
    'waiting for an outcome' => sub {
        my $worker = worker_pid($node);
        kill STOP => $worker;
        like($gateway->post("/whisperer/hooks/$hook/ping/", $token)->{json}{error}, qr/^no result yet/, 'a ping while the worker stands still');
        like($gateway->post("${delivery}retry/", $token, { force => JSON::PP::true })->{json}{detail}, qr/^still pending/, 'a retry, too');
        kill CONT => $worker;
    },
    'connecting to the database' => sub {
        my $mute = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1');
        my $lost = new_gateway($node, database => 'host=127.0.0.1 port=' . $mute->sockport . ' dbname=postgres user=gateway');
        is(said($lost->get('/whisperer/hooks/', $token)), '503 the database cannot be reached', 'a server that is mute');
    },
    'a lock in the database' => sub {
        my $locker = hold_hook();
        is(said($gateway->answer_of(start_change($gateway))), '503 the request took too long', 'a lock that another one holds');
        $locker->kill_kill;
    },
    'a statement' => sub { slow_trigger('IMMEDIATE'); is(said(create($gateway)), '503 the request took too long', 'a statement without end'); no_trigger() },
    'an answer of the database, its commit included' => sub {
        slow_trigger('DEFERRED');
        my $answer = create($gateway);
        is(said($answer), '503 the database did not answer in time', 'a commit without end');
        like($answer->{json}{hint}, qr/may have been done/, 'of which nobody knows');
        no_trigger();
    },
    'failed tokens of an address' => sub {
        my @status = map { status($gateway->raw("GET /whisperer/session/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token x$_\r\nConnection: close\r\n\r\n", '127.0.0.24')) } 1 .. 6;
        is("@status", '401 401 401 401 401 429', 'a sixth try');
    },
    'requests of a role within a second, of all its tokens' => sub {
        $node->safe_psql('postgres', 'CREATE ROLE hasty; GRANT USAGE ON SCHEMA whisperer TO hasty; GRANT hasty TO gateway; ALTER ROLE hasty SET whisperer.max_requests_per_second = 1');
        my $hasty = new_token($node, 'hasty');
        my $refused = wait_for('the one that is too much', sub { my $answer = $gateway->get('/whisperer/session/', $hasty); $answer->{status} != 200 && $answer });
        is(said($refused), '429 role hasty may make 1 requests per second', 'one more');
    },
    'lines of the log that nobody takes' => sub {
        my $mute = new_gateway($node, shell => 'exec 2>/dev/full');
        $mute->raw(("GET /console/" . 'y' x 250 . " HTTP/1.1\r\nHost: x\r\n\r\n") x 500 . "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for 1 .. 12;
        like($mute->get('/metrics', $token)->{content}, qr/^whisperer_gateway_log_lines_dropped_total [1-9]/m, 'more lines');
    },
    'stopping' => sub {
        slow_trigger('DEFERRED');
        my $busy = new_gateway($node);
        my $change = $busy->start_request('POST', '/whisperer/hooks/', token => $token, json => { event_type => 'e', target_url => $receiver->url('/never') });
        my $sleeping = "FROM pg_stat_activity WHERE application_name = 'whisperer-gateway' AND wait_event = 'PgSleep'";
        wait_for('the change', sub { $node->safe_psql('postgres', "SELECT count(*) $sleeping") > 0 });
        $busy->signal('TERM');
        is($busy->wait_end, 0, 'a change without end is not waited for');
        wait_for('its end', sub { $node->safe_psql('postgres', "SELECT count(*) $sleeping") == 0 });
        like($busy->log_text, qr/some requests took too long/, 'but cancelled');
        no_trigger();
    },
);

my ($table) = slurp_file("$FindBin::Bin/../../gateway/README.md") =~ /^\| what \| bound \| beyond it \|\n\|[-|]+\n((?:\|.*\n)+)/m;
# pooler.pl has a pooler, and skips itself where there is none.
my $of_pooler = 'a pooler that lends a session for a transaction';
my @rows = grep { $_ ne $of_pooler } map { (split / *\| */)[1] } split /\n/, $table;
is_deeply([ sort keys %check ], [ sort @rows ], 'there is a check of each row, and a row for each check');
my ($last) = grep { /^an answer, until/ } @rows;
for my $row ((grep { $_ ne $last } @rows), $last) { note($row); $check{$row}->() }

done_testing();
