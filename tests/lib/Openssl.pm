# Signatures of a recorded request, verified by the openssl command line: nothing of ours and nothing
# that the engine is built on but the same library's own tool.
package Openssl;

use strict;
use warnings;
use Encode qw(encode_utf8);
use Exporter 'import';
use IPC::Run ();
use MIME::Base64 qw(decode_base64 encode_base64);
use PostgreSQL::Test::Utils;
use Whisperer;

our @EXPORT = qw(verifies_v1 verifies_v1a verifies_body);

my $folder;

sub file {
    my ($name, $content) = @_;
    $folder //= PostgreSQL::Test::Utils::tempdir('openssl');
    open my $out, '>:raw', "$folder/$name" or die "cannot write $folder/$name: $!";
    print $out $content;
    close $out;
    return "$folder/$name";
}

sub body {
    my ($request) = @_;
    return defined $request->{body_base64} ? decode_base64($request->{body_base64}) : encode_utf8($request->{body});
}

sub signed {
    my ($request) = @_;
    return join '.', map({ Whisperer::Receiver::header($request, $_) } 'webhook-id', 'webhook-timestamp'), body($request);
}

# The signatures of one kind in webhook-signature, decoded.
sub signatures {
    my ($request, $kind) = @_;
    my $list = Whisperer::Receiver::header($request, 'webhook-signature') // '';
    return map { /^\Q$kind\E,(.+)$/ ? decode_base64($1) : () } split / /, $list;
}

sub hmac {
    my ($key, $message) = @_;
    my $digest;
    IPC::Run::run([ 'openssl', 'dgst', '-sha256', '-mac', 'HMAC', '-macopt', 'hexkey:' . unpack('H*', $key), '-binary',
        file('message', $message) ], '>', \$digest) or die 'openssl dgst failed';
    return $digest;
}

# Whether one of the v1 signatures is that of the secret.
sub verifies_v1 {
    my ($request, $secret) = @_;
    my $key = $secret =~ /^whsec_(.*)/ ? decode_base64($1) : $secret;
    my $expected = hmac($key, signed($request));
    return scalar grep { $_ eq $expected } signatures($request, 'v1');
}

# Whether X-Whisperer-Signature is that of the secret.
sub verifies_body {
    my ($request, $secret) = @_;
    my $given = Whisperer::Receiver::header($request, 'x-whisperer-signature') // '';
    return $given eq 'sha256=' . unpack('H*', hmac($secret, body($request)));
}

# Whether one of the v1a signatures verifies with the whpk_ key.
sub verifies_v1a {
    my ($request, $public_key) = @_;
    my ($base64) = $public_key =~ /^whpk_(.*)$/ or die "no public key: $public_key";
    # RFC 8410: what stands before the 32 bytes in a DER file.
    my $key = file('key.der', pack('H*', '302a300506032b6570032100') . decode_base64($base64));
    my $message = file('message', signed($request));
    for my $signature (signatures($request, 'v1a')) {
        my @command = ('openssl', 'pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-inkey', $key, '-rawin',
            '-in', $message, '-sigfile', file('signature', $signature));
        my $said;
        return 1 if IPC::Run::run(\@command, '>&', \$said);
    }
    return 0;
}

1;
