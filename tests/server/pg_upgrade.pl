# pg_upgrade: the new cluster is the same database to its subscribers.  Nothing waits for resume(), what was not
# delivered yet is, nothing twice, and what had failed can still be retried.
#
# From this version to itself; with WHISPERER_OLD_PG (folders with bin/ and lib/ of older PostgreSQL that have the
# extension, the oldest first, with a colon between) through all of these: tests/soak/pg_upgrade does so.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

# Undef is the PostgreSQL of this test.
my @trees = ($ENV{WHISPERER_OLD_PG} ? split(/:/, $ENV{WHISPERER_OLD_PG}) : undef, undef);
my $receiver = new_receiver('pg_upgrade');
my $base = $receiver->url('');
# Of the servers of this test, which pg_config knows nothing of.
my ($this_bin) = grep { -x "$_/postgres" } split /:/, $ENV{PATH};
my $rows = 0;
sub bin_of { return defined $_[0] ? "$_[0]/bin" : $this_bin }

# Checksums in all: initdb's default differs between versions.
sub make_cluster {
    my ($name, $tree) = @_;
    my $node = Cluster->new($name, defined $tree ? (install_path => $tree) : ());
    $node->init(extra => [ '--data-checksums' ]);
    $node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'whisperer'
whisperer.allowed_networks = '127.0.0.0/8'
whisperer.poll_interval = 100ms
CONF
    return $node;
}

sub add_rows {
    my ($node, $count) = @_;
    $node->safe_psql('postgres', 'INSERT INTO item SELECT generate_series(' . ($rows + 1) . ', ' . ($rows + $count) . ')');
    $rows += $count;
}

sub served { return scalar(() = $receiver->requests('/ok/served')) }

sub failed_deliveries {
    return $_[0]->safe_psql('postgres', q(SELECT string_agg(hook_id || ' ' || retry_count || ' ' || response_http_status, ', ' ORDER BY hook_id)
        FROM whisperer.delivery WHERE state = 'failed'));
}

# What is recorded while nobody delivers, and a stop.
sub leave_backlog {
    my ($node) = @_;
    wait_idle($node);
    $node->safe_psql('postgres', 'ALTER SYSTEM SET whisperer.enabled = off');
    $node->reload;
    wait_for('the worker to leave', sub { $node->safe_psql('postgres', 'SELECT pid FROM whisperer.status') eq '' });
    add_rows($node, 900);
    $node->stop;
}

# Returns the new cluster, running, after what must be so in each.
sub upgrade {
    my ($old, $old_tree, $new_tree) = @_;
    my $before = served();
    my $new = make_cluster($old->name . '-new', $new_tree);
    my $folder = PostgreSQL::Test::Utils::tempdir('pg_upgrade');
    chdir $folder or die "cannot enter $folder: $!";
    my ($old_bin, $new_bin) = map { bin_of($_) } $old_tree, $new_tree;
    my @versions = map { `$_/postgres --version` =~ /(\d\S*)/ } $old_bin, $new_bin;
    command_ok([ "$new_bin/pg_upgrade", '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
            '--old-bindir', $old_bin, '--new-bindir', $new_bin, '--socketdir', $new->host,
            '--old-port', $old->port, '--new-port', $new->port ], "pg_upgrade from $versions[0] to $versions[1]")
        or diag map { "$_:\n" . join '', map { "$_\n" } grep { /error|ERROR|FATAL|Command was/ } split /\n/, slurp_file($_) }
            glob $new->data_dir . '/pg_upgrade_output.d/*/log/*.log';
    is(served(), $before, 'nothing is sent while it runs');
    $new->start;
    is($new->safe_psql('postgres', q(SELECT string_agg(concat_ws(' ', id, owner, state, state_reason), ', ' ORDER BY id) FROM whisperer.hook)),
        '1 subscriber active, 2 subscriber paused paused by pause_hook, 3 subscriber active, 4 subscriber active', 'the hooks are as they were');
    wait_idle($new);
    add_rows($new, 1);
    wait_idle($new);
    my %times;
    $times{ JSON::PP::decode_json($_->{body})->{data}{id} }++ for my @requests = $receiver->requests('/ok/served');
    is(join(' ', grep { ($times{$_} // 0) != 1 } 1 .. $rows), '', "all $rows are delivered once");
    is(scalar(grep { Whisperer::Receiver::header($_, 'webhook-signature') } @requests), $rows, 'signed');
    is(scalar(() = $receiver->requests('/ok/paused')), 0, 'what was paused stays so');
    wait_for('the retry that was pending', sub { 2 == (() = $receiver->requests('/status/500/failing')) });
    wait_for('its end', sub { failed_deliveries($new) eq '3 2 500, 4 1 500' });
    pass('a retry that was pending is made, and what had failed is in the ledger');
    return $new;
}

my $tree = shift @trees;
my $node = make_cluster('old', $tree);
$node->start;
$node->safe_psql('postgres', <<"SQL");
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
SELECT whisperer.create_hook('item-created', '$base/status/500/failed', filter => '{"id": 2}', retry_countdown_config =>
    '{"choice": "fixed", "kwargs": {"seconds": 5}, "max_retries": 0}');
SQL
add_rows($node, 100);
wait_for('the first deliveries', sub { 100 == served() && 1 == (() = $receiver->requests('/status/500/failing')) });
wait_for('one that has failed', sub { failed_deliveries($node) =~ /\b4 1 500/ });

for my $next (@trees) {
    leave_backlog($node);
    $node = upgrade($node, $tree, $next);
    $tree = $next;
    # The old ones' configuration is not taken along by pg_upgrade, so delivery is on.
    is($node->safe_psql('postgres', 'SELECT state FROM whisperer.status'), 'running', 'delivery goes on by itself');
}

$node->safe_psql('postgres', 'SELECT whisperer.resume_hook(2)');
wait_idle($node);
is(scalar(() = $receiver->requests('/ok/paused')), $rows, 'a paused hook goes on when it may');
$receiver->control({ path => '/status/500/failed', steps => ['ok'] });
is($node->safe_psql('postgres', q(SELECT whisperer.recover(4, '-infinity'))), 1, 'what failed at the start can be recovered');
wait_idle($node);
is($node->safe_psql('postgres', 'SELECT state FROM whisperer.delivery WHERE hook_id = 4'), 'delivered', 'and is delivered');

$node->stop;
done_testing();
