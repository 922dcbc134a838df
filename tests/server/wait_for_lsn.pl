# The recipe "Read on a standby what an event tells of": the place in the log that its transform adds is late enough for a
# standby that has replayed up to there to have the row, and WAIT FOR LSN, which PostgreSQL has since 19, waits for it.
use strict;
use warnings;
use Cluster;
use JSON::PP ();
use Markdown qw(page_items);
use Pages;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $primary = new_node('primary', init => { allows_streaming => 1 }, extra => 'autovacuum = off');
my $receiver = new_receiver('wait_for_lsn');
$primary->backup('b');
my $standby = Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;

# What the page says, with this test's receiver.
my ($made, $waits) = grep { $_->{kind} eq 'block' && $_->{language} eq 'sql' && $_->{text} =~ /with_lsn|WAIT FOR LSN/ }
    page_items(slurp_file(top() . '/docs/recipes.md'));
my $url = $receiver->url('/ok');
$primary->safe_psql('postgres', "CREATE TABLE purchase (id int); CREATE SCHEMA app; SELECT whisperer.watch('purchase')");
$primary->safe_psql('postgres', $made->{text} =~ s{http://127\.0\.0\.1:8000}{$url}r);

my $wanted = 20;
my ($late, $failed) = (0, 0);
my $session = $standby->background_psql('postgres', on_error_stop => 0);
for my $id (1 .. $wanted) {
    $standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
    wait_for('the pause', sub { $standby->safe_psql('postgres', 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
    $primary->safe_psql('postgres', "INSERT INTO purchase VALUES ($id)");
    wait_for('the request', sub { $id == (() = $receiver->requests) });
    my $lsn = JSON::PP::decode_json(($receiver->requests)[-1]{body})->{lsn};
    $late += $standby->safe_psql('postgres', "SELECT count(*) FROM purchase WHERE id = $id") == 0;
    if ($primary->safe_psql('postgres', 'SHOW server_version_num') >= 190000) {
        $session->query_until(qr/begun/, "\\echo begun\n" . $waits->{text} =~ s{'0/\w+'}{'$lsn'}r =~ s/id = 1\b/id = $id/r =~ s/'5s'/'${Whisperer::wait_s}s'/r . "\\echo ended\n");
        wait_for('the wait', sub { $standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WaitForWalReplay'") });
        $standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
        my $seen = $session->query_until(qr/ended/, '');
        $failed++ unless $seen =~ /success\s+$id\s/;
        diag($seen) unless $seen =~ /success\s+$id\s/;
    } else {
        # What the wait would wait for.
        $standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
        wait_for('the standby', sub { $standby->safe_psql('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'") eq 't' });
        $failed++ unless $standby->safe_psql('postgres', "SELECT count(*) FROM purchase WHERE id = $id") == 1;
    }
}
is($late, $wanted, 'each receiver was faster than the standby');
is($failed, 0, 'what has replayed up to the place has the row');
SKIP: {
    skip('WAIT FOR LSN needs PostgreSQL 19', 1) if $primary->safe_psql('postgres', 'SHOW server_version_num') < 190000;
    is($failed, 0, 'WAIT FOR LSN waits for it');
}
$session->quit;
done_testing();
