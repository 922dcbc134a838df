# Secrets are nowhere but where they belong: not in the server log at its most talkative, with auto_explain and
# pgaudit showing each nested statement and its parameters, not in
# pg_stat_statements, pg_stat_activity, the planner's statistics, nor in anything that another role can
# read; whatever fails meanwhile.
#
# Secrets come to the server from a file, because what PostgreSQL itself logs is the text of statements.
use strict;
use warnings;
use MIME::Base64 ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('unseen');
my $libraries = `pg_config --pkglibdir`;
chomp $libraries;
my $has_pgaudit = -e "$libraries/pgaudit.so";
diag('without pgaudit: it is not installed') unless $has_pgaudit;
my $pgaudit = $has_pgaudit ? <<'CONF' : '';
shared_preload_libraries = 'pg_stat_statements, auto_explain, pgaudit, whisperer'
pgaudit.log = all
pgaudit.log_parameter = on
pgaudit.log_catalog = off
CONF
my $node = new_node('unseen', extra => <<'CONF' . $pgaudit);
shared_preload_libraries = 'pg_stat_statements, auto_explain, whisperer'
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
auto_explain.log_verbose = on
auto_explain.log_triggers = on
auto_explain.log_analyze = on
debug_print_plan = on
debug_print_parse = on
debug_print_rewritten = on
pg_stat_statements.track = all
log_min_messages = debug5
log_statement = none
log_min_error_statement = panic
log_error_verbosity = verbose
track_activity_query_size = 16kB
whisperer.poll_interval = 100ms
CONF
my $receiver = new_receiver('unseen');
my $tls = do {
    run_log([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test',
        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', "$folder/key", '-out', "$folder/crt" ]) or die 'openssl failed';
    new_receiver('unseen_tls', tls => [ "$folder/key", "$folder/crt" ]);
};
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_stat_statements;
SELECT whisperer.register_event('e');
CREATE ROLE app; CREATE ROLE stranger; CREATE ROLE reader; GRANT pg_read_all_data TO reader;
GRANT USAGE ON SCHEMA whisperer TO app, stranger, reader;
SELECT whisperer.allow('e', r, 'subscribe') FROM unnest('{app,stranger}'::regrole[]) r;
CREATE SCHEMA functions; GRANT USAGE ON SCHEMA functions TO app;
CREATE FUNCTION functions.wrong(event json) RETURNS json LANGUAGE plpgsql AS $$BEGIN RAISE 'no transform'; END$$;
CREATE FUNCTION functions.told(jsonb, text, json, json) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'no callback'; END$$;
CREATE FUNCTION functions.wait(int, jsonb) RETURNS interval LANGUAGE plpgsql AS $$BEGIN RAISE 'no countdown'; END$$;
SQL

# Statements that are run as somebody, with $name for what the file of this name has.
my %secret;
sub secret {
    my ($name, $value) = @_;
    $secret{$name} = $value;
    open my $out, '>', "$folder/$name" or die "cannot write: $!";
    print $out $value;
    close $out;
    return "functions.given('$name')";
}
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION functions.given(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
    AS \$\$SELECT pg_read_file('$folder/' || name)\$\$;
SQL

my ($text, $previous, $headers, $token) = map { "tell-nobody-$_" } qw(text previous headers token);
my $whsec = 'whsec_' . MIME::Base64::encode_base64('tell-nobody-of-these-32-bytes...', '');
my $whsk = $node->safe_psql('postgres', 'SELECT whisperer.make_signing_key()');
my $headers_json = sub { secret($_[0], qq({"Authorization": "Bearer $headers-$_[0]", "X-Token": "$token-$_[0]"})) . '::jsonb' };
my @urls = ($receiver->url('/ok/a'), $receiver->url('/status/500/a'), $receiver->url('/reset'), $tls->url('/ok'), 'http://127.0.0.1:9/none',
    $receiver->url('/status/410'), 'http://10.1.2.3/private', $receiver->url('/redirect'));
my $n = 0;
# One that is refused when it is sent may be written for now.
$node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.allowed_networks = '127.0.0.0/8, 10.1.2.3'");
$node->reload;
wait_for('the setting', sub { $node->safe_psql('postgres', 'SHOW whisperer.allowed_networks') =~ /10/ });
for my $url (@urls) {
    my $key = ($text, $whsec, $whsk)[ $n % 3 ];
    $key .= "-$n" if $key eq $text;
    my ($given, $json) = (secret("key-$n", $key), $headers_json->("headers-$n"));
    my $functions = $n % 2 ? ", callback => 'functions.told'" : '';
    $functions .= ", transform => 'functions.wrong'" if $n == 4;
    $functions .= q(, retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "functions.wait"}}') if $n == 2;
    $node->safe_psql('postgres', "SET ROLE app; SELECT whisperer.create_hook('e', '$url', secret_key => $given, additional_headers => $json$functions)");
    $n++;
}
$node->safe_psql('postgres', 'ALTER SYSTEM RESET whisperer.allowed_networks');
$node->reload;
my $hooks = $n;
# What delivery nodes are told.
$node->safe_psql('postgres', "INSERT INTO whisperer.node (name) VALUES ('a'); SELECT whisperer.rotate_secret(1, " . secret('told', "$text-told") . '); DELETE FROM whisperer.node');
# Hooks that are imported.
my ($imported_key, $imported_headers, $imported_auth) = (secret('imported', "$text-imported"), secret('imported-headers', qq({"X-Token": "$token-imported"})),
    secret('imported-auth', qq({"auth_type": "basic", "username": "u", "password": "$text-imported-auth"})));
is($node->safe_psql('postgres', <<"SQL"), 't|', 'a hook is imported');
CREATE TABLE whisperer_webhook AS SELECT 900 AS id, 1 AS user_id, 'https://example.com/imported' AS target_url, true AS is_active, 'e' AS event_type,
    '{"choice": "fixed", "kwargs": {"seconds": 1}}'::jsonb AS retry_countdown_config, $imported_key AS secret_key, $imported_headers\::jsonb AS additional_headers,
    jsonb_build_object('auth', $imported_auth\::jsonb) AS config;
SELECT done, problem FROM whisperer.import_dj_whisperer('public', '{"*": "app"}', dry_run => false);
DROP TABLE whisperer_webhook;
SQL
$node->safe_psql('postgres', 'SELECT whisperer.delete_hook(900)');
my $rotated = secret('rotated', "$previous-new");
my @steps = (
    "SELECT whisperer.rotate_secret(1, $rotated)",
    'SELECT whisperer.rotate_secret(2)',
    "SELECT whisperer.update_hook(3, jsonb_build_object('secret_key', " . secret('updated', "$text-updated") . '))',
    (map { "CALL whisperer.ping_hook($_)" } 1, 2, 4),
    "SELECT whisperer.update_hook(2, jsonb_build_object('additional_headers', null, 'config', jsonb_build_object('auth', " .
        secret('basic', qq({"type": "basic", "username": "u", "password": "$token-basic"})) . '::jsonb)))',
    # What is refused, with the secret in the arguments.
    "SELECT whisperer.update_hook(3, jsonb_build_object('config', jsonb_build_object('auth', " .
        secret('beside', qq({"type": "bearer", "token": "$token-beside"})) . '::jsonb)))',
    "SELECT whisperer.update_hook(2, jsonb_build_object('config', jsonb_build_object('auth', " .
        secret('bad_auth', qq({"type": "bearer", "token": "$token-bad\\n", "client_key": "$token-key"})) . '::jsonb)))',
    "SELECT whisperer.rotate_secret(1, " . secret('bad_whsec', "whsec_$previous not base64") . ')',
    "SELECT whisperer.rotate_secret(1, " . secret('bad_whsk', "whsk_$previous") . ')',
    "SELECT whisperer.rotate_secret(99, $rotated)",
    "SELECT whisperer.create_hook('e', 'nowhere', secret_key => " . secret('bad_url', "$text-bad-url") . ')',
    "SELECT whisperer.create_hook('e', 'http://127.0.0.1/bad', additional_headers => " . secret('bad_headers', qq({"Host": "$token-bad", "X-A": "$headers-bad\\n"})) . '::jsonb)',
    "SELECT whisperer.update_hook(1, jsonb_build_object('secret_key', " . secret('long', $text . 'x' x 2000) . '))',
    "SELECT whisperer.update_hook(1, jsonb_build_object('additional_headers', jsonb_build_object('X-A', jsonb_build_array(" . secret('array', "$token-array") . '))))',
    # The first of it makes a hook, the second changes it, the third is refused for a key that nobody knows.
    (map { "SELECT * FROM whisperer.apply_hooks((" . secret("applied_$_->[0]",
        qq([{"name": "applied", "event_type": "e", "target_url": "http://127.0.0.1:9/applied", "$_->[1]": "$text-applied-$_->[0]", )
        . qq("additional_headers": {"X-A": "$headers-applied-$_->[0]"}, "config": {"auth": {"type": "bearer", "token": "$token-applied-$_->[0]"}}}])) . ')::jsonb)' }
        [ 1, 'secret_key' ], [ 2, 'secret_key' ], [ 3, 'secretkey' ]),
);
$node->psql('postgres', "SET ROLE app; $_", on_error_stop => 0) for @steps;
# The gateway's tokens likewise.
my $api_token = $node->safe_psql('postgres', "SET ROLE app; SELECT whisperer.create_api_token('app', 'unseen')");
my $portal_link = $node->safe_psql('postgres', "SET ROLE app; SELECT whisperer.create_portal_link('app')");
secret('api_token', $api_token);
is($node->safe_psql('postgres', "SET ROLE app; SELECT whisperer.api_token_role(functions.given('api_token'))"), 'app', 'a token is known');
# And what is written without our functions: the statement is its writer's, but those of our triggers are not.
$node->safe_psql('postgres', "SET ROLE app; UPDATE whisperer.hook SET config = jsonb_build_object('auth', " .
    secret('plain', qq({"type": "bearer", "token": "$token-plain"})) . "::jsonb) WHERE id = 2");
my @activity;
for my $round (1 .. 3) {
    $node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', json_build_object('n', g)) FROM generate_series(1, 50) g");
    push @activity, $node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity') for 1 .. 10;
}
wait_idle($node);
push @activity, $node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity');
# One with a secret that cannot be used, as plain DML may leave it, and settings that are loaded again.
$node->safe_psql('postgres', "UPDATE whisperer.secret SET secret_key = 'whsec_' || " . secret('broken', "$text-broken!") . " WHERE hook_id = 1");
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', '{}')");
wait_for('the log', sub { PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /hook 1 cannot be served/ });
$node->safe_psql('postgres', 'ANALYZE; CHECKPOINT');

# The same encrypted, with a key file that is good, then bad, then gone.
my $key = 'c0ffee' . '5a' x 29;
secret('keys', "$key\n");
chmod 0600, "$folder/keys";
$node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.secret_key_file = '$folder/keys'");
$node->reload;
wait_for('the setting', sub { $node->safe_psql('postgres', 'SHOW whisperer.secret_key_file') ne '' });
$node->safe_psql('postgres', 'SELECT whisperer.reencrypt_secrets()');
for my $spoil (sub { chmod 0644, "$folder/keys" }, sub { chmod 0600, "$folder/keys"; open my $out, '>>', "$folder/keys"; print $out "${key}0\n" }, sub { unlink "$folder/keys" }) {
    $spoil->();
    $node->reload;
    $node->psql('postgres', "SET ROLE app; SELECT whisperer.hook_secret(2); SELECT whisperer.rotate_secret(3, $rotated)", on_error_stop => 0);
}
wait_for('the log', sub { PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /hook 3 cannot be served.*No such file/ });
secret('keys', "$key\n");
chmod 0600, "$folder/keys";

cmp_ok(scalar(() = $receiver->requests), '>', 100, 'requests were made');
my $owner_sees = $node->safe_psql('postgres', 'SET ROLE app; SELECT whisperer.hook_secret(g) FROM generate_series(2, 3) g');
like($owner_sees, qr/whsec_/, 'the owner sees his own');

# Needles: every secret, and what it is made of.
my %needle = map { $_ => 1 } 'tell-nobody', 'c0ffee', substr($whsec, 6), substr($whsk, 5),
    $node->safe_psql('postgres', 'SELECT whisperer.hook_secret(2)'), map({ /_([^_].{42})$/ } $api_token, $portal_link),
    map { MIME::Base64::encode_base64($_, '') =~ s/=+$//r } $text, $previous;
sub nowhere {
    my ($where, $haystack) = @_;
    cmp_ok(length $haystack, '>', 0, "$where: there is something");
    my @found = grep { index($haystack, $_) >= 0 } keys %needle;
    is("@found", '', "$where: no secret");
}

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
like($log, qr/DEBUG:  00000: (StartTransaction|CommitTransaction)/, 'the log is as talkative as it can be');
like($log, qr/Query Text: INSERT INTO whisperer.secret/, 'auto_explain shows nested statements');
like($log, qr/AUDIT: SESSION.*INSERT INTO whisperer.secret/s, 'and so does pgaudit') if $has_pgaudit;
nowhere('server log', $log);
# What debug_print_plan and its like print of a constant is its bytes.
nowhere('trees in the server log', join "\n", map { pack 'c*', split } $log =~ /\[ ((?:-?\d+ )+)\]/g);
nowhere('pg_stat_activity', join "\n", @activity);
nowhere('pg_stat_statements', $node->safe_psql('postgres', 'SELECT * FROM pg_stat_statements'));

# All that a role may read, and that one who may read all can, beside the secrets' own table.
sub readable {
    my ($role) = @_;
    my @relations = split /\n/, $node->safe_psql('postgres', <<"SQL");
SET ROLE $role;
SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p') AND (n.nspname = 'whisperer' OR c.relname IN ('pg_statistic', 'pg_stats', 'pg_stat_statements', 'pg_stat_activity', 'pg_settings'))
  AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
SQL
    cmp_ok(scalar @relations, '>', 5, "$role: there is something to read");
    return join "\n", map { $node->safe_psql('postgres', "SET ROLE $role; SELECT * FROM $_") } @relations;
}
for my $role (qw(stranger reader)) {
    nowhere("what $role can read", readable($role));
    is($node->psql('postgres', "SET ROLE $role; SELECT whisperer.hook_secret(2)"), 3, "$role: hook_secret refuses");
}
# What the owner's own looks show has no secret either.
nowhere('what the owner looks at', readable('app') . $node->safe_psql('postgres', <<"SQL"));
SET ROLE app;
SELECT whisperer.why(o.id, h.id), p.* FROM (SELECT id FROM whisperer.outbox ORDER BY id LIMIT 3) o, generate_series(1, $hooks) h(id), whisperer.preview(o.id) p;
SELECT * FROM whisperer.status; SELECT * FROM whisperer.hook_stats; SELECT * FROM whisperer.attempt; SELECT * FROM whisperer.delivery;
SQL

done_testing();
