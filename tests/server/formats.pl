# Every format as somebody else's library reads it, and that what was sent once keeps its bytes when the hook gets another.
use strict;
use warnings;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('formats');
my $receiver = new_receiver('formats');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub header { return Whisperer::Receiver::header(@_) }

# A hook below /ok/ or another path, named by what is behind it.
sub hook {
    my ($path, $arguments) = @_;
    my $url = $receiver->url($path =~ m{^/} ? $path : "/ok/$path");
    return sql("SELECT whisperer.create_hook('item', '$url', secret_key => '', $arguments)");
}

# What came to a path: [content type, body] of each request.
sub said {
    my ($path) = @_;
    return [ map { [ header($_, 'content-type'), $_->{body} ] } $receiver->requests($path =~ m{^/} ? $path : "/ok/$path") ];
}

# Content type and body of the requests for the event that $event names.
my $event;
sub both {
    my ($path) = @_;
    my $id = $event =~ s/-//gr;
    my @requests = grep { header($_, 'webhook-id') eq $id } $receiver->requests("/ok/$path");
    my @said = map { [ header($_, 'content-type'), $_->{body}, header($_, 'ce-id'), header($_, 'ce-time') ] } @requests;
    return @said;
}

sql(<<'SQL');
CREATE TABLE "an item" (id text PRIMARY KEY, n numeric);
SELECT whisperer.register_event('item');
CREATE TRIGGER item AFTER INSERT ON "an item" FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item');
CREATE SCHEMA app;
CREATE FUNCTION app.doubled(event json) RETURNS json LANGUAGE sql
RETURN json_build_object('n', 2 * (event->'data'->>'n')::numeric);
CREATE TABLE app.told (payload json);
CREATE FUNCTION app.tell(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql
BEGIN ATOMIC INSERT INTO app.told VALUES (payload); END;
SQL

# --- what each says
my @plain = qw(whisperer standard cloudevents cloudevents-binary data form);
hook($_, "format => '$_'") for @plain;
hook('payload', "payload_key => 'payload'");
hook('cloudevents-batched', "format => 'cloudevents', batch => '{}'");
hook('cloudevents-doubled', "format => 'cloudevents', transform => 'app.doubled'");
hook('form-doubled', "format => 'form', transform => 'app.doubled', callback => 'app.tell'");
hook('standard-told', "format => 'standard', callback => 'app.tell'");
# A key that is not ASCII, with what must be encoded in a header.
sql(qq{SET client_encoding = 'UTF8'; INSERT INTO "an item" VALUES (U&'61 \\00fc"%', 1.50)});
wait_idle($node);
my ($uuid, $time) = split /\|/, sql(<<'SQL');
SELECT replace(id::text, '-', ''), to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM whisperer.outbox
SQL
my $data = qq({"id":"61 \x{fc}\\"%","n":1.50});
my $json = 'application/json';
my $head = qq({"event":{"type":"item","uuid":"$uuid"},);
my $attributes = qq("specversion":"1.0","id":"$uuid","source":"/whisperer/public.%22an%20item%22","type":"item","time":"$time","subject":"61 \x{fc}\\"%","datacontenttype":"application/json");
is_deeply(said('whisperer'), [ [ $json, qq($head"data":$data}) ] ], 'whisperer');
is_deeply(said('payload'), [ [ $json, qq($head"payload":$data}) ] ], 'whisperer with payload_key');
is_deeply(said('standard'), [ [ $json, qq({"type":"item","timestamp":"$time","data":$data}) ] ], 'standard');
is_deeply(said('cloudevents'), [ [ 'application/cloudevents+json; charset=utf-8', qq({$attributes,"data":$data}) ] ], 'cloudevents');
is_deeply(said('cloudevents-batched'), [ [ 'application/cloudevents-batch+json; charset=utf-8', qq([{$attributes,"data":$data}]) ] ], 'cloudevents in batches');
is_deeply(said('cloudevents-binary'), [ [ $json, $data ] ], 'cloudevents-binary');
is_deeply(said('data'), [ [ $json, $data ] ], 'data');
is_deeply(said('form'), [ [ 'application/x-www-form-urlencoded', 'id=61+%C3%BC%22%25&n=1.50' ] ], 'form');
is_deeply(said('cloudevents-doubled'), [ [ 'application/cloudevents+json; charset=utf-8', qq({$attributes,"data":{"n" : 3.00}}) ] ],
    'a transform makes the data of another format than whisperer');
is_deeply(said('form-doubled'), [ [ 'application/x-www-form-urlencoded', 'n=3.00' ] ], 'of form, too');
wait_for('both callbacks', sub { sql('SELECT count(*) FROM app.told') == 2 });
is(sql(q(SELECT string_agg(payload::text, ' ' ORDER BY length(payload::text)) FROM app.told)),
    qq("n=3.00" {"type":"item","timestamp":"$time","data":) . sql('SELECT data FROM whisperer.outbox') . '}', 'callbacks are told what was sent');

SKIP: {
    my $folder = PostgreSQL::Test::Utils::tempdir('npm');
    skip 'cloudevents of npm: there is no npm', 4 unless run_log([ 'sh', '-c', 'command -v npm' ]);
    skip 'cloudevents of npm: it cannot be fetched', 4
        unless run_log([ 'timeout', '120', 'npm', 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund',
            '--fetch-retries=0', '--cache', "$folder/cache", '--prefix', $folder, 'cloudevents' ]);
    my $reader = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/cloudevents.mjs}r;
    my ($out, $error) = run_command([ 'node', $reader, $receiver->{log}, $folder ]);
    is($error, '', 'npm\'s cloudevents accepts every event');
    for my $line (split /\n/, $out) {
        my ($path, $event) = @{ decode_json($line) }{qw(path event)};
        # Which leaves it to its caller to decode headers, and knows no microseconds.
        s/%(..)/chr hex $1/ge for grep { $path =~ /binary/ } @$event{qw(source subject)};
        utf8::decode($event->{subject}) if $path =~ /binary/;
        my $n = $path =~ /doubled/ ? { n => 3 } : { id => qq(61 \x{fc}"%), n => 1.5 };
        is_deeply([ @$event{qw(specversion id source type time subject datacontenttype data)} ],
            [ '1.0', $uuid, '/whisperer/public.%22an%20item%22', 'item', $time =~ s/\d{3}Z$/Z/r, qq(61 \x{fc}"%), 'application/json', $n ],
            "$path: and finds in it what was recorded");
    }
}

# --- metadata headers
my $metadata = q(metadata_headers => '{time,object,source,attempt}');
my $soon = q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}}');
hook('/fail-first/1/500/told', "$metadata, $soon");
hook('told-doubled', "$metadata, transform => 'app.doubled'");
hook('told-standard', "format => 'standard', metadata_headers => '{attempt}'");
sql(qq{SET client_encoding = 'UTF8'; INSERT INTO "an item" VALUES (U&'62 \\00fc', 1)});
wait_for('the second attempt', sub { (() = $receiver->requests('/fail-first/1/500/told')) == 2 });
wait_idle($node);
my $recorded = sql(<<'SQL');
SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM whisperer.outbox WHERE object_id LIKE '62%'
SQL
sub metadata { my ($r) = @_; return [ map { header($r, "x-whisperer-$_") } qw(time object source attempt) ] }
my @about = ($recorded, '62%20%C3%BC', 'public.%22an%20item%22');
is_deeply([ map { metadata($_) } $receiver->requests('/fail-first/1/500/told') ], [ [ @about, 1 ], [ @about, 2 ] ], 'time, object, source, and which attempt it is');
is_deeply(metadata(($receiver->requests('/ok/told-doubled'))[0]), [ @about, 1 ], 'also where a transform makes the body');
is_deeply(metadata(($receiver->requests('/ok/told-standard'))[0]), [ undef, undef, undef, 1 ], 'what is asked for');
is_deeply(metadata(($receiver->requests('/ok/whisperer'))[0]), [ (undef) x 4 ], 'and nothing where nothing is');

# --- what the transaction says of its events
my $trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
my $says = qq(SET LOCAL whisperer.context = '{"traceparent": "$trace", "tracestate": "a=1", "actor": "J\\u00f6rg", "n": [1, 2]}');
hook('/fail-first/1/500/context', "format => 'cloudevents', $soon");
hook('/fail-first/1/500/context-doubled', "transform => 'app.doubled', $soon");
hook('context-binary', "format => 'cloudevents-binary'");
hook('context-own', q(additional_headers => '{"Traceparent": "the hook''s"}'));
my $own = $receiver->url('/ok/headers-own');
sql(qq(SELECT whisperer.create_hook('item', '$own', secret_key => 'k', additional_headers => '{"x-tenant": "mine"}',
    signing => '{"header": "X-Signed", "value": "{hex}"}', config => '{"auth": {"type": "bearer", "token": "t"}}')));
# One session, lent to two clients.
sql(qq(BEGIN; $says; INSERT INTO "an item" VALUES ('said', 1); COMMIT; INSERT INTO "an item" VALUES ('unsaid', 1)));
my @twice = map { "/fail-first/1/500/$_" } qw(context context-doubled);
wait_for('second attempts', sub { !grep { (() = $receiver->requests($_)) < 4 } @twice });
wait_idle($node);
my %event = map { split /\|/ } split /\n/, sql(q(SELECT object_id, replace(id::text, '-', '') FROM whisperer.outbox WHERE object_id ~ 'said'));
sub context {
    my ($path, $object) = @_;
    return [ map { [ map { $_ // '' } header($_, 'traceparent'), header($_, 'tracestate'), header($_, 'x-whisperer-context') ] }
        grep { header($_, 'webhook-id') eq $event{$object} } $receiver->requests($path) ];
}
my $context = [ $trace, 'a=1', '{"actor":"J\u00f6rg","n":[1,2]}' ];
is_deeply(context($_, 'said'), [ $context, $context ], "$_: what the transaction set, at each attempt") for @twice;
is_deeply(context($_, 'unsaid'), [ [ ('') x 3 ], [ ('') x 3 ] ], "$_: and nothing of it in the next one of the session") for @twice;
is_deeply(context('/ok/context-own', 'said'), [ [ q(the hook's), 'a=1', $context->[2] ] ], 'a header of the hook stays the hook\'s');
my @bodies = map { $_->{body} } grep { header($_, 'webhook-id') eq $event{said} } $receiver->requests($twice[0]);
like($bodies[0], qr/"traceparent":"$trace","tracestate":"a=1","datacontenttype"/, 'of CloudEvents it is an attribute');
is($bodies[1], $bodies[0], 'in the same body each time');
my ($binary) = grep { header($_, 'webhook-id') eq $event{said} } $receiver->requests('/ok/context-binary');
is_deeply([ header($binary, 'ce-traceparent'), header($binary, 'traceparent') ], [ ($trace) x 2 ], 'which in binary mode is a header');
# Headers of one event.
my $of_one = q(headers => '{"X-Tenant": "7", "X-Signed": "forged", "Authorization": "Bearer forged", "X-Empty": ""}');
$event{headers} = sql(qq(SELECT replace(whisperer.deliver_event('item', '{"n": 1}', $of_one)::text, '-', '')));
$event{now} = sql(qq(CALL whisperer.deliver_now('item', '{"n": 2}', headers => '{"X-Tenant": "8"}'))) && sql(q(SELECT replace(max(id::text), '-', '') FROM whisperer.outbox));
wait_for('second attempts', sub { !grep { (() = $receiver->requests($_)) < 8 } @twice });
wait_idle($node);
sub of_one {
    my ($path, $object, @names) = @_;
    return [ map { my $r = $_; [ map { header($r, $_) } @names ] } grep { header($_, 'webhook-id') eq $event{$object} } $receiver->requests($path) ];
}
my @names = qw(x-tenant authorization x-empty);
is_deeply(of_one($_, 'headers', @names), [ ([ 7, 'Bearer forged', '' ]) x 2 ], "$_: headers of the event, at each attempt") for @twice;
is_deeply(of_one('/ok/data', 'now', @names), [ [ 8, undef, undef ] ], 'of deliver_now, too');
is_deeply(of_one('/ok/data', 'said', @names), [ [ (undef) x 3 ] ], 'and of no other event');
is_deeply(of_one('/ok/headers-own', 'headers', qw(x-tenant authorization)), [ [ 'mine', 'Bearer t' ] ], 'what the hook sets stays the hook\'s');
like(of_one('/ok/headers-own', 'headers', 'x-signed')->[0][0], qr/^[0-9a-f]{64}$/, 'its signature above all');

# The server of tests logs every statement.
unlike(join('', grep { !/LOG:  statement: SET LOCAL/ } split /^/, slurp_file($node->logfile)), qr/J\\u00f6rg|0af7651916cd43dd/, 'and the log has nothing of it');

# --- what was sent once
my $later = q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 3600}}');
my %kept = (
    'kept-whisperer' => "format => 'whisperer'", 'kept-payload' => "payload_key => 'payload'", 'kept-standard' => "format => 'standard'",
    'kept-binary' => "format => 'cloudevents-binary'", 'kept-form' => "format => 'form'",
    'kept-doubled' => "format => 'cloudevents', transform => 'app.doubled'", 'kept-whole' => "transform => 'app.doubled'",
    'kept-hung' => "format => 'standard'", 'kept-delivered' => "format => 'standard'", 'kept-unsent' => "format => 'standard'",
);
my %id = map { $_ => hook($_, "$kept{$_}, $later") } sort keys %kept;
for my $path (sort keys %kept) {
    next if $path =~ /delivered|unsent/;
    $receiver->control({ path => "/ok/$path", steps => [ $path eq 'kept-hung' ? 'hang/500' : 'status/500', 'ok' ] });
}
sql("SELECT whisperer.pause_hook($id{'kept-unsent'})");
sql(q(INSERT INTO "an item" VALUES ('kept', 1)));
$event = sql(q(SELECT id FROM whisperer.outbox WHERE object_id = 'kept'));
wait_for('a first request of each', sub { !grep { !/unsent/ && !both($_) } keys %kept });
wait_for('all but one in the ledger', sub {
    sql("SELECT count(*) FROM whisperer.delivery WHERE event_id = '$event' AND response_http_status IS NOT NULL") == 19 + 8;
});
my $before = sql("SELECT body FROM whisperer.preview('$event') WHERE hook_id = $id{'kept-standard'}");
sql(qq(SELECT whisperer.update_hook($_, '{"format": "data", "payload_key": null}'))) for values %id;
sql(q(CREATE OR REPLACE FUNCTION app.doubled(event json) RETURNS json LANGUAGE sql RETURN '{"n": "changed"}'::json));
is(sql("SELECT body FROM whisperer.preview('$event') WHERE hook_id = $id{'kept-standard'}"), $before, 'preview shows what was sent once as it was');
is(sql("SELECT body FROM whisperer.preview('$event') WHERE hook_id = $id{'kept-unsent'}"), $before, 'and what was never sent as it began to wait');
sql(q(INSERT INTO "an item" VALUES ('new', 2)));
wait_for('the new format', sub { (said('kept-standard')->[1] // [])->[1] });
is_deeply(said('kept-standard')->[1], [ $json, '{"id":"new","n":2}' ], 'what is recorded after the change has the new format');
# The one under way was begun before the change, and fails for the first time after it.
$receiver->control({ release => JSON::PP::true });
sql("SELECT whisperer.resume_hook($id{'kept-unsent'})");
wait_for('its failure', sub { sql("SELECT count(*) FROM whisperer.attempt WHERE event_id = '$event' AND hook_id = $id{'kept-hung'}") == 1 });
sql("SELECT whisperer.retry('$event', $id{$_}, force => true)") for grep { !/unsent/ } keys %id;
wait_for('a second request of each', sub { !grep { !/unsent/ && both($_) < 2 } keys %kept });
for my $path (sort keys %kept) {
    my ($first, $second) = both($path);
    is_deeply($second, $first, "$path: the same bytes again") unless $path eq 'kept-unsent';
}
wait_for('what waited', sub { both('kept-unsent') });
is_deeply([ both('kept-unsent') ]->[0], [ both('kept-standard') ]->[0], 'what waited keeps its format');

done_testing();
