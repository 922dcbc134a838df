# Who is let in: schemes, ends of tokens, whose hooks one sees, and what becomes of who tries tokens.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use Test::More;
use Whisperer;

my $node = new_node('tokens');
my $receiver = new_receiver('tokens');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $ann = new_role($node, 'ann', 'e');
my $bob = new_role($node, 'Bob "x"', 'e');
my $gateway = new_gateway($node, options => [ '--trusted-proxies', '127.0.0.1,10.0.0.0/8' ]);

# Each test of failures has a client address of its own, or it would meet those of the others.
my $clients = 0;
sub client { $clients++; return { 'X-Forwarded-For' => sprintf '172.16.%d.%d', $clients >> 8, $clients & 255 } }
sub session { my ($authorization, $headers) = @_; return $gateway->request('GET', '/whisperer/session/', headers => { ($headers ? %$headers : %{ client() }), defined $authorization ? (Authorization => $authorization) : () }) }

# --- schemes ------------------------------------------------------------------------------------
is(session("$_$ann")->{json}{role}, 'ann', "${_}<token> lets in") for 'Token ', 'Bearer ', 'tOkEn ', 'bearer   ';
is(session("Token $bob")->{json}{role}, 'Bob "x"', 'a role with quotes in its name');
like(session("Token $ann")->{json}{version}, qr/^\d+\.\d+$/, 'and the version is said');
for my $bad (undef, "Basic $ann", $ann, 'Token', 'Token ', "Token $ann $ann", "Token ${ann}x", 'Token ' . substr($ann, 0, -1), 'Token what_1_' . 'x' x 43,
    'Token what_99999999999999999999_' . 'x' x 43, "Token ' OR true --", 'Token ' . 'x' x 9000)
{
    my $answer = session($bad);
    my $shown = defined $bad ? substr($bad =~ s/\Q$ann\E/<token>/gr, 0, 40) : 'nothing';
    is("$answer->{status} " . ($answer->{headers}{'www-authenticate'} // '') . " $answer->{json}{message}", '401 Token a valid token is needed', "not with $shown");
}

# --- ends ---------------------------------------------------------------------------------------
my $passing = new_token($node, 'ann', ", now() + interval '3 s'");
is(session("Token $passing")->{status}, 200, 'a token before its end');
wait_for('the token to expire', sub { session("Token $passing")->{status} == 401 });
pass('and none after it');

my $revoked = new_token($node, 'ann');
is(session("Token $revoked")->{status}, 200, 'a token');
$node->safe_psql('postgres', "SELECT whisperer.revoke_api_token($1)") if $revoked =~ /^what_(\d+)_/;
wait_for('the token to be refused', sub { session("Token $revoked")->{status} == 401 });
pass('is refused once it is revoked');
is(session("Token $ann")->{status}, 200, 'and others are not');
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.api_token WHERE last_used_at IS NOT NULL"), 4, 'the use of tokens is noted');

my $carol = new_role($node, 'carol', 'e');
is(session("Token $carol")->{json}{role}, 'carol', 'a role that the gateway may act as');
$node->safe_psql('postgres', 'REVOKE carol FROM gateway');
is(session("Token $carol")->{status}, 401, 'and may no longer: at once');

# --- whose --------------------------------------------------------------------------------------
my $hers = $gateway->post('/whisperer/hooks/', $ann, { event_type => 'e', target_url => $receiver->url('/ok/ann') })->{json}{id};
my $his = $gateway->post('/whisperer/hooks/', $bob, { event_type => 'e', target_url => $receiver->url('/ok/bob') })->{json}{id};
my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('e', '{}')::text, '-', '')));
wait_idle($node);
is(join(' ', map { $_->{id} } @{ $gateway->all('/whisperer/hooks/', $ann) }), $hers, 'one sees one\'s own hooks');
is(join(' ', map { $_->{id} } @{ $gateway->all('/whisperer/hook_events/', $ann) }), "$event-$hers", 'and deliveries');
is(join(' ', map { $_->{hook_id} } @{ $gateway->all('/whisperer/hook_stats/', $ann) }), $hers, 'and figures');
for ([ GET => "hooks/$his/" ], [ DELETE => "hooks/$his/" ], [ PATCH => "hooks/$his/", { description => 'mine' } ],
    [ PUT => "hooks/$his/", { event_type => 'e', target_url => $receiver->url('/ok/stolen') } ], [ POST => "hooks/$his/pause/", {} ], [ POST => "hooks/$his/resume/", {} ],
    [ POST => "hooks/$his/ping/", {} ], [ POST => "hooks/$his/rotate_secret/", {} ], [ POST => "hooks/$his/replay/", { since => '2000-01-01' } ],
    [ POST => "hooks/$his/recover/", { since => '2000-01-01' } ], [ POST => "hooks/$his/recover/", { since => '2000-01-01', dry_run => JSON::PP::true } ],
    [ GET => "hook_events/$event-$his/" ], [ POST => "hook_events/$event-$his/retry/", { force => JSON::PP::true } ])
{
    my ($method, $path, $json) = @$_;
    my @answers = map {
        my $other = $path =~ s{\b$his/}{$_/}r;
        my $answer = $gateway->request($method, "/whisperer/$other", token => $ann, $json ? (json => $json) : ());
        delete $answer->{json}{request_id};
        "$answer->{status} " . JSON::PP->new->canonical->encode($answer->{json});
    } $his, 4711;
    like($answers[0], qr/^404 /, "$method $path of another's hook");
    is($answers[0], $answers[1], 'is as for one that does not exist');
}
is($gateway->get("/whisperer/hooks/$his/", $bob)->{json}{state}, 'active', 'it is as it was');

# --- what one publishes -------------------------------------------------------------------------
$node->safe_psql('postgres', q(SELECT whisperer.register_event(t), whisperer.allow(t, 'ann', 'publish'), whisperer.allow(t, '"Bob ""x"""', 'subscribe') FROM unnest('{said,heard}'::text[]) AS t));
sub publish { my ($json, $token, %headers) = @_; return $gateway->request('POST', '/whisperer/events/', token => $token // $ann, ref $json ? (json => $json) : (content => $json), headers => \%headers) }
sub recorded { return $node->safe_psql('postgres', 'SELECT count(*) FROM whisperer.outbox') }
my %hook = map { $_ => $gateway->post('/whisperer/hooks/', $bob, { event_type => 'said', target_url => $receiver->url("/ok/shop/$_"), config => { shop => $_ } })->{json}{id} } 1, 2;
my $data = '{"b": 1,  "a": 1.50, "\u00e9": "\u20ac"}';
my $said = publish(qq({"event_type": "said", "data": $data, "object_id": "7", "config_filter": {"shop": 1}}));
is($said->{status}, 201, 'an event is published');
wait_idle($node);
my ($heard) = $receiver->requests('/ok/shop/1');
like($heard->{body}, qr/"data":\Q$data\E/, 'and arrives, as it was written');
is(Whisperer::Receiver::header($heard, 'webhook-id'), $said->{json}{id}, 'by the id that was said');
is($gateway->get("/whisperer/hook_events/$said->{json}{id}-$hook{1}/", $bob)->{json}{object_id}, 7, 'with its object');
is(scalar($receiver->requests('/ok/shop/2')), 0, 'where config_filter sends it');
is(publish({ event_type => 'said', data => $_, config_filter => undef, object_id => undef })->{status}, 201, 'data of another kind') for [ 1, [] ], 'x', 0, JSON::PP::false;
my $before = recorded();
is(publish({ event_type => 'said', data => {} }, $bob)->{json}{errors}{event_type}[0], 'you may not publish this event type', 'not by who may only subscribe');
is(publish({ event_type => 'said', data => {} }, $bob)->{status}, 403, 'which is forbidden');
for ([ { event_type => 'none', data => {} }, 'event_type' ], [ { event_type => 'whisperer-ping', data => {} }, 'event_type' ], [ { event_type => '', data => {} }, 'event_type' ], [ { event_type => 's*', data => {} }, 'event_type' ],
    [ {}, 'data event_type' ], [ { event_type => 'said', data => undef }, 'data' ], [ { event_type => ['said'], data => {} }, 'event_type' ], [ { event_type => 'said', data => {}, hook => $hers }, 'hook' ],
    [ { event_type => 'said', data => {}, config_filter => [] }, 'config_filter' ], [ { event_type => 'said', data => {}, config_filter => { a => 'x' x 9000 } }, 'config_filter' ], [ { event_type => 'said', data => {}, object_id => 7 }, 'object_id' ])
{
    my $answer = publish($_->[0]);
    is("$answer->{status} " . join(' ', sort keys %{ $answer->{json}{errors} // {} }), "400 $_->[1]", 'refused: ' . substr JSON::PP->new->canonical->encode($_->[0]), 0, 100);
    unlike($answer->{content}, qr/whisperer\.|=>/, 'in words');
}
is(publish(qq({"event_type": "said", "data": {}, "$_": {"a": "\\u0000"}}))->{status}, 400, "a NUL in $_") for qw(data config_filter);
is(publish('{"event_type": "said", "data": ' . '[' x 40 . ']' x 40 . '}')->{json}{code}, 'bad_json', 'data that is nested too deeply');
for my $bad ('""', '"a', '"a"b', 'k' x 256, "a\tb") {
    is(publish({ event_type => 'said', data => {} }, $ann, 'Idempotency-Key' => $bad)->{status}, 400, 'a key that is none: ' . substr $bad, 0, 9);
}
is(recorded(), $before, 'nothing of that was recorded');
sub keyed { my ($key, $data) = @_; return publish(qq({"event_type": "said", "data": $data, "config_filter": {"shop": 1}}), $ann, 'Idempotency-Key' => $key) }
my @keyed = map { keyed($_, '{"paid": 7}') } 'order-7', '"order-7"', 'order-7';
is(join(' ', map { $_->{status} } @keyed), '201 201 201', 'an event with a key is recorded, as often as it is sent');
is(join(' ', map { $_->{json}{id} } @keyed), join(' ', ($keyed[0]{json}{id}) x 3), 'with one id, in quotes or not');
is(recorded(), $before + 1, 'and once');
isnt(keyed('"order-\\"7\\\\"', '{"paid": 7}')->{json}{id}, $keyed[0]{json}{id}, 'another key is another event');
is($node->safe_psql('postgres', q(SELECT count(*) FROM whisperer.event_key WHERE key = whisperer_internal.key_digest('order-"7\'))), 1, 'what is escaped in it is not when it is kept');
is(keyed('order-7', '{ "paid":  7.0 }')->{json}{id}, $keyed[0]{json}{id}, 'nor is it another event when it is written anew');
is(recorded(), $before + 2, 'which records nothing');
my $reused = keyed('order-7', '{"paid": 8}');
is("$reused->{status} $reused->{json}{code} $reused->{json}{message}", '422 key_reused Idempotency-Key was used for an event with other content', 'a key is for one event');
wait_idle($node);
is(scalar(grep { $_->{body} =~ /paid/ } $receiver->requests('/ok/shop/1')), 2, 'receivers have each once');

# --- events that do not fit the schema of their type ------------------------------------------------
$node->safe_psql('postgres', q(SELECT whisperer.update_event('said', '{"schema": {"required": ["n"], "properties": {"n": {"type": "integer"}}}}')));
my @unfit = map { publish({ event_type => 'said', data => $_ }) } { m => 1 }, { n => 'secret' }, { n => 5 };
is(join(' ', map { $_->{status} } @unfit), '201 201 201', 'they are recorded all the same');
wait_idle($node);
my @shown = map { $gateway->get("/whisperer/hook_events/$_->{json}{id}-$hook{1}/", $bob)->{json} } @unfit;
is(join(' ', map { "$_->{state} $_->{retry_count}" } @shown), 'failed 0 failed 0 delivered 1', 'and sent to nobody');
is_deeply([ map { $_->{error} } @shown ], [ 'schema: required "n"', 'schema: /n: type', undef ], 'which says what does not fit, and no value');
is(scalar(grep { $_->{body} =~ /"n": ?5/ } $receiver->requests('/ok/shop/1')), 1, 'the receiver has the one that fits');
is(scalar(grep { $_->{body} =~ /"m"|secret/ } $receiver->requests('/ok/shop/1')), 0, 'and no other');
$node->safe_psql('postgres', q(SELECT whisperer.update_event('said', '{"schema": null}')));

# --- trying tokens ------------------------------------------------------------------------------
sub guess { return 'Token what_1_' . join '', map { ('a' .. 'z')[ rand 26 ] } 1 .. 43 }
my $attacker = client();
is(session("Token $bob", $attacker)->{status}, 200, 'who has used a good token');
is(join(' ', map { session(guess(), $attacker)->{status} } 1 .. 5), '401 401 401 401 401', 'may fail five times');
my $slowed = session(guess(), $attacker);
is($slowed->{status}, 429, 'and then has to wait');
cmp_ok($slowed->{headers}{'retry-after'}, '>=', 1, 'as long as is said');
is(session("Token $ann", $attacker)->{status}, 200, 'tokens that were good lately go on at that address');
is(session('Token ' . new_token($node, 'ann'), $attacker)->{status}, 429, 'unknown ones wait, good or not');
is(session(guess())->{status}, 401, 'other addresses do not');
my $longest = 0;
wait_for('a longer wait', sub {
    my $answer = session(guess(), $attacker);
    $longest = $answer->{headers}{'retry-after'} if $answer->{status} == 429 && $answer->{headers}{'retry-after'} > $longest;
    return $longest > 7;
});
pass('who goes on waits longer');
is(session("Token $ann", $attacker)->{status}, 200, 'and the good token goes on, also when it is asked for anew');

# Of IPv6 a client has a whole /64.
is(join(' ', map { session(guess(), { 'X-Forwarded-For' => "2001:db8::$_" })->{status} } 1 .. 6), '401 401 401 401 401 429', 'a network of IPv6 is one client');
# A client that is no proxy may say what it wants.
my $direct = new_gateway($node);
is(join(' ', map { $direct->request('GET', '/whisperer/session/', headers => { Authorization => guess(), %{ client() } })->{status} } 1 .. 6), '401 401 401 401 401 429',
    'X-Forwarded-For of a stranger is not believed');
is(join(' ', map { session(guess(), { 'X-Forwarded-For' => "198.51.100.$_, 203.0.113.7, 10.1.2.3" })->{status} } 1 .. 6), '401 401 401 401 401 429',
    'nor what stands before the first stranger, from the right');
is(join(' ', map { session(guess(), { 'X-Forwarded-For' => "203.0.113.17:4242$_" })->{status} } 1 .. 6), '401 401 401 401 401 429', 'a port behind an address is none of it');
is(session(guess(), { 'X-Forwarded-For' => '203.0.113.17' })->{status}, 429, 'it is that address');
is(join(' ', map { session(guess(), { 'X-Forwarded-For' => "[2001:db8:1::7]:4242$_" })->{status} } 1 .. 6), '401 401 401 401 401 429', 'so for IPv6');
is(session(guess(), { 'X-Forwarded-For' => $_ })->{status}, 429, "$_ is that address, too") for '2001:db8:1::7', '[2001:db8:1::7]';
is(session(guess(), { 'X-Forwarded-For' => '198.51.100.1:1, 203.0.113.18:2, 10.1.2.3:3' })->{status}, 401, 'a proxy is believed with its port, too');
is(session(guess(), { 'X-Forwarded-For' => '198.51.100.1, 203.0.113.8, 10.1.2.3' })->{status}, 401, 'who alone is counted');

# --- what is not said ---------------------------------------------------------------------------
unlike($gateway->log_text, qr/\Q$_\E/, 'no token is in the log') for map { /_(.{43})$/ } $ann, $bob, $revoked;
my ($line) = grep { ($_->{role} // '') eq 'Bob "x"' } $gateway->log_lines;
is(join(' ', sort keys %$line), 'address duration_ms method path request_id role status time', 'but who did what, and what came of it');

# --- made and revoked over HTTP ------------------------------------------------------------------
sub of_tokens { my ($method, $path, $json, $with) = @_; return $gateway->request($method, "/whisperer/api_tokens/$path", headers => { %{ client() }, Authorization => 'Token ' . ($with // $ann) }, $json ? (json => $json) : ()) }
sub id_in { return ($_[0] =~ /_(\d+)_/)[0] }
my $made = of_tokens('POST', '', { description => 'made over HTTP' });
is_deeply([ $made->{status}, @{ $made->{json} }{qw(role description kind expires_at last_used_at revoked_at)} ], [ 201, 'ann', 'made over HTTP', 'api', undef, undef, undef ], 'a token makes another of its role');
my $fresh = $made->{json}{token};
is(session("Token $fresh")->{json}{role}, 'ann', 'which lets in');
my @listed = @{ of_tokens('GET', '')->{json}{results} };
is_deeply([ @{ $listed[0] }{qw(id description)} ], [ $made->{json}{id}, 'made over HTTP' ], 'it is the first of the list');
is(join(' ', do { my %roles = map { $_->{role} => 1 } @listed; sort keys %roles }), 'ann', 'in which one sees those of one\'s own roles');
unlike(of_tokens('GET', '')->{content}, qr/what_|\Q@{[ substr $fresh, -43 ]}\E/, 'and no token');
is(scalar(@{ of_tokens('GET', '?limit=1')->{json}{results} }), 1, 'page by page');
my %new = (description => 'x');
for ([ {}, 400, 'description' ], [ { description => undef }, 400, 'description' ], [ { %new, expires_at => 'tomorrow' }, 400, 'expires_at' ], [ { %new, expires_at => '2001-01-01' }, 400, 'expires_at' ],
    [ { %new, role => 'Bob "x"' }, 403, 'role' ], [ { %new, role => 'nobody-at-all' }, 403, 'role' ], [ { %new, role => 'carol' }, 403, 'role' ], [ { %new, role => 'gateway' }, 403, 'role' ], [ { %new, role => '' }, 403, 'role' ], [ { %new, kind => 'portal' }, 400, 'kind' ])
{
    my $refused = of_tokens('POST', '', $_->[0]);
    is("$refused->{status} " . join(' ', sort keys %{ $refused->{json}{errors} // {} }), "$_->[1] $_->[2]", 'refused: ' . JSON::PP->new->canonical->encode($_->[0]));
}
$node->safe_psql('postgres', 'GRANT "Bob ""x""" TO ann');
is(session('Token ' . of_tokens('POST', '', { %new, role => 'Bob "x"' })->{json}{token})->{json}{role}, 'Bob "x"', 'a member of a role makes tokens of it');
my $boss = new_role($node, 'boss', 'e');
$node->safe_psql('postgres', $_) for 'REVOKE "Bob ""x""" FROM ann', 'ALTER ROLE boss SUPERUSER';
is(of_tokens('POST', '', { %new, role => 'carol' }, $boss)->{json}{errors}{role}[0], 'you may make no tokens of this role', 'but nobody one of a role that the gateway may not act as');
is(of_tokens('POST', '', { %new, role => 'ann' }, $boss)->{json}{role}, 'ann', 'a superuser of another');
$node->safe_psql('postgres', 'ALTER ROLE boss NOSUPERUSER');
# Whoever gets hold of a token that ends has none that does not.
my $ending = new_token($node, 'ann', ", now() + interval '1 hour'");
my $heir = of_tokens('POST', '', {%new}, $ending)->{json};
is($heir->{expires_at}, (grep { $_->{id} == id_in($ending) } @{ of_tokens('GET', '')->{json}{results} })[0]{expires_at}, 'what a token makes ends with it');
like(of_tokens('POST', '', { %new, expires_at => '2099-01-01' }, $ending)->{json}{errors}{expires_at}[0], qr/^must not be after the end of the token that you use: 2/, 'and not later');
my $soon = $node->safe_psql('postgres', q(SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
is(of_tokens('POST', '', { %new, expires_at => $soon }, $ending)->{json}{expires_at} =~ s/\+00:00$/Z/r, $soon, 'but before');
# For the three seconds that a revoked token may be good for, it makes none.
is(session("Token $ending")->{status}, 200, 'a token that is known to be good');
is(of_tokens('DELETE', id_in($ending) . '/')->{status}, 204, 'is revoked');
is(of_tokens('POST', '', {%new}, $ending)->{status}, 401, 'and makes no other at once');
is(of_tokens('DELETE', "$made->{json}{id}/")->{status}, 204, 'so is the one that was made');
wait_for('it to be refused', sub { session("Token $fresh")->{status} == 401 });
is(of_tokens('DELETE', "$made->{json}{id}/")->{status}, 204, 'twice is as once');
my %is_good = map { $_->{id} => 1 } @{ of_tokens('GET', '?is_active=true')->{json}{results} };
ok(!$is_good{ $made->{json}{id} } && $is_good{ id_in($ann) }, 'the list tells good ones from others');
is(of_tokens('DELETE', "$_/")->{status}, 404, "there is no token $_") for id_in($bob), 4711, 0, 'x';
is(session("Token $bob")->{status}, 200, 'and that of another is good');
$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION whisperer.create_api_token(regrole, text, timestamptz) FROM PUBLIC');
is(of_tokens('POST', '', {%new})->{status}, 403, 'where making tokens is taken from everybody, nobody makes one over HTTP either');
$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION whisperer.create_api_token(regrole, text, timestamptz) TO PUBLIC');
unlike($gateway->log_text, qr/\Q@{[ substr $_, -43 ]}\E/, 'a token that was made is in no log of the gateway') for $fresh, $heir->{token};
# What a client sends is a parameter, which the role of the gateway is set not to log; what is made is none.
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/\Q@{[ substr $heir->{token}, -43 ]}\E/, 'nor in that of the server, though it logs all parameters');

# --- links into the console ---------------------------------------------------------------------
my ($portal) = $node->safe_psql('postgres', "SELECT whisperer.create_portal_link('ann')") =~ /(whap_.*)/;
my %answer_of = map { $_ => $gateway->request('GET', $_, headers => { %{ client() }, Authorization => "Token $portal" })->{status} }
    qw(/whisperer/session/ /whisperer/hooks/ /whisperer/hook_stats/ /whisperer/delivery_rate/ /whisperer/status/ /whisperer/api_tokens/ /metrics);
is(join(' ', map { "$_ $answer_of{$_}" } sort keys %answer_of),
    '/metrics 403 /whisperer/api_tokens/ 403 /whisperer/delivery_rate/ 200 /whisperer/hook_stats/ 200 /whisperer/hooks/ 200 /whisperer/session/ 200 /whisperer/status/ 403',
    'the token of a link is for the hooks of one role, and does not tell what all of them have to do');

is($gateway->request($_->[0], "/whisperer/api_tokens/$_->[1]", headers => { %{ client() }, Authorization => "Token $portal" }, json => $_->[2])->{status}, 403, 'it makes and ends no token')
    for [ POST => '', { description => 'x' } ], [ DELETE => '1/', {} ];

done_testing();
