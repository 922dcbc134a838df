# Clients that take their time, or never come to an end: they are ended, and meanwhile cost the others nothing.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Select ();
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);
use Whisperer;

local $SIG{PIPE} = 'IGNORE';
my $node = new_node('slow_clients');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'good', 'e');
my $gateway = new_gateway($node, options => [ '--threads', 8, '--pool', 2, '--trusted-proxies', '127.0.0.99' ]);
my $start = "POST /whisperer/hooks/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token $token\r\nContent-Type: application/json\r\n";

sub is_served { return $gateway->status_of('GET', '/whisperer/session/', token => $token) == 200 }

# Feeds each a byte now and then, until the gateway has closed all.  Answers what they got, by number.
sub feed_until_closed {
    my ($byte, @sockets) = @_;
    my $deadline = time + $Whisperer::wait_s;
    my $select = IO::Select->new(@sockets);
    my %got;
    my $served = 0;
    while ($select->count) {
        die $select->count . ' connections stay open' if time > $deadline;
        for my $socket ($select->can_read(0.2)) {
            my $read = sysread $socket, $got{$socket}, 65536, length($got{$socket} // '');
            $select->remove($socket) unless $read;
        }
        syswrite $_, $byte for $select->handles;
        $served += is_served() ? 1 : die 'the good client is not served';
    }
    return ($served, map { $got{$_} // '' } @sockets);
}

# --- slower than anybody may be -----------------------------------------------------------------
# Six of each address is what eight threads allow.
my @slow = map { my $from = "127.0.0.$_"; map { $gateway->connect($from) } 1 .. 6 } 10 .. 41;
for (0 .. $#slow) { syswrite $slow[$_], $_ % 2 ? "${start}X-" : "${start}Content-Length: 100\r\n\r\n{" }
my ($served, @got) = feed_until_closed('a', @slow);
cmp_ok($served, '>', 10, 'a good client is served beside ' . @slow . ' that send a byte now and then');
is(scalar(grep { m{^HTTP/1\.1 408 .*"code": "request_timeout"}s } @got), scalar @slow, 'and those are told that they were too slow');

# --- what does not come, or does not end --------------------------------------------------------
my @silent = map { $gateway->connect("127.0.0.$_") } 50 .. 53;
my $body = $gateway->connect('127.0.0.54');
syswrite $body, "${start}Content-Length: 500000\r\n\r\n";
my $idle = $gateway->connect('127.0.0.55');
syswrite $idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
is(Gateway::read_to_end($_), '', 'who says nothing is hung up on') for @silent;
like(Gateway::read_to_end($body), qr/^HTTP\/1\.1 408 /, 'a body that never comes is waited for so long');
like(Gateway::read_to_end($idle), qr/^HTTP\/1\.1 200 .*"ok"\}$/s, 'and an idle connection kept so long');

my $endless = $gateway->connect('127.0.0.56');
my ($sent, $text) = (0, '');
syswrite $endless, $start;
while (1) {
    if (IO::Select->new($endless)->can_read(0)) { last unless sysread $endless, $text, 65536, length $text }
    $sent += syswrite($endless, 'X-Filler: ' . 'x' x 1000 . "\r\n") // last;
    die 'a head without end is taken' if $sent > 64e6;
}
like($text, qr/^HTTP\/1\.1 431 /, 'a head without end is refused');
cmp_ok($sent, '<', 40e6, 'before it has cost much');
like($gateway->raw("${start}Content-Length: 1048577\r\n\r\n{", '127.0.0.57'), qr/^HTTP\/1\.1 413 .*"body_too_large"/s, 'as is a body that is too long, before it comes');
my $large = $gateway->request('POST', '/whisperer/hooks/', token => $token, content => '{"description": "' . 'x' x 1_100_000 . '"}');
is($large->{status}, 413, 'and one that comes all the same gets its answer');

# --- who does not read --------------------------------------------------------------------------
my @deaf = map { $gateway->connect("127.0.0.$_") } 60 .. 79;
for (@deaf) { $_->blocking(0); syswrite $_, "GET /whisperer/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" x 200 }
ok(is_served(), 'a good client is served beside ' . @deaf . ' that do not read their answers') for 1 .. 20;
my ($reader) = @deaf;
$reader->blocking(1);
my ($answers, $all) = (0, '');
wait_for('all answers', sub {
    sysread($reader, $all, 1 << 20, length $all) or die "the connection ended after $answers answers";
    $answers = () = $all =~ /^HTTP\/1\.1 200 /mg;
    return $answers == 200;
});
pass('who reads in the end gets all of them, in turn');
close $_ for @deaf;

# --- too many -----------------------------------------------------------------------------------
my @many = map { $gateway->connect('127.0.0.90') } 1 .. 6;
for (@many) { syswrite $_, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"; sysread $_, my $answer, 65536 }
like($gateway->raw('', '127.0.0.90'), qr/^HTTP\/1\.1 429 .*Retry-After: 1\r\n.*"too_many_connections"/s, 'an address has so many connections');
close pop @many;
wait_for('room', sub { $gateway->raw("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", '127.0.0.90') =~ /^HTTP\/1\.1 200 / });
pass('and room again when one ends');
my @proxy = map { $gateway->connect('127.0.0.99') } 1 .. 20;
for (@proxy) { syswrite $_, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" }
is(scalar(grep { sysread $_, my $answer, 65536; $answer =~ /^HTTP\/1\.1 200 / } @proxy), 20, 'a proxy may have more');

my $small = new_gateway($node, options => [ '--pool', 1 ], shell => 'ulimit -n 83');
my @crowd = map { my $from = "127.0.0.$_"; map { $small->connect($from) } 1 .. 5 } 100 .. 139;
my $asking = "GET /whisperer/session/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token $token\r\nConnection: close\r\n\r\n";
like($small->raw($asking), qr/^HTTP\/1\.1 200 /, 'when there is no room, who has waited longest makes some') for 1 .. 3;
is(defined $small->end_status, '', 'and the gateway goes on');

done_testing();
