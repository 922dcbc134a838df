# How far behind a delivery node is, as the view whisperer.nodes of its primary has it: for everybody who may read it, and while
# the node applies nothing.  And that a node delivers what it applies at once.
use strict;
use warnings;
use Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_primary('primary');
my $node = new_delivery_node('a');

sql($primary, q(CREATE ROLE shop; CREATE ROLE plain; GRANT USAGE ON SCHEMA whisperer TO plain;
    SELECT whisperer.register_event('paid'); SELECT whisperer.publish_events(hooks => true)));
subscribe($primary, $node, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));

# As a role without rights of its own, and as one with all.
sub lag { my ($role, $what) = @_; return sql($primary, "SET ROLE $role; SELECT $what FROM whisperer.nodes") }

arrive($primary, $node);
for my $role (qw(plain postgres)) {
    wait_for('it to have all', sub { lag($role, 'seconds_behind = 0') eq 't' });
    pass("$role sees that a node has all there is");
    is(lag($role, q(state || ' ' || (heard_at IS NOT NULL))), 'connected true', 'and that it was heard of');
}

# Its apply waits for a lock, as it would for a long transaction of somebody's.
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE whisperer.outbox');
sql($primary, q(SELECT whisperer.deliver_event('paid', '{}')));
wait_for('it to wait', sub { sql($node, q(SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'whisperer.outbox'::regclass)) });
my $began = sql($primary, 'SELECT clock_timestamp()');
for my $role (qw(plain postgres)) {
    wait_for('seconds', sub { lag($role, 'seconds_behind > 2') eq 't' });
    pass("$role sees it fall behind while it is connected and applies nothing");
    is(lag($role, "state || ' ' || (bytes_behind > 0)"), 'connected true', 'in bytes, too');
}
is(lag('plain', "seconds_behind >= extract(epoch FROM clock_timestamp() - '$began') - 1"), 't', 'by as much as it waits');
$locker->query_safe('COMMIT');
$locker->quit;
arrive($primary, $node);
wait_for('it to have all again', sub { lag('plain', 'seconds_behind = 0') eq 't' });
pass('and that it has caught up');

# What is applied wakes the node's worker, which would find it by itself within a minute, and all of them in some.
$node->append_conf('postgresql.conf', "whisperer.poll_interval = 1min\n");
$node->reload;
my $receiver = new_receiver('lag');
sql($primary, "SELECT whisperer.create_hook('paid', '@{[ $receiver->url('/ok/lag') ]}')");
my $recorded = 0;
wait_for('eight events, each recorded when the one before was delivered', sub {
    my $received = () = $receiver->requests('/ok/lag');
    return 1 if $received == 8;
    sql($primary, q(SELECT whisperer.deliver_event('paid', '{}'))), $recorded++ if $received == $recorded;
    return 0;
});
pass('a node delivers what it applied without waiting for its next look');

# One that is away.
$node->stop;
wait_for('it to leave', sub { lag('plain', 'state') eq 'away' });
is(lag('plain', 'seconds_behind IS NOT NULL'), $primary->pg_version->major >= 17 ? 't' : 'f', 'how long it has been away PostgreSQL knows from 17 on');
is(lag('plain', 'heard_at'), '', 'nothing is heard of it');
done_testing();
