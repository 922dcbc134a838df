# Which hook gets which event: fan-out, since, pause, delete, the transaction that makes the hook, and
# every order of a hook's commit and the worker's page.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use List::Util qw(min);
use Test::More;
use Whisperer;

my $node = new_node('hooks', extra => "restart_after_crash = on\n");
my $receiver = new_receiver('hooks');
my $base = $receiver->url('');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");

sub record {
    my ($note) = @_;
    $node->safe_psql('postgres', qq(SELECT whisperer.deliver_event('e', '{"note": "$note"}')));
}

# In the order of arrival, which is that of the commits here: each is waited for.
sub received {
    my ($path) = @_;
    return join ' ', map { JSON::PP::decode_json($_->{body})->{data}{note} } $receiver->requests($path);
}

record('before-any-hook');
wait_idle($node);
$node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$base/ok/' || g) FROM generate_series(1, 10) g");
record('first');
wait_idle($node);
is(received("/ok/$_"), 'first', "hook $_ of 10 gets the event once, and not the one before it") for 1 .. 10;

$node->safe_psql('postgres', 'SELECT whisperer.pause_hook(2); SELECT whisperer.delete_hook(3)');
record('second');
wait_idle($node);
is(received('/ok/1'), 'first second', 'an active hook goes on');
is(received('/ok/2'), 'first', 'a paused hook waits');
is(received('/ok/3'), 'first', 'a deleted hook is silent');
is($node->safe_psql('postgres', 'SELECT state FROM whisperer.delivery WHERE hook_id = 2 ORDER BY created_at DESC LIMIT 1'),
    'pending', 'the paused hook keeps its event');
$node->safe_psql('postgres', 'SELECT whisperer.resume_hook(2)');
wait_for('the kept event', sub { received('/ok/2') eq 'first second' });
pass('and delivers it on resume');

# What waits for a hook that is deleted is cancelled.
$node->safe_psql('postgres', 'SELECT whisperer.pause_hook(2)');
record('third');
wait_idle($node);
$node->safe_psql('postgres', 'SELECT whisperer.delete_hook(2)');
wait_for('the cancellation', sub {
    $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE hook_id = 2 AND state = 'cancelled'") == 1;
});
is(received('/ok/2'), 'first second', 'what waited for a deleted hook is cancelled');

# The whole database.
$node->safe_psql('postgres', 'SELECT whisperer.pause()');
wait_for('the pause', sub { $node->safe_psql('postgres', 'SELECT state FROM whisperer.status') eq 'paused' });
record('fourth');
my $lag_is_known = "SELECT s.lag_events > 0 AND s.lag_seconds >= extract(epoch FROM now() - o.created_at) FROM whisperer.status s, whisperer.outbox o WHERE o.data->>'note' = 'fourth'";
is($node->safe_psql('postgres', $lag_is_known), 't', 'what waits for the end of a pause is behind');
$node->restart;
is($node->safe_psql('postgres', $lag_is_known), 't', 'also where no worker has come yet, or has anew');
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.outbox o JOIN whisperer.delivery d ON d.event_id = o.id WHERE o.data->>'note' = 'fourth'"),
    0, 'a paused database delivers nothing, after a restart neither');
$node->safe_psql('postgres', 'SELECT whisperer.resume()');
wait_idle($node);
is(received('/ok/1'), 'first second third fourth', 'resume delivers what waited');
# What told the worker of a change is of no use once it has read on.
wait_for('the notes of changes to be removed', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.request WHERE kind = 'hooks'") == 0 });
pass('no note of a change stays');

# An event in the transaction that makes its hook, while other transactions come and go.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; SELECT pg_current_xact_id()');
record("earlier-$_") for 1 .. 3;
$session->query_safe("SELECT whisperer.create_hook('e', '$base/ok/same')");
record("other-$_") for 1 .. 3;
$session->query_safe(q(SELECT whisperer.deliver_event('e', '{"note": "same"}')));
record("other-$_") for 4 .. 6;
$session->query_safe('COMMIT');
wait_idle($node);
like(received('/ok/same'), qr/\bsame\b/, 'the hook gets the event of its own transaction');
$session->quit;

# A hook is committed, then an event; the worker is stopped at each point in turn.
for my $point ('before-page-snapshot', 'after-page-snapshot', 'after-hooks-loaded') {
    my $path = "/ok/$point";
    hold($node, $point);
    record("at-$point");
    wait_held($node, $point);
    $node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$base$path')");
    record("after-$point");
    release_hold($node);
    wait_idle($node);
    like(received($path), qr/after-$point$/, "hook made while the worker is held $point gets the event after it");
}

# And an event that is committed while the worker sits between its snapshot and the hooks.
my ($hook_first, $event_second) = map { $node->background_psql('postgres') } 1 .. 2;
$hook_first->query_safe("BEGIN; SELECT whisperer.create_hook('e', '$base/ok/crossed')");
$event_second->query_safe('BEGIN; SELECT pg_current_xact_id()');
hold($node, 'after-page-snapshot');
record('crossing');
wait_held($node, 'after-page-snapshot');
$hook_first->query_safe('COMMIT');
$event_second->query_safe(q(SELECT whisperer.deliver_event('e', '{"note": "crossed"}'); COMMIT));
release_hold($node);
wait_idle($node);
like(received('/ok/crossed'), qr/\bcrossed\b/, 'a transaction older than the hook that commits after it is delivered');
$_->quit for $hook_first, $event_second;

# --- hooks as code: what they are made is what is delivered ------------------------------------------------
sub apply { return $node->safe_psql('postgres', "SELECT string_agg(name || ' ' || action, ', ') FROM whisperer.apply_hooks('[" . join(', ', map { sprintf '{"name": "%s", "event_type": "e", "target_url": "%s"%s}', $_->[0], $receiver->url($_->[1]), $_->[2] // '' } @_) . "]', prune => true)") }
is(apply([ 'one', '/ok/code/1' ], [ 'other', '/ok/code/2', ', "filter": {"note": {"$prefix": "code"}}, "priority": "high"' ]), 'one created, other created', 'hooks are made as an array says');
record($_) for 'code-1', 'plain';
wait_idle($node);
is(received('/ok/code/1') . ' / ' . received('/ok/code/2'), 'code-1 plain / code-1', 'and get what it says');
is(apply([ 'other', '/ok/code/1' ], [ 'one', '/ok/code/2' ]), 'other changed, one changed', 'they swap their URLs, and one loses its filter');
record('code-2');
wait_idle($node);
is(received('/ok/code/1') . ' / ' . received('/ok/code/2'), 'code-1 plain code-2 / code-1 code-2', 'each gets the event once');
is(apply([ 'one', '/ok/code/2' ]), 'other deleted, one left', 'one is pruned');
record('code-3');
wait_idle($node);
is(received('/ok/code/1') . ' / ' . received('/ok/code/2'), 'code-1 plain code-2 / code-1 code-2 code-3', 'and silent');

# --- what is done leaves nothing behind ---------------------------------------------------------------------
# The worker's memory contexts: it writes them into the log when it is asked.
sub memory_contexts {
    my $before = length slurp_file($node->logfile);
    my $log;
    $node->safe_psql('postgres', 'SELECT pg_log_backend_memory_contexts(' . worker_pid($node) . ')');
    wait_for('the memory contexts', sub { ($log = substr slurp_file($node->logfile), $before) =~ /Grand total: .* used/ });
    return $log;
}
sub memory_used { return memory_contexts() =~ /Grand total: .*; (\d+) used/ ? $1 : die }
# Each waits for the end of what the worker reads, so it is read to its end as often.  Of several rounds one is
# without what the worker does for the first time or now and then.
$node->safe_psql('postgres', "SELECT whisperer.register_event('steady'); SELECT whisperer.create_hook('steady', '$base/ok/steady')");
my @used = map {
    $node->safe_psql('postgres', "SELECT whisperer.deliver_event('steady', '{}'); CALL whisperer.wait_idle();\n" x 50);
    memory_used();
} 1 .. 4;
cmp_ok(min(map { $used[$_] - $used[$_ - 1] } 1 .. 3), '<', 4096, 'the worker takes no memory for good');

# --- hooks of the past ------------------------------------------------------------------------------------
# What the worker's hooks take of its memory.
sub memory_of_hooks {
    my $log = memory_contexts();
    my $sum = 0;
    # Of many of one parent a hundred are listed, the others in one line.
    my ($level) = $log =~ /level: (\d+); whisperer hooks: /;
    $sum += $1 while $log =~ /(?:whisperer hooks?|level: $level; \d+ more child contexts).*; (\d+) used/g;
    $sum += $1 while $log =~ /level: ${\($level + 1)}; \d+ more child contexts.*; (\d+) used/g;
    return $sum;
}
my $alone = memory_of_hooks();
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.create_hook('e', '$base/ok/past-' || g, config => jsonb_build_object('x', repeat('y', 8000))) FROM generate_series(1, 300) g;
SQL
record('before-the-past');
wait_idle($node);
my $with_all = memory_of_hooks();
cmp_ok($with_all, '>', $alone + 300 * 8000, 'hooks take memory');
$node->safe_psql('postgres', q(SELECT whisperer.pause_hook(id) FROM whisperer.hook WHERE target_url ~ 'past-1$'));
record('in-the-past');
wait_idle($node);
$node->safe_psql('postgres', q(SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE target_url ~ 'past-'));
wait_for('those that are deleted to be forgotten', sub { memory_of_hooks() < $alone + ($with_all - $alone) / 10 });
is($node->safe_psql('postgres', q(SELECT d.state FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.target_url ~ 'past-1$' ORDER BY event_id DESC LIMIT 1)),
    'cancelled', 'after what was pending for one is cancelled');
kill_worker($node, worker_pid($node));
record('after-the-past');
wait_idle($node);
cmp_ok(memory_of_hooks(), '<', $alone + ($with_all - $alone) / 10, 'a worker that starts does not load them');
# One that was deleted while no worker ran still has something to cancel.
$node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$base/status/500/late')");
record('late');
wait_for('its first attempt', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") });
hold($node, 'before-page-snapshot');
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('e', '{}')));
wait_held($node, 'before-page-snapshot');
$node->safe_psql('postgres', q(SELECT whisperer.delete_hook(id) FROM whisperer.hook WHERE target_url ~ 'late$'));
kill_worker($node, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query = 'held at before-page-snapshot'"));
release_hold($node);
wait_for('it to be cancelled', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") == 0 });
pass('what a deleted hook left pending is cancelled by the next process');
# Nor does it come back: who wants it again makes another, with a secret of its own.
my (undef, undef, $refusal) = $node->psql('postgres', q(UPDATE whisperer.hook SET is_active = true WHERE target_url ~ 'past-1$'));
like($refusal, qr/ERROR:  hook \d+ is deleted\nHINT:  Create another one\./, 'a hook of the past stays deleted');
my $made_anew = $node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '$base/ok/past-1')");
record('back');
wait_idle($node);
my @back = grep { $_->{body} =~ /"back"/ } $receiver->requests('/ok/past-1');
is(join(' ', map { Whisperer::Receiver::header($_, 'X-Whisperer-Hook') } @back), $made_anew, 'one that is made anew at its address is served, once');

done_testing();
