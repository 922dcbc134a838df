# TLS: a receiver whose certificate a known authority signed is spoken to, over HTTP/2 where both can; any other is a
# failed attempt with the reason, and nothing is sent to it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use version;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('tls');
sub openssl { run_log([ 'openssl', @_ ]) or die "openssl failed" }

# An authority of our own.  It signs what is asked of it: name, alternative name, days from today that the
# certificate begins and ends.
openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority), '-keyout', "$folder/ca.key", '-out', "$folder/ca.crt");
append_to_file("$folder/ca.conf", <<"CONF");
[ca]
default_ca = own
[own]
database = $folder/index
new_certs_dir = $folder
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
CONF
append_to_file("$folder/index", '');

sub moment {
    my ($days) = @_;
    my @at = gmtime(time + $days * 86400);
    return sprintf '%04d%02d%02d%02d%02d%02dZ', $at[5] + 1900, $at[4] + 1, @at[3, 2, 1, 0];
}

sub certificate {
    my ($name, $address, $from, $to) = @_;
    my ($key, $request, $file) = map { "$folder/$name.$_" } qw(key csr crt);
    openssl(qw(req -newkey rsa:2048 -nodes), '-subj', "/CN=$name", '-keyout', $key, '-out', $request, '-addext', "subjectAltName=$address");
    openssl(qw(ca -batch -notext), '-config', "$folder/ca.conf", '-cert', "$folder/ca.crt", '-keyfile', "$folder/ca.key",
        '-in', $request, '-out', $file, '-startdate', moment($from), '-enddate', moment($to));
    return [ $key, $file ];
}

my $good = certificate('good', 'IP:127.0.0.1', -1, 1);
openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=self), '-keyout', "$folder/self.key", '-out', "$folder/self.crt",
    '-addext', 'subjectAltName=IP:127.0.0.1');
my %receiver = (
    good => new_receiver('good', tls => $good),
    expired => new_receiver('expired', tls => certificate('expired', 'IP:127.0.0.1', -2, -1)),
    future => new_receiver('future', tls => certificate('future', 'IP:127.0.0.1', 1, 2)),
    wrong => new_receiver('wrong', tls => certificate('wrong', 'IP:127.0.0.2,DNS:other.example', -1, 1)),
    self => new_receiver('self', tls => [ "$folder/self.key", "$folder/self.crt" ]),
    old => new_receiver('old', tls => $good, options => [ '--tls-max', 'TLSv1.1' ]),
    plain => new_receiver('plain'),
);
$receiver{plain}{scheme} = 'https';
my $node = new_node('tls', extra => "whisperer.ca_file = '$folder/ca.crt'\nwhisperer.circuit_breaker = off\n");
sub sql { return $node->safe_psql('postgres', shift) }

sub error_at {
    my ($name) = @_;
    return sql("SELECT coalesce(d.error, d.state) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id "
            . "WHERE h.target_url LIKE '%/$name' ORDER BY d.event_id DESC LIMIT 1");
}

sql("SELECT whisperer.register_event('e')");
my $once = q('{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
for my $name (sort keys %receiver) {
    my $url = $receiver{$name}->url("/ok/$name");
    sql("SELECT whisperer.create_hook('e', '$url', secret_key => 'secret', retry_countdown_config => $once)");
}
sql("SELECT whisperer.deliver_event('e', json_build_object('n', g)) FROM generate_series(1, 20) g");
wait_idle($node);

my @requests = $receiver{good}->requests;
is(scalar @requests, 20, 'a certificate of a known authority is accepted');
# An older libcurl loses answers that come before it has sent the body.
my ($libcurl) = sql('SELECT http FROM whisperer.status') =~ /\(libcurl ([\d.]+)/;
my $is_fit = version->parse("v$libcurl") >= version->parse('v8.14.1');
my $spoken = $is_fit ? '2.0' : '1.1';
is(scalar(grep { $_->{version} eq $spoken } @requests), 20, "HTTP/$spoken is spoken with libcurl $libcurl");
my $says = $is_fit ? qr/^HTTP\/1\.1 and HTTP\/2 \(libcurl \S+\)$/ : qr/^HTTP\/1\.1 \(libcurl \S+ loses early answers over HTTP\/2\)$/;
like(sql('SELECT http FROM whisperer.status'), $says, 'and status says so');
my $verify = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/verify.mjs}r;
command_ok([ 'node', $verify, $receiver{good}{log}, 'secret' ], 'signatures verify');

# --- kept connections -------------------------------------------------------------------------------------
my $kept = new_receiver('kept', tls => $good, options => [ '--http1', '--tls-options', '{"keepAliveTimeout": 60000}' ]);
sql("SELECT whisperer.register_event('k'); SELECT whisperer.create_hook('k', '" . $kept->url('/ok/kept') . "')");
for (1 .. 5) {
    sql("SELECT whisperer.deliver_event('k', '{}')");
    wait_idle($node);
}
my %ports = map { $_->{port} => 1 } $kept->requests;
is(scalar(keys %ports), 1, 'one connection is enough for one request after the other');

# Newer versions of libcurl say a little more.
my %reason = (
    expired => qr/^TLS failure: .*certificate has expired( \(10\))?$/,
    future => qr/^TLS failure: .*certificate is not yet valid( or the system clock is incorrect \(9\))?$/,
    wrong => qr/^TLS failure: .*subject name .*127\.0\.0\.1/,
    self => qr/^TLS failure: .*self-signed certificate( \(18\))?$/,
    old => qr/^TLS failure: .*protocol version$/,
    plain => qr/^TLS failure: (connection closed during the handshake|wrong version number)$/,
);
for my $name (sort keys %reason) {
    my $error = sql("SELECT DISTINCT d.error FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id "
            . "WHERE h.target_url LIKE '%/$name'");
    like($error, $reason{$name}, "$name: the ledger says why");
    unlike($error, qr/error:|::|SSL_/, "$name: in words");
    is(scalar(() = $receiver{$name}->requests), 0, "$name: nothing is sent");
}

# --- key exchange -----------------------------------------------------------------------------------------
# Finite fields of an ordinary size: their suites and groups are what is refused.
openssl(qw(genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048), '-out', "$folder/dh.pem");
my %exchange = (
    fields12 => { maxVersion => 'TLSv1.2', ciphers => 'DHE-RSA-AES128-GCM-SHA256', dhparam => slurp_file("$folder/dh.pem") },
    rsa12 => { maxVersion => 'TLSv1.2', ciphers => 'AES128-GCM-SHA256' },
    curves12 => { maxVersion => 'TLSv1.2', ciphers => 'ECDHE-RSA-AES128-GCM-SHA256', ecdhCurve => 'secp521r1' },
    fields13 => { minVersion => 'TLSv1.3', ecdhCurve => 'ffdhe2048' },
    curves13 => { minVersion => 'TLSv1.3', ecdhCurve => 'P-384' },
);
sql("SELECT whisperer.register_event('x')");
for my $name (sort keys %exchange) {
    $receiver{$name} = new_receiver($name, tls => $good, options => [ '--tls-options', JSON::PP::encode_json($exchange{$name}) ]);
    sql("SELECT whisperer.create_hook('x', '" . $receiver{$name}->url("/ok/$name") . "', retry_countdown_config => $once)");
}
sql(q(SELECT whisperer.deliver_event('x', '{}')));
wait_idle($node);
is(error_at($_), 'delivered', "$_: a curve is spoken") for qw(curves12 curves13);
like(error_at($_), qr/^TLS failure: .*(handshake failure|internal error|illegal parameter)$/, "$_: nothing else is") for qw(fields12 fields13 rsa12);
sql('ALTER SYSTEM SET whisperer.tls_key_exchange = unrestricted');
$node->reload;
wait_for('the setting', sub {
    sql(q(SELECT whisperer.deliver_event('x', '{}')));
    wait_idle($node);
    return error_at('fields12') eq 'delivered';
});
is(error_at($_), 'delivered', "$_: unless the setting says so") for sort keys %exchange;
sql('ALTER SYSTEM RESET whisperer.tls_key_exchange');
$node->reload;

# --- ca_file -------------------------------------------------------------------------------------------
sub deliver_with {
    my ($file, $expected) = @_;
    sql("ALTER SYSTEM SET whisperer.ca_file = '$file'");
    $node->reload;
    wait_for("ca_file $file", sub {
        sql(q(SELECT whisperer.deliver_event('e', '{}')));
        wait_idle($node);
        return error_at('good') =~ $expected;
    });
    return error_at('good');
}
append_to_file("$folder/empty.crt", "no certificate\n");
my $unusable = qr/^TLS failure: error (setting certificate file|adding trust anchors from file): \Q$folder\E/;
like(deliver_with("$folder/missing.crt", qr/missing/), qr/$unusable\/missing\.crt$/,
    'a ca_file that is not there is named');
like(deliver_with("$folder/empty.crt", qr/empty/), qr/$unusable\/empty\.crt$/,
    'so is one that holds no certificate');
like(deliver_with('', qr/unable|self/), qr/^TLS failure: .*certificate/, 'without it the authority is not known');
is(deliver_with("$folder/ca.crt", qr/^delivered/), 'delivered', 'and with it again it is');

done_testing();
