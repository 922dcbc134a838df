# Sessions with session_replication_role = replica, in which ordinary triggers do not fire: what people set to load
# data, and what rows come in by replication with.  Our checks hold there and the worker hears of changes; what was
# made elsewhere passes.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('replica_role', init => { allows_streaming => 'logical' }, extra => 'whisperer.poll_interval = 100ms');
my $receiver = new_receiver('replica_role');
my $base = $receiver->url('');

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query) }
sub as_replica { my ($query, $database) = @_; return sql("SET session_replication_role = replica; $query", $database) }
sub refusal { my ($query) = @_; my (undef, undef, $error) = $node->psql('postgres', "SET session_replication_role = replica; $query"); return $error }
sub config { my ($hook) = @_; return sql("SELECT config FROM whisperer.hook WHERE id = $hook") }

sql("SELECT whisperer.register_event('e'); SELECT whisperer.create_hook('e', '$base/ok/one')");
wait_idle($node);

# --- our functions ------------------------------------------------------------------------------------------
as_replica('SELECT whisperer.pause()');
wait_for('the worker to say so', sub { sql('SELECT state FROM whisperer_internal.worker_state()') eq 'paused' });
sql("SELECT whisperer.deliver_event('e', '{}')");
pass('pause() is heard of');
as_replica('SELECT whisperer.resume()');
wait_for('the request', sub { 1 == (() = $receiver->requests('/ok/one')) });
pass('and so is resume()');
as_replica(q(SELECT whisperer.update_hook(1, '{"config": {"mine": 1, "auth": {"type": "basic", "username": "u", "password": "swordfish"}}}')));
is(config(1), '{"auth": {"type": "basic"}, "mine": 1}', 'a password is kept with the secrets');
my $two = as_replica(qq(SELECT whisperer.create_hook('e', '$base/ok/two', config => '{"auth": {"type": "bearer", "token": "t"}}')));
is(config($two), '{"auth": {"type": "bearer"}}', 'a token too');
like(refusal(q(SELECT whisperer.update_hook(1, '{"target_url": "ftp://nowhere/"}'))), qr/ERROR:.*http/, 'a bad URL is refused');
like(refusal(q(SELECT whisperer.create_hook('unknown', 'http://127.0.0.1/'))), qr/no registered event type matches/, 'an unknown event type, too');
as_replica(qq(SELECT whisperer.register_event('f'); SELECT whisperer.create_hook('f', '$base/ok/three'); SELECT whisperer.deliver_event(t, '{}') FROM unnest('{e,f}'::text[]) t));
wait_idle($node);
wait_for("a request at $_", sub { () = $receiver->requests($_) }) for '/ok/two', '/ok/three';
pass('hooks made there are served');
as_replica('TRUNCATE whisperer.hook_definition, whisperer.secret');
my $before = () = $receiver->requests;
sql("SELECT whisperer.deliver_event('e', '{}')");
wait_idle($node);
is(scalar(() = $receiver->requests), $before, 'a TRUNCATE is heard of');

# --- what was made elsewhere --------------------------------------------------------------------------------
sql('CREATE DATABASE origin');
sql("CREATE EXTENSION whisperer; SELECT whisperer.register_event('theirs'); CREATE PUBLICATION hooks FOR TABLE whisperer.hook_definition, whisperer.secret", 'origin');
sql("CREATE SUBSCRIPTION hooks CONNECTION '" . $node->connstr('origin') =~ s/'/''/gr . q(' PUBLICATION hooks WITH (connect = false, slot_name = 'hooks')));
sql(q(SELECT pg_create_logical_replication_slot('hooks', 'pgoutput')), 'origin');
sql('ALTER SUBSCRIPTION hooks ENABLE; ALTER SUBSCRIPTION hooks REFRESH PUBLICATION WITH (copy_data = false)');
sql(q(SELECT whisperer.create_hook('theirs', 'http://127.0.0.1/theirs', config => '{"auth": {"type": "bearer", "token": "theirs"}}')), 'origin');
wait_for('the hook', sub { sql(q(SELECT count(*) FROM whisperer.hook WHERE event_type = 'theirs')) == 1 });
sql(q(SELECT whisperer.update_hook(id, '{"description": "changed", "config": {}}') FROM whisperer.hook), 'origin');
wait_for('its change', sub { sql(q(SELECT description || config FROM whisperer.hook WHERE event_type = 'theirs')) eq 'changed{}' });
is(sql(q(SELECT state FROM whisperer.hook WHERE event_type = 'theirs')), 'paused', 'a hook of another database comes by replication, and rests');
like($node->psql('postgres', q(UPDATE whisperer.hook SET target_url = 'ftp://nowhere/' WHERE event_type = 'theirs')), qr/^[^0]/, 'whoever changes it here is checked');
sql(q(ALTER SUBSCRIPTION hooks DISABLE; ALTER SUBSCRIPTION hooks SET (slot_name = NONE); DROP SUBSCRIPTION hooks; TRUNCATE whisperer.hook_definition, whisperer.secret));

# --- data put back into the database that it is of ------------------------------------------------------------
sql(qq(SELECT whisperer.create_hook('e', '$base/ok/four', config => '{"auth": {"type": "bearer", "token": "t"}}')));
my $rows = 'SELECT h.*, s.* FROM whisperer.hook_definition h JOIN whisperer.secret s ON s.hook_id = h.id';
my $made = sql($rows);
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
my @restore = ('pg_restore', '--data-only', '--exit-on-error', '-d', 'postgres', map { ('-t', $_) } qw(hook_definition secret));
sql('TRUNCATE whisperer.hook_definition, whisperer.secret');
{
    local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
    $node->command_ok([ @restore, $dump ], 'pg_restore of data in such a session');
}
is(sql($rows), $made, 'puts back what was there');
sql('TRUNCATE whisperer.hook_definition, whisperer.secret');
$node->command_ok([ @restore, '--disable-triggers', $dump ], 'pg_restore --disable-triggers');
is(sql($rows), $made, 'puts it back, too');
my $not_always = "SELECT count(*) FROM pg_trigger WHERE tgfoid::regproc::text LIKE 'whisperer%' AND NOT tgisinternal
    AND tgenabled <> CASE WHEN tgname ~ 'arriv' THEN 'R' ELSE 'A' END::\"char\"";
cmp_ok(sql($not_always), '>', 0, 'and leaves ordinary triggers');
sql('SELECT whisperer.resume()');
is(sql($not_always), 0, 'which resume() sees to');
$before = () = $receiver->requests('/ok/four');
sql("SELECT whisperer.deliver_event('e', '{}')");
wait_for('the request', sub { $before < (() = $receiver->requests('/ok/four')) });
pass('what was put back is served');

done_testing();
