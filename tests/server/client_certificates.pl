# Receivers that want a client certificate: each hook shows its own, on connections of its own.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('certificates');
sub openssl {
    run_log([ 'openssl', @_ ]) or die 'openssl failed';
}
openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=authority', '-keyout', "$folder/ca.key", '-out', "$folder/ca.crt");

# Signed by the authority.
sub certificate {
    my ($name) = @_;
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name", '-keyout', "$folder/$name.key", '-out', "$folder/$name.csr");
    append_to_file("$folder/$name.ext", "subjectAltName=IP:127.0.0.1\n");
    openssl('x509', '-req', '-in', "$folder/$name.csr", '-CA', "$folder/ca.crt", '-CAkey', "$folder/ca.key", '-CAcreateserial',
        '-days', '2', '-extfile', "$folder/$name.ext", '-out', "$folder/$name.crt");
}
certificate($_) for qw(server ann bob);

my $node = new_node('certificates', extra => "whisperer.ca_file = '$folder/ca.crt'\n");
my $receiver = new_receiver('certificates', tls => [ "$folder/server.key", "$folder/server.crt" ], client_ca => "$folder/ca.crt");
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");

sub identity {
    my ($name, $more) = @_;
    return JSON::PP::encode_json({
        auth => {
            client_certificate => slurp_file("$folder/$name.crt"),
            client_key => slurp_file("$folder/$name.key"),
            %{ $more // {} },
        } });
}

sub hook {
    my ($path, $config) = @_;
    return $node->safe_psql('postgres', "SELECT whisperer.create_hook('e', '" . $receiver->url($path) . "', config => '$config')");
}

# To these hooks, which may take a while: of a handshake that is longer than park_after wait_idle does not wait for the result.
sub deliver {
    my ($hooks) = @_;
    $node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', json_build_object('n', g)) FROM generate_series(1, 40) g");
    wait_idle($node);
    wait_for('what is under way', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE hook_id IN ($hooks) AND state = 'pending'") == 0 });
}

# Whose certificates came with the requests for a path.
sub clients {
    my ($path) = @_;
    my %seen = map { ($_->{client} // 'nobody') => 1 } $receiver->requests($path);
    return join ' ', sort keys %seen;
}

my $ann = hook('/ok/ann', identity('ann'));
my $bob = hook('/auth/bearer/t', identity('bob', { type => 'bearer', token => 't' }));
my $nobody = hook('/ok/nobody', '{}');
deliver("$ann, $bob") for 1 .. 3;
is(clients('/ok/ann'), 'ann', 'a hook shows its own certificate');
is(clients('/auth/bearer/t'), 'bob', 'and so does another at the same server, beside a token');
is(scalar(() = $receiver->requests('/ok/ann')), 120, 'every event has arrived');
is($node->safe_psql('postgres', "SELECT DISTINCT state FROM whisperer.delivery WHERE hook_id = $bob"), 'delivered', 'with both credentials');
is(scalar(() = $receiver->requests('/ok/nobody')), 0, 'a hook without one borrows no connection');
like($node->safe_psql('postgres', "SELECT DISTINCT error FROM whisperer.delivery WHERE hook_id = $nobody AND retry_count = 1"),
    qr/^TLS failure: .*certificate required/, 'and the ledger says what is missing');
is($node->safe_psql('postgres', "SELECT config FROM whisperer.hook WHERE id = $bob"),
    '{"auth": {"type": "bearer", "client_certificate": "***"}}', 'the config shows that there is one');

# Another certificate in place of the first, at the same address.
$node->safe_psql('postgres', "SELECT whisperer.update_hook($ann, jsonb_build_object('config', '" . identity('bob') . "'::jsonb))");
deliver("$ann, $bob");
my @anns = map { $_->{client} } $receiver->requests('/ok/ann');
is(scalar(grep { $_ eq 'bob' } @anns[120 .. $#anns]), 40, 'a new certificate is used from the next request on');
$node->safe_psql('postgres', "SELECT whisperer.update_hook($ann, '{\"config\": {}}')");
deliver($bob);
is(scalar(() = $receiver->requests('/ok/ann')), 160, 'and one that was taken away no more');

# What could never work is refused when it is written.
openssl('pkey', '-in', "$folder/ann.key", '-aes256', '-passout', 'pass:x', '-out', "$folder/locked.key");
sub refusal {
    my ($certificate, $key) = @_;
    my $config = JSON::PP::encode_json({ auth => { client_certificate => slurp_file("$folder/$certificate"), client_key => slurp_file("$folder/$key") } });
    my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n\\set VERBOSITY verbose\nSELECT whisperer.update_hook($ann, jsonb_build_object('config', '$config'::jsonb))");
    return $error;
}
like(refusal('ann.crt', 'bob.key'), qr/22023: config\.auth key "client_key" does not belong to client_certificate.*HINT:/s, 'a key of another certificate');
like(refusal('ann.crt', 'locked.key'), qr/22023: config\.auth key "client_key" has a passphrase.*HINT:/s, 'a key with a passphrase');


# The worker's only thread signs with it.
sub self_signed {
    my ($name, @kind) = @_;
    openssl('req', '-x509', '-newkey', @kind, '-nodes', '-days', '2', '-subj', "/CN=$name", '-keyout', "$folder/$name.key", '-out', "$folder/$name.crt");
    return refusal("$name.crt", "$name.key");
}
my $unusual = qr/22023: config\.auth key "client_key" is of a kind or size that is not taken.*HINT:.*4096/s;
is(self_signed('rsa4096', 'rsa:4096'), '', 'RSA of 4096 bits is taken');
like(self_signed('rsa4104', 'rsa:4104'), $unusual, 'of a byte more it is not');
is(self_signed($_, 'ec', '-pkeyopt', "ec_paramgen_curve:$_"), '', "$_ is taken") for qw(P-256 P-384 P-521);
like(self_signed($_, 'ec', '-pkeyopt', "ec_paramgen_curve:$_"), $unusual, "$_ is not") for qw(secp256k1 brainpoolP512r1);
is(self_signed($_, $_), '', "$_ is taken") for qw(ed25519 ed448);

# What an older version let in waits, and says why.
my $config = JSON::PP::encode_json({ client_certificate => slurp_file("$folder/rsa4104.crt"), client_key => slurp_file("$folder/rsa4104.key") });
$node->safe_psql('postgres', "SET session_replication_role = replica; UPDATE whisperer.secret SET auth = '$config' WHERE hook_id = $bob");
$node->safe_psql('postgres', "SELECT whisperer.update_hook($bob, '{\"description\": \"look again\"}')");
wait_for('the log to say so', sub { slurp_file($node->logfile) =~ /hook $bob cannot be served, its deliveries wait: config\.auth key "client_key" is of a kind or size/ });
pass('a hook that has one already is not served');

done_testing();
