# Signatures of every kind of secret, and while one kind gives way to another, as the openssl command
# line verifies them.
use strict;
use warnings;
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

done_testing();
