# A publication FOR ALL TABLES from one database with the extension to another, as in a move by logical replication:
# each keeps its identity, its hooks and its own events, and neither stops the other.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $logical = "wal_level = logical\nmax_replication_slots = 60\nmax_wal_senders = 60\nmax_worker_processes = 60\n"
    . "max_logical_replication_workers = 30\nmax_sync_workers_per_subscription = 20\nwal_retrieve_retry_interval = 200ms\n";
my $old = new_node('old', extra => $logical . "whisperer.retention = 10s\nwhisperer.poll_interval = 100ms\n");
my $new = new_node('new', extra => $logical);
# Until PostgreSQL 17 max_replication_slots limits them, too.
if ($new->pg_version >= 18) {
    $new->append_conf('postgresql.conf', 'max_active_replication_origins = 60');
    $new->restart;
}
my $receiver = new_receiver('replicated');

sub sql { my $node = shift; return $node->safe_psql('postgres', @_) }

sub received {
    my ($path, $id) = @_;
    return scalar grep { $_->{body} =~ /"id":$id\b/ } $receiver->requests($path);
}

# Both have a table that is watched, a hook of the same number, a token, and are paused or not.
for my $node ($old, $new) {
    my $name = $node->name;
    sql($node, <<"SQL");
CREATE TABLE item (id int PRIMARY KEY, note text);
CREATE TABLE unwatched (id int PRIMARY KEY);
SELECT whisperer.watch('item');
SELECT whisperer.create_hook('item-*', '@{[ $receiver->url("/ok/$name") ]}', secret_key => '$name-swordfish-0123456789');
SELECT whisperer.create_api_token(quote_ident(current_user)::regrole, '$name');
SQL
}
sql($old, "INSERT INTO item VALUES (1), (2)");
sql($old, "SELECT whisperer.create_hook('item-created', '@{[ $receiver->url('/ok/second') ]}')");
wait_idle($old);
sql($new, "INSERT INTO item VALUES (-1)");
wait_idle($new);
my $identity = sql($new, 'SELECT whisperer_internal.my_incarnation()');
my $secret = sql($new, 'SELECT secret_key FROM whisperer.secret WHERE hook_id = 1');
sql($old, 'CREATE PUBLICATION everything FOR ALL TABLES');
sql($new, sprintf q(CREATE SUBSCRIPTION s CONNECTION '%s' PUBLICATION everything), $old->connstr('postgres') =~ s/'/''/gr);

sub wait_replicated {
    wait_for('the copies', sub { sql($new, q(SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r')) == 0 });
    $old->wait_for_catchup('s');
}
wait_replicated();
pass('every table is copied');
is(sql($new, 'SELECT whisperer_internal.my_incarnation()'), $identity, 'the subscriber is still itself');
is(sql($new, 'SELECT count(*) FROM whisperer.incarnation'), 1, 'there is one number');
is(sql($new, q(SELECT string_agg(id || ' ' || regexp_replace(target_url, '.*/', '') || ' ' || state, ', ' ORDER BY id) FROM whisperer.hook)),
    '1 new active, 2 second paused', 'its own hook is as it was, another\'s is carried');
is(sql($new, 'SELECT secret_key FROM whisperer.secret WHERE hook_id = 1'), $secret, 'and so is its secret');
is(sql($new, q(SELECT string_agg(description, ' ') FROM whisperer.api_token_record)), 'new', 'and its token');
is(sql($new, 'SELECT count(*) FROM whisperer.request WHERE incarnation <> whisperer_internal.my_incarnation()'), 0, 'what was asked of the other is not asked of it');

# Changes there of what has the same keys here.
sql($old, q(SELECT whisperer.update_hook(1, '{"description": "changed", "secret_key": "changed-swordfish-0123456789"}');
    SELECT whisperer.pause_hook(1); SELECT whisperer.resume_hook(1); SELECT whisperer.delete_hook(1);
    UPDATE whisperer.event_type SET description = 'theirs'; SELECT whisperer.pause()));
$old->wait_for_catchup('s');
is(sql($new, 'SELECT description IS NULL, state FROM whisperer.hook WHERE id = 1'), 't|active', 'a change of the other\'s hook 1 is not one of its own');
is(sql($new, 'SELECT secret_key FROM whisperer.secret WHERE hook_id = 1'), $secret, 'nor is one of its secret');
is(sql($new, 'SELECT count(*) FROM whisperer.event_type WHERE description IS NOT NULL'), 0, 'nor one of its event types');
like(sql($new, 'SELECT state FROM whisperer.status'), qr/^running/, 'and to pause there is not to pause here');
sql($old, 'SELECT whisperer.resume()');
is(sql($new, "SELECT whisperer.create_hook('item-deleted', '@{[ $receiver->url('/ok/third') ]}')"), 3, 'the next hook here has a number that is free');
is(sql($new, q(SELECT count(*) FROM whisperer.create_api_token(quote_ident(current_user)::regrole, 'another'))), 1, 'and the next token');

# Each delivers its own.
sql($old, 'INSERT INTO item VALUES (3)');
sql($new, 'INSERT INTO item VALUES (-2)');
wait_idle($_) for $old, $new;
$old->wait_for_catchup('s');
is(received('/ok/second', 3), 1, 'an event there is delivered there, once');
is(received('/ok/new', 3) + received('/ok/new', 1), 0, 'and not by the subscriber');
is(received('/ok/new', -2), 1, 'one of the subscriber\'s own by it');
unlike(slurp_file($new->logfile), qr/WARNING/, 'nobody is told to record what is applied: its events come along');
sql($new, q(SELECT whisperer.watch('item')));
sql($old, 'INSERT INTO item VALUES (4)');
wait_idle($old);
$old->wait_for_catchup('s');
wait_idle($new);
is(received('/ok/second', 4) . received('/ok/new', 4), '10', 'nor does watch() record it once more');
is(sql($new, 'SELECT count(*) FROM whisperer.check_triggers()'), 0, 'all is well with it');
like(($new->psql('postgres', q(SELECT whisperer.watch('unwatched'))))[2], qr/WARNING:  what is applied to table (public\.)?unwatched .* recorded by its publisher or not at all/, 'of a table that nobody watches there it is said');
sql($new, q(SELECT whisperer.unwatch('unwatched')));
$new->restart;
sql($new, 'INSERT INTO item VALUES (-3)');
wait_idle($new);
is(received('/ok/new', -3), 1, 'also after a restart');

# --- idempotency keys ----------------------------------------------------------------------------

# The same key in both, as from one application that writes to either: each database records for its own hooks.
sub paid {
    my ($node, $id, $key) = @_;
    return sql($node, qq(SELECT whisperer.deliver_event('item-paid', '{"id":$id}', idempotency_key => '$key')));
}
sql($_, q(SELECT whisperer.register_event('item-paid'))) for $new, $old;
my $theirs = paid($old, 71, 'order 7');
wait_idle($old);
is(sql($old, 'SELECT count(*) FROM whisperer.key_decision'), 1, 'the publisher has decided on an event with a key');
wait_for('that to be replicated', sub { sql($new, "SELECT count(*) FROM whisperer.key_decision WHERE event_id = '$theirs'") == 1 });
my $ours = paid($new, 71, 'order 7');
isnt($ours, $theirs, 'a key that was replicated here is not one that was used here');
wait_idle($new);
is(received('/ok/new', 71), 1, 'so the subscriber delivers what was recorded with it');
is(paid($new, 71, 'order 7'), $ours, 'and then it is used');
my $other = paid($old, 72, 'order 8');
wait_idle($old);
$old->wait_for_catchup('s');
isnt(paid($new, 73, 'order 8'), $other, 'nor is one with other content an error');
wait_idle($new);
is(received('/ok/new', 73), 1, 'it is delivered, too');

# --- TRUNCATE -----------------------------------------------------------------------------------

sql($new, 'SELECT whisperer.pause()');
sql($new, q(INSERT INTO item SELECT -n, repeat('x', 10 * n) FROM generate_series(100, 400) n));
sql($new, q(INSERT INTO item VALUES (-500, (SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 1000)))));
my $own = sql($new, 'SELECT count(*), md5(string_agg(o::text, chr(10) ORDER BY id)) FROM whisperer.outbox o WHERE incarnation = whisperer_internal.my_incarnation()');
my $kept = sql($new, q(SELECT string_agg(event_id::text, ' ' ORDER BY event_id) FROM whisperer.event_key WHERE event_type = 'item-paid' AND NOT arrived));
like($kept, qr/\Q$ours\E/, 'a key that was used here is kept');
my $results = sql($new, 'SELECT count(*) FROM whisperer.delivery WHERE incarnation = whisperer_internal.my_incarnation()');
wait_for('retention there', sub { slurp_file($old->logfile) =~ /events removed after whisperer\.retention: [1-9]/ });
$old->wait_for_catchup('s');
cmp_ok(sql($new, 'SELECT count(*) FROM whisperer.outbox WHERE incarnation <> whisperer_internal.my_incarnation()'), '>', 0, 'retention there takes nothing away here');
sql($old, 'TRUNCATE whisperer.outbox, whisperer.event_key, whisperer.key_decision, whisperer.delivery, whisperer.past_attempt, whisperer.hook_definition, whisperer.secret, whisperer.event_type, whisperer.bookmark, whisperer.control');
$old->wait_for_catchup('s');
is(sql($new, 'SELECT count(*) FROM whisperer.outbox WHERE incarnation <> whisperer_internal.my_incarnation()'), 0, 'a TRUNCATE there takes away what came from there');
is(sql($new, 'SELECT count(*), md5(string_agg(o::text, chr(10) ORDER BY id)) FROM whisperer.outbox o WHERE incarnation = whisperer_internal.my_incarnation()'),
    $own, 'and none of the subscriber\'s own');
is(sql($new, 'SELECT count(*) FROM whisperer.delivery WHERE incarnation = whisperer_internal.my_incarnation()'), $results, 'nor of its results');
is(sql($new, q(SELECT string_agg(event_id::text, ' ' ORDER BY event_id) FROM whisperer.event_key WHERE event_type = 'item-paid' AND NOT arrived)), $kept, 'nor of its keys');
is(sql($new, q(SELECT string_agg(id || ' ' || state, ', ' ORDER BY id) FROM whisperer.hook)), '1 active, 3 active', 'nor of its hooks');
sql($new, 'SELECT whisperer.resume()');
wait_idle($new);
is(received('/ok/new', -100) + received('/ok/new', -400) + received('/ok/new', -500), 3, 'they are delivered');
is(sql($new, q(SELECT string_agg(srsubstate::text, '') ~ '^r+$' FROM pg_subscription_rel)), 't', 'the subscription goes on');
unlike(slurp_file($_->logfile), qr/ERROR:(?!.*deadlock)|leak/, 'no errors at ' . $_->name) for $old, $new;

# The subscriber becomes the new home: what was asked for there before is not recorded once more.
# A hook with the number of one of the subscriber's would be left out.
sql($old, "SELECT whisperer.register_event('item-paid'); SELECT setval('whisperer.hook_definition_id_seq', 10);
    SELECT whisperer.create_hook('item-paid', '@{[ $receiver->url('/ok/moved') ]}')");
my $before = paid($old, 74, 'order 9');
wait_idle($old);
is(received('/ok/moved', 74), 1, 'the publisher has delivered an event with a key');
# The ledger's commits wait for no disk, and what is not there yet is not replicated.
wait_for('the result to be replicated', sub { sql($new, "SELECT count(*) FROM whisperer.delivery WHERE event_id = '$before' AND state = 'delivered'") == 1 });
sql($new, 'DROP SUBSCRIPTION s');
sql($new, 'SELECT whisperer.resume()');
is(paid($new, 74, 'order 9'), $before, 'whoever adopts its hooks takes over its keys');
wait_idle($new);
is(received('/ok/moved', 74), 1, 'and nothing comes twice');

$_->stop for $old, $new;
done_testing();
