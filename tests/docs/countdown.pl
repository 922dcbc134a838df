# The waits that the reference adds up: each choice of retry_countdown_config is held against what a server does with
# it.  A receiver that always fails, and waits of which the first are next to nothing and the one that is looked at is
# hours long, so that no clock matters.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Pages;
use Whisperer;

require(top() . '/docs/make-reference');
my $node = new_node('countdown');
my $receiver = new_receiver('countdown');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $hooks = 0;

# After so many attempts, how long is the wait for the next: in seconds, to ten.
sub wait_of {
    my ($config, $attempts) = @_;
    my $hook = ++$hooks;
    my $json = defined $config ? "'" . JSON::PP->new->canonical->encode($config) . "'" : 'NULL';
    $node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '" . $receiver->url("/status/500/$hook") . "', retry_countdown_config => $json)");
    $node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', '{}', NULL)");
    my $row = wait_for("attempt $attempts of hook $hook", sub {
        $node->safe_psql('postgres', "SELECT round(extract(epoch FROM next_attempt_at - request_datetimes[cardinality(request_datetimes)])) FROM whisperer.delivery
            WHERE hook_id = $hook AND retry_count = $attempts AND state = 'pending'");
    });
    $node->safe_psql('postgres', "SELECT whisperer.delete_hook($hook)");
    return $row;
}

for (
    [ { choice => 'fixed', kwargs => { seconds => 7200 } }, 1 ],
    [ { choice => 'linear', kwargs => { base => 7200 } }, 1 ],
    [ { choice => 'linear', kwargs => { base => 7200, limit => 3600 } }, 1 ],
    [ { choice => 'exponential', kwargs => { base => 7200 } }, 1 ],
    [ { choice => 'exponential', kwargs => { base => 1000, factor => 1e-6 } }, 3 ],
    [ { choice => 'exponential', kwargs => { base => 1000, factor => 1e-6, limit => 500 } }, 3 ],
    [ { choice => 'random', kwargs => { min_value => 7200, max_value => 7200 } }, 1 ],
    [ { choice => 'schedule', kwargs => { seconds => [ 0, 0, 7200 ] } }, 3 ],
    [ { choice => 'schedule', kwargs => { seconds => [ 0, 7200 ] }, max_retries => 5 }, 2 ]
) {
    my ($config, $attempts) = @$_;
    my $expected = main::wait_after($config, $attempts);
    my $got = wait_of($config, $attempts);
    ok($got >= $expected - 1 && $got <= $expected + 30, JSON::PP->new->canonical->encode($config) . " waits for $expected s after attempt $attempts") or diag("it waits for $got s");
}

# Linear grows by the base.
my $linear = { choice => 'linear', kwargs => { base => 0.5 }, max_retries => 3 };
$node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '" . $receiver->url('/status/500/linear') . "', retry_countdown_config => '" . JSON::PP::encode_json($linear) . "')");
$hooks++;
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('e', '{}')));
wait_for('the last attempt', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hooks AND state = 'failed'") });
my @began = map { $_->{at_us} / 1e6 } $receiver->requests('/status/500/linear');
is(scalar @began, main::retries($linear) + 1, 'max_retries and the first attempt');
for my $n (1 .. 3) {
    my $wait = main::wait_after($linear, $n);
    cmp_ok($began[$n] - $began[ $n - 1 ], '>=', $wait - 0.05, "linear waits for $wait s after attempt $n");
}

# Without max_retries: nine, or as many as a schedule has entries.
for my $config ({ choice => 'fixed', kwargs => { seconds => 0 } }, { choice => 'schedule', kwargs => { seconds => [ 0, 0 ] } }) {
    $hooks++;
    $node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '" . $receiver->url("/status/500/n$hooks") . "', retry_countdown_config => '" . JSON::PP::encode_json($config) . "')");
    $node->safe_psql('postgres', q(SELECT whisperer.deliver_event('e', '{}')));
    is(wait_for('the end', sub { $node->safe_psql('postgres', "SELECT retry_count FROM whisperer.delivery WHERE hook_id = $hooks AND state = 'failed'") }),
        main::retries($config) + 1, "$config->{choice} without max_retries makes so many attempts");
    $node->safe_psql('postgres', "SELECT whisperer.delete_hook($hooks)");
}

# The default: its jitter is a fifth, so only bounds are known; and a jitter that is given.
my $first = wait_of(undef, 1);
ok($first >= 3 && $first <= 40, "the default waits for 5 s give or take a fifth after the first attempt") or diag("it waits for $first s");
my $stretched = wait_of({ choice => 'fixed', kwargs => { seconds => 10000 }, jitter => 0.1 }, 1);
ok($stretched >= 8990 && $stretched <= 11040, 'jitter is part of the wait') or diag("it waits for $stretched s");
my (undef, undef, $error) = $node->psql('postgres', q(SELECT whisperer.create_hook('e', 'https://example.com/', retry_countdown_config => '{"choice": "fixed", "kwargs": {"second": 1}}')));
like($error, qr/kwargs\.second/, 'an unknown key is named');

done_testing();
