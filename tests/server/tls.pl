# TLS: a receiver whose certificate a known authority signed is spoken to, over HTTP/2 where it offers
# that; any other is a failed attempt with the reason.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('tls');
my @openssl = ('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test');
sub certificate {
    my ($name, $address) = @_;
    run_log([ @openssl, '-keyout', "$folder/$name.key", '-out', "$folder/$name.crt", '-addext', "subjectAltName=IP:$address" ])
        or die "openssl failed";
    return [ "$folder/$name.key", "$folder/$name.crt" ];
}

my $right = certificate('right', '127.0.0.1');
my $node = new_node('tls', extra => "whisperer.ca_file = '$right->[1]'\n");
my %receiver = (
    known => new_receiver('known', tls => $right),
    unknown => new_receiver('unknown', tls => certificate('unknown', '127.0.0.1')),
);
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
$node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '" . $receiver{$_}->url("/ok/$_") . "', secret_key => 'secret')")
    for qw(known unknown);
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', json_build_object('n', g)) FROM generate_series(1, 20) g");
wait_idle($node);

my @requests = $receiver{known}->requests;
is(scalar @requests, 20, 'a certificate of a known authority is accepted');
is(scalar(grep { $_->{version} eq '2.0' } @requests), 20, 'and HTTP/2 is spoken');
is(scalar(() = $receiver{unknown}->requests), 0, 'a receiver with an unknown certificate gets nothing');
like($node->safe_psql('postgres', "SELECT DISTINCT error FROM whisperer.delivery WHERE state = 'pending' AND retry_count = 1"),
    qr/^TLS failure: .*certificate/, 'and the ledger says why');

my $verify = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/verify.mjs}r;
command_ok([ 'node', $verify, $receiver{known}{log}, 'secret' ], 'signatures verify over HTTP/2');

done_testing();
