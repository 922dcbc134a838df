# Batches: what a receiver gets, and what the ledger says of each event in one.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_base64 hmac_sha256_hex);
use JSON::PP qw(decode_json);
use Test::More;
use Whisperer;

my $node = new_node('batches');
my $receiver = new_receiver('batches');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub header { return Whisperer::Receiver::header(@_) }

# A hook of an event type of its own, which is named like it.
sub hook {
    my ($type, $path, $batch, $more) = @_;
    sql("SELECT whisperer.register_event('$type')");
    my $url = $receiver->url($path);
    return sql("SELECT whisperer.create_hook('$type', '$url', secret_key => 'secret', batch => '$batch'" . ($more ? ", $more" : '') . ')');
}

# One transaction.  Returns the events' ids as they are in bodies.
sub deliver {
    my ($type, @texts) = @_;
    my $list = join ',', map { "'$_'" } @texts;
    return split /\n/, sql("SELECT replace(whisperer.deliver_event('$type', to_jsonb(t.text))::text, '-', '') FROM unnest(ARRAY[$list]) WITH ORDINALITY AS t (text, n) ORDER BY n");
}

sub bodies { return map { $_->{body} } $receiver->requests($_[0]) }
sub ids { return [ map { [ map { $_->{event}{uuid} } @{ decode_json($_->{body}) } ] } $receiver->requests($_[0]) ] }

# Of each event of the hook: its text, state, attempts, status and error.
sub ledger {
    my ($hook) = @_;
    return sql(<<"SQL");
SELECT string_agg(concat_ws(' ', o.data #>> '{}', d.state, d.retry_count, d.response_http_status, d.error), '; ' ORDER BY o.id)
FROM whisperer.delivery d JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id WHERE d.hook_id = $hook
SQL
}

# --- what is sent, and when
hook('full', '/ok/full', '{"size": 3, "wait": "10 s"}');
my @full = deliver('full', 'a' .. 'f');
wait_idle($node);
is_deeply(ids('/ok/full'), [ [ @full[ 0 .. 2 ] ], [ @full[ 3 .. 5 ] ] ], 'full batches are sent at once, in the order of recording');
my ($first) = $receiver->requests('/ok/full');
is(header($first, 'content-type'), 'application/json', 'as JSON');
is(header($first, 'x-whisperer-batch') . ' ' . header($first, 'x-whisperer-event'), '3 full', 'that says how many there are, and of which type');
my ($id, $at) = map { header($first, $_) } qw(webhook-id webhook-timestamp);
my $signature = hmac_sha256_base64("$id.$at.$first->{body}", 'secret');
$signature .= '=' while length($signature) % 4;
is(header($first, 'webhook-signature'), "v1,$signature", 'signed as a whole, under an id of its own');
is(header($first, 'x-whisperer-signature'), 'sha256=' . hmac_sha256_hex($first->{body}, 'secret'), 'by both signatures');

hook('waits', '/ok/waits', '{"size": 100, "wait": "100 ms"}');
my @waits = deliver('waits', 'a' .. 'g');
wait_idle($node);
is_deeply(ids('/ok/waits'), [ \@waits ], 'one that is not full is sent when it has waited');

hook('lines', '/ok/lines', '{"form": "ndjson", "wait": "100 ms"}', q(format => 'data'));
deliver('lines', 'a', 'b');
wait_idle($node);
is_deeply([ bodies('/ok/lines') ], [ qq("a"\n"b"\n) ], 'a line for each');
is(header(($receiver->requests('/ok/lines'))[0], 'content-type'), 'application/x-ndjson', 'as NDJSON');

# What a transform makes may have line breaks.
sql(q(CREATE FUNCTION two_lines(event json) RETURNS json LANGUAGE sql RETURN (E'[\n' || (event->'data') || E'\n]')::json));
hook('made', '/ok/made', '{"form": "ndjson", "size": 2, "wait": "10 s"}', q(transform => 'public.two_lines'));
deliver('made', 'a', 'b');
wait_idle($node);
is_deeply([ bodies('/ok/made') ], [ qq([ "a" ]\n[ "b" ]\n) ], 'of what a transform makes, too');
is(sql("SELECT count(*) FROM whisperer.preview((SELECT id FROM whisperer.outbox WHERE event_type = 'made' LIMIT 1)) WHERE headers->'webhook-id' = 'null' AND body IS NULL"), 1,
    'of which preview knows neither body nor id');

# --- what an answer means
my $once = q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 0}');
my $retried = $once =~ s/"max_retries": 0/"max_retries": 1000/r;
my $refused = hook('refused', '/refuse/422/wrong', '{"size": 4, "wait": "10 s"}', $once);
deliver('refused', 'a', 'wrong', 'c', 'd');
wait_for('the refused one', sub { ledger($refused) =~ /^(\w+ (delivered|failed) [^;]+(; |$)){4}$/ });
is(ledger($refused), 'a delivered 2 200; wrong failed 2 422 HTTP status 422; c delivered 2 200; d delivered 2 200',
    'members of a refused batch are tried alone, so that one fails alone');
is_deeply([ sort { $a <=> $b } map { scalar @$_ } @{ ids('/refuse/422/wrong') } ], [ 1, 1, 1, 1, 4 ], 'in batches of one');
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $refused AND whisperer.why(event_id, hook_id) ~ 'by attempt 2 .HTTP status 200'"),
    3, 'why() says of each what became of it');

my $named = hook('named', '/name-failed/207/wrong', '{"size": 3, "wait": "10 s"}', $once);
deliver('named', 'a', 'wrong', 'c');
wait_idle($node);
is(ledger($named), 'a delivered 1 207; wrong failed 1 207 the answer to its batch names it in "failed"; c delivered 1 207',
    'an answer may name those that failed');

my $unstable = hook('unstable', '/fail-first/1/500/x', '{"size": 3, "wait": "100 ms"}', $retried);
my @unstable = deliver('unstable', 'a' .. 'c');
wait_for('the retries', sub { ledger($unstable) =~ /^(\w delivered \d+ 200(; |$)){3}$/ });
is_deeply(ids('/fail-first/1/500/x')->[0], \@unstable, 'a batch that failed');
is(sql("SELECT count(DISTINCT event_id) FROM whisperer.attempt WHERE hook_id = $unstable AND response_http_status = 500"), 3, 'is an attempt of each member');

# A ping shares no batch, and a hook may be given one while something waits for it.
like(sql("CALL whisperer.ping_hook($named)"), qr/^t\|207/, 'a ping is answered');
$receiver->control({ path => '/ok/later', steps => ['status/503'] });
my $later = hook('later', '/ok/later', 'null', $retried);
deliver('later', 'a');
wait_for('the plain attempt', sub { ledger($later) =~ / 503/ });
sql("SELECT whisperer.update_hook($later, '{\"batch\": {}}')");
$receiver->control({ path => '/ok/later', steps => ['ok'] });
wait_for('the batch', sub { ledger($later) =~ /^a delivered/ });
isnt(header(($receiver->requests('/ok/later'))[0], 'webhook-id'), header(($receiver->requests('/ok/later'))[-1], 'webhook-id'),
    'what was sent plainly goes in a batch under another id');

# --- at the end
my %body_of;
is(scalar(grep { my $known = $body_of{ header($_, 'webhook-id') } //= $_->{body}; $known ne $_->{body} } $receiver->requests), 0, 'no id stands for two bodies');
done_testing();
