# What a transaction did not commit is never sent; what it committed always is: rollback, savepoints,
# prepared transactions, a transaction of 200,000 events, an id taken early and committed late.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('transactions');
my $receiver = new_receiver('transactions');
my $url = $receiver->url('/ok');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE item (id bigserial PRIMARY KEY, note text);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item
    FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '$url');
SQL

sub received {
    return join ' ', map { JSON::PP::decode_json($_->{body})->{data}{note} } $receiver->requests;
}

$node->safe_psql('postgres', "BEGIN; INSERT INTO item (note) VALUES ('rolled-back'); ROLLBACK");
$node->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO item (note) VALUES ('before');
SAVEPOINT s;
INSERT INTO item (note) VALUES ('in-savepoint');
ROLLBACK TO s;
INSERT INTO item (note) VALUES ('after');
COMMIT;
SQL
wait_idle($node);
is(received(), 'before after', 'neither a rollback nor a rolled-back savepoint is sent');
is($node->safe_psql('postgres', 'SELECT count(*) FROM whisperer.outbox'), 2, 'nor is a row left');

$node->safe_psql('postgres', "BEGIN; INSERT INTO item (note) VALUES ('prepared'); PREPARE TRANSACTION 'p'");
$node->safe_psql('postgres', "INSERT INTO item (note) VALUES ('meanwhile')");
wait_idle($node);
is(received(), 'before after meanwhile', 'a prepared transaction is not sent');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
wait_for('the prepared event', sub { received() =~ /prepared$/ });
pass('until it is committed');

# An id taken early and committed late, with a later transaction delivered in between.
my $early = $node->background_psql('postgres');
$early->query_safe("BEGIN; INSERT INTO item (note) VALUES ('early-id')");
$node->safe_psql('postgres', "INSERT INTO item (note) VALUES ('late-id')");
wait_idle($node);
like(received(), qr/late-id$/, 'the later transaction is delivered');
$early->query_safe('COMMIT');
wait_idle($node);
like(received(), qr/late-id early-id$/, 'and then the one that took its id first');
$early->quit;

# One transaction of 200,000 events, read in pages.
my $pid = worker_pid($node);
my $anonymous_kb = sub {
    my $status = slurp_file("/proc/$pid/status");
    return $status =~ /RssAnon:\s+(\d+)/ ? $1 : die 'no RssAnon';
};
my $before_kb = $anonymous_kb->();
my $peak_kb = $before_kb;
$node->safe_psql('postgres', "INSERT INTO item (note) SELECT repeat('x', 100) FROM generate_series(1, 200000)");
# However slow the machine is, there is always one more.
for (my $delivered = 0; $delivered < 200006;) {
    my $before = $delivered;
    wait_for("more than $before deliveries", sub {
        my $now_kb = $anonymous_kb->();
        $peak_kb = $now_kb if $now_kb > $peak_kb;
        $delivered = $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered'");
        return $delivered > $before;
    });
}
is(scalar(() = $receiver->requests), 200006, 'each event of a transaction of 200,000 is sent once');
cmp_ok($peak_kb - $before_kb, '<', 64 * 1024, "in bounded memory (grew by at most @{[$peak_kb - $before_kb]} kB)");

# A commit wakes the worker: none waits for the worker's own look, which is up to a minute away.  The first may come
# just before one.
$node->safe_psql('postgres', q(ALTER SYSTEM SET whisperer.poll_interval = '60s'));
$node->reload;
for my $note ('woken-1', 'woken-2', 'woken-3') {
    local $Whisperer::wait_s = 45;
    $node->safe_psql('postgres', "INSERT INTO item (note) VALUES ('$note')");
    wait_for("$note", sub { grep { $_->{body} =~ /"$note"/ } $receiver->requests });
}
pass('a commit wakes the worker');

done_testing();
