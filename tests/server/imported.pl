# What dj-whisperer had not delivered, once it is imported: the worker delivers it to the hook that it was for, and to no other,
# as its receiver knows it.  Hooks that were inactive there get nothing, until somebody makes them anew.
use strict;
use warnings;
use FindBin ();
use JSON::PP ();
use Openssl;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('imported');
my $receiver = new_receiver('imported');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub header { return Whisperer::Receiver::header(@_) }
sub body { return JSON::PP::decode_json($_[0]{body}) }

# Its tables, as the test of the function has them.
my $tables = join "\n", PostgreSQL::Test::Utils::slurp_file("$FindBin::Bin/../sql/import_dj_whisperer.sql") =~ /^CREATE TABLE dj\.whisperer_.*?;\n/msg;
is(scalar(() = $tables =~ /^CREATE TABLE/mg), 3, 'its three tables');
my ($mine, $inactive, $other, $renamed) = (1000103 .. 1000106);
my %url = map { $_ => $receiver->url("/ok/$_") } $mine, $inactive, $other, $renamed;
sql(<<"SQL");
CREATE ROLE shop;
GRANT USAGE ON SCHEMA whisperer TO shop;
CREATE SCHEMA dj;
$tables
INSERT INTO dj.whisperer_webhook (id, target_url, is_active, secret_key, event_type, callback, user_id, retry_countdown_config, additional_headers, config) VALUES
    ($mine, '$url{$mine}', true, 's3cret', 'package-created', NULL, 1, '{"choice": "exponential", "kwargs": {"base": 2}}', '{"X-Shop": "1"}',
     '{"auth": {"auth_type": "basic", "username": "u", "password": "p"}}'),
    ($inactive, '$url{$inactive}', false, 'k', 'package-created', NULL, 1, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{"X-Shop": "2"}', '{"region": "eu"}'),
    ($other, '$url{$other}', true, 'k', 'package-created', NULL, 1, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{}'),
    ($renamed, '$url{$renamed}', true, NULL, 'order, created', NULL, 1, '{"choice": "fixed", "kwargs": {"seconds": 5}}', '{}', '{}');
INSERT INTO dj.whisperer_webhookevent (uuid, created_date, request_payload, delivered, webhook_id, retry_count, object_id) VALUES
    ('00000000-0000-4000-8000-000000000001', now() - interval '2 hours', '{"event": {"type": "package-created", "uuid": "x"}, "payload": {"id": 61}}', false, $mine, 4, 61),
    ('00000000-0000-4000-8000-000000000002', now() - interval '1 hour', '{"event": {"type": "package-created", "uuid": "y"}, "payload": {"id": 62}}', true, $mine, 1, 62),
    ('00000000-0000-4000-8000-000000000003', now(), '{"event": {"type": "package-created", "uuid": "z"}, "payload": {"id": 63}}', false, $inactive, 2, 63);
INSERT INTO dj.whisperer_eventqueue (uuid, created_date, hook_id, event_type, instance_dict) VALUES
    ('00000000-0000-4000-8000-00000000000a', now() - interval '1 minute', $mine, 'package-created', '{"id": 64}'),
    ('00000000-0000-4000-8000-00000000000b', now(), $renamed, 'order, created', '{"id": 65}');
SQL
sub import_all { return sql(qq(SELECT object, id, done FROM whisperer.import_dj_whisperer('dj', '{"1": "shop"}', dry_run => $_[0]) WHERE object <> 'hook' ORDER BY id)) }
my $told = import_all('true');
is($told, "event|00000000-0000-4000-8000-000000000001|t\nevent|00000000-0000-4000-8000-000000000003|f\nqueue|00000000-0000-4000-8000-00000000000a|t\nqueue|00000000-0000-4000-8000-00000000000b|t",
    'what is undelivered would be taken over, but for that of an inactive hook');
wait_idle($node);
is(sql('SELECT count(*) FROM whisperer.outbox'), 0, 'a trial records nothing');
is(import_all('false'), $told, 'it is taken over');
wait_idle($node);

# --- what its receivers got -----------------------------------------------------------------------
my @got = sort { body($a)->{payload}{id} <=> body($b)->{payload}{id} } $receiver->requests("/ok/$mine");
is_deeply([ map { body($_)->{payload} } @got ], [ { id => 61 }, { id => 64 } ], 'the event and the entry of the queue are delivered to the URL of their hook, under "payload"');
my %recorded = (61 => [ 'whisperer_webhookevent', 1 ], 64 => [ 'whisperer_eventqueue', 'a' ]);
for my $request (@got) {
    my ($event, $payload) = @{ body($request) }{qw(event payload)};
    my ($table, $digit) = @{ $recorded{ $payload->{id} } };
    my $id = sql("SELECT replace(whisperer_internal.event_id_of(e.created_date, e.uuid::text)::text, '-', '') FROM dj.$table e WHERE right(e.uuid::text, 1) = '$digit'");
    is_deeply($event, { type => 'package-created', uuid => $id }, "$payload->{id}: with the id of its time");
    is(header($request, 'webhook-id'), $id, 'in a header, too');
    is(header($request, 'X-Whisperer-Hook') . ' ' . header($request, 'X-Whisperer-Event'), "$mine package-created", 'of the hook of that number');
    is(header($request, 'X-Shop') . ' ' . header($request, 'Authorization'), '1 Basic dTpw', 'with its headers and its login');
    ok(verifies_body($request, 's3cret'), 'signed with its secret as dj-whisperer signed');
    ok(verifies_v1($request, 's3cret'), 'and as Standard Webhooks has it');
}
my @renamed = $receiver->requests("/ok/$renamed");
is_deeply([ map { [ body($_)->{event}{type}, body($_)->{payload}, header($_, 'X-Whisperer-Signature') ] } @renamed ], [ [ 'order_ created', { id => 65 }, undef ] ],
    'a hook without a secret gets its own unsigned, under the name that its event type has here');
is(scalar(map { $receiver->requests("/ok/$_") } $other, $inactive), 0, 'no other hook gets any of it');
is(sql("SELECT state, count(*) FROM whisperer.delivery GROUP BY 1"), 'delivered|3', 'and the ledger says so');

# --- what comes later -----------------------------------------------------------------------------
sub receivers_of {
    my ($number) = @_;
    sql(qq(SELECT whisperer.deliver_event('package-created', '{"id": $number}')));
    wait_idle($node);
    return join ' ', grep { my $path = $_; grep { body($_)->{payload}{id} == $number } $receiver->requests("/ok/$path") } $mine, $inactive, $other;
}
is(receivers_of(66), "$mine $other", 'a new event goes to the hooks that were active');
is(sql("SELECT state FROM whisperer.hook WHERE id = $inactive"), 'deleted', 'the inactive one is deleted');

# As docs/from-dj-whisperer.md says.
my ($revive) = PostgreSQL::Test::Utils::slurp_file("$FindBin::Bin/../../docs/from-dj-whisperer.md") =~ /^```sql\n(CREATE SCHEMA again;.*?)^```/ms;
ok($revive, 'the page says how to have it back');
$revive =~ s/FROM whisperer_webhook WHERE id = \d+/FROM dj.whisperer_webhook WHERE id = $inactive/ or die 'it copies no hook';
my ($new) = sql($revive) =~ /^hook\|(\d+)\|t\|$/m;
is(receivers_of(67), "$mine $inactive $other", 'imported once more it gets what comes then');
my ($revived) = $receiver->requests("/ok/$inactive");
is(header($revived, 'X-Whisperer-Hook') . ' ' . header($revived, 'X-Shop'), "$new 2", 'under a new number, with the headers that it had');
ok(verifies_body($revived, 'k'), 'signed with the secret that it had');

done_testing();
