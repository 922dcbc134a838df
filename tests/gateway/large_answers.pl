# Answers without end, and clients that do not read them: what the gateway holds is bounded, and all that is large
# can be had, piece by piece.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Encode ();
use Gateway;
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_RCVBUF inet_aton pack_sockaddr_in);
use Test::More;
use Whisperer;

local $SIG{PIPE} = 'IGNORE';
my $node = new_node('large_answers');
my $receiver = new_receiver('large_answers');
$node->safe_psql('postgres', "SELECT whisperer.register_event('$_')") for qw(small large);
my $token = new_role($node, 'reader', 'small', 'large');
my $gateway = new_gateway($node, options => [ '--trusted-proxies', '127.0.0.1' ]);
my $hook = $gateway->post('/whisperer/hooks/', $token, { event_type => '*', target_url => $receiver->url('/ok') })->{json}{id};

sub record {
    my ($type, $json) = @_;
    my $id = $node->safe_psql('postgres', "SELECT replace(whisperer.deliver_event('$type', $json)::text, '-', '')");
    my $path = "/whisperer/hook_events/$id-$hook/";
    wait_for('its delivery', sub { $gateway->status_of('GET', $path, token => $token) == 200 });
    return ($path, Encode::encode('UTF-8', Encode::decode('UTF-8', $node->safe_psql('postgres', "SELECT data FROM whisperer.outbox WHERE id = '$id'"))));
}
sub held_kb { my ($name) = @_; return slurp_file("/proc/$gateway->{pid}/status") =~ /^$name:\s+(\d+) kB/m ? $1 : die }

# --- one large value ----------------------------------------------------------------------------
my ($small_path, $small) = record('small', q('{"text": "a"}'));
my $detail = $gateway->get($small_path, $token)->{json};
is_deeply([ @{$detail}{qw(payload payload_bytes payload_link)} ], [ { text => 'a' }, length $small, undef ], 'a small payload is shown');
is($gateway->get("${small_path}payload/", $token)->{content}, $small, 'and can be had by itself');
my ($path, $whole) = record('large', q(json_build_object('text', repeat(md5('x') || 'äß€😀', 500000))));
$detail = $gateway->get($path, $token)->{json};
is_deeply([ @{$detail}{qw(payload payload_bytes payload_link)} ], [ undef, length $whole, 'payload/' ], 'a large one is named');
my $got = $gateway->get("${path}payload/", $token);
is($got->{status} . ' ' . ($got->{content} eq $whole), '200 1', 'and can be had as a whole');
is($gateway->get("${path}payload/", $token)->{content} eq $whole, 1, 'again, on the same connection');
is($gateway->request('HEAD', "${path}payload/", token => $token)->{headers}{'content-length'}, length $whole, 'its length also by HEAD');
is($gateway->status_of('GET', "/whisperer/hook_events/$_/payload/", token => $token), 404, "no delivery: $_") for 'f' x 32 . "-$hook", 'x';
my $other = new_role($node, 'other');
is($gateway->status_of('GET', "${path}payload/", token => $other), 404, 'nor for whom it is not');
cmp_ok(held_kb('VmHWM'), '<', 100_000, 'without being held as a whole');

# --- long lists ---------------------------------------------------------------------------------
$node->safe_psql('postgres', "SET ROLE reader; SELECT count(whisperer.create_hook('small', 'http://127.0.0.1:9/' || g, description => repeat('d', 8000))) FROM generate_series(1, 300) g");
my ($hooks, $pages) = $gateway->all('/whisperer/hooks/?limit=200', $token);
is(scalar(keys %{ { map { $_->{id} => 1 } @$hooks } }) . ' of ' . @$hooks, '301 of 301', 'a list of long rows has each once');
cmp_ok($pages, '>', 2, 'on more pages than its limit asks for');
cmp_ok(length $gateway->get('/whisperer/hooks/?limit=200', $token)->{content}, '<', 1_500_000, 'each of a size that can be borne');
my %sample = map { $_->{name} => $_->{sample} } @{ $gateway->all('/whisperer/hooks/registry/', $token) };
is_deeply([ $sample{small}, $sample{large} ], [ { text => 'a' }, undef ], 'what is large is no sample');

# --- who does not read --------------------------------------------------------------------------
# A window so small that the kernel takes little of it, too.
sub deaf {
    my ($path, $client) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') // die "no socket: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die "setsockopt: $!";
    CORE::connect($socket, pack_sockaddr_in($gateway->{port}, inet_aton('127.0.0.1'))) or die "connect: $!";
    syswrite $socket, "GET $path HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: $client\r\nAuthorization: Token $token\r\n\r\n";
    return $socket;
}
sub status_line { my ($socket) = @_; sysread $socket, my $text, 12; return substr $text, 9 }
for my $path ("${path}payload/", $path, '/whisperer/hooks/?limit=200', '/whisperer/openapi.json') {
    my @deaf = map { deaf($path, '192.0.2.7') } 1 .. 150;
    my %times;
    $times{ status_line($_) }++ for @deaf;
    cmp_ok(held_kb('VmHWM'), '<', 250_000, "many that do not read $path cost a bounded memory");
    is(join(' ', sort keys %times) =~ /^200(?: 503)?$/ ? 1 : 0, 1, 'some are told to come again') or diag(explain(\%times));
    ok($times{503}, 'as one client has its share') if $path =~ /payload/;
    ok(!$times{503}, 'what is small costs nothing') if $path =~ /openapi/;
    like(status_line(deaf("${path}", '192.0.2.8')), qr/^200$/, 'and others are served');
    is($gateway->status_of('GET', '/whisperer/session/', token => $token), 200, 'small answers for all');
    close $_ for @deaf;
    wait_for('them to be gone', sub { $gateway->get("${path}", $token)->{status} == 200 });
}

# --- what is told of it -------------------------------------------------------------------------
my %lines;
push @{ $lines{ $_->{request_id} } }, $_->{status} for grep { $_->{method} } $gateway->log_lines;
is_deeply([ grep { @$_ > 1 } values %lines ], [], 'each answer is a line of the log, also one that took the place of another');
is((grep { $_->[0] == 503 } values %lines) > 0, 1, 'of which there were some');

done_testing();
