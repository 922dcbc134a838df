# pg_upgrade: the new cluster is the same database to its subscribers.  Nothing waits for resume(), what was not
# delivered yet is, and nothing twice.
#
# From this version to itself; with WHISPERER_OLD_PG (a folder with bin/ and lib/ of an older PostgreSQL
# that has the extension) from that one: tests/soak/pg_upgrade does so.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $old_bin = $ENV{WHISPERER_OLD_PG} ? "$ENV{WHISPERER_OLD_PG}/bin" : undef;
my $receiver = new_receiver('pg_upgrade');
my $base = $receiver->url('');

# Checksums in both: initdb's default differs between versions.
sub make_cluster {
    my ($name, %options) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name, %options);
    $node->init(extra => [ '--data-checksums' ]);
    $node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'whisperer'
whisperer.allowed_networks = '127.0.0.0/8'
whisperer.poll_interval = 100ms
CONF
    return $node;
}

my $old = make_cluster('old', $old_bin ? (install_path => $ENV{WHISPERER_OLD_PG}) : ());
$old->start;
my $version = $old->safe_psql('postgres', 'SHOW server_version_num');
$old->safe_psql('postgres', <<"SQL");
CREATE ROLE filler; CREATE ROLE subscriber; DROP ROLE filler;
CREATE EXTENSION whisperer;
GRANT USAGE ON SCHEMA whisperer TO subscriber;
CREATE TABLE item (id int);
SELECT whisperer.register_event('item-created');
SELECT whisperer.allow('item-created', 'subscriber', 'subscribe');
CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item-created');
SET ROLE subscriber;
SELECT whisperer.create_hook('item-created', '$base/ok/served', secret_key => 'secret');
SELECT whisperer.create_hook('item-created', '$base/ok/paused');
SELECT whisperer.pause_hook(2);
SELECT whisperer.create_hook('item-created', '$base/status/500/failing', filter => '{"id": 1}', retry_countdown_config =>
    '{"choice": "fixed", "kwargs": {"seconds": 5}, "max_retries": 1}');
SQL
$old->safe_psql('postgres', 'INSERT INTO item SELECT generate_series(1, 100)');
wait_for('the first deliveries', sub { 100 == (() = $receiver->requests('/ok/served')) && 1 == (() = $receiver->requests('/status/500/failing')) });
wait_idle($old);
$old->safe_psql('postgres', 'ALTER SYSTEM SET whisperer.enabled = off');
$old->reload;
wait_for('the worker to leave', sub { $old->safe_psql('postgres', 'SELECT pid FROM whisperer.status') eq '' });
$old->safe_psql('postgres', 'INSERT INTO item SELECT generate_series(101, 1000)');
$old->stop;

my $new = make_cluster('new');
my $folder = PostgreSQL::Test::Utils::tempdir('pg_upgrade');
chdir $folder or die "cannot enter $folder: $!";
# Of the servers of this test, which pg_config knows nothing of.
my ($new_bin) = grep { -x "$_/postgres" } split /:/, $ENV{PATH};
command_ok([ "$new_bin/pg_upgrade", '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
        '--old-bindir', $old_bin // $new_bin, '--new-bindir', $new_bin, '--socketdir', $new->host,
        '--old-port', $old->port, '--new-port', $new->port ], "pg_upgrade from $version");
my $before = () = $receiver->requests('/ok/served');
is($before, 100, 'nothing is sent while it runs');
$new->start;
cmp_ok($new->safe_psql('postgres', 'SHOW server_version_num'), '>=', $version, 'the new server runs');
is($new->safe_psql('postgres', q(SELECT string_agg(concat_ws(' ', id, owner, state, state_reason), ', ' ORDER BY id) FROM whisperer.hook)),
    '1 subscriber active, 2 subscriber paused paused by pause_hook, 3 subscriber active', 'the hooks are as they were');
wait_idle($new);
$new->safe_psql('postgres', 'INSERT INTO item VALUES (1001)');
wait_idle($new);
my %times;
$times{ JSON::PP::decode_json($_->{body})->{data}{id} }++ for my @requests = $receiver->requests('/ok/served');
is(join(' ', grep { ($times{$_} // 0) != 1 } 1 .. 1001), '', 'everything is delivered once');
is(scalar(grep { Whisperer::Receiver::header($_, 'webhook-signature') } @requests), 1001, 'signed');
is(scalar(() = $receiver->requests('/ok/paused')), 0, 'what was paused stays so');
$new->safe_psql('postgres', 'SELECT whisperer.resume_hook(2)');
wait_idle($new);
is(scalar(() = $receiver->requests('/ok/paused')), 1001, 'and goes on when it may');
wait_for('the retry that was pending', sub { 2 == (() = $receiver->requests('/status/500/failing')) });
pass('a retry that was pending is made');

$new->stop;
done_testing();
