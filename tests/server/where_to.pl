# Where the worker may connect: whatever a URL, a name server, a redirect or the server's environment says,
# nothing reaches an address that the settings do not allow.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

# The environment of a server that somebody set up carelessly; the worker inherits all of it.
my $home = PostgreSQL::Test::Utils::tempdir('home');
append_to_file("$home/.netrc", "default login netrc-user password netrc-password\n");
chmod 0600, "$home/.netrc";
my ($nss_wrapper) = glob '/usr/lib/*/libnss_wrapper.so';
my $hosts = "$home/hosts";
append_to_file($hosts, "127.0.0.1 rebound.example\n127.0.0.2 moving.example\n");
my $proxy = new_receiver('proxy');
my $node;
{
    my $environment_proxy = $proxy->url('');
    local %ENV = (%ENV, HOME => $home, map { $_ => $environment_proxy } qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY));
    local @ENV{qw(LD_PRELOAD NSS_WRAPPER_HOSTS)} = ('libnss_wrapper.so', $hosts) if $nss_wrapper;
    $node = new_node('where_to', extra => "whisperer.allowed_networks = ''\n");
}
my $inside = new_receiver('inside');
my $port = $inside->{port};

sub sql { return $node->safe_psql('postgres', shift) }
sub record { return sql("SELECT whisperer.deliver_event('$_[0]', '{}')") }
sub arrived { return scalar(() = $inside->requests($_[0])) }

sub allow {
    my ($networks) = @_;
    sql("ALTER SYSTEM SET whisperer.allowed_networks = '$networks'");
    $node->reload;
}

# One attempt, no more.
sub hook {
    my ($type, $url) = @_;
    return sql(qq(SELECT whisperer.register_event('$type'); SELECT whisperer.create_hook('$type', '$url', retry_countdown_config =>
        '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}'))) =~ s/^\s+//r;
}

# As an older version let it in, or another setting.
sub older_hook {
    my ($type, $url) = @_;
    return sql(qq(SELECT whisperer.register_event('$type'); SET session_replication_role = replica;
        INSERT INTO whisperer.hook_definition (owner, owner_name, event_type, target_url, retry_countdown_config, since)
        VALUES ('postgres'::regrole, 'postgres', '$type', '$url', '{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}', pg_current_snapshot()) RETURNING id));
}

sub errors_of {
    my ($hook) = @_;
    return sql("SELECT coalesce(error, state) FROM whisperer.delivery WHERE hook_id = $hook ORDER BY event_id");
}

# --- the forms in which a loopback address can be written ----------------------------------------------
my @forms = qw(127.0.0.1 2130706433 017700000001 0x7f000001 0177.0.0.1 0x7f.1 0X7F.0.0.0x1 127.1 127.0.1 127.255.255.254 0.0.0.0 0
    %31%32%37.0.0.1 127.0.0.1. localhost LOCALHOST localhost. [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::FFFF:7f00:1]
    [::127.0.0.1] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b:1::127.0.0.1] [2002:7f00:1::] [2001:0:7f00:1::1]
    [fe80::1%25lo] [fd00::1] 169.254.169.254 10.0.0.1 100.64.0.1 192.168.0.1 172.16.0.1 224.0.0.1 255.255.255.255);
my @refused = ('user@127.0.0.1', 'good.example@127.0.0.1', "\x{ff11}\x{ff12}\x{ff17}.0.0.1", "127\x{3002}0.0.1",
    '%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1', '127.0.0.1%00.example', '127.0.0.1\\@good.example', '[127.0.0.1]', '127.0.0.1#.example');
my %hook;
for my $number (0 .. $#forms) {
    my ($hook) = older_hook("form-$number", "http://$forms[$number]:$port/ok/form") =~ /(\d+)$/;
    $hook{ $forms[$number] } = $hook;
    record("form-$number");
}
for my $host (@refused) {
    utf8::encode(my $bytes = $host);
    my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT whisperer.create_hook('form-0', 'http://$bytes:$port/')");
    like($error, qr/ERROR:  22023: URL /, 'refused when it is written: ' . $bytes);
}
wait_idle($node);
for my $form (@forms) {
    like(errors_of($hook{$form}), qr/^(address ([0-9a-f.:]+) is not allowed \(whisperer\.allowed_networks does not name \[?\2\]?:$port\)|could not resolve host \S+)$/, "refused when it would be sent: $form");
}
is(arrived(), 0, 'nothing arrived in any of these forms');
for my $form (@forms) {
    my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT whisperer.create_hook('form-0', 'http://$form:$port/new')");
    my $is_known = errors_of($hook{$form}) =~ /^address/ || $form =~ /^localhost/i;
    $is_known ? like($error, qr/ERROR:  22023: address .* is not allowed.*HINT:  If it is to be reached: ALTER SYSTEM SET whisperer\.allowed_networks = '\S+:$port'; SELECT pg_reload_conf\(\);/s, "$form is refused when it is written")
        : is($error, '', "$form may be written");
}

allow("[::1]:$port");
wait_for('localhost to be let through', sub { ($node->psql('postgres', "SELECT whisperer.create_hook('form-0', 'http://localhost:$port/six')", on_error_stop => 1))[0] == 0 });
pass('localhost may be written when one of its addresses is allowed');
allow('');

# --- names ---------------------------------------------------------------------------------------------
SKIP: {
    skip 'names that change their address: libnss-wrapper is not installed', 5 unless $nss_wrapper;
    my ($rebound) = hook('rebound', "http://rebound.example:$port/ok/rebound") =~ /(\d+)$/;
    record('rebound');
    wait_idle($node);
    is(errors_of($rebound), "address 127.0.0.1 is not allowed (whisperer.allowed_networks does not name 127.0.0.1:$port)", 'a name is decided by its address');
    is(arrived('/ok/rebound'), 0, 'and nothing is sent there');
    allow("127.0.0.1/32:$port");
    wait_for('the first request', sub { record('rebound'); wait_idle($node); arrived('/ok/rebound') });
    allow('');
    wait_for('the setting to take hold', sub { record('rebound'); wait_idle($node); errors_of($rebound) =~ /not allowed \([^)]*\)$/ });
    my $taken = arrived('/ok/rebound');
    record('rebound') for 1 .. 3;
    wait_idle($node);
    is(arrived('/ok/rebound'), $taken, 'a connection that is still open is not used when its address is no longer allowed');

    # Allowed as long as it is 127.0.0.2, where the receiver does not listen; then it moves.
    allow('127.0.0.2/32');
    my ($moving) = hook('moving', "http://moving.example:$port/ok/moving") =~ /(\d+)$/;
    wait_for('the setting', sub { record('moving'); wait_idle($node); errors_of($moving) =~ /could not connect: connection refused$/ });
    my $moved = PostgreSQL::Test::Utils::slurp_file($hosts) =~ s/127\.0\.0\.2 moving/127.0.0.1 moving/r;
    unlink $hosts;
    append_to_file($hosts, $moved);
    sql('SELECT pg_terminate_backend(' . worker_pid($node) . ')');    # and with it what it remembers of names
    wait_for('the new address', sub { record('moving'); wait_idle($node); errors_of($moving) =~ /address 127.0.0.1 is not allowed \([^)]*\)$/ });
    pass('a name that moves to another address is decided anew');
    is(arrived('/ok/moving'), 0, 'and nothing is sent there');
}

# --- the same with a literal address, and what the environment offers -----------------------------------
my $outside = new_receiver('outside');
allow("127.0.0.1/32:$outside->{port}");
my $base = $outside->url('');
my ($cookie) = hook('cookie', "$base/cookie") =~ /(\d+)$/;
wait_for('a delivery', sub { record('cookie'); wait_idle($node); () = $outside->requests('/cookie') });
record('cookie') for 1 .. 5;
wait_idle($node);
my @requests = $outside->requests('/cookie');
cmp_ok(scalar @requests, '>=', 6, 'an allowed receiver gets its events');
is(scalar(grep { defined Whisperer::Receiver::header($_, 'cookie') } @requests), 0, 'a cookie that it sets is not sent back');
is(scalar(grep { defined Whisperer::Receiver::header($_, 'authorization') } @requests), 0, 'nor a password of .netrc');
is(scalar(() = $proxy->requests), 0, 'nor is a proxy of the environment used');

for my $status (301, 302, 303, 307, 308) {
    my ($redirected) = hook("redirect-$status", "$base/redirect/$port/$status") =~ /(\d+)$/;
    record("redirect-$status");
    wait_idle($node);
    is(errors_of($redirected), "redirect refused: $status to http://127.0.0.1:$port/ok", "a redirect with $status is not followed");
}
is(arrived('/ok'), 0, 'and nothing is sent there');

allow('');
wait_for('the setting to take hold', sub { record('cookie'); wait_idle($node); errors_of($cookie) =~ /not allowed \([^)]*\)$/ });
my $taken = () = $outside->requests('/cookie');
record('cookie') for 1 .. 3;
wait_idle($node);
is(scalar(() = $outside->requests('/cookie')), $taken, 'a kept connection to a literal address is not used either');

# --- what its hint says is what helps ---------------------------------------------------------------------
my $local = new_receiver('local');
my ($first) = older_hook('first', $local->url('/ok/first')) =~ /(\d+)/;
sql(qq(UPDATE whisperer.hook SET retry_countdown_config = '{"choice": "fixed", "kwargs": {"seconds": 3600}}' WHERE id = $first));
record('first') for 1 .. 12;
wait_for('all to be refused', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $first AND state = 'pending' AND error IS NOT NULL") == 12 });
my $said = "whisperer: hook $first: address 127\\.0\\.0\\.1 is not allowed \\(whisperer\\.allowed_networks does not name 127\\.0\\.0\\.1:$local->{port}\\)";
is(scalar(() = slurp_file($node->logfile) =~ /$said/g), 1, 'the log says it once');
like(sql("SELECT whisperer.why(event_id, hook_id) FROM whisperer.delivery WHERE hook_id = $first AND retry_count > 0 LIMIT 1"),
    qr/address 127\.0\.0\.1 is not allowed \(whisperer\.allowed_networks does not name 127\.0\.0\.1:$local->{port}\)/, 'so does why');
(undef, undef, my $hint) = $node->psql('postgres', "SELECT whisperer.create_hook('first', '" . $local->url('/ok/another') . "')");
sql($_) for ($hint =~ /HINT:  If it is to be reached: (.*?); (SELECT .*?);/);
wait_for('what waited, an hour and a circuit', sub { 12 == (() = $local->requests('/ok/first')) });
pass('what waited for the setting is due when it changes');
my $allowed = sql('SHOW whisperer.allowed_networks');
sql("ALTER SYSTEM SET whisperer.allowed_networks = '10.0.0.0/8'");
$node->restart;
record('first') for 1 .. 12;
wait_for('all to be refused again', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $first AND state = 'pending' AND error IS NOT NULL") == 12 });
sql("UPDATE whisperer.delivery SET error = 'worded otherwise' WHERE hook_id = $first AND state = 'pending'");
sql("ALTER SYSTEM SET whisperer.allowed_networks = '$allowed'");
$node->restart;
wait_for('what waited', sub { 24 == (() = $local->requests('/ok/first')) });
pass('and when the server is started with another one, however its error is worded');
like(sql("SELECT whisperer.create_hook('first', '" . $local->url('/ok/another') . "')"), qr/^\d+$/, 'and the hook can be made');
(undef, undef, $hint) = $node->psql('postgres', "SELECT whisperer.create_hook('first', 'http://[::1]:$local->{port}/')");
like($hint, qr/HINT:  If it is to be reached, add \[::1\]:$local->{port} to whisperer\.allowed_networks and reload the settings\./, 'where others are allowed already it is added');
(undef, undef, $hint) = $node->psql('postgres', qq(SELECT whisperer.update_hook($first, '{"config": {"auth": {"type": "token", "url": "http://10.1.2.3/", "username": "u", "password": "p"}}}')));
like($hint, qr/address 10\.1\.2\.3 is not allowed/, 'the address of a token is looked at, too');

done_testing();
