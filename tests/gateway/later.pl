# Events over HTTP that are for later, or not for ever.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use POSIX qw(strftime);
use Test::More;
use Whisperer;

my $node = new_node('later_over_http');
my $receiver = new_receiver('later_over_http');
$node->safe_psql('postgres', "SELECT whisperer.register_event('item')");
my $token = new_role($node, 'shop', 'item');
$node->safe_psql('postgres', "SELECT whisperer.allow('item', 'shop', 'publish')");
my $gateway = new_gateway($node);
my $hook = $gateway->post('/whisperer/hooks/', $token, { event_type => 'item', target_url => $receiver->url('/ok') })->{json}{id};

sub publish { my ($n, %more) = @_; return $gateway->post('/whisperer/events/', $token, { event_type => 'item', data => { n => $n }, %more }) }
sub delivery { my ($event) = @_; return $gateway->get("/whisperer/hook_events/$event->{json}{id}-$hook/", $token)->{json} }
sub at { my ($seconds, $form) = @_; return strftime($form // '%Y-%m-%dT%H:%M:%SZ', gmtime time + $seconds) }
sub numbers { return join ' ', map { $_->{body} =~ /"n": ?(\d+)/ } $receiver->requests('/ok') }

# --- later
my $in_an_hour = at(3600);
my $later = publish(1, deliver_at => $in_an_hour);
is($later->{status}, 201, 'an event for later is recorded');
is(publish(2, deliver_at => undef, expires_at => undef)->{status}, 201, 'null is no time');
wait_idle($node);
is(numbers(), '2', 'it is not sent before its time');
my $waits = delivery($later);
is_deeply([ @{$waits}{qw(state retry_count)}, substr($waits->{next_attempt_at}, 0, 19) ], [ 'pending', 0, substr $in_an_hour, 0, 19 ], 'but pending, with that time');
like($waits->{why}, qr/^waits for attempt 1 at /, 'as why says, too');
my $soon = time + 2;
my $event = publish(3, deliver_at => strftime('%Y-%m-%dT%H:%M:%S+02:00', gmtime $soon + 7200), expires_at => at(600));
wait_for('its time', sub { numbers() eq '2 3' });
cmp_ok(Whisperer::Receiver::header(($receiver->requests('/ok'))[1], 'webhook-timestamp'), '>=', $soon, 'whatever its zone, it is sent then, and not earlier');
publish(4, deliver_at => at(7200, '%Y-%m-%d %H:%M:%S'));
cmp_ok($node->safe_psql('postgres', q(SELECT extract(epoch FROM (meta->>'deliver_at')::timestamptz - now()) FROM whisperer.outbox WHERE data->>'n' = '4')), '>', 3600, 'without a zone it is UTC');

# --- not for ever
my $expired = publish(5, expires_at => at(-60));
is($expired->{status}, 201, 'what is past at once is recorded');
wait_for('its end', sub { (delivery($expired)->{state} // '') eq 'failed' });
is_deeply([ @{ delivery($expired) }{qw(error retry_count)} ], [ 'expired', 0 ], 'and has expired, without an attempt');
publish(6, expires_at => at(3600));
wait_for('what has not', sub { numbers() eq '2 3 6' });
pass('until then it is sent');

# --- refused
my $far = at(3600 * 24 * 365 * 20);
for ([ { deliver_at => $far }, 'deliver_at', 'deliver_at is beyond the retention' ], [ { deliver_at => at(60), expires_at => at(30) }, 'expires_at', 'expires_at is not after deliver_at' ],
    map { [ { deliver_at => $_ }, 'deliver_at' ], [ { expires_at => $_ }, 'expires_at' ] } 'tomorrow', '2024-02-30', 'infinity', '', 7, 'now()')
{
    my ($times, $field, $message) = @$_;
    my $answer = publish(7, %$times);
    is("$answer->{status} " . join(' ', keys %{ $answer->{json}{errors} // {} }), "400 $field", 'refused: ' . JSON::PP->new->canonical->encode($times));
    is($answer->{json}{errors}{$field}[0], $message // 'must be a time in ISO 8601, as in "2024-05-01T12:00:00Z"', 'with what is wrong');
    unlike($answer->{content}, qr/whisperer\./, 'in words');
}
$node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.payload_retention = '1 h'");
$node->reload;
my $beyond = wait_for('the shorter retention', sub { my $answer = publish(8, deliver_at => at(7200)); $answer->{status} == 400 && $answer });
is_deeply($beyond->{json}{errors}, { deliver_at => ['deliver_at is beyond the retention'] }, 'that of payloads counts, too');
like($beyond->{json}{hint}, qr/^An event is kept for 3600 s/, 'and how long it is is said');
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.outbox WHERE data->>'n' = '7'"), 0, 'nothing of that was recorded');

done_testing();
