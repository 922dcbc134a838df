# Requests that wait for the worker of the extension: however many there are, they hold no thread, there are
# bounds on them, and who only wants to know something is served.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Select ();
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('waiting', extra => "whisperer.request_timeout = 12s\n");
my $receiver = new_receiver('waiting');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'first', 'e');
my @tokens = ($token, map { new_token($node, 'first') } 1 .. 11);
my $gateway = new_gateway($node, options => [ '--threads', 4, '--pool', 2, '--trusted-proxies', '127.0.0.1' ]);
my $pinged = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/hang/ping') })->{json}{id};
my $retried = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/hang/retry') })->{json}{id};
my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('e', '{}')::text, '-', '')));
wait_for('a delivery', sub { $gateway->get("/whisperer/hook_events/$event-$retried/", $token)->{status} == 200 });
my %path_of = (ping => "/whisperer/hooks/$pinged/ping/", retry => "/whisperer/hook_events/$event-$retried/retry/");

# Asks, and does not read.
sub ask {
    my ($what, $with, $client, $scheme) = @_;
    $scheme //= 'Token';
    my $socket = $gateway->connect;
    my $body = $what eq 'retry' ? '{"force": true}' : '';
    syswrite $socket, "POST $path_of{$what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: $client\r\nAuthorization: $scheme $with\r\n"
        . "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    return $socket;
}
sub answered { my (@sockets) = @_; return IO::Select->new(@sockets)->can_read(0) }
sub status_of { my ($socket) = @_; return Gateway::read_to_end($socket) =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'nothing' }
sub counted { my %times; $times{$_}++ for @_; return join ', ', map { "$times{$_} times $_" } sort keys %times }
sub others_are_served {
    my ($beside) = @_;
    is($gateway->status_of('GET', $_), 200, "$_ beside $beside") for '/healthz', '/console/', '/whisperer/openapi.json';
    # Those need a thread, and may be told to come again while so many have just come.
    wait_for("$_ beside $beside", sub { $gateway->status_of('GET', $_, token => $token) == 200 }) for '/readyz', '/whisperer/hooks/';
    pass('and what needs the database');
}

# Of somebody else, beside the first of them.
my $second = new_role($node, 'second', 'e');
my $patient = $gateway->post('/whisperer/hooks/', $second, { event_type => 'e', target_url => $receiver->url('/hang/patient'), timeout => 17 })->{json}{id};
my $slow = $gateway->start_request('POST', "/whisperer/hooks/$patient/ping/", token => $second, json => {});
wait_for('that ping to have a place', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.outbox WHERE hook_id = $patient") > 0 });

for my $what (qw(ping retry)) {
    my @sockets = map { ask($what, $token, '192.0.2.7') } 1 .. 60;
    my @told = wait_for('those that are too many', sub { my @some = answered(@sockets); @some >= 44 && \@some })->@*;
    others_are_served("many that wait for a $what");
    my %is_told = map { $_ => 1 } @told;
    my @waiting = grep { !$is_told{$_} } @sockets;
    is(scalar @waiting, 16, 'of one token so many may wait');
    # As many as find no place in the queue hear that at once.
    is(scalar(grep { Gateway::read_to_end($_) =~ /^HTTP\/1\.1 (?:429|503) .*^Retry-After: \d+\r$/ms } @told), 44, 'the others are told when to come again');
    is(counted(map { status_of($_) } @waiting), '16 times 200', 'and are answered when their time is up');
}
my $slowly = $gateway->answer_of($slow);
like("$slowly->{status} $slowly->{json}{error}", qr/^200 no response within 17 s$/, 'a ping is waited for as long as the hook gives its receiver');
like(Gateway::read_to_end($_), qr/^HTTP\/1\.1 200 /, 'there is room again') for ask('ping', $token, '192.0.2.7');

# Of other tokens and one client; of one token and other clients; of all.
my @of_client = map { ask('ping', $tokens[ $_ % 12 ], '192.0.2.8') } 1 .. 24;
wait_for('those that are too many', sub { answered(@of_client) >= 8 });
pass('so many of one client, whatever their tokens');
my @schemes = ('Token', 'token', 'Bearer', 'bEARER', 'Token   ', 'Bearer  ');
my @of_token = map { ask('ping', $tokens[0], "192.0.2.$_", $schemes[ $_ % @schemes ]) } 20 .. 43;
wait_for('those that are too many', sub { answered(@of_token) >= 8 });
my @refusals = map { status_of($_) } answered(@of_token);
is(scalar(grep { $_ != 429 && $_ != 503 } @refusals), 0, 'so many of one token, whatever their clients, and however it is spelt') or diag("@refusals");
my @of_all = map { ask('ping', $tokens[ 1 + $_ % 11 ], '198.51.100.' . int $_ / 2) } 0 .. 175;
my ($refused) = wait_for('those that are too many', sub { grep { defined } (answered(@of_all))[0] });
like(Gateway::read_to_end((answered(@of_all))[0]), qr/^HTTP\/1\.1 (?:503|429) .*^Retry-After: \d+\r$/ms, 'and so many in all; the others are told when to come again');
others_are_served('all of them');
$gateway->signal('TERM');
is($gateway->wait_end, 0, 'told to stop, the gateway ends');
like($gateway->log_text, qr/every request was answered/, 'and each of them has got what there was to say');

done_testing();
