# Each error that the reference names is raised: one statement for each function and SQLSTATE.  What takes a missing
# receiver or a long wait has its own tests, and is listed with them.
use strict;
use warnings;
use Test::More;
use Pages;
use Whisperer;

my $node = new_node('errors');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE ann; CREATE ROLE bob; CREATE ROLE carl;
GRANT USAGE ON SCHEMA whisperer TO PUBLIC;
SET ROLE ann;
SELECT whisperer.register_event('mine'), whisperer.register_event('used');
SELECT whisperer.create_hook('used', 'https://example.com/1');      -- 1: ann's
SELECT whisperer.create_hook('used', 'https://example.com/2');      -- 2: deleted
SELECT whisperer.create_hook('*', 'https://example.com/3');         -- 3: several types
SELECT whisperer.delete_hook(2), whisperer.pause_hook(1), whisperer.rotate_secret(3);
RESET ROLE;
SELECT whisperer.register_event('bobs');
SELECT whisperer.create_hook('mine', 'https://example.com/same'), whisperer.reassign_owned('bob', 'carl');
SET ROLE ann; SELECT whisperer.allow('mine', 'bob', 'subscribe'), whisperer.allow('mine', 'carl', 'subscribe'); RESET ROLE;
SET ROLE bob; SELECT whisperer.create_hook('mine', 'https://example.com/both'); RESET ROLE;
SET ROLE carl; SELECT whisperer.create_hook('mine', 'https://example.com/both'); RESET ROLE;
CREATE TABLE t (id int PRIMARY KEY);
CREATE FUNCTION as_null(t) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';
CREATE FUNCTION stray() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM whisperer.capture(); END';
SQL

my $trigger = sub { my ($when, $arguments) = @_; "CREATE TRIGGER x $when EXECUTE FUNCTION whisperer.capture($arguments); INSERT INTO t VALUES (1)" };
my $row = 'AFTER INSERT ON t FOR EACH ROW';
my $range = "now(), now() - interval '1 hour'";
my @cases = (
    [ register_event => '42710', "SELECT whisperer.register_event('mine')" ],
    [ register_event => '22023', "SELECT whisperer.register_event('a, b')" ],
    [ register_event => '42501', "SELECT whisperer.register_event('whisperer-x')" ],
    [ update_event => '42704', "SELECT whisperer.update_event('none', '{}')" ],
    [ update_event => '42501', "SET ROLE bob; SELECT whisperer.update_event('mine', '{}')" ],
    [ update_event => '22023', q(SELECT whisperer.update_event('mine', '{"schema": {"pattern": "x"}}')) ],
    [ unregister_event => '55006', "SELECT whisperer.unregister_event('used')" ],
    [ unregister_event => '42704', "SELECT whisperer.unregister_event('none')" ],
    [ unregister_event => '42501', "SET ROLE bob; SELECT whisperer.unregister_event('mine')" ],
    [ allow => '42704', "SELECT whisperer.allow('none', 'bob', 'publish')" ],
    [ allow => '42501', "SET ROLE bob; SELECT whisperer.allow('mine', 'bob', 'publish')" ],
    [ allow => '22023', "SELECT whisperer.allow('mine', 'bob', 'read')" ],
    [ disallow => '42704', "SELECT whisperer.disallow('none', 'bob', 'publish')" ],
    [ disallow => '42501', "SET ROLE bob; SELECT whisperer.disallow('mine', 'bob', 'publish')" ],
    [ disallow => '22023', "SELECT whisperer.disallow('mine', 'bob', 'read')" ],
    [ reassign_owned => '42501', "SET ROLE bob; SELECT whisperer.reassign_owned('ann', 'bob')" ],
    [ reassign_owned => '42704', "SELECT whisperer.reassign_owned('ann', '1')" ],
    [ reassign_owned => '23505', "SELECT whisperer.reassign_owned('bob', 'carl')" ],
    [ capture => '22023', $trigger->($row, "'mine', 'no=option'") ],
    [ capture => '42703', $trigger->($row, "'mine', 'columns=none'") ],
    [ capture => '42883', $trigger->($row, "'mine', 'serializer=public.none'") ],
    [ capture => '22004', $trigger->($row, "'mine', 'serializer=public.as_null'") ],
    [ capture => '42501', "ALTER TABLE t OWNER TO bob; SET ROLE bob; " . $trigger->($row, "'mine'") ],
    [ capture => '0A000', $trigger->('BEFORE INSERT ON t FOR EACH ROW', "'mine'") ],
    [ capture => '39P01', $trigger->('AFTER INSERT ON t FOR EACH STATEMENT', "'mine'") ],
    [ watch => '22023', "SELECT whisperer.watch('t', operations => '{truncate}')" ],
    [ watch => '55000', "SELECT whisperer.watch('t'); SELECT whisperer.watch('t', options => '{include=old}')" ],
    [ watch => '42501', "SET ROLE bob; SELECT whisperer.watch('t')" ],
    [ unwatch => '42501', "SELECT whisperer.watch('t'); SET ROLE bob; SELECT whisperer.unwatch('t')" ],
    [ deliver_event => '42704', "SELECT whisperer.deliver_event('none', '{}')" ],
    [ deliver_event => '42501', "SET ROLE bob; SELECT whisperer.deliver_event('mine', '{}')" ],
    [ deliver_event => '22004', "SELECT whisperer.deliver_event('mine', NULL::json)" ],
    [ deliver_event => '22P02', "SELECT whisperer.deliver_event('mine', 'no')" ],
    [ deliver_event => '23505', "SELECT whisperer.deliver_event('mine', d, idempotency_key => 'k') FROM unnest('{1,2}'::text[]) AS d" ],
    [ deliver_event => '22023', "SELECT whisperer.deliver_event('mine', '{}', jsonb_build_object('a', repeat('x', 9000)))" ],
    [ deliver_now => '25001', "CALL whisperer.deliver_now('mine', '{}')" ],
    [ deliver_now => '57014', undef, 'CALL whisperer.deliver_now(\'mine\', \'{}\', timeout => \'0 s\')' ],
    [ import_dj_whisperer => '42501', "SET ROLE bob; SELECT whisperer.import_dj_whisperer('public', '{}')" ],
    [ import_dj_whisperer => '42704', "SELECT whisperer.import_dj_whisperer('public', '{}')" ],
    [ import_dj_whisperer => '22023', "CREATE TABLE whisperer_webhook (id int); SELECT whisperer.import_dj_whisperer('public', '[]')" ],
    [ import_dj_whisperer => '22004', "SELECT whisperer.import_dj_whisperer('public', '{}', dry_run => NULL)" ],
    [ backfill => '42704', "SET ROLE bob; SELECT whisperer.backfill(1, 't')" ],
    [ backfill => '55000', "SELECT whisperer.backfill(2, 't')" ],
    [ backfill => '22023', "SELECT whisperer.backfill(3, 't')" ],
    [ backfill => '0A000', "CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION whisperer.capture('used'); SELECT whisperer.backfill(1, 't')" ],
    [ create_hook => '42704', "SELECT whisperer.create_hook('none', 'https://example.com/')" ],
    [ create_hook => '42501', "SET ROLE bob; SELECT whisperer.create_hook('bobs', 'https://example.com/')" ],
    [ create_hook => '23505', "SET ROLE ann; SELECT whisperer.create_hook('used', 'https://example.com/1')" ],
    [ create_hook => '22023', "SELECT whisperer.create_hook('mine', 'ftp://example.com/')" ],
    [ create_hook => '22004', "SELECT whisperer.create_hook(NULL, 'https://example.com/')" ],
    [ create_hook => '42883', "SELECT whisperer.create_hook('mine', 'https://example.com/', transform => 'public.none')" ],
    [ test_schema => '22023', q(SELECT whisperer.test_schema('{"pattern": "x"}', '{}')) ],
    [ test_filter => '22023', q(SELECT whisperer.test_filter('{"$like": "x"}', '{}')) ],
    [ test_filter => '22P02', q(SELECT whisperer.test_filter('{}', '{')) ],
    [ test_schema => '22P02', q(SELECT whisperer.test_schema('{}', '{')) ],
    [ update_hook => '42704', "SET ROLE bob; SELECT whisperer.update_hook(1, '{}')" ],
    [ update_hook => '55000', "SELECT whisperer.update_hook(2, '{}')" ],
    [ apply_hooks => '22023', "SELECT whisperer.apply_hooks('[{\"name\": \"a\"}]')" ],
    [ apply_hooks => '23505', "SET ROLE ann; SELECT whisperer.apply_hooks('[{\"name\": \"a\", \"event_type\": \"used\", \"target_url\": \"https://example.com/1\"}]')" ],
    [ apply_hooks => '22004', "SELECT whisperer.apply_hooks('[]', dry_run => NULL)" ],
    [ replay => '22004', "SELECT whisperer.replay(1, now() - interval '1 hour', new_ids => NULL)" ],
    [ update_hook => '22023', "SELECT whisperer.update_hook(1, '{\"url\": 1}')" ],
    [ update_hook => '22004', "SELECT whisperer.update_hook(1, '{\"target_url\": null}')" ],
    [ update_hook => '23505', "SET ROLE ann; SELECT whisperer.create_hook('used', 'https://example.com/9'); SELECT whisperer.update_hook(1, '{\"target_url\": \"https://example.com/9\"}')" ],
    [ update_hook => '42883', "SELECT whisperer.update_hook(1, '{\"callback\": \"public.none\"}')" ],
    [ update_hook => '42501', "SET ROLE ann; SELECT whisperer.update_hook(1, '{\"event_type\": \"bobs\"}')" ],
    (map { [ $_ => '42704', "SET ROLE bob; SELECT whisperer.$_(1)" ] } qw(delete_hook pause_hook resume_hook hook_secret hook_public_key rotate_secret)),
    (map { [ $_ => '55000', "SELECT whisperer.$_(2)" ] } qw(pause_hook resume_hook rotate_secret)),
    [ rotate_secret => '22023', "SELECT whisperer.rotate_secret(1, overlap => '-1 s')" ],
    [ backfill => '22004', "SELECT whisperer.backfill(1, NULL)" ],
    [ record_ping => '42704', 'SELECT whisperer.record_ping(99)' ],
    [ record_ping => '55000', 'SELECT whisperer.record_ping(1)' ],
    [ ping_hook => '42704', undef, 'CALL whisperer.ping_hook(99)' ],
    [ ping_hook => '55000', undef, 'CALL whisperer.ping_hook(1)' ],
    [ ping_hook => '25001', 'CALL whisperer.ping_hook(1)' ],
    [ retry => '42704', "SELECT whisperer.retry(gen_random_uuid())" ],
    [ expunge => '42704', 'SELECT whisperer.expunge(gen_random_uuid())' ],
    [ expunge => '42501', q(SELECT whisperer.deliver_event('mine', '{}') AS sent \gset) . "\nSELECT whisperer.allow('mine', 'bob', 'subscribe'); SET ROLE bob; SELECT whisperer.expunge(:'sent')" ],
    (map { ([ $_ => '42704', "SET ROLE bob; SELECT whisperer.$_(1, '2020-01-01')" ], [ $_ => '55000', "SELECT whisperer.$_(2, '2020-01-01')" ],
        [ $_ => '22023', "SELECT whisperer.$_(1, $range)" ]) } qw(recover replay)),
    [ why => '42704', "SET ROLE bob; SELECT whisperer.why(gen_random_uuid(), 1)" ],
    [ wait_idle => '25001', 'CALL whisperer.wait_idle()' ],
    [ wait_idle => '57014', undef, q(ALTER SYSTEM SET whisperer.enabled = off; SELECT pg_reload_conf(); SELECT whisperer.deliver_event('mine', '{}'); CALL whisperer.wait_idle('0 s')) ],
    (map { [ $_ => '42501', "SET ROLE bob; SELECT whisperer.$_()" ] } qw(pause resume rebalance_workers secret_storage reencrypt_secrets publish_events)),
    [ publish_events => '55000', 'SELECT whisperer.publish_events()' ],
    [ add_node => '42501', "SET ROLE bob; SELECT whisperer.add_node('a')" ],
    [ add_node => '22023', "SELECT whisperer.add_node('a b')" ],
    [ add_node => '55000', "SELECT whisperer.add_node('a')" ],
    [ remove_node => '42501', "SET ROLE bob; SELECT whisperer.remove_node('a')" ],
    [ remove_node => '22004', "SELECT whisperer.remove_node('a', force => NULL)" ],
    [ remove_node => '42704', "SELECT whisperer.remove_node('a')" ],
    [ remove_node => '25001', "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT whisperer.remove_node('a')" ],
    [ hand_over => '42704', "SET ROLE bob; SELECT whisperer.hand_over(1)" ],
    [ hand_over => '55000', "SELECT whisperer.hand_over(1)" ],
    [ subscription_command => '22023', q(SELECT whisperer.subscription_command('a b', '')) ],
    [ create_api_token => '42501', "SET ROLE bob; SELECT whisperer.create_api_token('ann', 'x')" ],
    [ create_api_token => '42704', "SELECT whisperer.create_api_token('1', 'x')" ],
    [ create_api_token => '22023', "SELECT whisperer.create_api_token('ann', 'x', now() - interval '1 s')" ],
    [ create_api_token => '22004', "SELECT whisperer.create_api_token('ann', NULL)" ],
    [ create_portal_link => '42501', "SET ROLE bob; SELECT whisperer.create_portal_link('ann')" ],
    [ create_portal_link => '42704', "SELECT whisperer.create_portal_link('1')" ],
    [ create_portal_link => '22023', "SELECT whisperer.create_portal_link('ann', '2 days')" ],
    [ create_portal_link => '22004', "SELECT whisperer.create_portal_link(NULL)" ],
    [ revoke_api_token => '42704', "SELECT whisperer.revoke_api_token(99)" ]);

# Shown elsewhere: keys that are missing (tests/server/sealed.pl), deliveries in each state
# (tests/server/second_chances.pl), hooks that were carried here (tests/server/carried.pl), too many hooks
# (tests/server/memory.pl, sql/several_types.sql), a standby (tests/server/standby_status.pl), a library that is not preloaded (tests/server/worker.pl), a publication that is another one
# (tests/server/recorder.pl), nodes that are there (tests/server/nodes.pl).  A ping gives up after 60 s, which nothing waits for.
my %elsewhere = map { $_ => 1 } 'create_hook 53400', 'reassign_owned 53400', 'publish_events 42710', 'add_node 25001', 'remove_node 55006', 'wait_idle 55000', 'rebalance_workers 55000', 'hook_secret 55000', 'hook_public_key 55000', 'ping_hook 57014', 'retry 55000',
    map { "$_ F0000" } qw(create_hook update_hook hook_secret hook_public_key rotate_secret reencrypt_secrets);

my %shown;
for (@cases) {
    my ($function, $state, $statement, $alone) = @$_;
    my $sql = defined $statement ? "\\set ON_ERROR_STOP 1\nBEGIN;\n$statement;\nROLLBACK;\n" : "$alone;";
    my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . $sql);
    like($error, qr/ERROR:  $state:/, "$function raises $state");
    $shown{"$function $state"} = 1;
}

my ($name, %documented);
for (split /\n/, PostgreSQL::Test::Utils::slurp_file(top() . '/docs/reference/functions.in')) {
    $name = $1 if /^## (\w+)/;
    if (/^errors: (.*)/) { $documented{"$name $_"} = 1 for $1 =~ /(?:^|\| )([0-9A-Z]{5})\b/g }
}
is(join(', ', grep { !$shown{$_} && !$elsewhere{$_} } sort keys %documented), '', 'each error of the reference is shown here or elsewhere');
is(join(', ', grep { !$documented{$_} } sort keys %shown, keys %elsewhere), '', 'and the reference has each of these');

done_testing();
