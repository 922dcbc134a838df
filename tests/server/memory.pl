# A process of ours that the kernel kills for want of memory takes the server along, and again after the restart.  So memory is
# limited: a function that wants more fails, a hook that does not fit waits, and nobody else notices.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('memory', extra => <<'CONF');
whisperer.helper_memory = '100MB'
whisperer.callback_timeout = '60s'
whisperer.worker_memory = '4MB'
whisperer.max_queued_bytes = '1MB'
whisperer.poll_interval = 100ms
CONF
my $receiver = new_receiver('memory');
my $base = $receiver->url('');

sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query) }
my $worker = worker_pid($node);
my $started = sql('SELECT pg_postmaster_start_time()');

# --- functions ------------------------------------------------------------------------------------------------
my $later = q({"choice": "fixed", "kwargs": {"seconds": 3600}});
sql(<<"SQL");
CREATE ROLE ann; GRANT USAGE ON SCHEMA whisperer TO ann; CREATE SCHEMA app AUTHORIZATION ann;
SET ROLE ann;
SELECT whisperer.register_event(e) FROM unnest('{big,array,good,many}'::text[]) e;
CREATE FUNCTION app.big(event json) RETURNS json LANGUAGE sql AS
    'SELECT json_build_object(''n'', length(string_agg(repeat(''x'', 10000000), ''''))) FROM generate_series(1, 30)';
CREATE FUNCTION app.array(event json) RETURNS json LANGUAGE plpgsql AS
    'DECLARE t text[]; BEGIN FOR i IN 1 .. 30 LOOP t := t || repeat(md5(i::text), 300000); END LOOP; RETURN event; END';
CREATE FUNCTION app.good(event json) RETURNS json LANGUAGE sql AS 'SELECT event';
SELECT whisperer.create_hook(e, '$base/ok/' || e, transform => 'app.' || e, retry_countdown_config => '$later') FROM unnest('{big,array,good}'::text[]) e;
SELECT whisperer.deliver_event(e, '{}') FROM unnest('{big,array,good}'::text[]) e;
SQL
wait_for('the good one', sub { () = $receiver->requests('/ok/good') });
for my $type (qw(big array)) {
    wait_for('the error', sub { sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = '$type' AND d.error IS NOT NULL") });
    is(sql("SELECT d.state, d.error FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = '$type'"),
        'pending|transform: out of memory (SQLSTATE 53200)', 'a function that wants too much fails');
}

# --- schemas --------------------------------------------------------------------------------------------------
# Each takes half a megabyte as it is kept, and all together more than the worker has, which is 136 MB.
my $schema = q((SELECT jsonb_build_object('enum', jsonb_agg(i % 10)) FROM generate_series(1, 21000) i));
sql("SET ROLE ann; SELECT count(whisperer.register_event('shape' || g, schema => $schema)) FROM generate_series(1, 400) g;
     SELECT whisperer.create_hook('shape400', '$base/ok/shape'); SELECT count(whisperer.deliver_event('shape' || g, '1')) FROM generate_series(1, 400) g");
wait_for('an event behind many schemas', sub { () = $receiver->requests('/ok/shape') });
unlike(slurp_file($node->logfile), qr/out of memory while a schema was read/, 'schemas that were read give way to others');

# --- hooks ----------------------------------------------------------------------------------------------------
# Whatever it says, each takes 4 kB at least.
sql("SELECT whisperer.register_event('plain'); SELECT count(whisperer.create_hook('plain', '$base/ok/plain/' || g)) FROM generate_series(1, 300) g; SELECT whisperer.deliver_event('plain', '{}')");
my $plain = q(whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'plain');
wait_for('a row for each', sub { sql("SELECT count(*) FROM $plain") == 300 });
wait_for('those that fit', sub { sql("SELECT count(*) FROM $plain AND d.state = 'delivered'") > 200 });
cmp_ok(sql("SELECT count(*) FROM $plain AND d.state = 'delivered'"), '<=', 256, 'a quarter of 4 MB is for no more hooks than that');
sql("SELECT count(whisperer.delete_hook(h.id)) FROM whisperer.hook h WHERE h.event_type = 'plain'");
wait_for('the end of those that waited', sub { sql("SELECT count(*) FROM $plain AND d.state = 'pending'") == 0 });
# Each some 85 kB, of a quarter of 4 MB: twelve, where a fifth would be nine.  Which of them fit is the worker's choice.
sql(<<"SQL");
SET ROLE ann;
SELECT count(whisperer.create_hook('many', '$base/ok/many/' || g, secret_key => repeat('s', 1000), config => jsonb_build_object('x', repeat('y', 8000)),
    filter => jsonb_build_object('n', 1, 'x', (SELECT jsonb_agg(i % 10) FROM generate_series(1, 2500) i)))) FROM generate_series(1, 40) g;
SQL
my $all = q((SELECT json_agg(i) FROM generate_series(0, 9) i));
sql("SET ROLE ann; SELECT whisperer.deliver_event('many', json_build_object('n', n, 'x', $all)) FROM generate_series(1, 2) n");
wait_for('a result or a row for each', sub { sql(q(SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'many')) == 40 });
wait_for('those that fit', sub { sql(q(SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'many' AND d.state = 'delivered')) > 10 });
is(sql(q(SELECT string_agg(DISTINCT d.state || coalesce(d.error, ''), ' ' ORDER BY d.state || coalesce(d.error, '')) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'many')),
    'delivered pending', 'deliveries of hooks that fit are made, those of the others wait, and what a filter rejects is for neither');
like(slurp_file($node->logfile), qr/hook \d+ cannot be served, its deliveries wait: the hooks take a quarter of whisperer.worker_memory/, 'the log says why');
my $served = q(whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'many' AND d.state = 'delivered');
my $fitted = sql("SELECT count(*) FROM $served");
sql("SELECT whisperer.delete_hook(h.id) FROM $served");
wait_for('others to be served', sub { sql("SELECT count(*) FROM $served") > $fitted });
pass('there is room for others when those that fit have been deleted');
sql("ALTER SYSTEM SET whisperer.worker_memory = '1GB'");
$node->reload;
wait_idle($node);
is(sql(q(SELECT string_agg(DISTINCT d.state, ' ') FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'many' AND h.is_active)), 'delivered',
    'with more memory they are made, too');
# --- how many -------------------------------------------------------------------------------------------------
my $most = 1 + sql("SELECT count(*) FROM whisperer.hook WHERE is_active AND owner = 'ann'::regrole");
sql("ALTER SYSTEM SET whisperer.max_hooks_per_role = $most");
$node->reload;
wait_for('the setting', sub { sql('SHOW whisperer.max_hooks_per_role') == $most });
my $make = "SELECT whisperer.create_hook('many', '$base/ok/more/' || random())";
my $last = sql("SET ROLE ann; $make");
my (undef, undef, $error) = $node->psql('postgres', "SET ROLE ann; $make");
like($error, qr/role ann has $most hooks already.*HINT:  Delete some/s, 'a role has so many hooks and no more');
(undef, undef, $error) = $node->psql('postgres', "SET ROLE ann; SELECT whisperer.delete_hook($last); $make; UPDATE whisperer.hook SET is_active = true WHERE id = $last");
like($error, qr/hook $last is deleted/, 'none that was deleted comes back');
is(sql("SELECT count(*) FROM whisperer.hook WHERE is_active AND owner = 'ann'::regrole"), $most, 'one that was deleted makes room');
sql('ALTER SYSTEM SET whisperer.max_hooks_per_role = 0');
$node->reload;
wait_for('the setting', sub { sql('SHOW whisperer.max_hooks_per_role') eq '0' });
ok(sql($make), 'a superuser has any number');
is(worker_pid($node), $worker, 'all the while the worker was the same');
is(sql('SELECT pg_postmaster_start_time()'), $started, 'and the server');

done_testing();
