# A restore into a database that is in use: what is recorded between pg_restore and resume() is delivered, too.  And
# one whose hooks nobody adopts is emptied once retention has passed there.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('restored', extra => "whisperer.retention = 10s\nwhisperer.poll_interval = 100ms\n");
my $receiver = new_receiver('restored');
my ($plain, $ordered) = map { $receiver->url($_) } '/ok/plain', '/ok/ordered';
my $prepare = q(SELECT whisperer.register_event('e'));
$node->safe_psql('postgres', $prepare);
$node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$plain'), whisperer.create_hook('e', '$ordered', ordering => 'hook')");
sub record {
    my ($database, @notes) = @_;
    $node->safe_psql($database, join '', map { qq(SELECT whisperer.deliver_event('e', '{"note": "$_"}');) } @notes);
}
sub received { return join ' ', map { JSON::PP::decode_json($_->{body})->{data}{note} } $receiver->requests($_[0]) }
record('postgres', 'old-1');
wait_idle($node);
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/data';
$node->command_ok([ 'pg_dump', '-Fc', '--data-only', '-f', $dump, 'postgres' ], 'pg_dump of the data');

# Its own worker is there first, and its triggers are silent while the hooks arrive.
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(used staging);
for my $database (qw(used staging)) {
    $node->safe_psql($database, "CREATE EXTENSION whisperer");
    worker_pid($node, $database);
    $node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers', '-d', $database, $dump ], "pg_restore into $database");
    record($database, map { "new-$_" } 1 .. 5);
    wait_for('the worker to have read it', sub {
        $node->safe_psql($database, 'SELECT count(*) FROM whisperer_internal.unread_events()') == 0;
    });
}
$node->safe_psql('used', 'SELECT whisperer.resume()');
record('used', 'new-6');
wait_idle($node, 'used');
is(join(' ', sort split / /, received('/ok/plain')), join(' ', (map { "new-$_" } 1 .. 6), 'old-1'), 'all that was recorded there arrives');
is(received('/ok/ordered'), join(' ', 'old-1', map { "new-$_" } 1 .. 6), 'in order');

# Nobody adopts the other one.
wait_for('the carried events to go', sub {
    $node->safe_psql('staging', "SELECT count(*) FROM whisperer.outbox WHERE data->>'note' = 'old-1'") == 0;
});
is($node->safe_psql('staging', "SELECT clock_timestamp() >= carried_since + interval '10 s' FROM whisperer.control"), 't', 'not before the retention has passed here');
like(slurp_file($node->logfile), qr/is not emptied yet: it has events that carried hooks may still want/, 'they wait for resume() for as long as the retention is');
like(slurp_file($node->logfile), qr/carried here by a restore or copy: 1$/m, 'then they go, and the log says so');

# From a server that has counted more transactions than this one will for a long time.
my $origin = new_node('origin');
$origin->stop;
run_command([ 'pg_resetwal', '--epoch=1', '-D', $origin->data_dir ]);
$origin->start;
cmp_ok($origin->safe_psql('postgres', 'SELECT pg_current_xact_id()'), '>', 2**32, 'another server has counted further');
$origin->safe_psql('postgres', $prepare);
$origin->safe_psql('postgres', "SELECT whisperer.create_hook('e', '@{[ $receiver->url('/ok/moved') ]}', ordering => 'hook'); SELECT whisperer.pause()");
for my $note (1, 2) { $origin->safe_psql('postgres', qq(SELECT whisperer.deliver_event('e', '{"note": "$note"}'))) }
$origin->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.whole", 'postgres' ], 'pg_dump of it');
$origin->stop;
$node->safe_psql('postgres', 'CREATE DATABASE moved');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'moved', "$dump.whole" ], 'pg_restore here');
$node->safe_psql('moved', 'SELECT whisperer.resume()');
wait_for('the last one', sub { received('/ok/moved') =~ /2$/ });
is(received('/ok/moved'), '1 2', 'an ordered hook gets what was not delivered there');
done_testing();
