# What should not come: SQL wherever text may stand, huge numbers, control bytes, JSON that is none, heads that
# are read in two ways.  Nothing of it may fail on the server, or be done.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('hostile');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'villain', 'e');
my $gateway = new_gateway($node);
my $spec = $gateway->{spec};
my $mine = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => 'http://127.0.0.1:9/' })->{json}{id};

sub encoded { return join '', map { sprintf '%%%02x', ord } split //, $_[0] }

# --- parameters ---------------------------------------------------------------------------------
my @bad = ("' OR '1'='1", "'; DROP TABLE whisperer.delivery; --", '$1', "\\'", "E'\\x27'", 'null', "1); SELECT pg_sleep(60)--", "\0", "a\0b", "\xff\xfe", "\xc0\x80", "\xed\xa0\x80",
    "\r\nSet-Cookie: a=b", "\x1b[2J", '9' x 40, '-1', '1e9', '0x10', "\xef\xbc\x91", '%', '%zz', '%%', '[]', '{}', 'NaN', 'infinity', 'x' x 5000, '../../etc/passwd', '${jndi:x}', '<script>', "'\"`;");
my ($tried, @wrong) = (0);
for my $operation ($spec->operations) {
    my ($method, $template) = split / /, $operation;
    my @names = map { $spec->resolve($_)->{name} } @{ $spec->document->{paths}{$template}{ lc $method }{parameters} // [] };
    my @paths = $template =~ /\{id\}/ ? map({ $template =~ s/\{id\}/encoded($_)/er } grep { length $_ < 1000 } @bad)
        : map({ my $name = $_; map { "$template?$name=" . encoded($_) } grep { length $_ < 1000 || $name !~ /^(?:limit|cursor)$/ } @bad } $method eq 'GET' ? @names : ());
    for my $path (@paths) {
        my $answer = $gateway->request($method, $path, token => $token, $method =~ /^P/ ? (json => {}) : ());
        $tried++;
        my $nothing = $answer->{status} == 200 && $answer->{json}{results} && !@{ $answer->{json}{results} };
        push @wrong, "$answer->{status} $method $path" unless $answer->{status} =~ /^(?:400|404|414)$/ || $nothing || $path =~ /registry.*cursor/;
    }
}
is_deeply(\@wrong, [], "$tried bad values in paths and filters come to nothing");
is($gateway->status_of('GET', '/whisperer/hooks/?' . join('&', map { "a$_=b" } 1 .. 500), token => $token), 400, 'many parameters');
like($gateway->raw('GET /whisperer/hooks/?event_type=' . 'x' x 9000 . " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), qr/^HTTP\/1\.1 414 .*"uri_too_long"/s, 'a URL that is too long');

# --- bodies -------------------------------------------------------------------------------------
sub refused { my ($content, %headers) = @_; my $answer = $gateway->request('POST', '/whisperer/hooks/', token => $token, content => $content, headers => \%headers); return "$answer->{status} $answer->{json}{code}" }
is(refused($_), '400 bad_json', 'no JSON: ' . substr($_, 0, 20)) for '', '{', '[]', '"x"', '7', 'null', "{'a': 1}", '{"a": 1,}', '{"a": 01}', "\xef\xbb\xbf{}", "{\"a\": \"\xff\"}", "{\"a\": \"\n\"}", '{} {}',
    '[' x 100_000, '{"a":' x 100_000, '{"filter": ' . '[' x 50 . ']' x 50 . '}', 'nul' . "\0";
is(refused($_->[0], 'Content-Type' => $_->[1]), '415 unsupported_media_type', "no $_->[1]") for [ '{}', 'text/plain' ], [ 'a=b', 'application/x-www-form-urlencoded' ], [ '{}', 'application/jsonp' ], [ '{}', 'text/json; x=application/json' ];
is($gateway->request('POST', '/whisperer/hooks/', token => $token, content => '{}', headers => { 'Content-Type' => 'Application/JSON;charset=utf-8' })->{json}{code}, 'invalid', 'but that in other letters');
is($gateway->request('POST', '/whisperer/hooks/', token => $token, content => $_->[0])->{json}{message}, $_->[1], $_->[1])
    for [ '', 'a JSON body is needed' ], [ '{"filter": {"a": 1e400}}', 'the body holds a number that is too large' ], [ "{\"a\": 1e400, \xff}", 'the body holds a number that is too large' ], [ '{"a": 1e400', 'the body holds a number that is too large' ],
    [ '{"a": }', 'the body is not JSON in UTF-8' ];
my %new = (event_type => 'e', target_url => 'http://127.0.0.1:9/2');
sub with { my ($name, $text) = @_; my $json = JSON::PP->new->canonical->encode({ %new, $name => 'HERE' }); $json =~ s/"HERE"/$text/; return $json }
like(refused(with(@$_)), qr/^400 /, "refused: $_->[0] $_->[1]") for [ filter => '"\u0000"' ], [ config => '{"a": "\u0000"}' ], [ description => '"\u0000"' ], [ rate_limit => '1e400' ], [ rate_limit => '9' x 500 ],
    [ event_type => '"\ud800"' ], [ filter => '"\udc00"' ], [ event_type => q("'; DROP TABLE whisperer.delivery; --") ], [ target_url => qq("http://x/\\r\\nHost: y") ];
for my $name (qw(description event_type target_url)) {
    my $answer = $gateway->request('PATCH', "/whisperer/hooks/$mine/", token => $token, json => { $name => "'; UPDATE whisperer.hook SET description = 'taken'; --" });
    like($answer->{status}, $name eq 'description' ? qr/200/ : qr/400/, "SQL in $name");
}
is($gateway->get("/whisperer/hooks/$mine/", $token)->{json}{description}, "'; UPDATE whisperer.hook SET description = 'taken'; --", 'is text');
my $odd = qq(<img src=x onerror=alert(1)> \x{1f4a9} \x{202e} "quoted" \\ \t);
is($gateway->request('PATCH', "/whisperer/hooks/$mine/", token => $token, json => { description => $odd })->{json}{description}, $odd, 'odd text comes back as it was');

# --- heads --------------------------------------------------------------------------------------
sub raw_status { my ($head) = @_; return $gateway->raw($head) =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'nothing' }
my $close = "Host: x\r\nConnection: close\r\n";
for ([ 'nonsense', "\x16\x03\x01\x02\r\n\r\n" ], [ 'no version', "GET /healthz\r\n$close\r\n" ], [ 'another version', "GET /healthz HTTP/2.0\r\n$close\r\n" ], [ 'a method that is none', "BR(W /healthz HTTP/1.1\r\n$close\r\n" ],
    [ 'a method that is too long', 'B' x 40 . " /healthz HTTP/1.1\r\n$close\r\n" ], [ 'a URL without a path and a version', "GET http://x\r\n$close\r\n" ],
    [ 'no Host', "GET /healthz HTTP/1.1\r\n\r\n" ], [ 'two Hosts', "GET /healthz HTTP/1.1\r\nHost: y\r\n$close\r\n" ], [ 'a folded header', "GET /healthz HTTP/1.1\r\n$close X: y\r\n\r\n" ],
    [ 'a space before the colon', "GET /healthz HTTP/1.1\r\n${close}X : y\r\n\r\n" ], [ 'no colon', "GET /healthz HTTP/1.1\r\n${close}X\r\n\r\n" ], [ 'a NUL', "GET /healthz HTTP/1.1\r\n${close}X: \0\r\n\r\n" ],
    [ 'a bare CR', "GET /healthz HTTP/1.1\r\n${close}X: a\rb\r\n\r\n" ], [ 'a bare LF', "GET /healthz HTTP/1.1\r\n${close}X: a\nY: b\r\n\r\n" ], [ 'two lengths', "POST /healthz HTTP/1.1\r\n${close}Content-Length: 1\r\nContent-Length: 1\r\n\r\na" ],
    [ 'a signed length', "POST /healthz HTTP/1.1\r\n${close}Content-Length: +1\r\n\r\na" ], [ 'a list of lengths', "POST /healthz HTTP/1.1\r\n${close}Content-Length: 1, 1\r\n\r\na" ],
    [ 'two tokens', "GET /whisperer/session/ HTTP/1.1\r\n${close}Authorization: Token $token\r\nAuthorization: Token x\r\n\r\n" ])
{
    is(raw_status($_->[1]), 400, "refused: $_->[0]");
}
is(raw_status("POST /whisperer/hooks/ HTTP/1.1\r\n${close}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"), 411, 'chunks are refused, with or without a length');
is(raw_status("POST /whisperer/hooks/ HTTP/1.1\r\n${close}Content-Length: 99999999999999999999999\r\n\r\n"), 413, 'a length beyond all numbers');
for my $coding (qw(gzip deflate br identity,gzip x)) {
    is(raw_status("POST /whisperer/hooks/ HTTP/1.1\r\n${close}Authorization: Token $token\r\nContent-Type: application/json\r\nContent-Encoding: $coding\r\nContent-Length: 2\r\n\r\n{}"), 415, "a body in $coding is refused");
}
is(raw_status("POST /whisperer/hooks/ HTTP/1.1\r\n${close}Authorization: Token $token\r\nContent-Type: application/json\r\nContent-Encoding: Identity\r\nContent-Length: 2\r\n\r\n{}"), 400, 'one as it is gets looked at');
is(raw_status("GET /healthz HTTP/1.1\r\n${close}" . "X: y\r\n" x 200 . "\r\n"), 431, 'many headers');
is(raw_status("\r\nGET /healthz HTTP/1.1\r\n$close\r\n"), 200, 'an empty line before a request is passed over');
is(raw_status("GET /healthz HTTP/1.0\r\n\r\n"), 200, 'HTTP/1.0');
is(raw_status("GET /whisperer/openapi.json HTTP/1.1\r\n${close}Range: bytes=" . '0-1,' x 2000 . "\r\n\r\n"), 200, 'ranges are not read');
for my $method (qw(BREW get PROPFIND TRACE OPTIONS M-SEARCH PUT)) {
    like($gateway->raw("$method /whisperer/session/ HTTP/1.1\r\n$close\r\n"), qr{^HTTP/1\.1 405 .*^Allow: GET, HEAD\r\n.*"method_not_allowed"}ms, "$method of what can be read");
}
like($gateway->raw("BREW /nothing HTTP/1.1\r\n$close\r\n"), qr{^HTTP/1\.1 404 }, 'of nothing');
is(scalar(grep { ($_->{method} // '') eq 'BREW' } $gateway->log_lines), 2, 'the log has the method as it came');

# --- what is asked for --------------------------------------------------------------------------
my $mine_too = "${close}Authorization: Token $token\r\n";
is(raw_status("GET $_ HTTP/1.1\r\n$mine_too\r\n"), 200, "$_ is found") for 'http://x/whisperer/session/', 'HTTP://x:8080/whisperer/hooks/?limit=1', 'https://other.example/healthz', '/healthz';
is(raw_status("GET $_ HTTP/1.1\r\n$mine_too\r\n"), 404, "$_ is not") for 'http:///whisperer/session/', 'ftp://x/healthz', '*', '/http://x/healthz';
like($gateway->raw("GET http://x/whisperer/hooks/?colour=red HTTP/1.1\r\n$mine_too\r\n"), qr/^HTTP\/1\.1 400 .*"colour"/s, 'with what was asked');
is(raw_status("GET $_ HTTP/1.1\r\n$mine_too\r\n"), 301, "$_ leads to the console") for 'http://x', 'http://x/', 'http://x?limit=1', '/';
my $equal = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => 'https://example.com/?a=b=c' })->{json}{id};
is(join(' ', map { $_->{id} } @{ $gateway->all('/whisperer/hooks/?target_url=https://example.com/?a=b=c', $token) }), $equal, 'a value keeps its own =');
$node->safe_psql('postgres', "DELETE FROM whisperer.hook_definition WHERE id = $equal");
my $waits = $gateway->raw("POST /whisperer/hooks/ HTTP/1.1\r\n${close}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}");
like($waits, qr/^HTTP\/1\.1 401 /, 'who has sent the body is not told to go on');
my $asking = $gateway->connect;
syswrite $asking, "POST /whisperer/hooks/ HTTP/1.1\r\n${close}Authorization: Token $token\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
sysread $asking, my $go, 100;
is($go, "HTTP/1.1 100 Continue\r\n\r\n", 'who waits for it is');
syswrite $asking, '{}';
like(Gateway::read_to_end($asking), qr/^HTTP\/1\.1 400 .*"event_type"/s, 'and then answered');
my $two = $gateway->raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\n$close\r\n");
like($two, qr/^HTTP\/1\.1 200 .*\}HTTP\/1\.1 404 /s, 'two requests in one go are answered in turn');

# --- the log ------------------------------------------------------------------------------------
$gateway->get('/whisperer/' . encoded("\n{\"status\": 200, \"role\": \"root\"}\x1b[31m\xff") . '?secret=hush', $token);
my @lines = eval { $gateway->log_lines };
is($@, '', 'every line of the log is JSON');
is(scalar(grep { ($_->{role} // '') eq 'root' } @lines), 0, 'and nobody writes his own');
unlike($gateway->log_text, qr/[\x00-\x09\x0b-\x1f\x7f]|hush|\Q$token\E/, 'without control characters, queries and tokens');
is(scalar(grep { ($_->{status} // 0) >= 500 || ($_->{event} // '') =~ /error/ } @lines), 0, 'nothing failed on the server');
is($node->safe_psql('postgres', "SELECT to_regclass('whisperer.delivery') IS NOT NULL AND count(*) = 1 FROM whisperer.hook"), 't', 'and nothing was done');
is($gateway->status_of('GET', '/healthz'), 200, 'and it lives');

done_testing();
