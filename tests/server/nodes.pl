# A primary whose hooks are delivered by nodes: hooks, secrets, event types and requests reach them in one stream with the
# events; nodes come and go under load, and die; nothing is missing, nothing is invented.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_primary('primary');
my $receiver = new_receiver('nodes');
my $hooks = 6;

# How often each event, by the number in its data, reached a path.
sub received {
    my ($path) = @_;
    my %times;
    $times{$_}++ for map { $_->{body} =~ /"n" ?: ?(-?\d+)/ ? $1 : () } $receiver->requests($path);
    return \%times;
}

sub record { my ($n) = @_; return sql($primary, qq(SELECT whisperer.deliver_event('order-paid', '{"n": $n}'))) }

sql($primary, <<"SQL");
CREATE ROLE shop;
GRANT USAGE ON SCHEMA whisperer TO shop;
SET ROLE shop;
SELECT whisperer.register_event('order-paid');
SELECT whisperer.create_hook('order-paid', '@{[ $receiver->url('/ok/0') ]}/' || n, secret_key => 'swordfish-0123456789-' || n) FROM generate_series(1, $hooks) n;
SQL
record(1);
wait_idle($primary);
is(scalar(keys %{ received("/ok/0/$_") }), 1, "hook $_ is the primary's own") for 1 .. $hooks;

# --- the first node -------------------------------------------------------------------------------------------
like(error_of($primary, q(SELECT whisperer.add_node('a'))), qr/^node "a" is not subscribed \| Run on it what SELECT whisperer\.subscription_command\('a',/,
    'a node that nothing is kept for is not added');
is(error_of($primary, q(SELECT whisperer.add_node('no way'))), 'invalid name of a node "no way" | Use 1 to 40 of a-z 0-9 _: it is part of a replication slot\'s name.', 'nor one of an odd name');
like(error_of($primary, q(SET ROLE shop; SELECT whisperer.add_node('a'))), qr/^permission denied/, 'nor by anybody');
is(error_of($primary, q(SELECT whisperer.remove_node('a'))), 'there is no node "a" | SELECT name FROM whisperer.nodes shows them.', 'or removed');
my $first = new_delivery_node('a');
sql($primary, 'SELECT whisperer.publish_events(hooks => true)');
SKIP: {
    skip 'logical replication waits for standbys from PostgreSQL 17 on', 3 if $primary->pg_version->major < 17;
    # No COMMIT waits for a standby that is not there.
    my $publish = sub { return ($primary->psql('postgres', 'SET synchronous_commit = local; SELECT whisperer.publish_events(hooks => true)'))[2] };
    my $set = sub {
        my ($name, $value) = @_;
        sql($primary, "SET synchronous_commit = local; ALTER SYSTEM SET $name = '$value'");
        $primary->reload;
        wait_for($name, sub { sql($primary, "SHOW $name") eq $value });
    };
    is($publish->(), '', 'without synchronous standbys nothing is to be said');
    $set->(synchronous_standby_names => 'standby');
    like($publish->(), qr/^psql:\S* WARNING:  delivery nodes may be sent what no standby has yet\nHINT:  Name the slots/, 'who has them is told of the setting that holds nodes back');
    $set->(synchronized_standby_slots => 'standby');
    is($publish->(), '', 'and no longer when it is set');
    $set->($_ => '') for qw(synchronized_standby_slots synchronous_standby_names);
}
subscribe($primary, $first, 'a');
record(2);
$first->append_conf('postgresql.conf', "whisperer.node = ''\n");
$first->reload;
# What is committed while this is under way, and read by the primary's worker afterwards.
hold($primary, 'before-page-snapshot');
wait_held($primary, 'before-page-snapshot');
my $adder = $primary->background_psql('postgres', on_error_stop => 1);
is($adder->query_safe(q(BEGIN; SELECT whisperer.add_node('a'))), $hooks, 'all hooks move');
record(3);
$adder->query_safe('COMMIT');
release_hold($primary);
my $nameless = qr/whisperer\.node is "", but the slot in the primary is "whisperer_a"/;
wait_for('a complaint', sub { slurp_file($first->logfile) =~ $nameless });
$first->append_conf('postgresql.conf', "whisperer.node = 'a'\n");
$first->reload;
pass('a node without its name takes nothing until it has one');
settle($primary, $primary, $first);
is_deeply(received("/ok/0/$_"), { 1 => 1, 2 => 1, 3 => 1 }, "hook $_ got each event once") for 1 .. $hooks;
is(sql($primary, 'SELECT count(*) FROM whisperer.delivery'), 2 * $hooks, 'those before from the primary');
is(sql($first, 'SELECT count(*) FROM whisperer.delivery'), $hooks, 'those after from the node');
is(sql($first, 'SELECT secret_key FROM whisperer.secret WHERE hook_id = 2'), 'swordfish-0123456789-2', 'secrets come along');
is(sql($first, q(SELECT owner || ' ' || state FROM whisperer.hook WHERE id = 2)), 'shop active', 'and owners, by name');
is(sql($primary, 'SELECT count(*) FROM whisperer.node_message'), 0, 'what is told is not kept');
is(sql($primary, q(SELECT name || ' ' || state || ' ' || hooks FROM whisperer.nodes)), "a connected $hooks", 'the primary sees its node');
like(sql($primary, 'SELECT whisperer.why(id, 1) FROM whisperer.outbox ORDER BY id DESC LIMIT 1'), qr/^not delivered here: node "a" delivers the hook/, 'why names it');

# --- changes ----------------------------------------------------------------------------------------------------
sql($primary, <<"SQL");
SET ROLE shop;
SELECT whisperer.update_hook(1, '{"description": "changed", "format": "standard", "secret_key": "changed-swordfish-0123456789"}');
SELECT whisperer.pause_hook(2);
SELECT whisperer.delete_hook(3);
SELECT whisperer.register_event('order-sent');
SELECT whisperer.create_hook('order-*', '@{[ $receiver->url('/ok/new') ]}');
SELECT whisperer.deliver_event('order-sent', '{"n": 4}');
SQL
settle($primary, $first);
is(sql($first, q(SELECT string_agg(id || ' ' || state, ', ' ORDER BY id) FROM whisperer.hook)), '1 active, 2 paused, 3 deleted, 4 active, 5 active, 6 active, 7 active', 'what is changed there is changed here');
is(sql($first, 'SELECT description, format FROM whisperer.hook WHERE id = 1'), 'changed|standard', 'also a description, and what the body is like');
is(sql($first, 'SELECT secret_key FROM whisperer.secret WHERE hook_id = 1'), 'changed-swordfish-0123456789', 'and a secret');
is_deeply(received('/ok/new'), { 4 => 1 }, 'a new hook gets what is recorded after it in its own transaction');
like(error_of($first, 'SELECT whisperer.pause_hook(1)'), qr/^hook 1 comes from the primary of this delivery node \| Change it there/, 'here it is not changed');
like(error_of($first, q(UPDATE whisperer.hook_definition SET format = 'data' WHERE id = 1)), qr/^hook 1 comes from the primary/, 'nor by DML, in any column');
like(error_of($first, q(SELECT whisperer.rotate_secret(1))), qr/^hook 1 comes from the primary/, 'nor its secret');
record(5);
sql($primary, 'SET ROLE shop; SELECT whisperer.resume_hook(2)');
settle($primary, $first);
is(received('/ok/0/2')->{5}, 1, 'what waited while the hook was paused is delivered');
is(received('/ok/0/3')->{5}, undef, 'a deleted one gets nothing');

# A role that only the primary has.
sql($primary, <<"SQL");
CREATE ROLE late; GRANT USAGE ON SCHEMA whisperer TO late;
SET ROLE shop; SELECT whisperer.allow('order-sent', 'late', 'subscribe'); RESET ROLE;
SET ROLE late; SELECT whisperer.create_hook('order-sent', '@{[ $receiver->url('/ok/late') ]}');
SQL
settle($primary, $first);
is(sql($first, 'SELECT state FROM whisperer.hook WHERE id = 8'), 'paused', 'a hook of a role that is missing rests');
sql($first, 'CREATE ROLE late');
sql($primary, q(SELECT whisperer.add_node('a')));
# As the hint has it, for a publication that is another one.
sql($primary, 'BEGIN; DROP PUBLICATION whisperer_hooks; SELECT whisperer.publish_events(hooks => true); COMMIT');
like(error_of($primary, 'BEGIN; ALTER PUBLICATION whisperer_hooks DROP TABLE whisperer.node_message; SELECT whisperer.publish_events(hooks => true)'),
    qr/^publication "whisperer_hooks" is another one/, 'a publication that lacks what nodes are told is not taken for it');
sql($primary, q(SELECT whisperer.deliver_event('order-sent', '{"n": 6}')));
settle($primary, $first);
is_deeply(received('/ok/late'), { 6 => 1 }, 'until the role is there and all is told again');

# Privileges of roles that are missing on the node, and taken away when one of them is there.
sql($primary, "CREATE ROLE away_$_; SET ROLE shop; SELECT whisperer.allow('order-sent', 'away_$_', 'subscribe')") for 1 .. 3;
my $privileges = q(SELECT string_agg(role_name, ' ' ORDER BY role_name) FROM whisperer.event_type_privilege WHERE role_name ~ '^away');
settle($primary, $first);
is(sql($first, $privileges), 'away_1 away_2 away_3', 'privileges of roles that are missing are kept apart');
sql($first, 'CREATE ROLE away_1');
sql($primary, "SET ROLE shop; SELECT whisperer.disallow('order-sent', 'away_1', 'subscribe')");
settle($primary, $first);
is(sql($first, $privileges), 'away_2 away_3', 'and taken away, whether the role has come meanwhile or not');

# The schema of an event type reaches the nodes, where it is asked.
sql($primary, q(SET ROLE shop; SELECT whisperer.update_event('order-sent', '{"schema": {"required": ["n"]}, "example": {"n": 1}}')));
sql($primary, q(SELECT whisperer.deliver_event('order-sent', '{"m": 1}')));
settle($primary, $first);
is(sql($first, q(SELECT DISTINCT d.state, d.error FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE o.data->>'m' = '1')),
    'failed|schema: required "n"', 'what does not fit ends failed on the node');
is(sql($first, q(SELECT schema, example, on_invalid FROM whisperer.event_type WHERE name = 'order-sent')), '{"required": ["n"]}|{"n": 1}|fail', 'which has the whole type');
sql($primary, q(SET ROLE shop; SELECT whisperer.update_event('order-sent', '{"schema": null}')));

# --- requests ---------------------------------------------------------------------------------------------------
sql($primary, "SET ROLE shop; SELECT whisperer.create_hook('order-paid', '@{[ $receiver->url('/status/400') ]}', retry_countdown_config => '{\"choice\": \"fixed\", \"kwargs\": {\"seconds\": 0}, \"max_retries\": 0}')");
my $failing = sql($primary, 'SELECT max(id) FROM whisperer.hook');
my $lost = record(7);
settle($primary, $first);
is(sql($first, "SELECT state FROM whisperer.delivery WHERE hook_id = $failing"), 'failed', 'a delivery fails on the node');
sql($primary, "SET ROLE shop; SELECT whisperer.update_hook($failing, '{\"target_url\": \"@{[ $receiver->url('/ok/mended') ]}\"}')");
is(sql($primary, "SET ROLE shop; SELECT whisperer.retry('$lost', $failing) IS NULL"), 't', 'retry in the primary: how many there are the node knows');
settle($primary, $first);
is_deeply(received('/ok/mended'), { 7 => 1 }, 'and it is retried there');
is(sql($primary, "SET ROLE shop; SELECT whisperer.replay(5, now() - interval '1 hour')"), 5, 'replay counts by the log of the primary');
settle($primary, $first);
is_deeply(received('/ok/0/5'), { 1 => 1, map({ $_ => 2 } 2, 3, 5, 7) }, 'the node replays what it has');
is(error_of($primary, "SET ROLE late; SELECT whisperer.retry('$lost', $failing)"),
    "event $lost has no delivery to an undeleted hook of yours | SELECT whisperer.why(event_id, hook_id) says what became of it.", 'nobody retries for others');
like(error_of($primary, 'SET ROLE shop; CALL whisperer.ping_hook(1)'), qr/^hook 1 is delivered by a node \| SELECT whisperer.record_ping\(1\)/, 'a ping has its result on the node');
sql($primary, 'SET ROLE shop; SELECT whisperer.record_ping(1)');
settle($primary, $first);
is(scalar(grep { $_->{body} =~ /whisperer-ping/ } $receiver->requests('/ok/0/1')), 1, 'and is sent once');

is(sql($primary, "SET ROLE shop; SELECT whisperer.expunge('$lost')"), 't', 'expunge in the primary');
settle($primary, $first);
is(sql($_, "SELECT data IS NULL AND meta->>'expunged_at' IS NOT NULL FROM whisperer.outbox WHERE id = '$lost'"), 't', 'takes the data from ' . $_->name) for $primary, $first;
is(sql($first, "SELECT string_agg(DISTINCT concat_ws(' ', state, response_http_status, response_content), ', ') FROM whisperer.delivery WHERE event_id = '$lost'"), 'delivered 200',
    'and from the node the answers');
is(sql($first, "SELECT count(*) FROM whisperer.past_attempt WHERE event_id = '$lost' AND response_content IS NOT NULL"), 0, 'all of them');
sql($primary, "SET ROLE shop; SELECT whisperer.retry('$lost', $failing, force => true)");
settle($primary, $first);
is(sql($first, "SELECT state FROM whisperer.delivery WHERE event_id = '$lost' AND hook_id = $failing"), 'delivered', 'a retry changes nothing of it on the node');

# --- nodes come and go under load ---------------------------------------------------------------------------------
my $nginx = new_nginx('many');
sql($primary, "SET ROLE shop; SELECT whisperer.create_hook('order-paid', '@{[ $nginx->url('/many') ]}/' || n) FROM generate_series(1, 20) n");
my $second = new_delivery_node('b');
sql($second, 'CREATE ROLE late');
subscribe($primary, $second, 'b');
# A hook of its own, with the number of one of the primary's.
sql($second, "SELECT whisperer.create_hook('whisperer-hook-disabled', '@{[ $receiver->url('/ok/own') ]}')");
# Ordered hooks, of which some will move, with a line that has not come to its end; every second one has batches.
my $later = q('{"choice": "fixed", "kwargs": {"seconds": 3600}}');
sql($primary, "SET ROLE shop; SELECT whisperer.create_hook('order-line', '@{[ $receiver->url('/status/500/') ]}' || n, ordering => 'hook', retry_countdown_config => $later, batch => CASE WHEN n % 2 = 0 THEN '{\"size\": 5, \"wait\": \"0 ms\"}'::jsonb END) FROM generate_series(1, 5) n"
    =~ s/SET ROLE shop;/SET ROLE shop; SELECT whisperer.register_event('order-line');/r);
my @line_events = split /\n/, sql($primary, q(SELECT whisperer.deliver_event('order-line', json_build_object('n', n)) FROM generate_series(1, 2) n));
wait_for('their lines', sub { sql($first, "SELECT count(*) FROM whisperer.delivery WHERE event_id = '$line_events[0]' AND retry_count = 1") == 6 });
my $writer = $primary->background_psql('postgres', on_error_stop => 1);
my $written = 1000;
$writer->query_safe(<<'SQL');
CREATE PROCEDURE write_events(first int, count int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN first .. first + count - 1 LOOP
        PERFORM whisperer.deliver_event('order-paid', json_build_object('n', n));
        COMMIT;
        PERFORM pg_sleep(0.002);
    END LOOP;
END
$$;
SQL
# Until the statement that is given has been carried out in the middle of it.
sub under_load {
    my ($sql) = @_;
    my $from = $written + 1;
    $writer->query_until(qr/begun/, "\\echo begun\nCALL write_events($from, 300);\n\\echo ended\n");
    wait_for('events', sub { sql($primary, "SELECT count(*) FROM whisperer.outbox WHERE (data->>'n')::int >= $from") >= 50 });
    my $out = sql($primary, $sql);
    $written += 300;
    wait_for('all events', sub { sql($primary, "SELECT count(*) FROM whisperer.outbox WHERE (data->>'n')::int >= $from") == 300 });
    return $out;
}
my $moved = under_load(q(SELECT whisperer.add_node('b')));
wait_for('its complaint', sub { slurp_file($second->logfile) =~ /ERROR:\s+hook 1 of the primary has the number of one of this node's own/ });
pass('a node with a hook of that number takes none');
sql($second, 'DELETE FROM whisperer.hook_definition WHERE id = 1');
cmp_ok($moved, '>', 0, 'some hooks move to a second node');
cmp_ok($moved, '<', 20, 'and not all');
arrive($primary, $first, $second);
is(sql($primary, q(SELECT sum(hooks) FROM whisperer.nodes)), sql($primary, 'SELECT count(*) FROM whisperer.hook WHERE is_active'), 'each hook has a node');
# --- ordered hooks -----------------------------------------------------------------------------------------------
my ($line, $path) = split /\|/, sql($second, q(SELECT h.id, substring(h.target_url FROM '[0-9]+$') FROM whisperer.hook h
    JOIN whisperer.hook_node n ON n.hook_id = h.id AND n.node = 'b' WHERE h.ordering = 'hook' ORDER BY h.batch IS NULL, h.id LIMIT 1));
ok($line, 'an ordered hook moves to the second node');
sql($primary, q(SELECT whisperer.deliver_event('order-line', json_build_object('n', n)) FROM generate_series(3, 4) n));
sql($primary, "SELECT whisperer.update_hook(id, jsonb_build_object('target_url', replace(target_url, '/status/500/', '/ok/line/'))) FROM whisperer.hook WHERE ordering = 'hook'");
arrive($primary, $first, $second);
wait_for('them on the second', sub { sql($second, "SELECT count(*) FROM whisperer.delivery WHERE hook_id = $line") == 2 });
is(sql($second, "SELECT state || ': ' || state_reason FROM whisperer.hook WHERE id = $line"), 'paused: node "a" has to deliver what came before; see whisperer.hand_over in the primary', 'there it waits');
like(sql($second, "SELECT whisperer.why(event_id, $line) FROM whisperer.delivery WHERE hook_id = $line LIMIT 1"), qr/^waits: the hook is paused \(node "a" has to deliver/, 'why says so');
is(sql($first, "SELECT state FROM whisperer.hook WHERE id = $line"), 'active', 'while the first goes on');
like(error_of($primary, q(SELECT whisperer.remove_node('b'))), qr/^node "b" has ordered hooks that were not handed over to it yet/, 'until then the second is not removed');
like(error_of($primary, "SET ROLE late; SELECT whisperer.hand_over($line)"), qr/^hook $line does not exist/, 'others hand nothing over');
sql($primary, "SELECT whisperer.retry('$_', force => true)") for @line_events;
wait_for('the second one\'s turn', sub { sql($second, "SELECT state FROM whisperer.hook WHERE id = $line") eq 'active' });
settle($primary, $first, $second);
is(join(' ', map { $_->{body} =~ /"n" ?: ?(\d)/g } $receiver->requests("/ok/line/$path")), '1 2 3 4', 'to the end of its line, and then the second begins');
like(error_of($primary, "SELECT whisperer.hand_over($line)"), qr/^hook $line waits for no node/, 'once');

# Lines that do not come to their end.
sql($primary, "SELECT whisperer.update_hook(id, jsonb_build_object('target_url', replace(target_url, '/ok/line/', '/status/500/'))) FROM whisperer.hook WHERE ordering = 'hook'");
my $stuck = sql($primary, q(SELECT whisperer.deliver_event('order-line', '{"n": 5}')));
my $tried = "SELECT count(*) FROM whisperer.delivery WHERE event_id = '$stuck' AND retry_count = 1 AND state = 'pending'";
wait_for('it to be tried', sub { sql($first, $tried) + sql($second, $tried) == 5 });
my $of_second = sql($primary, q(SELECT hooks FROM whisperer.nodes WHERE name = 'b'));
my $left = under_load(q(SELECT count(*) || ' ' || count(replay_from) FROM whisperer.remove_node('a')));
is($left, sql($primary, 'SELECT count(*) FROM whisperer.hook WHERE is_active') - $of_second . ' 0', 'the first one\'s go to the second');
settle($primary, $first, $second);
my $waiting = sql($primary, q(SELECT max(hook_id) FROM whisperer.hook_node WHERE waits_for IS NOT NULL));
sql($primary, "SELECT whisperer.update_hook($waiting, '{\"ordering\": \"none\", \"target_url\": \"@{[ $receiver->url('/ok/unordered') ]}\"}')");
sql($primary, q(SELECT whisperer.deliver_event('order-line', '{"n": 9}')));
wait_for('it', sub { sql($second, "SELECT count(*) FROM whisperer.delivery WHERE hook_id = $waiting AND state = 'delivered'") == 1 });
pass('a hook that is not ordered any more does not wait');
sql($primary, "SELECT whisperer.update_hook($waiting, '{\"ordering\": \"hook\"}')");
arrive($primary, $second);
is(sql($second, "SELECT state FROM whisperer.hook WHERE id = $waiting"), 'paused', 'ordered again it does');
sql($primary, "SELECT whisperer.hand_over(hook_id) FROM whisperer.hook_node WHERE waits_for IS NOT NULL AND hook_id <> $waiting");
sql($primary, "SELECT whisperer.delete_hook($waiting)");
is(sql($primary, q(BEGIN; SELECT count(*) > 0 FROM whisperer.remove_node('b'); ROLLBACK)), 't', 'for one that is deleted nobody waits');
sql($primary, "SELECT whisperer.update_hook(id, jsonb_build_object('target_url', replace(target_url, '/status/500/', '/ok/line/'))) FROM whisperer.hook WHERE ordering = 'hook' AND state <> 'deleted'");
sql($primary, "SELECT whisperer.retry('$stuck', force => true)");
under_load(q(SELECT whisperer.add_node('a')));
settle($primary, $first, $second);

# Of the hooks of the many: those that lack an event, got one that there is not, or one twice.
sub wrong_hooks {
    my ($more) = @_;
    my %recorded = map { split / / } split /\n/, sql($primary, "SELECT replace(id::text, '-', ''), data->>'n' FROM whisperer.outbox WHERE data->>'n' IS NOT NULL") =~ s/\|/ /gr;
    my @due = grep { $recorded{$_} > 1000 } keys %recorded;
    # A line is written after the answer: the ledger may know of a delivery before the log does.
    my $all = {};
    eval { wait_for('the log of the receiver', sub {
        $all = $nginx->ids_by_path;
        !grep { my $times = $all->{"/many/$_"}; grep { !$times->{$_} } @due } 1 .. 20;
    }) };
    my @wrong;
    for my $n (1 .. 20) {
        my $times = $all->{"/many/$n"};
        my ($missing, $invented, $repeated) = (scalar(grep { !$times->{$_} } @due), scalar(grep { !$recorded{$_} } keys %$times), scalar(grep { $_ > 1 } values %$times));
        push @wrong, "hook $n: $missing missing, $invented invented, $repeated repeated" if $missing || $invented || !$more && $repeated;
    }
    return @wrong;
}
is_deeply([ wrong_hooks() ], [], 'while nodes come and go no event is missing, none is invented, none is repeated');

# --- a node that dies ----------------------------------------------------------------------------------------------
under_load('SELECT 1');
$second->stop('immediate');
under_load('SELECT 1');
is(sql($primary, q(SELECT state FROM whisperer.nodes WHERE name = 'b')), 'away', 'the primary sees that a node is away');
# WAL is kept in files of 16 MB.
my $before_warning = -s $primary->logfile;
sql($primary, q(ALTER SYSTEM SET max_slot_wal_keep_size = '90MB'));
$primary->reload;
sql($primary, 'CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()') for 1 .. 4;
sub warned_of {
    my $line = qr/WARNING:  whisperer: node "(\w+)" is away, and its replication slot keeps \d+ MB of WAL\n.*DETAIL:.*Slot "whisperer_\w+" of pg_replication_slots/;
    return join ' ', substr(slurp_file($primary->logfile), $before_warning) =~ /$line.*max_slot_wal_keep_size\.\n.*HINT:.*remove_node\('\w+', force => true\)/g;
}
wait_for('a warning', \&warned_of);
$second->start;
settle($primary, $first, $second);
is_deeply([ wrong_hooks('repeats') ], [], 'after a crash it goes on where it was');
is(warned_of(), 'b', 'the log says, once, that its slot kept much');
sql($primary, 'ALTER SYSTEM RESET max_slot_wal_keep_size');
$primary->reload;
like(error_of($primary, q(SELECT whisperer.remove_node('b', force => true))), qr/^node "b" is connected/, 'one that is connected is not removed by force');
$second->stop('immediate');
wait_for('its slot', sub { sql($primary, q(SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'whisperer_b' AND NOT active)) });
record(9001);
my @gone = split /\n/, sql($primary, q(SELECT hook_id FROM whisperer.remove_node('b', force => true) WHERE new_node = 'a' AND replay_from IS NOT NULL));
cmp_ok(scalar @gone, '>', 0, 'a node that is gone for good: its hooks are named, and from when to replay');
is(sql($primary, q(SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'whisperer_b')), 0, 'and nothing is kept for it any more');
sql($primary, "SELECT whisperer.replay($_, now() - interval '1 minute')") for @gone;
settle($primary, $first);
is_deeply([ wrong_hooks('repeats') ], [], 'what it took with it is replayed');

# --- the last node ----------------------------------------------------------------------------------------------
sql($primary, q(SELECT whisperer.remove_node('a')));
record(9002);
settle($primary, $primary, $first);
is_deeply([ wrong_hooks('repeats') ], [], 'without nodes the primary delivers again');

# --- and the first once more --------------------------------------------------------------------------------------
sql($primary, "SET ROLE shop; SELECT whisperer.disallow('order-sent', 'away_2', 'subscribe')");
$writer->query_safe(q(BEGIN; SET LOCAL ROLE shop; SELECT whisperer.register_event('order-held')));
$adder->query_until(qr/begun/, "\\echo begun\nSELECT whisperer.add_node('a');\n");
wait_for('it to wait', sub { sql($primary, q(SELECT count(*) FROM pg_stat_activity WHERE wait_event IS NOT NULL AND state = 'active' AND query ~ 'add_node')) });
$writer->query_safe("SELECT whisperer.create_hook('order-held', '@{[ $receiver->url('/ok/held') ]}'); COMMIT");
$adder->query_safe('SELECT 1');
settle($primary, $primary, $first);
is(sql($first, q(SELECT count(*) FROM whisperer.hook WHERE event_type = 'order-held')), 1, 'who adds a node waits for those who make hooks, and not they for him');
is(sql($first, $privileges), 'away_3', 'what was taken away while there was no node is gone there, too');

# --- copies -------------------------------------------------------------------------------------------------------
$_->quit for $adder, $writer;
for my $node ($primary, $first) {
    $node->safe_psql('template1', q(ALTER DATABASE postgres ALLOW_CONNECTIONS false;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'));
    wait_for('a copy', sub { ($node->psql('template1', 'CREATE DATABASE copy TEMPLATE postgres'))[0] == 0 });
    $node->safe_psql('template1', 'ALTER DATABASE postgres ALLOW_CONNECTIONS true');
    is($node->safe_psql('copy', q(SET client_min_messages = error; SELECT whisperer.resume(); SELECT whisperer.pause_hook(4);
        SELECT count(*) FROM whisperer.hook_node; SELECT count(*) FROM whisperer.node; SELECT state FROM whisperer.hook WHERE id = 4)),
        "\n\n0\n0\npaused", $node->name . "'s copy has no nodes, and is none");
}

# What this test provoked has its name in the line.
is_deeply([ grep { !/nodes\.pl|$nameless/ && /ERROR|PANIC|WARNING|leak/ && !/its replication slot keeps|publisher|primary: |WAL stream|replication origin|of this node's own/ } split /\n/, slurp_file($_->logfile) ], [], 'no errors at ' . $_->name)
    for $primary, $first, $second;
$_->stop for $primary, $first;
done_testing();
