# What docs/operator.md says of setting up, done as it says: its statements, its service, and its nginx in front.
# Only addresses and files are other ones.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $page = slurp_file("$FindBin::Bin/../../docs/operator.md");
sub blocks { my ($language) = @_; return $page =~ /^```$language\n(.*?)^```/gms }
sub put_in { my ($text, %places) = @_; for my $from (keys %places) { $text =~ s/\Q$from\E/$places{$from}/ or die "no $from" } return $text }

# --- roles and a token -----------------------------------------------------------------------------------
my $node = new_node('operator');
my ($roles, $tokens) = blocks('sql');
$node->safe_psql('postgres', $roles);
is($node->safe_psql('postgres', "SELECT string_agg(setting, ' ' ORDER BY setting) FROM pg_db_role_setting s, unnest(s.setconfig) AS setting WHERE s.setrole = 'gateway'::regrole"),
    'log_parameter_max_length=0 log_parameter_max_length_on_error=0', 'what the gateway sends stays out of the log');
my ($create, $list) = split /(?<=;).*\n/, $tokens;
my $token = $node->safe_psql('postgres', $create);
like($token, qr/^\S{20,}$/, 'a token');
like($node->safe_psql('postgres', $list), qr/operator.*Ann, console/, 'is listed');

# --- the service -----------------------------------------------------------------------------------------
my ($unit) = blocks('ini');
SKIP: {
    skip 'there is no systemd-analyze', 1 if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
    my $folder = PostgreSQL::Test::Utils::tempdir('unit');
    append_to_file("$folder/whisperer-gateway.service", put_in($unit, '/usr/local/bin/whisperer-gateway' => $ENV{WHISPERER_GATEWAY}, 'User=gateway' => 'User=daemon'));
    IPC::Run::run([ 'systemd-analyze', 'verify', '--man=no', "$folder/whisperer-gateway.service" ], '>&', \my $said);
    unlike($said, qr/whisperer-gateway/, 'systemd finds nothing wrong with the service');
}
my %environment = $unit =~ /^Environment="?(\w+)=(.*?)"?$/gm;
$environment{WHISPERER_GATEWAY_DATABASE} = put_in($environment{WHISPERER_GATEWAY_DATABASE}, '/var/run/postgresql' => $node->host, 'dbname=shop' => 'dbname=postgres port=' . $node->port);
my $gateway = new_gateway($node, environment => \%environment);

# --- nginx -----------------------------------------------------------------------------------------------
my $folder = PostgreSQL::Test::Utils::tempdir('tls');
run_log([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hooks.example.com -addext subjectAltName=DNS:hooks.example.com),
    '-keyout', "$folder/key", '-out', "$folder/pem" ]) or die 'openssl failed';
my ($server) = blocks('nginx');
my $nginx = new_nginx('proxy', sub { put_in($server, '443' => "127.0.0.1:$_[0]", 'http://127.0.0.1:8080' => $gateway->url(''),
    '/etc/ssl/hooks.example.com.pem' => "$folder/pem", '/etc/ssl/private/hooks.example.com.key' => "$folder/key") });

# from: another address of this machine.
sub answer {
    my ($path, $with, $from) = @_;
    my $request = "GET $path HTTP/1.1\r\nHost: hooks.example.com\r\nAuthorization: Token $with\r\nConnection: close\r\n\r\n";
    IPC::Run::run([ qw(openssl s_client -quiet -verify_return_error -verify_hostname hooks.example.com -servername hooks.example.com -CAfile), "$folder/pem",
        '-connect', "127.0.0.1:$nginx->{port}", '-bind', ($from // '127.0.0.1') . ':0' ], '<', \$request, '>', \my $answer, '2>', \my $error);
    return $answer || $error;
}
like(answer('/whisperer/session/', $token), qr{^HTTP/1.1 200 .*^Strict-Transport-Security: .*"operator"}ms, 'the API is behind nginx');
like(answer('/console/', $token), qr{^HTTP/1.1 200 .*^Content-Security-Policy: .*<html}ims, 'and so is the console');
like(answer('/whisperer/session/', 'wrong', '127.0.0.2'), qr{^HTTP/1.1 401 }, 'a wrong token') for 1 .. 5;
like(answer('/whisperer/session/', 'wrong', '127.0.0.2'), qr{^HTTP/1.1 429 }, 'waits after some tries');
like(answer('/whisperer/session/', 'wrong', '127.0.0.3'), qr{^HTTP/1.1 401 }, 'for which no other client has to wait');

# --- when it does not work -------------------------------------------------------------------------------
sub logged { my ($detail) = @_; return scalar grep { ($_->{detail} // '') eq $detail } $gateway->log_lines }
my %said = (no_member => "is unknown or has ended, or its role is not granted to the gateway's role", no_usage => 'role no_usage lacks USAGE on schema whisperer');
like($page, qr/\Q@{[ $said{no_member} ]}\E/, 'the page knows what the log says');
like($page, qr/\Q@{[ $said{no_usage} =~ s{no_usage}{operator}r ]}\E/, 'of both mistakes');
$node->safe_psql('postgres', 'CREATE ROLE no_member; GRANT USAGE ON SCHEMA whisperer TO no_member; CREATE ROLE no_usage; GRANT no_usage TO gateway');
my %token = map { $_ => new_token($node, $_) } qw(no_member no_usage);
my ($id) = $token{no_member} =~ /^what_(\d+)_/;
is($gateway->get('/whisperer/hooks/', $token{no_member})->{status}, 401, 'a role that is not granted to the gateway');
is(logged("token $id $said{no_member}"), 1, 'is a line in its log');
my $forbidden = $gateway->get('/whisperer/hooks/', $token{no_usage});
is("$forbidden->{status} $forbidden->{json}{message}", '403 you may not do that', 'a role without USAGE');
is(logged($said{no_usage}), 1, 'is one, too');
$node->safe_psql('postgres', 'GRANT no_member TO gateway; GRANT USAGE ON SCHEMA whisperer TO no_usage');
is($gateway->get('/whisperer/hooks/', $_)->{status}, 200, 'and both work when that is mended') for values %token;
$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA whisperer TO no_usage; REVOKE no_usage FROM gateway');
is($gateway->get('/whisperer/hooks/', $token{no_usage})->{status}, 401, 'a role that was taken away');
is(scalar(grep { ($_->{detail} // '') =~ /^role no_usage: permission denied to set role/ } $gateway->log_lines), 1, 'is one, too');
my $long = '{"description": "' . 'x' x 1_100_000 . '"}';
my $request = "POST /whisperer/hooks/ HTTP/1.1\r\nHost: hooks.example.com\r\nAuthorization: Token $token\r\nContent-Type: application/json\r\nContent-Length: " . length($long) . "\r\nConnection: close\r\n\r\n$long";
IPC::Run::run([ qw(openssl s_client -quiet -connect), "127.0.0.1:$nginx->{port}" ], '<', \$request, '>', \my $refused, '2>', \my $ignored);
like($refused, qr{^HTTP/1.1 413 .*"body_too_large"}s, 'of a body that is too long one hears from the gateway');

done_testing();
