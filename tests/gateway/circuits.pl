# A hook whose circuit is open, over HTTP: it is shown, nothing is sent, a ping is, and one that succeeds closes it.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('circuits');
my $receiver = new_receiver('circuits');
$node->safe_psql('postgres', "SELECT whisperer.register_event('item')");
my $token = new_role($node, 'shop', 'item');
my $gateway = new_gateway($node);
my $soon = { choice => 'fixed', kwargs => { seconds => 0.1 }, max_retries => 1000 };
my $hook = $gateway->post('/whisperer/hooks/', $token, { event_type => 'item', target_url => $receiver->url('/swing'), retry_countdown_config => $soon })->{json}{id};

# What the receiver answers from now on.
sub answers { $receiver->control({ path => '/swing', steps => [ ($_[0]) x 1000 ] }) }
sub stats { my ($one) = @{ $gateway->get("/whisperer/hook_stats/?hook=$hook", $token)->{json}{results} }; return $one }
sub ping { return $gateway->post("/whisperer/hooks/$hook/ping/", $token) }
sub sent { return scalar(my @all = $receiver->requests('/swing')) }
sub record { return $node->safe_psql('postgres', qq(SELECT replace(whisperer.deliver_event('item', '{"n": $_[0]}')::text, '-', ''))) }
sub delivery { return $gateway->get("/whisperer/hook_events/$_[0]-$hook/", $token)->{json} }

answers('status/500');
record($_) for 1 .. 3;
wait_for('the circuit to open', sub { stats()->{circuit} eq 'open' });
my $open = stats();
is($open->{state}, 'active', 'the hook of an open one is active');
like($open->{circuit_reason}, qr/^\d+ of \d+ attempts failed within 5 min$/, 'and it says why');
ok($open->{circuit_retry_at}, 'and when it is probed');
is_deeply([ map { $_->{circuit} } @{ $gateway->all('/whisperer/hook_stats/', $token) } ], ['open'], 'so does the list');
my $waits = record(4);
wait_for('the event to be put aside', sub { (delivery($waits)->{why} // '') =~ /^waits: the circuit is open, one attempt is made at / });
is(delivery($waits)->{retry_count}, 0, 'what is new waits');

my $before = sent();
my $ping = ping();
is_deeply([ $ping->{status}, @{ $ping->{json} }{qw(ok http_status error)} ], [ 200, JSON::PP::false, 500, 'HTTP status 500' ], 'a ping is not refused');
cmp_ok(sent(), '>', $before, 'but sent');
is(stats()->{circuit}, 'open', 'one that fails leaves it open');

answers('ok');
$ping = ping();
is_deeply([ $ping->{status}, @{ $ping->{json} }{qw(ok http_status)} ], [ 200, JSON::PP::true, 200 ], 'one that succeeds');
wait_for('the circuit to close', sub { stats()->{circuit} eq 'closed' });
is_deeply([ @{ stats() }{qw(circuit_reason circuit_retry_at)} ], [ undef, undef ], 'closes it');
wait_for('what waited', sub { (delivery($waits)->{state} // '') eq 'delivered' });
pass('and what waited goes out');

# --- by hand ----------------------------------------------------------------------------------------
# An event that waits for it, and when a probe would be made that nobody asks for.
my $due;
sub opened {
    my ($n) = @_;
    answers('status/500');
    record($_) for 1 .. 8;
    wait_for('the circuit to open again', sub { stats()->{circuit} eq 'open' });
    my $event = record($n);
    wait_for('an event that waits for it', sub { (delivery($event)->{why} // '') =~ /^waits: the circuit is open/ });
    $due = stats()->{circuit_retry_at};
    answers('ok');
    return $event;
}
sub arrives {
    my ($event, $how) = @_;
    wait_for('what waited', sub { (delivery($event)->{state} // '') eq 'delivered' });
    is(stats()->{circuit}, 'closed', $how);
    is($node->safe_psql('postgres', "SELECT request_datetimes[cardinality(request_datetimes)] < '$due' FROM whisperer.delivery WHERE event_id = '$event' AND hook_id = $hook"), 't', 'before it would be by itself');
}
my $event = opened(5);
is($gateway->post("/whisperer/hooks/$hook/resume/", $token)->{json}{state}, 'active', 'resume/ of an active hook');
arrives($event, 'has it probed, and closes it');
$event = opened(6);
my $refused = $gateway->post("/whisperer/hook_events/$event-$hook/retry/", $token);
is("$refused->{status} $refused->{json}{message}", '406 event is still in retry process', 'retry/ leaves alone what waits');
is($gateway->post("/whisperer/hook_events/$event-$hook/retry/", $token, { force => JSON::PP::true })->{status}, 200, 'with force it does not');
arrives($event, 'and closes the circuit');

done_testing();
