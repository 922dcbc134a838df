# A subscriber with two snippets of Python's requests (seed.py): subscribes, gets an event, cancels.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
use JSON::PP ();
use Test::More;
use Whisperer;

plan skip_all => 'python3-requests is missing' if system("python3 -c 'import requests' 2>/dev/null") != 0;

my $node = new_node('api_seed');
my $receiver = new_receiver('api_seed');
$node->safe_psql('postgres', "SELECT whisperer.register_event('package-created')");
my $token = new_role($node, 'subscriber', 'package-created');
my $gateway = new_gateway($node);

my ($in, $out, $error) = ('', '', '');
my $python = IPC::Run::start([ 'python3', "$FindBin::Bin/seed.py", $gateway->url(''), $token, $receiver->url('/ok/seed') ], \$in, \$out, \$error);
my $subscribed = wait_for('the subscription', sub { $python->pump_nb; die $error if $error; $out =~ /\n.*\n/ && $out });
is($subscribed, '201 package-created ' . $receiver->url('/ok/seed') . "\n406 duplicate\n", 'the POST subscribes, once');

my $data = '{"id": 61, "transfer_id": 49, "order_number": "248398923123"}';
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('package-created', '$data')");
wait_idle($node);
my ($got) = $receiver->requests('/ok/seed');
my $body = JSON::PP::decode_json($got->{body});
is(Whisperer::Receiver::header($got, 'X-Whisperer-Event'), 'package-created', 'the event arrives, named in a header');
is_deeply([ $body->{event}{type}, $body->{data} ], [ 'package-created', JSON::PP::decode_json($data) ], 'and in the body, with its data');
like($body->{event}{uuid}, qr/^[0-9a-f]{32}$/, 'and an id');

$in .= "\n";
$python->finish;
is($out, "${subscribed}204 ''\n", 'the DELETE cancels');
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('package-created', '$data')");
wait_idle($node);
is(scalar($receiver->requests('/ok/seed')), 1, 'and nothing more arrives');

done_testing();
