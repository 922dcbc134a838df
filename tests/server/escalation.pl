# A hook's function has its owner's rights and no more, whichever of the three it is: transform, callback
# and countdown each reach for the same things.  And what one call leaves behind the next does not find.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('escalation');
my $receiver = new_receiver('escalation');
my $base = $receiver->url('');
my $file = $node->data_dir . '/reached';

sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query) }
sub bodies { return map { JSON::PP::decode_json($_->{body}) } $receiver->requests($_[0]) }
sub helper_error { my ($hook) = @_; return sql("SELECT function_error FROM whisperer.hook_stats WHERE hook_id = $hook") }

my $worker = worker_pid($node);

# What must fail; at its side two things that must not, or nothing was tried at all.
my @tried = (
    'SET ROLE postgres', 'SET ROLE bob', 'RESET ROLE', 'SET ROLE NONE', 'SET LOCAL ROLE postgres', q(SELECT set_config('role', 'bob', true)),
    'SET SESSION AUTHORIZATION postgres', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION', 'SET LOCAL SESSION AUTHORIZATION bob',
    q(ALTER SYSTEM SET whisperer.enabled = off), 'SELECT pg_reload_conf()', q(SET session_replication_role = replica), q(SET log_statement = 'none'),
    'SET whisperer.enabled = off', 'SET whisperer.allowed_networks = \'0.0.0.0/0\'', 'SHOW whisperer.allowed_networks',
    "COPY (SELECT 1) TO PROGRAM 'touch $file'", "COPY (SELECT 1) TO '$file'", "COPY app.lines FROM '/etc/passwd'", q(SELECT pg_read_file('PG_VERSION')), q(SELECT pg_ls_dir('.')),
    "SELECT lo_export(lo_from_bytea(0, 'x'), '$file')", q(SELECT lo_import('/etc/passwd')), q(LOAD 'plpgsql'),
    q(CREATE FUNCTION app.native() RETURNS int LANGUAGE c AS 'whisperer', 'whisperer_as_owner'), 'CREATE EXTENSION pgcrypto', 'CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION app.fire()',
    'ALTER ROLE ann SUPERUSER', 'GRANT postgres TO ann', 'GRANT bob TO ann', 'CREATE ROLE mine', 'ALTER FUNCTION app.reach OWNER TO postgres', 'REASSIGN OWNED BY bob TO ann', 'DROP OWNED BY bob',
    'SELECT * FROM pg_authid', 'SELECT * FROM whisperer.secret', 'SELECT * FROM whisperer.request', 'SELECT whisperer.hook_secret(1)', 'SELECT whisperer_internal.hook_secret_as(10, 1)',
    'SELECT whisperer.pause()', 'SELECT whisperer.reassign_owned(\'bob\', \'ann\')', 'UPDATE whisperer.hook_definition SET owner = 10', 'INSERT INTO whisperer.outbox (id, event_type, data) VALUES (gen_random_uuid(), \'bobs\', \'{}\')',
    'SELECT whisperer.deliver_event(\'bobs\', \'{}\')', 'SET row_security = off; SELECT * FROM whisperer.hook',
    'CREATE TEMP TABLE t ()', 'CREATE TEMP VIEW v AS SELECT 1', 'CREATE TEMP SEQUENCE s', 'LISTEN c', 'PREPARE p AS SELECT 1', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'COMMIT', 'PREPARE TRANSACTION \'t\'', 'DISCARD ALL', 'VACUUM',
    "SELECT pg_cancel_backend($worker)", 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = \'postgres\' AND pid <> pg_backend_pid()',
);
my @fine = ('SELECT 1', 'INSERT INTO app.lines VALUES (\'x\')');
my $list = join ', ', map { '$s$' . $_ . '$s$' } @tried, @fine;

sql(<<"SQL");
CREATE ROLE ann; CREATE ROLE bob;
CREATE SCHEMA app AUTHORIZATION ann;
GRANT USAGE ON SCHEMA whisperer TO ann, bob;
SET ROLE bob;
SELECT whisperer.register_event('bobs');
SELECT whisperer.create_hook('bobs', '$base/ok/bob');
SET ROLE ann;
SELECT whisperer.register_event(e) FROM unnest('{good,bad,trap,leave}'::text[]) e;
CREATE TABLE app.lines (t text); CREATE TABLE app.reached (what text, who name, did text[]);
CREATE FUNCTION app.fire() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION app.reach() RETURNS text[] LANGUAGE plpgsql AS \$f\$
DECLARE
    tried text; did text[] := '{}';
BEGIN
    FOREACH tried IN ARRAY ARRAY[$list] LOOP
        BEGIN
            EXECUTE tried;
            did := did || tried;
        EXCEPTION WHEN others THEN
            NULL;
        END;
    END LOOP;
    RETURN did;
END;
\$f\$;
CREATE FUNCTION app.transform(event json) RETURNS json LANGUAGE sql AS
    'SELECT json_build_object(''who'', current_user, ''did'', app.reach())';
CREATE FUNCTION app.callback(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'INSERT INTO app.reached SELECT ''callback'', current_user, app.reach()';
CREATE FUNCTION app.countdown(retry_count integer, kwargs jsonb) RETURNS interval LANGUAGE sql AS
    'INSERT INTO app.reached SELECT ''countdown'', current_user, app.reach() RETURNING interval ''1 h''';
SELECT whisperer.create_hook('good', '$base/ok/good', transform => 'app.transform', callback => 'app.callback');
SELECT whisperer.create_hook('bad', '$base/status/500/bad', retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "app.countdown"}, "max_retries": 1}');
SELECT whisperer.deliver_event(e, '{}') FROM unnest('{good,bad}'::text[]) e;
SQL
my ($body) = @{ wait_for('the transform', sub { my @bodies = bodies('/ok/good'); @bodies ? \@bodies : undef }) };
wait_for('callback and countdown', sub { sql('SELECT count(*) FROM app.reached') == 2 });
is($body->{who}, 'ann', "a transform runs as the hook's owner");
is_deeply($body->{did}, \@fine, 'and gets nothing that is not ann\'s');
for my $what (qw(callback countdown)) {
    is(sql("SELECT who FROM app.reached WHERE what = '$what'"), 'ann', "so does a $what");
    is(sql("SELECT array_to_string(did, '; ') FROM app.reached WHERE what = '$what'"), join('; ', @fine), 'and no more');
}
ok(!-e $file, 'no file was written');
is(sql("SELECT count(*) FROM pg_roles WHERE rolname = 'mine' OR rolname = 'ann' AND rolsuper"), 0, 'nobody was made or raised');

# --- what would run after the owner's rights have ended ---------------------------------------------------
sql(<<'SQL');
SET ROLE ann;
CREATE TABLE app.trap (i int); CREATE TABLE app.caught (who text);
GRANT USAGE ON SCHEMA app TO bob; GRANT ALL ON app.caught TO bob;
CREATE FUNCTION app.spring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO app.caught VALUES (current_user); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON app.trap DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.spring();
CREATE FUNCTION app.trap_transform(event json) RETURNS json LANGUAGE sql AS 'INSERT INTO app.trap VALUES (1) RETURNING ''{}''::json';
CREATE FUNCTION app.trap_countdown(retry_count integer, kwargs jsonb) RETURNS interval LANGUAGE sql AS 'INSERT INTO app.trap VALUES (1) RETURNING interval ''1 h''';
SQL
my $later = '{"choice": "fixed", "kwargs": {"seconds": 3600}}';
my %trap = (
    transform => sql("SET ROLE ann; SELECT whisperer.create_hook('trap', '$base/ok/trap', transform => 'app.trap_transform', retry_countdown_config => '$later')"),
    countdown => sql(qq(SET ROLE ann; SELECT whisperer.create_hook('trap', '$base/status/500/trap', retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "app.trap_countdown"}, "max_retries": 1}'))),
);
sql("SET ROLE ann; SELECT whisperer.deliver_event('trap', '{}')");
for my $what (sort keys %trap) {
    wait_for('the error', sub { helper_error($trap{$what}) });
    like(helper_error($trap{$what}), qr/^$what: cannot fire deferred trigger within security-restricted operation/, "a $what leaves no trigger for later");
}
is(sql('SELECT count(*) FROM app.caught'), 0, 'and none ran');

# --- what is left in the process --------------------------------------------------------------------------
sql(<<"SQL");
SET ROLE ann;
CREATE SEQUENCE app.numbers;
CREATE FUNCTION app.leave(event json) RETURNS json LANGUAGE plpgsql AS \$f\$
DECLARE
    seen json; number bigint;
BEGIN
    BEGIN number := lastval(); EXCEPTION WHEN others THEN NULL; END;
    seen := json_build_object('pid', pg_backend_pid(), 'cursors', (SELECT count(*) FROM pg_cursors WHERE name = 'open'),
        'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), 'number', number, 'path', current_setting('search_path'),
        'setting', coalesce(current_setting('app.left', true), ''), 'role', current_setting('role'));
    PERFORM nextval('app.numbers'), pg_advisory_lock(7), pg_advisory_lock_shared(8), set_config('search_path', 'app', false), set_config('app.left', 'x', false);
    EXECUTE 'DECLARE open CURSOR FOR SELECT 1';
    RETURN seen;
END;
\$f\$;
SELECT whisperer.create_hook('leave', '$base/ok/leave', transform => 'app.leave');
SELECT whisperer.deliver_event('leave', '{}') FROM generate_series(1, 2);
SQL
wait_for('both calls', sub { 2 == (() = bodies('/ok/leave')) });
my ($first, $second) = bodies('/ok/leave');
is($second->{pid}, $first->{pid}, "the next call of the owner's runs in the same process");
is($second->{$_}, 0, "and finds no $_") for qw(cursors locks);
is($second->{number}, undef, 'nor a number drawn before');
is("$second->{path}|$second->{setting}|$second->{role}", 'pg_catalog, pg_temp||none', 'nor settings');

# --- whom others take the session for -----------------------------------------------------------------------
# An application's SECURITY DEFINER function asks session_user, as current_user is its own.
my $parallel = sql("SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')");
sql(<<"SQL");
CREATE SCHEMA house; GRANT USAGE ON SCHEMA house TO ann;
CREATE ROLE house_admin;
CREATE FUNCTION house.pay() RETURNS text LANGUAGE plpgsql SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS \$f\$
BEGIN
    IF NOT pg_has_role(session_user, 'house_admin', 'MEMBER') AND current_setting('is_superuser') = 'off' THEN
        RETURN 'not for ' || session_user;
    END IF;
    RETURN 'a million';
END;
\$f\$;
SET ROLE ann;
CREATE TABLE app.who (what text, said text[]);
CREATE FUNCTION app.pid() RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN pg_backend_pid(); END';
CREATE FUNCTION app.who() RETURNS text[] LANGUAGE plpgsql AS \$f\$
DECLARE
    said text[]; also text[];
BEGIN
    said := ARRAY[session_user, current_setting('is_superuser'), current_setting('session_authorization'), house.pay(),
        (SELECT usename FROM pg_stat_activity WHERE pid = pg_backend_pid())];
    PERFORM set_config('$parallel', 'on', true);
    EXECUTE \$q\$SELECT ARRAY[session_user, current_setting('is_superuser'), house.pay(), (app.pid() = \$1)::text]\$q\$
        INTO also USING pg_backend_pid();
    RETURN said || also;
END;
\$f\$;
CREATE FUNCTION app.who_transform(event json) RETURNS json LANGUAGE plpgsql AS \$f\$
BEGIN
    IF event->'data'->>'fail' IS NOT NULL THEN RAISE EXCEPTION 'failed on purpose'; END IF;
    RETURN json_build_object('said', app.who());
END;
\$f\$;
CREATE FUNCTION app.who_callback(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql AS
    'INSERT INTO app.who SELECT ''callback'', app.who()';
CREATE FUNCTION app.who_countdown(retry_count integer, kwargs jsonb) RETURNS interval LANGUAGE sql AS
    'INSERT INTO app.who SELECT ''countdown'', app.who() RETURNING interval ''1 h''';
SELECT whisperer.register_event(e) FROM unnest('{who,who-late}'::text[]) e;
SELECT whisperer.create_hook('who', '$base/ok/who', transform => 'app.who_transform', callback => 'app.who_callback', retry_countdown_config => '$later');
SELECT whisperer.create_hook('who-late', '$base/status/500/who', retry_countdown_config => '{"choice": "custom", "kwargs": {"function": "app.who_countdown"}, "max_retries": 1}');
SELECT whisperer.deliver_event('who', '{"fail": 1}');
SELECT whisperer.deliver_event('who', '{}');
SELECT whisperer.deliver_event('who-late', '{}');
SQL
my @ann = ('ann', 'off', 'ann', 'not for ann', 'ann', 'ann', 'off', 'not for ann', 'true');
wait_for('the transform', sub { bodies('/ok/who') });
is_deeply((bodies('/ok/who'))[0]{said}, \@ann, 'a transform is called in a session of its owner, and without parallel workers, whose memory has no limit');
wait_for('callback and countdown', sub { sql('SELECT count(*) FROM app.who') == 2 });
is(sql("SELECT array_to_string(said, ',') FROM app.who WHERE what = '$_'"), join(',', @ann), "so is a $_") for qw(callback countdown);
# An owner who is a superuser is one there, too.
sql(<<"SQL");
CREATE FUNCTION house.who_transform(event json) RETURNS json LANGUAGE sql AS
    'SELECT json_build_object(''said'', ARRAY[session_user::text, current_user, current_setting(''is_superuser'')])';
SELECT whisperer.register_event('whose');
SELECT whisperer.create_hook('whose', '$base/ok/whose', transform => 'house.who_transform');
CREATE ROLE carl SUPERUSER;
SET ROLE carl;
SELECT whisperer.create_hook('whose', '$base/ok/whose-carl', transform => 'house.who_transform');
SELECT whisperer.deliver_event('whose', '{}');
SQL
wait_for('both', sub { bodies('/ok/whose') && bodies('/ok/whose-carl') });
is(join(',', map { @{ $_->{said} } } bodies('/ok/whose'), bodies('/ok/whose-carl')), 'postgres,postgres,on,carl,carl,on', 'and each owner is himself');

done_testing();
