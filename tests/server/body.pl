# What is received is what was signed, byte for byte, on every attempt.
use strict;
use warnings;
use Encode qw(decode_utf8 encode_utf8);
use Openssl;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('body');
my $receiver = new_receiver('body');
my $url = $receiver->url('/fail-first/2/500/a');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE package (zeta int PRIMARY KEY, alpha numeric, "Mixed" text, at timestamptz, data json);
SELECT whisperer.register_event('package-created');
CREATE TRIGGER package_created AFTER INSERT ON package
    FOR EACH ROW EXECUTE FUNCTION whisperer.capture('package-created');
SELECT whisperer.create_hook('package-created', '$url', secret_key => 'secret',
    additional_headers => '{"X-Tenant": "acme"}',
    retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}}');
SQL
# Settings of the writer's session must not show.
$node->safe_psql('postgres', <<'SQL');
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German, DMY'; SET extra_float_digits = -5;
INSERT INTO package VALUES (1, 12345678901234567890.123456789012345678901, E'\u00fc\U0001F4E6"\\', '2026-01-02 03:04:05+00',
    '{"b":  1,"a":1e400, "nul": "\u0000"}');
SQL
my $id = $node->safe_psql('postgres', 'SELECT id FROM whisperer.outbox') =~ s/-//gr;
wait_for('the third attempt', sub {
    $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered' AND retry_count = 3") == 1;
});

my @requests = $receiver->requests;
is(scalar @requests, 3, 'two failed attempts and one that was taken');
my $expected = '{"event":{"type":"package-created","uuid":"' . $id . '"},"data":'
    . '{"zeta":1,"alpha":12345678901234567890.123456789012345678901,"Mixed":"'
    . decode_utf8("\xc3\xbc\xf0\x9f\x93\xa6") . '\"\\\\","at":"2026-01-02T03:04:05+00:00",'
    . '"data":{"b":  1,"a":1e400, "nul": "\u0000"}}}';
is($_->{body}, $expected, "attempt $_->{n}: column order, numbers, unicode and white space are kept") for @requests;
is(Whisperer::Receiver::header($_, 'webhook-id'), $id, "attempt $_->{n}: the same webhook-id") for @requests;
is(Whisperer::Receiver::header($requests[0], 'content-type'), 'application/json', 'content type');
my $version = $node->safe_psql('postgres', q(SELECT extversion FROM pg_extension WHERE extname = 'whisperer'));
is(Whisperer::Receiver::header($requests[0], 'user-agent'), "whisperer/$version", 'user agent');
is(Whisperer::Receiver::header($requests[0], 'x-whisperer-event'), 'package-created', 'event type');
is(Whisperer::Receiver::header($requests[0], 'x-whisperer-hook'), 1, 'hook id');
is(Whisperer::Receiver::header($requests[0], 'x-tenant'), 'acme', 'an additional header');
is(Whisperer::Receiver::header($requests[0], 'expect'), undef, 'no Expect');

my $verify = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/verify.mjs}r;
command_ok([ 'node', $verify, $receiver->{log}, 'secret' ], 'an independent verifier accepts both signatures');
command_fails([ 'node', $verify, $receiver->{log}, 'another' ], 'and refuses them with another secret');
ok(verifies_v1($_, 'secret') && verifies_body($_, 'secret'), "attempt $_->{n}: openssl accepts them, too") for @requests;

# The receivers' own library, where npm can fetch it.
SKIP: {
    my $folder = PostgreSQL::Test::Utils::tempdir('npm');
    skip 'standardwebhooks of npm: there is no npm', 2 unless run_log([ 'sh', '-c', 'command -v npm' ]);
    skip 'standardwebhooks of npm: it cannot be fetched', 2
        unless run_log([ 'timeout', '120', 'npm', 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund',
            '--fetch-retries=0', '--cache', "$folder/cache", '--prefix', $folder, 'standardwebhooks' ]);
    command_ok([ 'node', $verify, $receiver->{log}, 'secret', $folder ], 'standardwebhooks accepts the signatures');
    command_like([ 'sh', '-c', 'node "$@" || true', 'sh', $verify, $receiver->{log}, 'another', $folder ],
        qr/standardwebhooks WRONG/, 'and refuses them with another secret');
}
my $whsec = $node->safe_psql('postgres', 'SELECT whisperer.hook_secret(1)');
is($whsec, 'whsec_c2VjcmV0', 'hook_secret gives the form of Standard Webhooks');

my $row = $node->safe_psql('postgres', <<'SQL');
SELECT state, retry_count, array_length(request_datetimes, 1), response_http_status, response_content,
       response_time > '0', error IS NULL, next_attempt_at IS NULL
FROM whisperer.delivery
SQL
is($row, 'delivered|3|3|200|ok|t|t|t', 'the ledger says how it went');

# While a secret rotates both sign; X-Whisperer-Signature goes with the old one.
my $new = $node->safe_psql('postgres', 'SELECT whisperer.rotate_secret(1)');
$node->safe_psql('postgres', 'INSERT INTO package (zeta) VALUES (2)');
wait_for('an event after the rotation', sub { (() = $receiver->requests) == 6 });
my $signatures = Whisperer::Receiver::header(($receiver->requests)[5], 'webhook-signature');
is(scalar(split / /, $signatures), 2, 'two signatures during the overlap');
like($new, qr/^whsec_/, 'the new secret is made');

# Each overlap ends by itself: that of the first hook goes on for a day.
my $short = $node->safe_psql('postgres', "SELECT whisperer.register_event('short'); SELECT whisperer.create_hook('short', '@{[ $receiver->url('/ok/short') ]}')");
$node->safe_psql('postgres', "SELECT whisperer.rotate_secret($short, overlap => '2 s')");
sub signatures_of_short {
    $node->safe_psql('postgres', "SELECT whisperer.deliver_event('short', '{}')");
    wait_idle($node);
    return scalar split / /, Whisperer::Receiver::header(($receiver->requests('/ok/short'))[-1], 'webhook-signature');
}
wait_for('the end of the overlap', sub { signatures_of_short() == 1 });
pass('a short overlap ends beside a long one');

# The wire is UTF-8 whatever the database's encoding is; where that says nothing of bytes, they may be none.
sub database {
    my ($name, $encoding, $data) = @_;
    my $url = $receiver->url("/ok/$name");
    $node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
    $node->safe_psql($name, <<"SQL");
CREATE EXTENSION whisperer;
SELECT whisperer.register_event('e');
SELECT whisperer.create_hook('e', '$url', secret_key => 'secret');
SELECT whisperer.deliver_event('e', json_build_object('name', name)) FROM $data AS d (name);
SQL
    wait_idle($node, $name);
    return map { JSON::PP::decode_json(encode_utf8($_->{body}))->{data}{name} } $receiver->requests("/ok/$name");
}
is(join(' ', database('latin', 'LATIN1', '(VALUES (chr(252)))')), "\x{fc}", 'a LATIN1 database sends UTF-8');
is(join(' ', database('ascii', 'SQL_ASCII', '(VALUES (chr(252)), (chr(195) || chr(188)))')), "\x{fc}", 'a SQL_ASCII database sends what is UTF-8');
is($node->safe_psql('ascii', q(SELECT error FROM whisperer.delivery WHERE state = 'failed')), 'payload cannot be converted to UTF-8', 'and says of the rest why not');

# The bytes of this config_filter are none in WIN1252; as UTF-8 they would be what the hook has.  The other hook has
# no such key, and is told as well.
is(join(' ', database('win', 'WIN1252', '(VALUES (chr(252)))')), "\x{fc}", 'a WIN1252 database sends UTF-8');
my $configured = $receiver->url('/ok/configured');
$node->safe_psql('win', <<"SQL");
SELECT whisperer.create_hook('e', '$configured', config => jsonb_build_object('k', chr(193)));
SELECT whisperer.deliver_event('e', '{}', config_filter => jsonb_build_object('k', chr(195) || chr(129)));
SQL
wait_idle($node, 'win');
is($node->safe_psql('win', q(SELECT d.state, d.error FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE o.config_filter IS NOT NULL)),
    join("\n", ('failed|config_filter cannot be converted to UTF-8') x 2), 'an event whose config_filter cannot be converted is refused');

done_testing();
