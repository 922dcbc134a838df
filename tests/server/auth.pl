# Receivers that want to know who calls: constant credentials, tokens that are fetched, client
# certificates; and what must not leave with them.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $receiver = new_receiver('auth');
my $node = new_node('auth', extra => "whisperer.poll_interval = 100ms\nwhisperer.circuit_breaker = off\nlog_statement = none\n");
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");

# The hook's id; auth: the inside of the JSON object.  Each has a name, for deliver.
sub hook {
    my ($name, $url, $auth, $more) = @_;
    my $config = qq({"name": "$name", "auth": {$auth}});
    return $node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$url', config => '$config'" . ($more // '') . ')');
}

sub record {
    my ($name, $count) = @_;
    $node->safe_psql('postgres', "SELECT count(whisperer.deliver_event('e', json_build_object('n', g), '{\"name\": \"$name\"}'))
        FROM generate_series(1, " . ($count // 1) . ') g');
}

sub deliver {
    record(@_);
    wait_idle($node);
}

sub results {
    my ($hook) = @_;
    return $node->safe_psql('postgres', "SELECT DISTINCT state, retry_count, response_http_status, error FROM whisperer.delivery
        WHERE hook_id = $hook AND retry_count > 0 ORDER BY 1, 2, 3, 4");
}

sub authorizations {
    my ($path) = @_;
    my %seen = map { (Whisperer::Receiver::header($_, 'Authorization') // '-') => 1 } $receiver->requests($path);
    return join ' | ', sort keys %seen;
}

# --- constant -------------------------------------------------------------------------------------
my $basic = hook('basic', $receiver->url('/auth/basic/ann/p%C3%A4ss%3Aword'), '"type": "basic", "username": "ann", "password": "päss:word"');
my $wrong = hook('basic', $receiver->url('/auth/basic/ann/other'), '"type": "basic", "username": "ann", "password": "päss:word"');
my $bearer = hook('bearer', $receiver->url('/auth/bearer/t0k3n'), '"type": "bearer", "token": "t0k3n"');
deliver($_) for qw(basic bearer);
is(results($basic), 'delivered|1|200|', 'basic');
is(results($bearer), 'delivered|1|200|', 'bearer');
is(results($wrong), 'pending|1|401|unauthorized: HTTP status 401', 'a wrong password is a failed attempt');

# --- fetched --------------------------------------------------------------------------------------
my $login = '"type": "token", "url": "' . $receiver->url('/login/shop/ann/pw') . '", "username": "ann", "password": "pw", "token_key": "data.token"';
my $shop = hook('shop', $receiver->url('/newest/Token/shop'), $login);
deliver('shop', 50);
is(results($shop), 'delivered|1|200|', 'a token is fetched by POST of a login');
is(scalar(() = $receiver->requests('/login/shop/ann/pw')), 1, 'once for all deliveries');
$receiver->control({ revoke => 'shop' });
deliver('shop');
is(results($shop), 'delivered|1|200|', 'a token that was revoked is replaced within the attempt');
is(scalar(() = $receiver->requests('/login/shop/ann/pw')), 2, 'by one more login');
is(authorizations('/newest/Token/shop'), 'Token shop-1 | Token shop-2', 'the header is as its format says');

my $form = hook('form', $receiver->url('/newest/JWT/form'), '"auth_type": "token", "url": "' . $receiver->url('/form_login/form/ann%40x/p%20w') . '", "username": "ann@x", "password": "p w", "header_format": "JWT {}"');
deliver('form');
is(results($form), 'delivered|1|200|', 'and as dj-whisperer did, by a form');
is($node->safe_psql('postgres', "SELECT config->'auth' FROM whisperer.hook WHERE id = $form"), '{"auth_type": "token"}', 'of which the type is shown');

my $scheme = '"type": "oauth2", "client_id": "me:1", "client_secret": "s3 cr&t", "scope": "events", "token_url": "';
my $oauth2 = hook('oauth2', $receiver->url('/newest/Bearer/api'), $scheme . $receiver->url('/oauth2/api/me%3A1/s3%20cr%26t/3600/events') . '"');
deliver('oauth2', 50);
is(results($oauth2), 'delivered|1|200|', 'OAuth 2.0 client credentials');
is(authorizations('/newest/Bearer/api'), 'Bearer api-1', 'one token for all');

my $brief_path = '/oauth2/brief/me%3A1/s3%20cr%26t/1/events';
my $brief = hook('brief', $receiver->url('/newest/Bearer/brief'), $scheme . $receiver->url($brief_path) . '"');
wait_for('a second token', sub {
    deliver('brief');
    return (() = $receiver->requests($brief_path)) >= 2;
});
is(results($brief), 'delivered|1|200|', 'a token is fetched anew before it expires');

# --- not fetched ----------------------------------------------------------------------------------
my $countdown = q(, retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 3600}}');
sub refused {
    my ($name, $token_url, $error) = @_;
    my $hook = hook($name, $receiver->url("/ok/$name"), $scheme . $token_url . '"', $countdown);
    deliver($name);
    is(results($hook), "pending|1||$error", "token url: $name");
    is(scalar(() = $receiver->requests("/ok/$name")), 0, 'and nothing is sent to the target');
    return $hook;
}
refused('failing', $receiver->url('/status/500/failing'), 'token: HTTP status 500');
refused('redirecting', $receiver->url('/redirect'), 'token: redirect refused: 302 to ' . $receiver->url('/ok'));
# Allowed for as long as it is written; a worker that starts then knows of no other setting.
sub allow {
    my ($networks) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.allowed_networks = '$networks'");
    $node->reload;
    wait_for('the setting', sub { $node->safe_psql('postgres', 'SHOW whisperer.allowed_networks') eq $networks });
}
allow('127.0.0.0/8, 10.1.2.3');
my $denied = hook('denied', $receiver->url('/ok/denied'), $scheme . 'http://10.1.2.3/"', $countdown);
allow('127.0.0.0/8');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . worker_pid($node) . ')');
deliver('denied');
is(results($denied), 'pending|1||token: address 10.1.2.3 is not allowed (whisperer.allowed_networks does not name 10.1.2.3:80)', 'token url: denied');
is(scalar(() = $receiver->requests('/ok/denied')), 0, 'and nothing is sent to the target');
refused('not_json', $receiver->url('/ok/not_json_token'), 'token: the answer is not JSON');
refused('large', $receiver->url('/huge'), 'token: the answer is not JSON');
refused('stranger', $receiver->url('/oauth2/stranger/you/s3%20cr%26t/60'), 'token: unauthorized: HTTP status 401');
like($node->safe_psql('postgres', "SELECT whisperer.why(event_id, hook_id) FROM whisperer.delivery WHERE error ~ '^token: address'"),
    qr/last error: token: address 10\.1\.2\.3/, 'why says so');

my $burst = hook('burst', $receiver->url('/ok/burst'), $scheme . $receiver->url('/fail-first/1/500/burst') . '"', $countdown);
$receiver->control({ path => '/fail-first/1/500/burst', steps => ['status/500', 'hang'] });
record('burst', 30);
wait_for('the second fetch', sub { (() = $receiver->requests('/fail-first/1/500/burst')) >= 2 });
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE retry_count > 0 AND error ~ '^token'), count(*) FILTER (WHERE state = 'pending')
    FROM whisperer.delivery WHERE hook_id = $burst"), '1|30', 'one delivery pays for a fetch that fails, the others wait');
$receiver->control({ path => '/fail-first/1/500/burst', steps => [] });
$node->safe_psql('postgres', "SELECT whisperer.delete_hook($burst)");
$receiver->control({ release => JSON::PP::true });

# --- who may see it -------------------------------------------------------------------------------
is($node->safe_psql('postgres', "SELECT config->'auth' FROM whisperer.hook WHERE id = $oauth2"), '{"type": "oauth2"}', 'the config shows the type');
my $log = slurp_file($node->logfile);
my $everything = $node->safe_psql('postgres', q(SELECT string_agg(t::text, ' ') FROM (
    SELECT d::text FROM whisperer.delivery d UNION ALL SELECT a::text FROM whisperer.attempt a
    UNION ALL SELECT h::text FROM whisperer.hook_definition h UNION ALL SELECT s::text FROM whisperer.hook_stats s) AS x(t)));
ok("$everything$log" !~ /s3 cr|s3\+cr|p(?:\xC3\xA4|\xE4)ss|api-1|shop-1|Bearer |Basic /, 'no credential in ledger, hooks, statistics or log');

# --- diverted -------------------------------------------------------------------------------------
$receiver->control({ revoke => 'shop' });
$node->safe_psql('postgres', "SELECT whisperer_internal.set_secret($basic, NULL, '{\"X-Api-Key\": \"k3y\"}')");
$node->append_conf('postgresql.conf', "whisperer.divert_to = '" . $receiver->url('/ok/sink') . "'");
$node->reload;
wait_for('the setting', sub {
    deliver($_) for qw(shop basic bearer);
    my @sunk = $receiver->requests('/ok/sink');
    my %hooks = map { Whisperer::Receiver::header($_, 'X-Whisperer-Hook') => 1 } @sunk;
    return keys %hooks == 4;
});
is(authorizations('/ok/sink'), '-', 'no credentials go where everything is diverted to');
is(scalar(grep { Whisperer::Receiver::header($_, 'X-Api-Key') } $receiver->requests('/ok/sink')), 0, 'nor additional headers');
my $logins = () = $receiver->requests('/login/shop/ann/pw');
deliver('shop', 5);
is(scalar(() = $receiver->requests('/login/shop/ann/pw')), $logins, 'and no token is fetched');
$node->safe_psql('postgres', 'ALTER SYSTEM SET whisperer.divert_to = \'\'');
$node->reload;

# --- carried --------------------------------------------------------------------------------------
$node->safe_psql('postgres', 'SELECT whisperer.pause()');
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'pg_restore');
$node->safe_psql('copy', "SELECT whisperer.resume()");
my $before = () = $receiver->requests('/auth/bearer/t0k3n');
wait_for('an event of the copy', sub {
    $node->safe_psql('copy', q(SELECT whisperer.deliver_event('e', '{"copy": true}', '{"name": "bearer"}')));
    wait_idle($node, 'copy');
    return (() = $receiver->requests('/auth/bearer/t0k3n')) > $before;
});
is(authorizations('/auth/bearer/t0k3n'), 'Bearer t0k3n', 'credentials come along with a dump');

done_testing();
