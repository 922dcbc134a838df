# Delivery nodes and their primary, copied and restored: a node's standby goes on where the node was, a node from a backup
# repeats what it delivered since, and a copy of the primary, or one restored from a dump, makes no node send anything twice.
use strict;
use warnings;
use Cluster;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_primary('primary');
my $receiver = new_receiver('restored');

sub record { my ($n) = @_; return sql($primary, qq(SELECT whisperer.deliver_event('order-paid', '{"n": $n}'))) }

# How often each event came, by its number: "1 2 2 3".
sub received { return join ' ', sort { $a <=> $b } map { $_->{body} =~ /"n" ?: ?(\d+)/ } $receiver->requests('/ok/hook') }

# The webhook-ids of an event's requests.
sub ids { my ($n) = @_; my %ids = map { Whisperer::Receiver::header($_, 'webhook-id') => 1 } grep { $_->{body} =~ /"n" ?: ?$n\b/ } $receiver->requests('/ok/hook'); return sort keys %ids }

# A server from a physical copy of another one.
sub from_backup {
    my ($name, $from, %options) = @_;
    my $copy = Cluster->new($name);
    $copy->init_from_backup($from, 'copy', %options);
    $copy->start;
    return $copy;
}

# Waits until the primary sends to the node that has taken another's place.
sub take_over {
    my ($node) = @_;
    wait_for('the subscription', sub { sql($primary, q(SELECT active FROM pg_replication_slots WHERE slot_name = 'whisperer_a')) eq 't' });
    return $node;
}

sql($primary, "SELECT whisperer.register_event('order-paid'), whisperer.publish_events(hooks => true)");
my $hook = sql($primary, "SELECT whisperer.create_hook('order-paid', '@{[ $receiver->url('/ok/hook') ]}')");
my $a = new_delivery_node('a', init => { allows_streaming => 1 });
subscribe($primary, $a, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));
record(1);
settle($primary, $a);
is(received(), '1', 'a node delivers');

# --- a node with a standby --------------------------------------------------------------------------------------------
$a->backup('copy');
my $standby = from_backup('standby_a', $a, has_streaming => 1);
record(2);
settle($primary, $a);
# The worker does not wait for the disk with its ledger.
sql($a, 'CHECKPOINT');
$a->wait_for_catchup('standby_a');
$a->stop('immediate');
record(3);
$standby->promote;
$standby->{_name} = 'node_a';
settle($primary, take_over($standby));
record(4);
settle($primary, $standby);
is(received(), '1 2 3 4', 'its standby goes on where it was, and repeats nothing');

# --- a node from a backup ---------------------------------------------------------------------------------------------
sql($standby, 'SELECT whisperer.pause()');
wait_for('the pause', sub { sql($standby, 'SELECT DISTINCT state FROM whisperer.status') eq 'paused' });
record(5);
arrive($primary, $standby);
$standby->backup('copy');
sql($standby, 'SELECT whisperer.resume()');
settle($primary, $standby);
record(6);
settle($primary, $standby);
is(received(), '1 2 3 4 5 6', 'what it delivered since its backup');
$standby->stop('immediate');
my $restored = from_backup('restored_a', $standby);
$restored->{_name} = 'node_a';
sql($restored, 'SELECT whisperer.resume()');
record(7);
settle($primary, take_over($restored));
is(received(), '1 2 3 4 5 5 6 7', 'what had not been delivered when its backup was made it repeats, and goes on');
is(scalar(my @same = ids(5)), 1, 'with the same webhook-id');
is(sql($restored, q(SELECT count(*) FROM whisperer.outbox WHERE data->>'n' = '6')), 0, 'what came since it does not have');
sql($primary, "SELECT whisperer.replay($hook, '-infinity', new_ids => true)");
settle($primary, $restored);
like(received(), qr/\b6 6 7/, 'a replay with new ids brings that');

# --- the primary, copied and restored -----------------------------------------------------------------------------------
my $so_far = received();
$primary->backup('copy');
my $copy = from_backup('copy', $primary);
sql($copy, q(SELECT whisperer.deliver_event('order-paid', '{"n": 8}')));
wait_idle($copy);
is(sql($copy, 'SELECT name, state FROM whisperer.nodes'), 'a|gone', 'a physical copy of the primary has no node');
$copy->stop;
is(received(), $so_far, 'and delivers nothing in its place');
# What the primary has read, and left to the node, its bookmark says up to a second later; a dump before that has it delivered again.
my $unread = 'SELECT count(*) FROM whisperer.outbox o, whisperer.bookmark b WHERE NOT (pg_visible_in_snapshot(o.xid, b.seen) OR '
    . '(pg_visible_in_snapshot(o.xid, b.reading) AND (o.xid, o.id) <= (b.place_xid, b.place_id)))';
wait_for('the bookmark', sub { sql($primary, $unread) == 0 });
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/data';
$primary->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'a dump of the primary');
sql($restored, 'DROP SUBSCRIPTION whisperer_hooks');
$primary->stop;
$primary = new_primary('primary_2', '', bare => 1);
$primary->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'postgres', $dump ], 'and restored elsewhere');
sql($primary, $_) for 'SELECT whisperer.resume()', 'SELECT whisperer.publish_events(hooks => true)';
subscribe($primary, $restored, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));
record(9);
settle($primary, $restored);
is(received(), "$so_far 9", 'the node delivers what is recorded there, and nothing twice');
$_->stop for $restored, $primary;
done_testing();
