# ALTER EXTENSION UPDATE: an updated installation is the same as a new one, the new library records with the
# old schema and waits, and what was recorded meanwhile is delivered.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('upgrade', bare => 1);
my $receiver = new_receiver('upgrade');
my $current = $node->safe_psql('postgres', q(SELECT default_version FROM pg_available_extensions WHERE name = 'whisperer'));
my @older = grep { $_ ne $current } split /\n/,
    $node->safe_psql('postgres', q(SELECT version FROM pg_available_extension_versions WHERE name = 'whisperer' ORDER BY 1));
cmp_ok(scalar @older, '>=', 1, "there are releases before $current: @older");

# Everything that the extension consists of, a line each, in terms that mean the same in every database.
# Not the order of columns: those that an update adds come last.
my $inventory = <<'SQL';
SET search_path = pg_catalog;
CREATE TEMP VIEW relation AS SELECT * FROM pg_class WHERE relnamespace = 'whisperer'::regnamespace;
CREATE FUNCTION pg_temp.rights(acl aclitem[]) RETURNS text LANGUAGE sql AS
$$SELECT string_agg(format('%s: %s%s', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type,
        CASE WHEN is_grantable THEN '*' END), ', ' ORDER BY grantee, privilege_type) FROM aclexplode(acl)$$;
SELECT 'member ' || pg_describe_object(classid, objid, 0) FROM pg_depend
WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'whisperer')
UNION ALL SELECT format('relation %s kind %s options %s row security %s %s partition %s rights %s owner %s', oid::regclass, relkind, reloptions,
        relrowsecurity, relforcerowsecurity, pg_get_expr(relpartbound, oid), pg_temp.rights(relacl), relowner::regrole) FROM relation
UNION ALL SELECT format('column %s.%s %s not null %s default %s identity %s statistics %s compression %s rights %s', attrelid::regclass, attname,
        format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attidentity, nullif(attstattarget, -1), attcompression, pg_temp.rights(attacl))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid IN (SELECT oid FROM relation) AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relation)
UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM relation)
UNION ALL SELECT format('view %s: %s', oid::regclass, pg_get_viewdef(oid)) FROM relation WHERE relkind = 'v'
UNION ALL SELECT format('rule %s', pg_get_ruledef(oid)) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM relation)
UNION ALL SELECT format('trigger %s %s', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM relation)
UNION ALL SELECT format('policy %s', p) FROM pg_policies p WHERE schemaname = 'whisperer'
UNION ALL SELECT format('routine %s rights %s owner %s',
        -- The number is every database's own.
        CASE WHEN proname = 'incarnation_number' THEN regexp_replace(pg_get_functiondef(oid), '-?[0-9]+', 'N')
             WHEN prokind = 'a' THEN (SELECT to_jsonb(a)::text FROM pg_aggregate a WHERE aggfnoid = pg_proc.oid) ELSE pg_get_functiondef(oid) END, pg_temp.rights(proacl), proowner::regrole)
    FROM pg_proc WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace)
UNION ALL SELECT format('comment on %s: %s', pg_describe_object(classoid, objoid, objsubid), description) FROM pg_description
    WHERE classoid = 'pg_class'::regclass AND objoid IN (SELECT oid FROM relation)
       OR classoid = 'pg_proc'::regclass AND objoid IN (SELECT oid FROM pg_proc WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace))
UNION ALL SELECT format('initial rights of %s: %s', pg_describe_object(classoid, objoid, objsubid), pg_temp.rights(initprivs)) FROM pg_init_privs
    WHERE classoid = 'pg_class'::regclass AND objoid IN (SELECT oid FROM relation)
       OR classoid = 'pg_proc'::regclass AND objoid IN (SELECT oid FROM pg_proc WHERE pronamespace IN ('whisperer'::regnamespace, 'whisperer_internal'::regnamespace))
UNION ALL SELECT format('dumped %s %s', relation::regclass, condition) FROM pg_extension, unnest(extconfig, extcondition) AS u (relation, condition)
    WHERE extname = 'whisperer'
UNION ALL SELECT format('extension schema %s', extnamespace::regnamespace) FROM pg_extension WHERE extname = 'whisperer'
UNION ALL SELECT format('schema %s owner %s rights %s', nspname, nspowner::regrole, pg_temp.rights(nspacl)) FROM pg_namespace WHERE nspname ~ '^whisperer';
SQL

sub inventory {
    my ($database) = @_;
    return sort split /\x{1}/, $node->safe_psql($database, $inventory, extra_params => [ '--record-separator', "\x{1}", '--no-align' ]);
}

sub only_in {
    my ($these, $those) = @_;
    my %known = map { $_ => 1 } @$those;
    return join "\n", grep { !$known{$_} } @$these;
}

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION whisperer');
my @fresh = inventory('fresh');
cmp_ok(scalar @fresh, '>', 500, 'a new installation: ' . @fresh . ' things to compare');
is($node->safe_psql('fresh', <<'SQL'), '', 'all its objects have their initial privileges noted, so that an update knows them');
SELECT pg_describe_object(classid, objid, 0) FROM pg_depend d
WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'whisperer')
  AND (classid = 'pg_proc'::regclass OR classid = 'pg_class'::regclass)
  AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = d.classid AND i.objoid = d.objid)
SQL
for my $older (@older) {
    (my $database = "from_$older") =~ s/\W/_/g;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    my (undef, undef, $said) = $node->psql($database, <<"SQL", on_error_die => 1);
CREATE EXTENSION whisperer VERSION '$older';
SELECT whisperer.register_event('e'); SELECT whisperer.create_hook('e', 'http://127.0.0.1/');
INSERT INTO whisperer.hook_definition (event_type, target_url, filter, retry_countdown_config) SELECT event_type, target_url || n, wanted, retry_countdown_config
FROM whisperer.hook_definition, (VALUES (2, '{"a": {"\$gt": 1}}'::jsonb), (3, '{"a": {"\$type": 1}}'), (4, '{"\$or": 1, "a": 1}')) AS v (n, wanted);
INSERT INTO whisperer.hook_definition (event_type, target_url, retry_countdown_config) SELECT '*', target_url, retry_countdown_config FROM whisperer.hook_definition WHERE id = 1;
SET session_replication_role = replica;
SELECT whisperer.update_hook(1, '{"config": {"auth": {"type": "bearer", "token": "left open"}}}');
RESET session_replication_role;
INSERT INTO whisperer.delivery (event_id, hook_id, xid, incarnation, state, next_attempt_at, error, slot)
SELECT gen_random_uuid(), 999, '1', 0, state, CASE state WHEN 'pending' THEN now() + interval '1 h' END, error, 0
FROM (VALUES ('pending', 'rate limit'), ('pending', 'circuit is open'), ('pending', 'endpoint is busy'), ('pending', 'token is being fetched'),
             ('pending', 'token: address 10.1.2.3 is not allowed'), ('pending', 'http is not allowed (whisperer.require_https is on)'),
             ('pending', 'host localhost is not allowed'), ('pending', 'HTTP status 500'), ('pending', 'transform: rate limit (SQLSTATE P0001)'),
             ('failed', 'transform: boom (SQLSTATE P0001)'), ('failed', 'expired: still pending after whisperer.retention'), ('cancelled', 'transform: late'), ('delivered', NULL)) AS v (state, error);
INSERT INTO whisperer.past_attempt (event_id, hook_id, number, error, slot)
SELECT event_id, hook_id, 1, error, slot FROM whisperer.delivery WHERE error IN ('transform: late', 'HTTP status 500');
ALTER EXTENSION whisperer UPDATE;
SQL
    is($node->safe_psql($database, 'SELECT h.config, s.auth FROM whisperer.hook h JOIN whisperer.secret s ON s.hook_id = h.id'),
        '{"auth": {"type": "bearer"}}|{"type": "bearer", "token": "left open"}', "$older updated keeps a credential with the secrets that stood in the open");
    like($said, qr/WARNING:  filters of these hooks have keys that are operators now: 2$/m, "$older updated tells of filters that may ask something else now");
    like($said, qr/WARNING:  these hooks send the same events to the same URL: 5 and 1$/m, "$older updated tells of hooks that overlap");
    is($node->safe_psql($database, q(SELECT whisperer_internal.json_contains('{"a": {"$type": 1}}', filter), whisperer.update_hook(id, '{"description": "x"}')
        FROM whisperer.hook WHERE id = 3)), 't|', 'a filter with other keys is compared as before, and its hook can be changed');
    is($node->safe_psql($database, q(SELECT error_code, error FROM whisperer.delivery WHERE hook_id = 999 ORDER BY 1, 2)), join("\n",
        '1|rate limit', '2|circuit is open', '3|endpoint is busy', '4|token is being fetched', '10|host localhost is not allowed',
        '10|http is not allowed (whisperer.require_https is on)', '10|token: address 10.1.2.3 is not allowed', '20|transform: boom (SQLSTATE P0001)',
        '20|transform: late', '20|transform: rate limit (SQLSTATE P0001)', '33|expired: still pending after whisperer.retention', '|HTTP status 500', '|'),
        "$older updated gives errors the numbers that their words stood for");
    is($node->safe_psql($database, q(SELECT error_code, error FROM whisperer.past_attempt ORDER BY 1)),
        "20|transform: late\n|HTTP status 500", 'those of attempts, too');
    my @updated = inventory($database);
    is(only_in(\@fresh, \@updated), '', "$older updated lacks nothing of a new installation");
    is(only_in(\@updated, \@fresh), '', "$older updated has nothing that a new installation has not");
}

# --- the new library with the old schema -----------------------------------------------------------------
my $old = $older[0];
$node->safe_psql('postgres', 'CREATE ROLE watcher');
$node->safe_psql('postgres', "CREATE EXTENSION whisperer VERSION '$old'");
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE item (id int);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '@{[ $receiver->url('/ok/old') ]}', secret_key => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
GRANT SELECT ON whisperer.bookmark TO watcher;
GRANT EXECUTE ON FUNCTION whisperer.worker_state TO watcher;
CREATE TABLE whisperer.note (of_an_operator text);
GRANT SELECT ON whisperer.note TO watcher;
INSERT INTO item SELECT generate_series(1, 100);
SELECT whisperer.deliver_event('item-created', '{"by": "function"}') FROM generate_series(1, 100);
SQL
wait_for('a worker that says what is wrong', sub {
    $node->safe_psql('postgres', 'SELECT state, reason FROM whisperer.status') eq 'idle|versions differ: run ALTER EXTENSION whisperer UPDATE';
});
# Meanwhile the others are served.
$node->safe_psql('fresh', <<"SQL");
SELECT whisperer.register_event('other');
SELECT whisperer.create_hook('other', '@{[ $receiver->url('/ok/fresh') ]}');
SELECT whisperer.deliver_event('other', '{}') FROM generate_series(1, 100);
SQL
wait_idle($node, 'fresh');
is(scalar(() = $receiver->requests('/ok/fresh')), 100, 'a database whose extension is up to date is served');
is(scalar(() = $receiver->requests('/ok/old')), 0, 'one whose schema is older waits');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(scalar(() = $log =~ /database "postgres" waits: its extension has version \Q$old\E/g), 1, 'and says so once');
unlike($log, qr/ERROR:/, 'nothing goes wrong meanwhile');

# What replication brought of another database's number, when it was kept in a table, until 1.1.
my $own = $node->safe_psql('postgres', 'SELECT whisperer.my_incarnation()');
my $has_table = $node->safe_psql('postgres', q(SELECT relkind FROM pg_class WHERE oid = 'whisperer.incarnation'::regclass)) eq 'r';
my @numbers;
if ($has_table) {
    $node->safe_psql('postgres', <<"SQL");
INSERT INTO whisperer.bookmark (worker, incarnation, workers, seen, reading) VALUES (0, $own, 1, '1:1:', '1:1:'), (1, 4711, 2, '1:1:', '1:1:');
INSERT INTO whisperer.incarnation SELECT number + n FROM whisperer.incarnation, (VALUES (-1), (1)) AS v (n);
SQL
    @numbers = split /\n/, $node->safe_psql('postgres', 'SELECT number FROM whisperer.incarnation');
}
is($node->safe_psql('postgres', 'SELECT whisperer.my_incarnation()'), $own, 'a second number in the old table changes nothing');

# --- the update, while the application goes on -------------------------------------------------------------
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
# What it says has no place in the old schema.
$session->query_safe(q(SET LOCAL whisperer.context = '{"actor": "early"}'; INSERT INTO item VALUES (1000)));
my (undef, undef, $refusal) = $node->psql('postgres', 'ALTER EXTENSION whisperer UPDATE');
like($refusal, qr/ERROR:  canceling statement due to lock timeout\nDETAIL:  .*recorded an event.*\nHINT:  Repeat/, 'an update gives up soon, with a hint, while a transaction is open that has recorded an event');
$session->query_safe('COMMIT');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM whisperer.outbox');
(undef, undef, $refusal) = $node->psql('postgres', 'ALTER EXTENSION whisperer UPDATE');
like($refusal, qr/ERROR:  canceling statement due to lock timeout\nDETAIL:  .*pg_dump.*\nHINT:  Repeat/, 'an update gives up soon, with a hint, while somebody reads the log');
$reader->query_safe('COMMIT');
$reader->quit;
my (undef, undef, $warning) = $node->psql('postgres', q(SET lock_timeout = '20s'; ALTER EXTENSION whisperer UPDATE), on_error_die => 1);
SKIP: {
    skip "$old keeps no number in a table", 5 unless $has_table;
    my $kept = $node->safe_psql('postgres', 'SELECT number FROM whisperer.incarnation');
    is($kept, $numbers[0], 'of several numbers the update keeps the one that the bookmarks have');
    is($node->safe_psql('postgres', 'SELECT workers FROM whisperer.bookmark WHERE incarnation = 4711'), 0,
        'several workers share out their hooks again, for each is served by another one than before');
    my $all = join ',', @numbers;
    like($warning, qr/WARNING:  table whisperer\.incarnation had 3 rows, all but one of another database: \{\Q$all\E\}\nDETAIL:  This database goes on as $kept\.\nHINT:  .*SELECT whisperer\.resume\(\) takes it over/,
        'and says which there were');
    # As a replicated TRUNCATE left it.
    $node->safe_psql('postgres', 'CREATE DATABASE emptied');
    (undef, undef, $warning) = $node->psql('emptied', <<"SQL", on_error_die => 1);
CREATE EXTENSION whisperer VERSION '$old';
SELECT whisperer.register_event('e');
DELETE FROM whisperer.incarnation;
ALTER EXTENSION whisperer UPDATE;
SQL
    like($warning, qr/WARNING:  table whisperer\.incarnation had no row\nHINT:  What was recorded before counts as carried here: SELECT whisperer\.resume\(\) takes it over/,
        'where none is left it makes one, and says what follows');
    like($node->safe_psql('emptied', 'SELECT number FROM whisperer.incarnation'), qr/^-?\d+$/, 'there is one');
}
is($node->safe_psql('postgres', 'SELECT whisperer_internal.my_incarnation()'), $own, 'the database is still itself');
is($node->safe_psql('postgres', q(SELECT count(*) FROM whisperer.hook WHERE state <> 'active')), 0, 'and no hook counts as carried');
wait_idle($node);
is(scalar(() = $receiver->requests('/ok/old')), 201, 'what was recorded with the old schema is delivered');
$session->query_safe(q(BEGIN; SET LOCAL whisperer.context = '{"actor": "ann"}'; INSERT INTO item VALUES (1001); COMMIT));
$session->quit;
wait_idle($node);
my %ids = map { Whisperer::Receiver::header($_, 'webhook-id') => 1 } $receiver->requests('/ok/old');
is(scalar(keys %ids), 202, 'and what a session records that has recorded before');
is_deeply([ grep { defined } map { Whisperer::Receiver::header($_, 'x-whisperer-context') } $receiver->requests('/ok/old') ],
    [ '{"actor":"ann"}' ], 'with what its transaction says');
is($node->safe_psql('postgres', q(SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered')), 202, 'the ledger says so');
is($node->safe_psql('postgres', q(SELECT has_table_privilege('watcher', 'whisperer.bookmark', 'SELECT'),
    has_function_privilege('watcher', 'whisperer_internal.worker_state'::regproc, 'EXECUTE'))), 't|t', 'what was granted stays granted');
is($node->safe_psql('postgres', q(SELECT has_table_privilege('watcher', 'whisperer.note', 'SELECT'), relrowsecurity
    FROM pg_class WHERE oid = 'whisperer.note'::regclass)), 't|f', 'a table that is not the extension\'s is left alone');
my ($dump) = run_command([ 'pg_dump', '--schema-only', '-d', $node->connstr('postgres') ]);
like($dump, qr/^GRANT SELECT ON TABLE whisperer\.bookmark TO watcher;/m, 'and is in a dump');
like($dump, qr/^GRANT ALL ON FUNCTION whisperer_internal\.worker_state\(.*\) TO watcher;/m, 'of functions too');

$node->stop;
done_testing();
