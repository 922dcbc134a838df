# A database on which nothing of ours is installed: a node subscribes to its table, watches it there, and delivers what is
# written to it.  The old row of an update is the node's own, so the default replica identity will do.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $publisher = new_node('publisher', bare => 1, extra => "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nshared_preload_libraries = ''\n");
my $node = new_node('node', extra => "wal_retrieve_retry_interval = 200ms\n");
my $receiver = new_receiver('tables');
my $tables = q(CREATE TABLE orders (id int PRIMARY KEY, state text, note text, wide text); ALTER TABLE orders ALTER wide SET STORAGE EXTERNAL);

# The bodies that reached the receiver, in the order of the commits.
sub received { my ($path) = @_; return join "\n", map { $_->{body} } $receiver->requests($path) }

sub change {
    my ($sql) = @_;
    sql($publisher, $sql);
    my $end = sql($publisher, 'SELECT pg_current_wal_lsn()');
    wait_for('the node', sub { sql($publisher, "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots") eq 't' });
    wait_idle($node);
    return;
}

sql($publisher, qq($tables; INSERT INTO orders VALUES (1, 'new', 'first', repeat('w', 10000)); CREATE PUBLICATION shop FOR TABLE orders; CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON orders TO reader));
is(sql($publisher, q(SELECT relreplident FROM pg_class WHERE oid = 'orders'::regclass)), 'd', 'a table of the default replica identity');
sql($node, $tables);
sql($node, sprintf q(CREATE SUBSCRIPTION shop CONNECTION '%s user=reader' PUBLICATION shop), $publisher->connstr('postgres') =~ s/'/''/gr);
wait_for('the first copy', sub { sql($node, q(SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r')) == 0 });
sql($node, q(SELECT whisperer.watch('orders', options => '{include=old,changed=state}')));
sql($node, "SELECT whisperer.create_hook('orders-*', '@{[ $receiver->url('/ok/orders') ]}', ordering => 'hook', format => 'data')");
is(sql($node, 'SELECT count(*) FROM whisperer.outbox'), 0, 'the first copy is not recorded');

my $wide = 'w' x 10000;
change(q(INSERT INTO orders VALUES (2, 'new', 'second', NULL)));
is(received('/ok/orders'), '{"id":2,"state":"new","note":"second","wide":null}', 'what is inserted there is delivered here');
change(q(UPDATE orders SET note = 'changed'));
is(() = received('/ok/orders') =~ /"id"/g, 1, 'an update that changes none of the columns of changed= gives no event');
change(q(UPDATE orders SET state = 'paid' WHERE id = 1));
is((split /\n/, received('/ok/orders'))[1], qq({"new":{"id":1,"state":"paid","note":"changed","wide":"$wide"},"old":{"id":1,"state":"new","note":"changed","wide":"$wide"}}),
    'one that does gives the whole old row, also what is stored apart and was not sent');
change(q(UPDATE orders SET id = 3, state = 'sent' WHERE id = 2));
is((split /\n/, received('/ok/orders'))[2], '{"new":{"id":3,"state":"sent","note":"changed","wide":null},"old":{"id":2,"state":"new","note":"changed","wide":null}}',
    'of another key, too');
change(q(DELETE FROM orders WHERE id = 3));
is((split /\n/, received('/ok/orders'))[3], '{"id":3,"state":"sent","note":"changed","wide":null}', 'and what is deleted is told as it was');

# Of a row that the node lacks nothing is applied, whatever the replica identity.
sql($node, 'DELETE FROM orders WHERE id = 1');
wait_idle($node);
for my $identity ('DEFAULT', 'FULL') {
    sql($publisher, "ALTER TABLE orders REPLICA IDENTITY $identity");
    change("UPDATE orders SET state = 'lost $identity' WHERE id = 1");
}
change(q(INSERT INTO orders VALUES (4, 'last', NULL, NULL)));
is_deeply([ received('/ok/orders') =~ /"state":"(lost[^"]*|last)"/g ], ['last'], 'of a row that the node lacks there is no event, whatever the replica identity');
change(q(UPDATE orders SET state = 'full' WHERE id = 4));
is((split /\n/, received('/ok/orders'))[-1], '{"new":{"id":4,"state":"full","note":null,"wide":null},"old":{"id":4,"state":"last","note":null,"wide":null}}', 'the replica identity full gives the same');
$_->stop for $node, $publisher;
done_testing();
