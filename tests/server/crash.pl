# Crashes: of the worker in the middle of a delivery, and of the server right after a POST of a
# transaction that was committed asynchronously.  And the end of a worker in its middle.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('crash', extra => "restart_after_crash = on\nwal_writer_delay = 10s\n");
my $receiver = new_receiver('crash');
my $base = $receiver->url('');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE item (id int PRIMARY KEY);
SELECT whisperer.register_event('item-created');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SELECT whisperer.create_hook('item-created', '$base/delay/30');
SQL

# Received ids with how often each came.
sub received {
    my %times;
    $times{ JSON::PP::decode_json($_->{body})->{data}{id} }++ for $receiver->requests;
    return \%times;
}

$node->safe_psql('postgres', 'INSERT INTO item SELECT generate_series(1, 2000)');
wait_for('some results', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM whisperer.delivery') > 0 });
$node->safe_psql('postgres', 'CREATE TABLE flushes_what_the_ledger_has_so_far ()');
my $killed_at = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
kill_worker($node, worker_pid($node));
wait_for('all deliveries', sub {
    (eval { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered'") } // '') eq '2000';
});
wait_idle($node);
my $times = received();
is(scalar keys %$times, 2000, 'kill -9 of the worker: nothing committed is missing');
# Rows of the ledger that were not written again after the crash have survived it.
my @durable = split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT o.data->>'id' FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id
WHERE d.modified_at < '$killed_at' AND d.state = 'delivered'
SQL
cmp_ok(scalar @durable, '>', 0, "some results survived (@{[scalar @durable]} of 2000)");
is(scalar(grep { $times->{$_} != 1 } @durable), 0, 'what the ledger had is not sent again');
note scalar(grep { $_ > 1 } values %$times), ' were sent twice';
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery"), 2000, 'the ledger has one row each');

# Held between POST and ledger: that one is repeated, with the same id.
hold($node, 'after-post');
$node->safe_psql('postgres', 'INSERT INTO item VALUES (3000)');
wait_held($node, 'after-post');
kill_worker($node, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'held at after-post'"));
release_hold($node);
wait_for('the repetition', sub { received()->{3000} == 2 });
my @ids = map { Whisperer::Receiver::header($_, 'webhook-id') } grep { $_->{body} =~ /"id":3000}/ } $receiver->requests;
is($ids[0], $ids[1], 'a crash between POST and ledger: sent again with the same webhook-id');
wait_idle($node);

# Told to end in a transaction: it commits, and nothing is sent again.
hold($node, 'before-ledger-commit');
$node->safe_psql('postgres', 'INSERT INTO item VALUES (3500)');
wait_held($node, 'before-ledger-commit');
my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'held at before-ledger-commit'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
release_hold($node);
wait_for('another worker', sub { worker_pid($node) != $pid });
wait_idle($node);
is(received()->{3500}, 1, 'a worker that is told to end in a transaction ends after it');

# synchronous_commit = off: visible before it is durable.  What was posted must survive.
for my $round (1 .. 3) {
    my $id = 4000 + $round;
    $node->safe_psql('postgres', "SET synchronous_commit = off; INSERT INTO item VALUES ($id)");
    wait_for("the POST of $id", sub { received()->{$id} });
    $node->stop('immediate');
    $node->start;
    is($node->safe_psql('postgres', "SELECT count(*) FROM item WHERE id = $id"), 1,
        "round $round: an event posted before an immediate shutdown is in the restarted server");
}

done_testing();
