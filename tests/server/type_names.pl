# An event type may have any text as its name: what receivers, functions and a new trigger are told of it is the same
# text, whatever the encoding of the database.
use strict;
use warnings;
use JSON::PP;
use Encode qw(encode_utf8);
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('type_names', extra => 'max_worker_processes = 16');
my $receiver = new_receiver('type_names');

# Each name is SQL of ASCII, so that no client's encoding has a part in it.
sub try_database {
    my ($database, $encoding, $u_umlaut) = @_;
    my $url = $receiver->url("/ok/$database");
    my $name = qq((E'Gepr' || $u_umlaut || E'ft: 5 % "of\\\\all" * x'));
    $node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
    $node->safe_psql($database, <<"SQL");
CREATE EXTENSION whisperer;
CREATE TABLE told (event_type text);
CREATE FUNCTION public.shape(event json, meta jsonb) RETURNS json LANGUAGE sql AS
    'SELECT json_build_object(''of_envelope'', event->''event''->>''type'', ''of_meta'', meta->>''type'')';
CREATE FUNCTION public.tell(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'INSERT INTO public.told VALUES (event_type), (payload->''event''->>''type'')';
SELECT whisperer.register_event($name), whisperer.register_event('beside');
SELECT whisperer.create_hook($name || ', bes*', '$url/envelope', callback => 'public.tell');
SELECT whisperer.create_hook($name, '$url/shaped', transform => 'public.shape');
SELECT whisperer.create_hook('*', '$url/binary', format => 'cloudevents-binary');
CREATE TABLE package (id int);
DO \$\$BEGIN EXECUTE format('CREATE TRIGGER package AFTER INSERT ON package FOR EACH ROW EXECUTE FUNCTION whisperer.capture(%L)', $name); END\$\$;
INSERT INTO package VALUES (1);
SELECT whisperer.deliver_event('beside', '{"id": 2}');
SQL
    wait_idle($node, $database);
    my $is = qq(Gepr\x{fc}ft: 5 % "of\\all" * x);
    my $encoded = 'Gepr%C3%BCft:%205%20%25%20%22of\\all%22%20*%20x';
    my $body = sub { JSON::PP::decode_json(encode_utf8($_[0]{body})) };
    my %envelope = map { ($body->($_)->{event}{type} => Whisperer::Receiver::header($_, 'X-Whisperer-Event')) } $receiver->requests("/ok/$database/envelope");
    is_deeply(\%envelope, { $is => $encoded, beside => 'beside' }, "$encoding: a hook for it and a prefix gets both, with their names in body and header");
    my ($shaped) = $receiver->requests("/ok/$database/shaped");
    is_deeply($body->($shaped), { of_envelope => $is, of_meta => $is }, "$encoding: a transform is told of it");
    is_deeply([ sort map { Whisperer::Receiver::header($_, 'ce-type') } $receiver->requests("/ok/$database/binary") ], [ $encoded, 'beside' ], "$encoding: percent-encoded in CloudEvents' header");
    wait_for('the callbacks', sub { $node->safe_psql($database, 'SELECT count(*) FROM told') == 4 });
    is($node->safe_psql($database, "SELECT count(*) FROM told WHERE event_type = $name"), 2, "$encoding: so is a callback, and of its envelope");
    is($node->safe_psql($database, "SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered'"), 5, "$encoding: no hook gets more");
    is($node->safe_psql($database, "SELECT headers->>'X-Whisperer-Event', headers->>'ce-type' FROM whisperer.outbox o, whisperer.preview(o.id) p WHERE o.event_type = $name ORDER BY p.hook_id"),
        "$encoded|\n$encoded|\n$encoded|$encoded", "$encoding: preview has the headers as they are sent");
    return;
}
try_database('utf8', 'UTF8', 'chr(252)');
try_database('latin', 'LATIN1', 'chr(252)');
try_database('ascii', 'SQL_ASCII', '(chr(195) || chr(188))');

my (undef, undef, $error) = $node->psql('ascii', "\\set VERBOSITY verbose\nSELECT whisperer.register_event('Gepr' || chr(252) || 'ft')");
like($error, qr/ERROR:  22021: invalid byte sequence for encoding "UTF8"/, 'bytes that are no UTF-8 are no name, where the database takes any');
(undef, undef, $error) = $node->psql('ascii', "DO \$\$BEGIN EXECUTE format('CREATE TRIGGER bad AFTER INSERT ON package FOR EACH ROW EXECUTE FUNCTION whisperer.capture(%L)', 'Gepr' || chr(252) || 'ft'); END\$\$");
like($error, qr/ERROR:  .*event type name/, 'of a trigger neither');

done_testing();
