# Nothing is sent that a crash could undo: what the synchronous standby has not got waits, also when it was
# committed asynchronously and comes late in what is read at one go.
use strict;
use warnings;
use Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Whisperer;

my $primary = new_node('primary', init => { allows_streaming => 1 }, extra => "autovacuum = off\nshared_buffers = 64MB");
my $receiver = new_receiver('standby');
$primary->backup('b');
my $standby = Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', "SELECT whisperer.register_event('e');
    SELECT whisperer.create_hook('e', '" . $receiver->url('/ok') . "')");
wait_idle($primary);
hold($primary, 'before-page-snapshot');
$primary->safe_psql('postgres', 'CREATE TABLE spacing (i int)');
wait_held($primary, 'before-page-snapshot');
$primary->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
$primary->reload;
wait_for('the standby', sub { $primary->safe_psql('postgres', "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") });

# One transaction of two pages; then, far enough behind it for the commit log, one that is not flushed: those who
# would do that by and by stand still.
$primary->safe_psql('postgres', "SELECT count(whisperer.deliver_event('e', 'true')) FROM generate_series(1, 600)");
$primary->safe_psql('postgres', "DO 'BEGIN FOR i IN 1..70 LOOP INSERT INTO spacing VALUES (i); COMMIT; END LOOP; END'");
my @writers = split /\n/, $primary->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('walwriter', 'background writer')");
kill 'STOP', @writers;
# All of it in one session: the end of another would flush what is written.
my $session = $primary->background_psql('postgres');
$session->query_safe("SET synchronous_commit = off; SELECT whisperer.deliver_event('e', '\"late\"')");
$session->query_safe("ALTER SYSTEM SET whisperer.hold_at = 'in-page'");
$session->query_safe('SELECT pg_reload_conf()');
wait_for('the worker in the first page', sub { $session->query_safe("SELECT count(*) FROM pg_stat_activity WHERE query = 'held at in-page'") });
is($session->query_safe('SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()'), 't', 'a commit is not flushed yet');
$standby->stop('immediate');
release_hold($primary);
wait_for('the first page', sub { 512 <= (() = $receiver->requests) });
sleep 1;      # nothing happens: there is no condition to wait for
is(scalar(grep { $_->{body} =~ /"late"/ } $receiver->requests), 0, 'what the standby has not is not sent');
$standby->start;
wait_for('the rest', sub { 601 <= (() = $receiver->requests) });
pass('until it has');

# What else people ask of the worker it does meanwhile.
$standby->stop('immediate');
$primary->safe_psql('postgres', "SET synchronous_commit = local; SELECT whisperer.deliver_event('e', '\"held\"')");
$primary->safe_psql('postgres', 'SET synchronous_commit = local; SELECT whisperer.retry(event_id, force => true) FROM whisperer.delivery LIMIT 1');
wait_for('another attempt', sub { 602 <= (() = $receiver->requests) });
is(scalar(grep { $_->{body} =~ /"held"/ } $receiver->requests), 0, 'a retry is served while a page waits');
$primary->safe_psql('postgres', 'SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names');
$primary->reload;
wait_for('the page', sub { 603 <= (() = $receiver->requests) });
pass('without a standby nothing is waited for');
kill 'CONT', @writers;
$session->quit;
done_testing();
