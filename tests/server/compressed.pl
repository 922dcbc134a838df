# Bodies that travel compressed: a receiver that decodes them has what was signed, in every format, in batches, and when
# the hook is changed between two attempts.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP qw(decode_json);
use Openssl;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('compressed');
my $receiver = new_receiver('compressed');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub header { return Whisperer::Receiver::header(@_) }

# A hook of an event type of its own, which is named like it.
sub hook {
    my ($name, $more, $url) = @_;
    sql("SELECT whisperer.register_event('$name')");
    $url //= $receiver->url("/ok/$name");
    return sql("SELECT whisperer.create_hook('$name', '$url', secret_key => 'secret', encoding => 'gzip'" . ($more ? ", $more" : '') . ')');
}

sub deliver {
    my ($name, $data) = @_;
    return sql("SELECT replace(whisperer.deliver_event('$name', $data)::text, '-', '')");
}

my $long = q(jsonb_build_object('text', repeat('Zoë ', 1000)));
sql(<<'SQL');
CREATE SCHEMA app;
CREATE FUNCTION app.listed(event json) RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('listed', repeat('x', (event->'data'->>'n')::integer)) $$;
SQL

# --- each format; what is short or very long comes as it is
hook($_, "format => '$_'") for qw(whisperer standard cloudevents cloudevents-binary data form);
deliver($_, $long) for qw(whisperer standard cloudevents cloudevents-binary data form);
hook('short');
deliver('short', q('{"n": 1}'));
sql("ALTER SYSTEM SET whisperer.max_payload = '4MB'");
$node->reload;
hook('huge', "format => 'data'");
deliver('huge', q(to_jsonb(repeat('x', 1048576 - 2))));
deliver('huge', q(to_jsonb(repeat('x', 1048576 - 1))));
hook('own', q(signing => '{"header": "X-Hub-Signature-256", "value": "sha256={hex}", "content": "{body}"}'));
deliver('own', $long);
wait_idle($node);
for my $name (qw(whisperer standard cloudevents cloudevents-binary data form)) {
    my ($request) = $receiver->requests("/ok/$name");
    is(header($request, 'content-encoding'), 'gzip', "$name: the body is compressed");
    is($request->{coding_error}, undef, "$name: it can be undone");
    is(header($request, 'content-length'), $request->{sent_bytes}, "$name: its length is that of what came");
    cmp_ok($request->{sent_bytes}, '<', 1000, "$name: which is short");
    cmp_ok(length $request->{body}, '>', 4000, "$name: for what it says");
}
my ($short) = $receiver->requests('/ok/short');
is(header($short, 'content-encoding'), undef, 'a short one is not');
is($short->{sent_bytes}, undef, 'but comes as it is');
is_deeply([ sort map { header($_, 'content-encoding') // 'none' } $receiver->requests('/ok/huge') ], [ 'gzip', 'none' ], 'one of 1 MB is, a longer one is not');
my ($own) = $receiver->requests('/ok/own');
is(header($own, 'x-hub-signature-256'), 'sha256=' . hmac_sha256_hex(Encode::encode_utf8($own->{body}), 'secret'), "a signature of the hook's own is of the body before, too");

# --- batches
hook('array', q(batch => '{"size": 3, "wait": "10 s"}'));
hook('lines', q(batch => '{"size": 3, "wait": "10 s", "form": "ndjson"}', format => 'data'));
for my $name (qw(array lines)) {
    my $events = "SELECT count(whisperer.deliver_event('$name', jsonb_build_object('n', n, 'text', repeat('y', 400)))) FROM generate_series(1, 3) n";
    sql($events);
}
wait_idle($node);
my ($array) = $receiver->requests('/ok/array');
is(header($array, 'content-encoding') . ' ' . header($array, 'x-whisperer-batch'), 'gzip 3', 'a batch is compressed as a whole');
is_deeply([ map { $_->{data}{n} } @{ decode_json($array->{body}) } ], [ 1, 2, 3 ], 'and has its events');
my ($lines) = $receiver->requests('/ok/lines');
is(header($lines, 'content-encoding') . ' ' . header($lines, 'content-type'), 'gzip application/x-ndjson', 'also as lines');
is_deeply([ map { decode_json($_)->{n} } split /\n/, $lines->{body} ], [ 1, 2, 3 ], 'a line for each');

# --- a transform's body is kept as it is, and what preview says of it is so
my $made = hook('made', q(transform => 'app.listed', retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}}'),
    $receiver->url('/fail-first/1/500/made'));
deliver('made', q('{"n": 2000}'));
wait_for('its second attempt', sub { 2 == (() = $receiver->requests('/fail-first/1/500/made')) });
my @made = $receiver->requests('/fail-first/1/500/made');
is(join(' ', map { header($_, 'content-encoding') . ' ' . length $_->{body} } @made), 'gzip 2015 gzip 2015', 'what a transform made is compressed at each attempt');
my $told = "SELECT headers ? 'Content-Encoding', headers->>'Content-Encoding'";
is(sql("$told FROM whisperer.preview((SELECT id FROM whisperer.outbox WHERE event_type = 'made'))"), 't|gzip', 'preview knows what was made');
is(sql("$told FROM whisperer.preview((SELECT id FROM whisperer.outbox WHERE event_type = 'standard'))"), 't|gzip', 'preview knows that of others');
is(sql("$told FROM whisperer.preview((SELECT id FROM whisperer.outbox WHERE event_type = 'short'))"), 'f|', 'and which are not compressed');

# --- the hook is changed while a delivery waits: one webhook-id, one body, one key
my $changed = hook('changed', q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 3600}}'), $receiver->url('/fail-first/1/500/changed'));
my $waits = deliver('changed', $long);
wait_idle($node);
sql(qq(SELECT whisperer.update_hook($changed, '{"encoding": null}')));
sql("SELECT whisperer.retry('$waits', $changed, force => true)");
wait_for('the second attempt', sub { 2 == (() = $receiver->requests('/fail-first/1/500/changed')) });
my ($first, $second) = $receiver->requests('/fail-first/1/500/changed');
is(join(' ', map { header($_, 'content-encoding') // 'none' } $first, $second), 'gzip none', 'a delivery that waited is sent in the new way');
is($second->{body}, $first->{body}, 'with the same body');
is(header($second, 'webhook-id'), header($first, 'webhook-id'), 'under the same id');
sql(qq(SELECT whisperer.update_hook($changed, '{"encoding": "gzip"}')));
deliver('changed', $long);
wait_for('the third', sub { 3 == (() = $receiver->requests('/fail-first/1/500/changed')) });
is(header(($receiver->requests('/fail-first/1/500/changed'))[2], 'content-encoding'), 'gzip', 'and back');

# --- who verifies what was decoded
wait_idle($node);
my $verify = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/verify.mjs}r;
command_ok([ 'node', $verify, $receiver->{log}, 'secret' ], 'an independent verifier accepts both signatures of each');
ok(verifies_v1($array, 'secret') && verifies_body($array, 'secret'), 'so does openssl');
SKIP: {
    my $folder = PostgreSQL::Test::Utils::tempdir('npm');
    skip 'standardwebhooks of npm: there is no npm', 1 unless run_log([ 'sh', '-c', 'command -v npm' ]);
    skip 'standardwebhooks of npm: it cannot be fetched', 1
        unless run_log([ 'timeout', '120', 'npm', 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund',
            '--fetch-retries=0', '--cache', "$folder/cache", '--prefix', $folder, 'standardwebhooks' ]);
    # It reads a payload as JSON, which lines and forms are not.
    my $json = "$folder/json";
    append_to_file($json, join '', grep { !m{"path":"/ok/(form|lines)"} } split /^/, slurp_file($receiver->{log}));
    command_ok([ 'node', $verify, $json, 'secret', $folder ], 'and standardwebhooks of npm');
}

done_testing();
