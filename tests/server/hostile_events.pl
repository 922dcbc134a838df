# Events that are too deep, too large or odd: recorded if PostgreSQL takes them, delivered up to
# whisperer.max_payload, and never in the way of the next one.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('hostile_events');
my $receiver = new_receiver('hostile_events');
my $base = $receiver->url('');
sub sql { return $node->safe_psql('postgres', shift) }
sub state_of { return sql("SELECT concat_ws('|', d.hook_id, d.state, d.error) FROM whisperer.delivery d WHERE d.event_id = '$_[0]' ORDER BY d.hook_id") }
sub memory_kb { return slurp_file('/proc/' . worker_pid($node) . '/status') =~ /^Vm$_[0]:\s+(\d+)/m ? $1 : die }

sql(<<"SQL");
CREATE TABLE item (id int PRIMARY KEY, note text);
SELECT whisperer.register_event(e) FROM unnest('{e,item-created}'::text[]) e;
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('*', '$base/ok/all');
SELECT whisperer.create_hook('*', '$base/ok/filtered', filter => '{"deep": [[[]]], "a": 1}');
SQL
sub received { return scalar(() = $receiver->requests("/ok/$_[0]")) }

# --- deep ----------------------------------------------------------------------------------------------
my $depth = 10000;
my $deep = sql("SELECT whisperer.deliver_event('e', '{\"a\": 1, \"deep\": ' || repeat('[', $depth) || repeat(']', $depth) || '}')");
wait_idle($node);
is(state_of($deep), "1|delivered\n2|delivered", '10,000 levels are delivered, and filtered');
my ($request) = $receiver->requests('/ok/all');
is($request->{body} =~ tr/[//, $depth, 'as they were');
my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT whisperer.deliver_event('e', repeat('[', 10000000)::text)");
like($error, qr/^psql:.*ERROR:  (54001|22P02)$/m, 'what is too deep for PostgreSQL is an error of the application');

# --- large ---------------------------------------------------------------------------------------------
my $limit = 1024 * 1024;
sub sized { return sql("SELECT whisperer.deliver_event('e', ('\"' || repeat('x', $_[0] - 2) || '\"')::json)") }
my ($just, $above) = (sized($limit), sized($limit + 1));
wait_idle($node);
is(state_of($just), '1|delivered', 'whisperer.max_payload is delivered');
like(state_of($above), qr/^1\|failed\|payload is larger than whisperer\.max_payload/, 'one byte more is recorded and fails with the reason');
like(sql("SELECT whisperer.why('$above', 1)"), qr/max_payload/, 'which why() gives too');

# A config_filter that the worker could not print, here one that it would not: in the log by other ways than ours.
($status, $out, $error) = $node->psql('postgres', q(SELECT whisperer.deliver_event('e', '{}', jsonb_build_object('x', repeat('x', 9000)))));
like($error, qr/config_filter is larger than 8192 bytes/, 'a large config_filter is an error of the application');
my $odd = sql(q(INSERT INTO whisperer.outbox (id, event_type, data, config_filter) VALUES (whisperer_internal.new_event_id(), 'e', '{}', jsonb_build_object('x', repeat(E'\x01', 2000000))) RETURNING id));
my $after = sql(q(SELECT whisperer.deliver_event('e', '{"a": 2}')));
wait_idle($node);
like(state_of($odd), qr/^1\|failed\|config_filter is larger than whisperer\.max_payload/, 'and fails with the reason');
like(state_of($after), qr/^1\|delivered/, 'in nobody\'s way');

# A type that nobody can register, for one hook alone, by other ways as well.
for my $type ("E'e\\n'", "repeat('e', 513)") {
    $odd = sql("INSERT INTO whisperer.outbox (id, event_type, data, hook_id) VALUES (whisperer_internal.new_event_id(), $type, '{}', 1) RETURNING id");
    wait_idle($node);
    like(state_of($odd), qr/^1\|failed\|event type must/, "an event of type $type fails with the reason");
}

my $pid = worker_pid($node);
my $before = memory_kb('HWM');
my $huge = sized(200 * 1024 * 1024);
sql("INSERT INTO item SELECT 1, repeat('y', 200 * 1024 * 1024)");
my $next = sql(q(SELECT whisperer.deliver_event('e', '{"after": "huge"}')));
wait_idle($node);
like(state_of($huge), qr/^1\|failed\|payload is larger/, '200 MB are recorded, and their delivery fails');
is(sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE o.event_type = 'item-created' AND d.state = 'failed'"),
    2, 'those of a trigger, too: what is not looked into is for nobody to filter');
is(state_of($next), '1|delivered', 'the event behind them is delivered');
sql("SELECT whisperer.retry('$huge')");
sql("SELECT whisperer.replay(1, now() - interval '1 h')");
$next = sql(q(SELECT whisperer.deliver_event('e', '{"after": "retry"}')));
wait_idle($node);
is(state_of($next), '1|delivered', 'and so it is after a retry and a replay of them');
is(worker_pid($node), $pid, 'by the same worker');
my $after = memory_kb('HWM');
note "worker's peak: $before kB before, $after kB after";
cmp_ok($after - $before, '<', 64 * 1024, 'which never held them');

# --- what PostgreSQL refuses ----------------------------------------------------------------------------
sql('CREATE TABLE whole (note text); CREATE TRIGGER whole_created AFTER INSERT ON whole FOR EACH ROW EXECUTE FUNCTION whisperer.capture(\'item-created\')');
($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nINSERT INTO whole SELECT repeat('\"', 600 * 1024 * 1024)");
like($error, qr/ERROR:  (54000|XX000|53200)$/m, 'a row whose JSON is beyond 1 GB is an error of the application');
is(sql('SELECT count(*) FROM whole'), 0, 'whose transaction is undone');
my $outbox = sql('SELECT count(*) FROM whisperer.outbox');
sql(q(INSERT INTO item VALUES (2, 'still alive')));
wait_idle($node);
is(sql('SELECT count(*) FROM whisperer.outbox'), $outbox + 1, 'recording goes on');
is(worker_pid($node), $pid, 'and so does the worker');

done_testing();
