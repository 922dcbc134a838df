# Those who copy a table while it is written to and put the copy in its place, as pg_repack and REPACK (CONCURRENTLY)
# do: they are told of new rows by triggers, and their copies are empty to snapshots from before.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('copied_tables');
my $receiver = new_receiver('copied_tables');

sub sql { return $node->safe_psql('postgres', @_) }

sql(<<"SQL");
CREATE ROLE app;
CREATE TABLE item (id int PRIMARY KEY, note text);
CREATE TABLE log (id bigserial, what text, who text);
SELECT whisperer.watch('item');
SELECT whisperer.register_event('other');
SELECT whisperer.allow('other', 'app', 'publish');
GRANT ALL ON item TO app;
CREATE FUNCTION log_row() RETURNS trigger LANGUAGE plpgsql AS
\$\$BEGIN INSERT INTO public.log (what, who) VALUES (TG_WHEN || ' ' || TG_LEVEL || ' ' || TG_ARGV[0], current_user); RETURN NEW; END\$\$;
CREATE FUNCTION log_rows() RETURNS trigger LANGUAGE plpgsql AS
\$\$BEGIN INSERT INTO public.log (what) SELECT 'rows ' || count(*) FROM rows; RETURN NULL; END\$\$;
SQL

sub logged { return join ', ', split /\n/, sql('DELETE FROM log RETURNING what') }

# --- triggers ------------------------------------------------------------------------------------

sub slot { return sql('SELECT whisperer_internal.current_slot()') }

my $slot = slot();
sql(<<"SQL");
CREATE TRIGGER a BEFORE INSERT ON whisperer.outbox_$slot FOR EACH STATEMENT EXECUTE FUNCTION log_row('outbox');
CREATE TRIGGER b BEFORE INSERT ON whisperer.outbox FOR EACH ROW EXECUTE FUNCTION log_row('outbox');
CREATE TRIGGER c AFTER INSERT ON whisperer.outbox FOR EACH ROW EXECUTE FUNCTION log_row('outbox');
CREATE TRIGGER d AFTER INSERT ON whisperer.outbox_$slot REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION log_rows();
SQL
my $once = 'BEFORE STATEMENT outbox, BEFORE ROW outbox, AFTER ROW outbox, rows 1';
sql('INSERT INTO item VALUES (1)');
is(logged(), $once, 'a captured row fires the triggers of the outbox');
sql('INSERT INTO item SELECT generate_series(2, 4)');
is(logged(), 'BEFORE STATEMENT outbox, BEFORE ROW outbox, BEFORE ROW outbox, BEFORE ROW outbox, AFTER ROW outbox, AFTER ROW outbox, '
    . 'AFTER ROW outbox, rows 3', 'so do those of a statement');
sql(q(SELECT whisperer.deliver_event('other', '{}')));
is(logged(), $once, 'and an event made by hand');
is(sql("BEGIN; INSERT INTO item VALUES (5); ROLLBACK; SELECT count(*) FROM log"), 0, 'what they did is undone with the transaction');

# The writer may do nothing of what they do, and has no hand in what they find.
sql(<<'SQL');
CREATE FUNCTION find_name() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM lower('x'); RETURN NEW; END$$;
CREATE SCHEMA planted AUTHORIZATION app;
CREATE FUNCTION planted.lower(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN ALTER ROLE app SUPERUSER; RETURN ''; END$$;
SQL
sql("CREATE TRIGGER e AFTER INSERT ON whisperer.outbox_$slot FOR EACH ROW EXECUTE FUNCTION find_name()");
sql('SET SESSION AUTHORIZATION app; SET search_path = planted, pg_catalog, public; INSERT INTO item VALUES (6)');
is(sql(q(SELECT string_agg(DISTINCT who, ' ') FROM log WHERE who IS NOT NULL)), sql('SELECT current_user'), 'they run as the table\'s owner');
is(sql(q(SELECT rolsuper FROM pg_roles WHERE rolname = 'app')), 'f', 'and do not look where the writer would have them look');
is(sql(<<'SQL'), 'app|planted, pg_catalog', 'whose session is as it was');
SET SESSION AUTHORIZATION app; SET search_path = planted, pg_catalog; INSERT INTO public.item VALUES (7); SELECT current_user, current_setting('search_path');
SQL
my (undef, undef, $error) = $node->psql('postgres', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no more'; END$$;
CREATE TRIGGER f AFTER INSERT ON whisperer.outbox FOR EACH ROW EXECUTE FUNCTION refuse();
SET ROLE app;
BEGIN;
SAVEPOINT s;
INSERT INTO item VALUES (8);
ROLLBACK TO s;
SELECT 1 / (current_user = 'app')::int;
COMMIT;
SQL
like($error, qr/ERROR:  no more/, 'an error there is the writer\'s');
unlike($error, qr/division/, 'and leaves him who he was');
sql("DROP TRIGGER $_ ON whisperer.outbox_$slot") for qw(a d e);
sql("DROP TRIGGER $_ ON whisperer.outbox") for qw(b c f);
logged();

sql(<<"SQL");
CREATE TRIGGER b BEFORE INSERT ON whisperer.delivery FOR EACH ROW EXECUTE FUNCTION log_row('ledger');
CREATE TRIGGER c AFTER INSERT ON whisperer.delivery FOR EACH ROW EXECUTE FUNCTION log_row('ledger');
SELECT whisperer.create_hook('*', '@{[ $receiver->url('/ok/hook') ]}');
SQL
sql('INSERT INTO item VALUES (9)');
wait_idle($node);
is(logged(), 'BEFORE ROW ledger, AFTER ROW ledger', 'a row of the ledger fires those of the ledger');
sql('DROP TRIGGER b ON whisperer.delivery; DROP TRIGGER c ON whisperer.delivery');

# A row that is not one of the slot's any more must not get there.
sql(<<"SQL");
CREATE FUNCTION change_row() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN NEW.slot := (NEW.slot + 1) % 8; RETURN NEW; END\$\$;
CREATE TRIGGER z BEFORE INSERT ON whisperer.outbox_$slot FOR EACH ROW EXECUTE FUNCTION change_row();
SQL
(undef, undef, $error) = $node->psql('postgres', 'INSERT INTO item VALUES (10)');
like($error, qr/violates partition constraint/, 'what a trigger made of a row is checked');
sql("DROP TRIGGER z ON whisperer.outbox_$slot");

(undef, undef, $error) = $node->psql('postgres',
    "CREATE TRIGGER z AFTER INSERT ON whisperer.outbox FOR EACH ROW EXECUTE FUNCTION whisperer.capture('other')");
like($error, qr/cannot capture/, 'the log is not captured into itself');

# --- snapshots -----------------------------------------------------------------------------------

# Puts a copy in the table's place while the worker comes to read it; its rows are of a transaction that the worker's
# snapshot would not know if it were taken first.
sub replace_while_read {
    my ($table) = @_;
    my $session = $node->background_psql('postgres');
    $session->query_safe("BEGIN; LOCK TABLE whisperer.$table IN ACCESS EXCLUSIVE MODE");
    $session->query_safe("CREATE TEMP TABLE copy ON COMMIT DROP AS SELECT * FROM whisperer.$table");
    $session->query_safe("SET LOCAL session_replication_role = replica; TRUNCATE whisperer.$table; INSERT INTO whisperer.$table SELECT * FROM copy");
    release_hold($node);
    wait_for("the worker at $table", sub {
        sql(<<"SQL") eq 't';
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity a USING (pid) WHERE NOT granted
    AND relation = 'whisperer.$table'::regclass AND a.backend_type = 'whisperer worker')
SQL
    });
    $session->query_safe('COMMIT');
    $session->quit;
}

my $n = 100;
for my $table ('outbox_' . slot(), 'hook_definition', 'event_type', 'secret', 'control') {
    hold($node, 'before-page-snapshot');
    wait_held($node, 'before-page-snapshot');
    sql('INSERT INTO item VALUES (' . ++$n . ')');
    replace_while_read($table);
    wait_idle($node);
    is(scalar(grep { $_->{body} =~ /"id":$n\b/ } $receiver->requests('/ok/hook')), 1,
        "$table is replaced while the worker comes to read it: nothing is lost");
}

# Who delivers which hook: what another node delivers is not delivered here as well.
sql(<<"SQL");
SELECT whisperer.register_event('elsewhere');
SELECT whisperer.create_hook('elsewhere', '@{[ $receiver->url('/ok/elsewhere') ]}');
SELECT whisperer_internal.give_hook(id, 'other', NULL, false, false) FROM whisperer.hook WHERE event_type = 'elsewhere';
SQL
hold($node, 'before-page-snapshot');
wait_held($node, 'before-page-snapshot');
sql(q(SELECT whisperer.deliver_event('elsewhere', '{}')));
sql(q(UPDATE whisperer.hook SET description = 'changed' WHERE event_type = 'elsewhere'));
replace_while_read('hook_node');
wait_idle($node);
is(scalar $receiver->requests('/ok/elsewhere'), 0, 'hook_node is replaced while the worker comes to read it: it leaves another node its hook');

# Retries: what is due is looked for once, and if nothing was seen, not again.
sql(<<"SQL");
ALTER SYSTEM SET whisperer.circuit_breaker = off;
SELECT pg_reload_conf();
SELECT whisperer.register_event('again');
SELECT whisperer.create_hook('again', '@{[ $receiver->url('/fail-first/1/500/due') ]}',
    retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 2}, "max_retries": 5}');
SELECT whisperer.deliver_event('again', '{}');
SQL
wait_for('the retry to wait', sub { sql(q(SELECT count(*) FROM whisperer.delivery WHERE state = 'pending')) == 1 });
replace_while_read(sql(q(SELECT 'delivery_' || slot FROM whisperer.delivery WHERE state = 'pending')));
wait_for('the retry', sub { sql(q(SELECT count(*) FROM whisperer.delivery WHERE state = 'pending')) == 0 });
pass('the ledger is replaced while the worker looks for what is due: the retry is made');

unlike(slurp_file($node->logfile), qr/WARNING|leak/, 'nothing is left behind');

$node->stop;
done_testing();
