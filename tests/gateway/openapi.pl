# The description of the API against the gateway: everything that is served is described, everything that
# is described is served and answers as it says.  (Every other test's requests are checked against it, too.)
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;
use IO::Compress::Gzip ();
use IO::Uncompress::Gunzip ();

sub gzipped { my ($text) = @_; IO::Compress::Gzip::gzip(\$text, \my $out, -Level => 9, -Minimal => 1); return $out }
sub gunzipped { my ($text) = @_; IO::Uncompress::Gunzip::gunzip(\$text, \my $out); return $out }

my $node = new_node('openapi');
my $receiver = new_receiver('openapi');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'reader', 'e');
$node->safe_psql('postgres', "SELECT whisperer.allow('e', 'reader', 'publish')");
my $gateway = new_gateway($node);
my $spec = $gateway->{spec};
my $document = $spec->document;
like($document->{openapi}, qr/^3\.1\./, 'it is OpenAPI 3.1');

# What the gateway serves it counts, from the start.
my %served = map { m/requests_total\{method="(\w+)",route="([^"]+?)\*?(\}?)"/ ? ("$1 $2$3" => 1) : () } split /\n/, $gateway->get('/metrics', $token)->{content};
is_deeply([ sort keys %served ], [ $spec->operations ], 'what is served is what is described');

# --- each operation, once well ------------------------------------------------------------------
my $hook = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/ok') })->{json}{id};
my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('e', '{"n": [1, null, "x"]}')::text, '-', '')));
wait_idle($node);
my ($passing) = new_token($node, 'reader') =~ /_(\d+)_/;
my %place = ('/whisperer/api_tokens/{id}/' => $passing, '/whisperer/hooks/{id}/' => $hook, '/whisperer/hook_events/{id}/' => "$event-$hook", '/console/{path}' => '');
my %body = ('PUT /whisperer/hooks/{id}/' => { event_type => 'e', target_url => $receiver->url('/ok') }, 'PATCH /whisperer/hooks/{id}/' => { description => 'x' },
    'POST /whisperer/hooks/' => { event_type => 'e', target_url => $receiver->url('/ok/2') },
    'POST /whisperer/test_filter/' => { event_type => 'e', filter => { n => 1 } },
    'POST /whisperer/api_tokens/' => { description => 'x' },
    'POST /whisperer/events/' => { event_type => 'e', data => { n => 1 } },
    'POST /whisperer/hook_events/{id}/retry/' => { force => JSON::PP::true },
    map { ("POST /whisperer/hooks/{id}/$_/" => { since => '2024-01-01T00:00:00Z' }) } qw(recover replay));
sub path_of { my ($template) = @_; my ($start) = grep { index($template, $_) == 0 } keys %place; return $start ? $template =~ s/\{\w+\}/$place{$start}/r : $template }
# What pauses and ends the hook comes last.
for my $operation (sort { ($a =~ /^DELETE|pause/) <=> ($b =~ /^DELETE|pause/) || $b cmp $a } $spec->operations) {
    my ($method, $template) = split / /, $operation;
    my $described = $document->{paths}{$template}{ lc $method };
    my $is_open = $described->{security} && !@{ $described->{security} };
    my $json = $method =~ /^P/ ? $body{$operation} // {} : undef;
    my @request = ($method, path_of($template), $json ? (json => $json) : ());
    my $answer = $gateway->request(@request, $is_open ? () : (token => $token));
    like($answer->{status}, qr/^[23]/, "$operation answers $answer->{status}");
    is($gateway->status_of(@request), 401, 'but not without a token') unless $is_open;
    is($answer->{headers}{'cache-control'}, $template =~ m{^/$|console|openapi} ? 'no-cache' : 'no-store', 'and says how long to keep it');
    my $odd = $gateway->request($method, path_of($template) . '?no_such=1', $is_open ? () : (token => $token), $json ? (json => $json) : ());
    is($odd->{status}, $is_open ? $answer->{status} : 400, 'an unknown parameter is ' . ($is_open ? 'passed over' : 'refused'));
    # Parameters in the description are those that are read: each may be given a value that is no good.
    for my $parameter (map { $spec->resolve($_) } grep { $method eq 'GET' } @{ $described->{parameters} // [] }) {
        my $bad = $gateway->get(path_of($template) . "?$parameter->{name}=%00", $token);
        is("$bad->{status} " . join(' ', keys %{ $bad->{json}{errors} // {} }), "400 $parameter->{name}", "$operation reads $parameter->{name}");
    }
}
my @unseen = grep { my $operation = $_; !grep { /^[23]/ } $spec->seen($operation) } $spec->operations;
is_deeply(\@unseen, [], 'all were tried');

# --- what a countdown may have: as the server knows it -----------------------------------------------
my $countdown = $document->{components}{schemas}{RetryCountdownConfig}{properties};
sub refused { my ($more) = @_; return $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/ok/3'), retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1 }, %$more } })->{json} }
my ($known) = refused({ no_such => 1 })->{hint} =~ /^Known are (.*)\.$/;
is(join(' ', sort keys %$countdown), join(' ', sort split /, | and /, $known // ''), 'its keys');
my ($choices) = refused({ choice => 'never' })->{message} =~ /is not one of (.*)$/;
is_deeply([ sort @{ $countdown->{choice}{enum} } ], [ sort split /, | or | and /, $choices // '' ], 'its choices');
like(refused({ $_ => ['404'] })->{message}, qr/must be an array of HTTP statuses from $countdown->{$_}{items}{minimum} to $countdown->{$_}{items}{maximum}$/, "the statuses of $_") for qw(give_up only_if);

# --- what every path says -----------------------------------------------------------------------
for my $template (sort keys %{ $document->{paths} }) {
    my $answer = $gateway->request('OPTIONS', path_of($template));
    my %allowed = map { $_ => 1 } map { uc } grep { /^(?:get|put|post|patch|delete)$/ } keys %{ $document->{paths}{$template} };
    $allowed{HEAD} = 1 if $allowed{GET};
    is("$answer->{status} " . join(' ', sort split /, /, $answer->{headers}{allow} // ''), '405 ' . join(' ', sort keys %allowed), "$template names its methods");
}
for my $path ('/whisperer/', '/whisperer/hooks/1/nothing/', '/whisperer//hooks/', '/whisperer/hooks/registry/x/', '/Whisperer/hooks/', '/console/../healthz', '/console/%2e%2e/openapi.json', '/console/nothing.js') {
    my $answer = $gateway->get($path, $token);
    is("$answer->{status} $answer->{json}{code}", '404 not_found', "nothing at $path");
}
is($gateway->get('/whisperer/hooks', $token)->{status}, 200, 'a slash at the end may be left out');
my $head = $gateway->request('HEAD', '/whisperer/session/', token => $token);
is("$head->{status} $head->{content}", '200 ', 'HEAD is GET without a body');
cmp_ok($head->{headers}{'content-length'}, '>', 10, 'but with its length');

# --- files --------------------------------------------------------------------------------------
my $page = $gateway->get('/console/');
like($page->{content}, qr/<!doctype html>/i, 'the console is a page');
my %expected = ('x-content-type-options' => 'nosniff', 'referrer-policy' => 'no-referrer', 'content-type' => 'text/html; charset=utf-8',
    'content-security-policy' => "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
is($page->{headers}{$_}, $expected{$_}, "with $_") for sort keys %expected;
is($gateway->request('GET', '/console/', headers => { 'If-None-Match' => $page->{headers}{etag} })->{status}, 304, 'which a browser keeps');
is($gateway->request('GET', '/console/', headers => { 'If-None-Match' => $page->{headers}{etag} })->{headers}{vary}, 'Accept-Encoding', 'for one coding alone');
like($page->{headers}{etag}, qr{^W/"}, 'whose tag is weak, for the bytes depend on it');

# --- codings ------------------------------------------------------------------------------------
for ([ undef, '' ], [ '', '' ], [ 'identity', '' ], [ 'gzip', 'gzip' ], [ 'br', '' ], [ 'gzip, br', 'gzip' ], [ 'gzip, br;q=0', 'gzip' ], [ 'gzip;q=0, br;q=0', '' ], [ 'gzip;q=0.8, br;q=0.9', 'gzip' ],
    [ 'gzip;q=0.001', 'gzip' ], [ 'gzip ; Q=0.000', '' ], [ '*', 'gzip' ], [ '*;q=0', '' ], [ 'br;q=0, *', 'gzip' ], [ 'identity, gzip;q=0.5', '' ], [ 'X-GZIP', 'gzip' ], [ 'brotli, gzipped, zstd, compress', '' ],
    [ 'gzip;q=2, br;q=x', '' ], [ 'br;level=1', '' ], [ ',,;q=1,', '' ])
{
    my ($accepted, $expected) = @$_;
    my $answer = $gateway->raw("GET /whisperer/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" . (defined $accepted ? "Accept-Encoding: $accepted\r\n" : '') . "\r\n");
    my %got = map { /^(Content-Encoding|Vary): (.*)\r$/mg } $answer =~ /^(.*?\r\n)\r\n/s;
    is(join('|', $got{'Content-Encoding'} // '', $got{Vary} // ''), "$expected|Accept-Encoding", 'coding for ' . ($accepted // 'nothing'));
}
like($gateway->raw("GET /whisperer/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: br;q=0\r\nAccept-Encoding: gzip\r\n\r\n"), qr/^Content-Encoding: gzip\r$/m, 'also in two headers');
# Files were compressed when the gateway was built, as well as gzip can; nothing is done for them again.
for my $path ('/whisperer/openapi.json', '/console/', '/console/app.js', '/console/base.css', '/console/icon.svg') {
    my %got = map { $_ => Gateway::read_body($gateway, $path, $_) } 'identity', 'gzip', 'br', 'br, gzip';
    my $best = gzipped($got{identity});
    is($got{br}, $got{identity}, "$path as it is, for who takes br alone");
    is($got{'br, gzip'}, $got{gzip}, 'in gzip, for who takes both');
    cmp_ok(length $got{gzip}, '<=', length $best, 'and as short as it gets');
    is(gunzipped($got{gzip}), $got{identity}, 'and the same');
}
is($gateway->get('/whisperer/session/', $token)->{headers}{vary}, 'Accept-Encoding', 'what is not a file may be encoded, too');
is($gateway->get('/console')->{headers}{location}, 'console/', 'and finds without the slash');
is(join(' ', $gateway->get('/')->{status}, $gateway->get('/')->{headers}{location}), '301 console/', 'or from the root');
my $mine = $gateway->request('GET', '/healthz', headers => { 'X-Request-Id' => 'mine-1.2_3' });
is($mine->{headers}{'x-request-id'}, 'mine-1.2_3', 'an X-Request-Id is kept');
isnt($gateway->request('GET', '/healthz', headers => { 'X-Request-Id' => $_ })->{headers}{'x-request-id'}, $_, 'but not any') for 'a b', '"', 'x' x 65;

done_testing();
