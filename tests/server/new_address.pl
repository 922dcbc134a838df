# A hook gets another URL: what the old address still answers, and how long that has failed, counts no more.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('new_address');
my $receiver = new_receiver('new_address');
my $base = $receiver->url('');

sub sql { return $node->safe_psql('postgres', shift) }
sub record { return sql("SELECT whisperer.deliver_event('$_[0]', '{}')") }
sub move { return sql(qq(SELECT whisperer.update_hook($_[0], '{"target_url": "$base$_[1]"}'))) }
sub state_of { return sql("SELECT state, state_reason FROM whisperer.hook WHERE id = $_[0]") }

my $soon = q({"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 1000});
sub new_hook { return sql("SELECT whisperer.create_hook('$_[0]', '$base$_[1]', retry_countdown_config => '$soon')") }
sql("SELECT whisperer.register_event(e) FROM unnest('{late,held,old,away}'::text[]) e");

# --- a late 410 -----------------------------------------------------------------------------------
my $late = new_hook('late', '/hang/410/late');
record('late');
wait_for('the request', sub { () = $receiver->requests('/hang/410/late') });
move($late, '/ok/late');
sql("CALL whisperer.deliver_now('late', '{}')");
$receiver->control({ release => 1 });
wait_for('both', sub { 2 == (() = $receiver->requests('/ok/late')) });
wait_idle($node);
is(state_of($late), 'active|', 'a late 410 of the old address does not disable the hook at its new one');
is(sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $late AND state = 'delivered'"), 2, 'which gets that event, too');
is(sql("SELECT response_http_status FROM whisperer.past_attempt WHERE hook_id = $late"), 410, 'what the old one answered is kept');

# --- while somebody changes the URL -------------------------------------------------------------------
my $held = new_hook('held', '/status/410/held');
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe(qq(SELECT whisperer.update_hook($held, '{"target_url": "$base/ok/held"}')));
record('held');
wait_for('the answer to be written', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $held AND state = 'failed'") == 1 });
$session->query_safe('COMMIT');
is(state_of($held), 'active|', 'nor one that comes while the change is not committed');
record('held');
wait_for('the new address', sub { () = $receiver->requests('/ok/held') });

move($held, '/status/410/again');
$session->query_safe('BEGIN');
$session->query_safe(qq(SELECT whisperer.update_hook($held, '{"target_url": "$base/ok/again"}')));
record('held');
wait_for('the answer to be written', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $held AND state = 'failed'") == 2 });
$session->query_safe('ROLLBACK');
$session->quit;
record('held');
wait_for('the hook to be disabled', sub { state_of($held) =~ /^disabled/ });
is(state_of($held), 'disabled|the receiver answered 410 Gone', 'when that is rolled back, the next 410 disables it');

# --- for how long it has failed -----------------------------------------------------------------------
# As if it had failed for ten days: longer than disable_after.
sub fail_for_long {
    my ($hook) = @_;
    sql("INSERT INTO whisperer.hook_run AS r (hook_id, failing_since, failing_url_hash)
        SELECT id, now() - interval '10 d', hashtextextended(target_url, 0) FROM whisperer.hook_definition WHERE id = $hook
        ON CONFLICT (hook_id) DO UPDATE SET failing_since = excluded.failing_since, failing_url_hash = excluded.failing_url_hash");
}
my $old = new_hook('old', '/ok/old');
my $away = new_hook('away', '/ok/away');
my $control = new_hook('late', '/status/500/control');
fail_for_long($_) for $old, $away, $control;
$node->restart;
worker_pid($node);

move($old, '/fail-first/2/500/new');
record('old');
wait_for('the new address', sub { 3 == (() = $receiver->requests('/fail-first/2/500/new')) });
wait_idle($node);
is(state_of($old), 'active|', 'failures of the old address do not disable the hook at its new one');
wait_for('hook_run to forget them', sub { sql("SELECT failing_since IS NULL AND failing_url_hash IS NULL FROM whisperer.hook_run WHERE hook_id = $old") eq 't' });
record('late');
wait_for('the hook that did not move', sub { state_of($control) =~ /^disabled\|nothing but failures for \d+ s/ });
pass('those of an address that stays do');

# Nobody is there to see the change.
sql('ALTER SYSTEM SET whisperer.enabled = off');
$node->reload;
wait_for('the worker to leave', sub { sql("SELECT count(*) FROM whisperer.status WHERE state = 'down'") == 1 });
move($away, '/fail-first/2/500/away');
is(sql("SELECT failing_since IS NULL FROM whisperer.hook_stats WHERE hook_id = $away"), 't', 'hook_stats says nothing of the old one');
sql('ALTER SYSTEM RESET whisperer.enabled');
$node->reload;
record('away');
wait_for('the new address', sub { 3 == (() = $receiver->requests('/fail-first/2/500/away')) });
wait_idle($node);
is(state_of($away), 'active|', 'nor when no worker saw the change');

done_testing();
