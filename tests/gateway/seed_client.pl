# A client that was written against the library whose place whisperer takes (seed_client.py), used as its users do
# (seed_user.py): each of its calls on a real gateway, and what the receiver got of it.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
use JSON::PP ();
use Openssl;
use Test::More;
use Whisperer;

plan skip_all => 'python3-requests is missing' if system("python3 -c 'import requests' 2>/dev/null") != 0;

my $node = new_node('seed_client');
my $receiver = new_receiver('seed_client');
$node->safe_psql('postgres', "SELECT whisperer.register_event('$_')") for qw(package-created order-paid);
my $token = new_role($node, 'subscriber', 'package-created', 'order-paid');
my $gateway = new_gateway($node);

local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
my ($out, $error) = ('', '');
my $ended = IPC::Run::run([ 'python3', "$FindBin::Bin/seed_user.py", $gateway->url(''), $token, $receiver->url(''), $node->connstr('postgres') ], \undef, \$out, \$error);
for (split /\n/, $out) {
    if (/^(not )?ok - (.*)/) { ok(!$1, $2) }
    else { diag($_) }
}
ok($ended, 'the client came to its end') or diag($error);
cmp_ok(scalar(() = $out =~ /^ok /mg), '>=', 60, 'with all that it has to check');

my ($got) = $receiver->requests('/ok/A');
is(Whisperer::Receiver::header($got, 'X-Whisperer-Event'), 'package-created', 'the receiver got the event, named in a header');
is(Whisperer::Receiver::header($got, 'X-Tenant'), '7', 'with the headers of its hook');
ok(verifies_body($got, 'secret'), 'signed with its secret');
my $body = JSON::PP::decode_json($got->{body});
is_deeply([ $body->{event}{type}, $body->{payload} ], [ 'package-created', { id => 61, order_number => '248398923123' } ], 'and a payload, as the library has it');
is(scalar(grep { Whisperer::Receiver::header($_, 'X-Whisperer-Signature') } $receiver->requests('/ok/mended')), 0, 'without a secret nothing is signed');

done_testing();
