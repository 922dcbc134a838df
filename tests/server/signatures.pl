# Signatures of every kind of secret, and while one kind gives way to another, as the openssl command
# line verifies them; and a hook's own, as the libraries verify them whose schemes they are.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha1_hex hmac_sha512);
use Encode qw(encode_utf8);
use MIME::Base64 qw(encode_base64);
use Openssl;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('signatures');
my $receiver = new_receiver('signatures');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub header { return Whisperer::Receiver::header(@_) }

# A hook with the secret that the expression gives, and its id.
sub hook {
    my ($path, $secret) = @_;
    my $url = $receiver->url("/ok/$path");
    return sql("SELECT whisperer.create_hook('e', '$url', secret_key => $secret)");
}

my %hook = (
    text => hook('text', "'secret'"), whsec => hook('whsec', 'NULL'),
    whsk => hook('whsk', 'whisperer.make_signing_key()'), other => hook('other', 'whisperer.make_signing_key()'),
    unsigned => hook('unsigned', "''"), forward => hook('forward', "'old'"), back => hook('back', 'whisperer.make_signing_key()'),
    renewed => hook('renewed', 'whisperer.make_signing_key()'),
);
my ($back_key, $renewed_key) = map { sql("SELECT whisperer.hook_public_key($hook{$_})") } qw(back renewed);
sql("SELECT whisperer.rotate_secret($hook{forward}, whisperer.make_signing_key())");
sql("SELECT whisperer.rotate_secret($hook{back}, 'new')");
sql("SELECT whisperer.rotate_secret($hook{renewed}, whisperer.make_signing_key())");

# The one request for a hook.
sub request_of {
    my ($path) = @_;
    my @requests = $receiver->requests("/ok/$path");
    is(scalar @requests, 1, "$path: one request");
    return $requests[0];
}

sub kinds {
    my ($request) = @_;
    return join ' ', map { /^(\w+),/ } split / /, header($request, 'webhook-signature') // '';
}

sql(q{SELECT whisperer.deliver_event('e', json_build_object('name', U&'\00fc\+01F4E6'))});
wait_idle($node);

my $request = request_of('text');
is(kinds($request), 'v1', 'text: v1');
ok(verifies_v1($request, 'secret'), 'text: openssl agrees with webhook-signature');
ok(verifies_body($request, 'secret'), 'text: and with X-Whisperer-Signature');
ok(!verifies_v1($request, 'other'), 'text: not with another secret');

$request = request_of('whsec');
my $whsec = sql("SELECT whisperer.hook_secret($hook{whsec})");
ok(verifies_v1($request, $whsec), 'whsec_: openssl agrees with webhook-signature');
ok(verifies_body($request, $whsec), 'whsec_: and with X-Whisperer-Signature');

my $key = sql("SELECT whisperer.hook_public_key($hook{whsk})");
$request = request_of('whsk');
is(kinds($request), 'v1a', 'whsk_: v1a');
ok(verifies_v1a($request, $key), 'whsk_: openssl accepts it');
ok(!verifies_v1a($request, sql("SELECT whisperer.hook_public_key($hook{other})")), 'whsk_: not with another key');
ok(!verifies_v1a({ %$request, body => $request->{body} . ' ' }, $key), 'whsk_: nor of another body');
is(header($request, 'x-whisperer-signature'), undef, 'whsk_: no X-Whisperer-Signature');
like(sql("SELECT whisperer.hook_secret($hook{whsk})"), qr/^whsk_/, 'whsk_: hook_secret gives the key as it is');

$request = request_of('unsigned');
is(kinds($request), '', 'unsigned: no webhook-signature');
is(header($request, 'x-whisperer-signature'), undef, 'unsigned: no X-Whisperer-Signature');

$request = request_of('forward');
is(kinds($request), 'v1a v1', 'from text to whsk_: both sign');
ok(verifies_v1($request, 'old'), 'from text to whsk_: the old one');
ok(verifies_v1a($request, sql("SELECT whisperer.hook_public_key($hook{forward})")), 'from text to whsk_: the new one');
ok(verifies_body($request, 'old'), 'from text to whsk_: X-Whisperer-Signature stays the old one');

$request = request_of('back');
is(kinds($request), 'v1 v1a', 'from whsk_ to text: both sign');
ok(verifies_v1($request, 'new'), 'from whsk_ to text: the new one');
ok(verifies_v1a($request, $back_key), 'from whsk_ to text: the old one');
ok(verifies_body($request, 'new'), 'from whsk_ to text: X-Whisperer-Signature is the one that can be');

$request = request_of('renewed');
is(kinds($request), 'v1a v1a', 'from whsk_ to whsk_: both sign');
ok(verifies_v1a($request, $renewed_key), 'from whsk_ to whsk_: the old one');
ok(verifies_v1a($request, sql("SELECT whisperer.hook_public_key($hook{renewed})")), 'from whsk_ to whsk_: the new one');
is(header($request, 'x-whisperer-signature'), undef, 'from whsk_ to whsk_: no X-Whisperer-Signature');

# --- signatures of a hook's own
sql("SELECT whisperer.register_event('own')");

sub own {
    my ($path, $signing, $more, $secret) = @_;
    my $url = $receiver->url("/ok/$path");
    my $signed = $signing ? ", signing => '$signing'" : '';
    return sql("SELECT whisperer.create_hook('own', '$url', secret_key => '" . ($secret // 'secret') . "'$signed" . ($more ? ", $more" : '') . ')');
}
my $github = '{"header": "X-Hub-Signature-256", "value": "sha256={hex}", "content": "{body}"}';
my $stripe = '{"header": "Stripe-Signature", "value": "t={time},v1={hex}", "overlap": ",v1={hex}", "content": "{time}.{body}"}';
own('github', $github);
own('stripe', $stripe);
own('slack', '{"header": "X-Slack-Signature", "value": "v0={hex}", "content": "v0:{time}:{body}", "time_header": "X-Slack-Request-Timestamp"}');
own('shopify', '{"header": "X-Shopify-Hmac-Sha256", "value": "{base64}"}', q(additional_headers => '{"X-Shopify-Topic": "orders/paid",
    "X-Shopify-API-Version": "2026-01", "X-Shopify-Shop-Domain": "shop.example", "X-Shopify-Webhook-Id": "1"}'));
# Whoever knows one of two secrets: the old one, or the new one.
my ($knows_old, $knows_new) = ([ secret => 'another' ], [ another => 'secret' ]);
for ([ 'github-old', $github, @$knows_old ], [ 'github-new', $github, @$knows_new ], [ 'stripe-old', $stripe, @$knows_old ], [ 'stripe-new', $stripe, @$knows_new ]) {
    my ($path, $signing, $before, $after) = @$_;
    sql('SELECT whisperer.rotate_secret(' . own($path, $signing, undef, $before) . ", '$after')");
}
own('sha1', '{"header": "X-Hub-Signature", "value": "sha1={hex}", "algorithm": "sha1"}', q(signatures => '{}'));
own('sha512', '{"header": "X-Own", "value": "{id} {base64}", "content": "{id}.{time}.{body}{id}", "algorithm": "sha512"}', q(signatures => '{standard}'));
own('only-whisperer', undef, q(signatures => '{whisperer}'));
sql(q{SELECT whisperer.deliver_event('own', json_build_object('name', U&'\00fc\+01F4E6'))});
wait_idle($node);

sub built_in { my ($r) = @_; return join ' ', grep { defined header($r, $_) } qw(webhook-signature x-whisperer-signature) }
is(built_in(request_of('github')), 'webhook-signature x-whisperer-signature', 'beside the others');
ok(verifies_v1(request_of('github'), 'secret'), 'which are as they were');
$request = request_of('sha1');
is(built_in($request), '', 'or in their place');
is(header($request, 'x-hub-signature'), 'sha1=' . hmac_sha1_hex(encode_utf8($request->{body}), 'secret'), 'sha1');
$request = request_of('sha512');
is(built_in($request), 'webhook-signature', 'standard alone');
ok(verifies_v1($request, 'secret'), 'which verifies');
my ($id, $time) = map { header($request, $_) } qw(webhook-id webhook-timestamp);
is(header($request, 'x-own'), "$id " . encode_base64(hmac_sha512(encode_utf8("$id.$time.$request->{body}$id"), 'secret'), ''), 'sha512, with every placeholder');
is(built_in(request_of('only-whisperer')), 'x-whisperer-signature', 'whisperer alone');
ok(verifies_body(request_of('only-whisperer'), 'secret'), 'which verifies');

SKIP: {
    my $folder = PostgreSQL::Test::Utils::tempdir('npm');
    my @libraries = qw(@octokit/webhooks-methods stripe @slack/bolt @shopify/shopify-api);
    skip "@libraries of npm: there is no npm", 2 unless run_log([ 'sh', '-c', 'command -v npm' ]);
    skip "@libraries of npm: they cannot be fetched", 2
        unless run_log([ 'timeout', '120', 'npm', 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund',
            '--fetch-retries=0', '--cache', "$folder/cache", '--prefix', $folder, @libraries ]);
    my $verifier = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/schemes.mjs}r;
    my ($out) = run_command([ 'node', $verifier, $receiver->{log}, 'secret', $folder ]);
    is(join(' ', sort split /\n/, $out =~ s{/ok/}{}gr =~ s/ (true|false)/=$1/gr),
        'github-new=false github-old=true github=true shopify=true slack=true stripe-new=true stripe-old=true stripe=true',
        'their own libraries accept them; during an overlap both secrets where the scheme has room, else the old one');
    ($out) = run_command([ 'node', $verifier, $receiver->{log}, 'wrong', $folder ]);
    unlike($out, qr/true/, 'and refuse them with another secret');
}

done_testing();
