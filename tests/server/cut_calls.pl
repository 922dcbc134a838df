# A function whose process is killed takes the server along, and its call is made again after the restart.  Before a hook's first
# call the worker notes that it begins: found after a crash it counts as five time-outs, and two disable the hook.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('cut_calls', extra => <<'CONF');
restart_after_crash = on
whisperer.callback_timeout = '10min'
whisperer.poll_interval = 100ms
CONF
my $receiver = new_receiver('cut_calls');
my $base = $receiver->url('');

sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query) }
sub helper { return wait_for('a call', sub { my (undef, $pid) = $node->psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'whisperer helper' AND wait_event = 'PgSleep')); $pid }) }
sub hook { my ($id) = @_; return sql("SELECT h.state || ' ' || coalesce(r.function_timeouts, 0) || CASE WHEN r.function_began IS NULL THEN '' ELSE ' began' END FROM whisperer.hook h LEFT JOIN whisperer.hook_run r ON r.hook_id = h.id WHERE h.id = $id") }

sql(<<"SQL");
CREATE ROLE ann; GRANT USAGE ON SCHEMA whisperer TO ann; CREATE SCHEMA app AUTHORIZATION ann;
SET ROLE ann;
SELECT whisperer.register_event(e) FROM unnest('{bad,good}'::text[]) e;
CREATE FUNCTION app.good(event json) RETURNS json LANGUAGE sql AS 'SELECT event';
CREATE FUNCTION app.bad(event json) RETURNS json LANGUAGE sql AS 'SELECT event FROM pg_sleep(600)';
SELECT whisperer.create_hook('bad', '$base/ok/bad', transform => 'app.bad');
SELECT whisperer.create_hook('good', '$base/ok/good', transform => 'app.good');
SELECT whisperer.deliver_event('good', '{}');
SQL
wait_for('the good one', sub { () = $receiver->requests('/ok/good') });
wait_for('the end of its call to be noted', sub { hook(2) eq 'active 0' });
sql(q(SELECT whisperer.deliver_event('bad', '{}')));
helper();
is(hook(1), 'active 0 began', 'a first call is noted before it begins');
# The end of the worker, and of the server, is not the call's doing.
my $worker = worker_pid($node);
sql("SELECT pg_terminate_backend($worker)");
wait_for('another worker', sub { worker_pid($node) != $worker });
helper();
is(hook(1), 'active 0 began', 'the end of a worker counts for nothing');
$node->restart;
helper();
is(hook(1), 'active 0 began', 'nor does a restart');

kill_worker($node, helper());
helper();
is(hook(1), 'active 5 began', 'a crash does');
kill_worker($node, helper());
wait_for('the hook to be disabled', sub { my (undef, $said) = $node->psql('postgres', 'SELECT state_reason FROM whisperer.hook WHERE id = 1'); $said });
is(sql('SELECT state, state_reason FROM whisperer.hook WHERE id = 1'), 'disabled|the server crashed twice during a call of its functions', 'and the second disables the hook');
sql(q(SELECT whisperer.deliver_event('good', '{}')));
wait_for('the good one', sub { 2 == (() = $receiver->requests('/ok/good')) });
wait_idle($node);
is(hook(2), 'active 0', 'others are served');
sql(q(SET ROLE ann; CREATE OR REPLACE FUNCTION app.bad(event json) RETURNS json LANGUAGE sql AS 'SELECT event'; SELECT whisperer.resume_hook(1)));
wait_for('what waited', sub { () = $receiver->requests('/ok/bad') });
wait_idle($node);
is(hook(1), 'active 0', 'once it is mended and resumed, so is this one');

done_testing();
