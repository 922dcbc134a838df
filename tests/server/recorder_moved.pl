# recorder/move-to-extension.sql: a database that recorded without the extension gets it.  Types, privileges and triggers stay,
# nodes go on where they were, and what no node has had is there to be replayed.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('primary', extra => "wal_level = logical\nmax_replication_slots = 10\nmax_wal_senders = 10\n");
my $deliverer = new_node('deliverer', extra => "wal_retrieve_retry_interval = 200ms\n");
my $receiver = new_receiver('moved');
my %file = map { $_ => $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{../recorder/$_.sql}r } 'whisperer-recorder', 'move-to-extension';
my $recorder = slurp_file($file{'whisperer-recorder'});
my $move = slurp_file($file{'move-to-extension'});

sub in { my ($database, $sql) = @_; return $node->safe_psql($database, $sql) }

sub as { my ($role, $database, $sql) = @_; return in($database, "SET ROLE $role;\n$sql") }

sub said { my ($database, $sql) = @_; return ($node->psql($database, $sql, on_error_stop => 1))[2] }

sub received { my ($path) = @_; return join ' ', sort { $a <=> $b } map { $_->{body} =~ /"n" ?: ?(\d+)/ } $receiver->requests($path) }

in('postgres', 'CREATE ROLE recorder; CREATE ROLE shop; CREATE ROLE web; CREATE ROLE reader LOGIN REPLICATION; CREATE ROLE "Gone"');
for my $database (qw(managed alone)) {
    in('postgres', "CREATE DATABASE $database; GRANT CREATE ON DATABASE $database TO recorder");
    in($database, "GRANT CREATE, USAGE ON SCHEMA public TO shop; BEGIN;\nSET ROLE recorder;\n$recorder\nSELECT whisperer.allow_capture('shop'); SELECT whisperer.publish_events();\nCOMMIT");
    as('shop', $database, <<'SQL');
SELECT whisperer.register_event('paid', 'somebody paid'), whisperer.register_event('by-hand');
SELECT whisperer.allow('paid', 'web', 'publish');
CREATE TABLE orders (n int PRIMARY KEY, state text, secret text);
CREATE TABLE parts (n int PRIMARY KEY) PARTITION BY RANGE (n);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE more (n int);
CREATE TABLE ran (who name);
CREATE FUNCTION note_who(n int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.ran VALUES (current_user);
    BEGIN RESET ROLE; RESET SESSION AUTHORIZATION; EXCEPTION WHEN others THEN NULL; END;
    INSERT INTO public.ran VALUES (current_user);
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN RETURN true;
END $$;
CREATE DOMAIN noting AS int CHECK (note_who(VALUE));
SELECT whisperer.watch('orders', 'order', options => '{"columns=n,state",include=old,changed=state}');
SELECT whisperer.watch('parts', operations => '{insert}');
CREATE TRIGGER mine AFTER INSERT ON more FOR EACH ROW WHEN (NEW.n > 10 AND '{1}'::noting[] IS NOT NULL) EXECUTE FUNCTION whisperer.capture('by-hand', 'key=n');
CREATE TRIGGER off AFTER INSERT ON more REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('by-hand');
ALTER TABLE more DISABLE TRIGGER off;
GRANT INSERT ON orders, parts, more TO web;
SQL
}

# What an application does, before and after.
sub write_events {
    my ($database, $n) = @_;
    as('web', $database, qq(SELECT whisperer.deliver_event('paid', '{"n": $n}'); INSERT INTO orders VALUES ($n, 'new', 'x'); INSERT INTO parts VALUES ($n); INSERT INTO more VALUES ($n), (0)));
    return;
}

# --- with a node, which was away -------------------------------------------------------------------------------------------
in('managed', 'GRANT USAGE ON SCHEMA whisperer TO reader');
$deliverer->safe_psql('postgres', sprintf <<'SQL', $receiver->url('/ok/node'));
SELECT whisperer.register_event(t) FROM unnest('{paid,by-hand,order-created,order-updated,order-deleted,parts-created}'::text[]) t;
SELECT whisperer.create_hook('*', '%s');
SQL
$deliverer->safe_psql('postgres', in('managed', sprintf q(SELECT whisperer.subscription_command('a', '%s')), ($node->connstr('managed') . ' user=reader') =~ s/'/''/gr));

sub arrive {
    my $end = in('managed', 'SELECT pg_current_wal_lsn()');
    wait_for('the node', sub { in('managed', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'whisperer_a'") eq 't' });
    wait_idle($deliverer);
    return;
}
write_events('managed', 11);
arrive();
is(received('/ok/node'), '11 11 11 11', 'the node delivers what the recorder records');
$deliverer->safe_psql('postgres', 'ALTER SUBSCRIPTION whisperer_events DISABLE');
wait_for('it to leave', sub { in('managed', q(SELECT count(*) FROM pg_replication_slots WHERE active)) == 0 });
write_events('managed', 12);

like(said('managed', 'CREATE EXTENSION whisperer'), qr/HINT:  .*recorder\/move-to-extension\.sql/, 'CREATE EXTENSION says what to do');
like(said('managed', "SET ROLE recorder;\n$move"), qr/ERROR:  the move takes a superuser/, 'the move takes a superuser');
like(said('postgres', $move), qr/ERROR:  the extension whisperer is installed/, 'and a database without the extension');
like(said('template1', $move), qr/ERROR:  this database does not record by/, 'that has the recorder');
in('managed', 'TRUNCATE ran');
like(said('managed', $move), qr/NOTICE:  moved: event types 6, capture triggers 6, events 0/, 'then it is done');
write_events('managed', 13);
as('shop', 'managed', q(UPDATE orders SET secret = 'y'; UPDATE orders SET state = 'paid' WHERE n = 11));
$deliverer->safe_psql('postgres', 'ALTER SUBSCRIPTION whisperer_events ENABLE');
arrive();
is(received('/ok/node'), join(' ', map { ($_) x 4 } 11 .. 13) =~ s/^/11 /r, 'the node has each event once: from before, from while it was away, and from after');
is(in('managed', q(SELECT data FROM whisperer.outbox WHERE event_type = 'order-updated')), '{"new":{"n":11,"state":"paid"},"old":{"n":11,"state":"new"}}', 'a watched table is recorded with its options');

is(in('managed', 'SELECT string_agg(DISTINCT who, chr(32)) FROM ran'), 'shop', 'what the parser runs of the owner of a table has his rights alone');

# --- what has moved --------------------------------------------------------------------------------------------------------
is(in('managed', q(SELECT string_agg(concat_ws(' ', name, owner_name, description), ', ' ORDER BY name) FROM whisperer.event_type)),
    'by-hand shop, order-created shop, order-deleted shop, order-updated shop, paid shop somebody paid, parts-created shop', 'types have their owners');
is(in('managed', q(SELECT string_agg(concat_ws(' ', event_type, role_name, privilege), ', ' ORDER BY event_type) FROM whisperer.event_type_privilege)), 'paid web publish', 'and privileges');
is(in('managed', q(SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled, tgtype & 1), ', ' ORDER BY tgrelid::regclass::text, tgname) FROM pg_trigger WHERE tgparentid = 0 AND tgfoid = 'whisperer.capture()'::regprocedure)),
    'more mine O 1, more off D 0, orders whisperer_created O 0, orders whisperer_deleted O 0, orders whisperer_updated O 0, parts whisperer_created O 1', 'triggers are what the extension makes, or as they were made by hand');
is(in('managed', 'SELECT count(*) FROM whisperer.check_triggers()'), 0, 'with which nothing is wrong');
is(as('shop', 'managed', q(SELECT count(*) FROM whisperer.watch('orders', 'order', options => '{"columns=n,state",include=old,changed=state}'))), 3, 'watch() knows them');
in('managed', 'DROP SCHEMA whisperer_recorder, whisperer_recorder_internal CASCADE');
write_events('managed', 14);
arrive();
is(received('/ok/node'), join(' ', map { ($_) x 4 } 11 .. 14) =~ s/^/11 /r, 'the recorder is needed no more');
$deliverer->safe_psql('postgres', 'DROP SUBSCRIPTION whisperer_events');

# --- without nodes -----------------------------------------------------------------------------------------------------------
write_events('alone', 21);
as('"Gone"', 'alone', q(SELECT whisperer.register_event('left')));
in('postgres', 'DROP ROLE "Gone"');
my $told = said('alone', $move);
like($told, qr/WARNING:  event type "left" is yours now/, 'a type without an owner gets one');
like($told, qr/NOTICE:  moved: event types 7, capture triggers 6, events 4/, 'where no node has the events they are taken along');
write_events('alone', 22);
my $hook = as('shop', 'alone', sprintf q(SELECT whisperer.create_hook('paid, order-*', '%s')), $receiver->url('/ok/alone'));
as('web', 'alone', q(SELECT whisperer.deliver_event('paid', '{"n": 23}')));
is(as('shop', 'alone', "SELECT whisperer.replay($hook, now() - interval '1 hour', until => (SELECT max(created_at) FROM whisperer.outbox WHERE event_type = 'order-created'))"), 3, 'to be replayed to a hook that is made now');
wait_for('them', sub { received('/ok/alone') =~ / 23/ && (() = $receiver->requests('/ok/alone')) >= 4 });
in('alone', q(CALL whisperer.wait_idle('30 s')));
is(received('/ok/alone'), '21 21 22 23', 'beside what is recorded from then on');
$_->stop for $node, $deliverer;
done_testing();
