# A mixed load on the gateway for a long time, while a synchronous standby comes and goes, a receiver hangs,
# clients do not read their answers and the log stands still: memory, descriptors, threads and sessions at the
# database stay within their bounds, and /healthz answers all the time.
#
# WHISPERER_GATEWAY_SOAK_S: how long; an hour unless it is said.
use strict;
use warnings;
use Fcntl qw(O_NONBLOCK O_RDWR);
use FindBin ();
use lib "$FindBin::Bin/../gateway";
use Faults;
use Gateway;
use IO::Socket::INET ();
use List::Util qw(max);
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_RCVBUF inet_aton pack_sockaddr_in);
use Test::More;
use Time::HiRes qw(sleep time);
use Whisperer;

local $SIG{PIPE} = 'IGNORE';
my $seconds = $ENV{WHISPERER_GATEWAY_SOAK_S} // 3600;
my $pool = 4;
my $node = new_node('gateway_soak', init => { allows_streaming => 1 }, extra => "whisperer.max_payload = '32MB'\n");
my $receiver = new_receiver('gateway_soak');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'reader', 'e');
my $folder = PostgreSQL::Test::Utils::tempdir('gateway_soak');
mkfifo("$folder/log", 0600) or die "mkfifo: $!";
sysopen my $log, "$folder/log", O_RDWR | O_NONBLOCK or die "open: $!";
my $gateway = new_gateway($node, shell => "exec 2>$folder/log", options => [ '--pool', $pool, '--trusted-proxies', '127.0.0.1' ]);
my $hanging = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/hang') })->{json}{id};
my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('e', json_build_object('text', repeat(md5('x'), 600000)))::text, '-', '')));
my $large = "/whisperer/hook_events/$event-$hanging/payload/";
wait_for('a delivery', sub { $gateway->request('HEAD', $large, token => $token)->{status} == 200 });

# --- who asks -----------------------------------------------------------------------------------
# Each in a process of its own, until it is ended.  What it gets does not matter, but that it goes on.
my @children;
sub start_clients {
    my ($count, $work) = @_;
    for my $number (1 .. $count) {
        my $child = fork // die "cannot fork: $!";
        if ($child) { push @children, $child; next }
        $SIG{TERM} = sub { POSIX::_exit(0) };
        $gateway->{spec} = undef;
        while (1) { eval { $work->($number) }; sleep 0.02 }
    }
}
sub answer { my ($request, $from) = @_; return $gateway->raw("$request HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: $from\r\nAuthorization: Token $token\r\nConnection: close\r\n" . ($request =~ /^POST/ ? "Content-Length: 0\r\n\r\n" : "\r\n")) }
start_clients(4, sub { answer("GET /whisperer/hooks/?limit=200", "192.0.2.$_[0]") });
start_clients(1, sub { answer('GET /whisperer/openapi.json', '192.0.2.9') });
start_clients(6, sub { answer("POST /whisperer/hooks/$hanging/ping/", "198.51.100.$_[0]") });
start_clients(2, sub {
    my ($number) = @_;
    my $made = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => "http://127.0.0.1:9/$number/" . time });
    $gateway->request('DELETE', "/whisperer/hooks/$made->{json}{id}/", token => $token) if $made->{status} == 201;
});
my @deaf;
start_clients(1, sub {
    my $socket = IO::Socket::INET->new(Proto => 'tcp');
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096;
    CORE::connect($socket, pack_sockaddr_in($gateway->{port}, inet_aton('127.0.0.1'))) or return;
    syswrite $socket, "GET $large HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113." . int(rand 250) . "\r\nAuthorization: Token $token\r\n\r\n";
    push @deaf, $socket;
    shift @deaf if @deaf > 60;
    sleep 0.5;
});

# --- what goes wrong meanwhile ------------------------------------------------------------------
sub of_gateway { return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway'") }
sub sample {
    my $process = "/proc/$gateway->{pid}";
    my ($rss) = slurp_file("$process/status") =~ /^VmRSS:\s+(\d+)/m;
    my ($threads) = slurp_file("$process/status") =~ /^Threads:\s+(\d+)/m;
    return { rss_kb => $rss, threads => $threads, descriptors => scalar(() = glob "$process/fd/*"), sessions => of_gateway() };
}
my ($is_away, $is_stalled) = (0, 0);
my (@samples, $healthy, $unwell);
my $end = time + $seconds;
my ($standby_at, $log_at) = (time, time);
while (time < $end) {
    if (time >= $standby_at) {
        $is_away = !$is_away;
        $node->safe_psql('postgres', $_) for $is_away ? "ALTER SYSTEM SET synchronous_standby_names = 'nobody'" : 'ALTER SYSTEM RESET synchronous_standby_names', 'SELECT pg_reload_conf()';
        $standby_at = time + ($is_away ? 45 : 30);
    }
    if (time >= $log_at) { $is_stalled = !$is_stalled; $log_at = time + 40 }
    if (!$is_stalled) { while (sysread $log, my $text, 1 << 20) { } }
    my $begun = time;
    $gateway->raw("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") =~ /"ok"/ ? $healthy++ : $unwell++;
    push @samples, { %{ sample() }, healthz_ms => int 1000 * (time - $begun) };
    sleep 0.5;
}
$node->safe_psql('postgres', $_) for 'ALTER SYSTEM RESET synchronous_standby_names', 'SELECT pg_reload_conf()';
kill TERM => @children;
waitpid $_, 0 for @children;

# --- what came of it ----------------------------------------------------------------------------
my $third = int(@samples / 3) || 1;
my (%first, %last);
for my $what (qw(rss_kb threads descriptors sessions healthz_ms)) {
    $first{$what} = max(map { $_->{$what} } @samples[ 0 .. $third - 1 ]);
    $last{$what} = max(map { $_->{$what} } @samples[ -$third .. -1 ]);
    note(sprintf '%-12s at most %8d in the first third, %8d in the last', $what, $first{$what}, $last{$what});
}
my %most = map { my $what = $_; $what => max($first{$what}, $last{$what}, map { $_->{$what} } @samples) } qw(rss_kb threads descriptors sessions healthz_ms);
is($unwell // 0, 0, "/healthz was well $healthy times");
cmp_ok($most{sessions}, '<=', $pool, 'no more sessions than --pool');
cmp_ok($most{rss_kb}, '<', 400_000, 'memory within its bounds');
cmp_ok($last{rss_kb}, '<', 1.25 * $first{rss_kb} + 20_000, 'and it does not grow');
cmp_ok($most{threads}, '<=', 64 + $pool + 8, 'threads, too');
cmp_ok($last{descriptors}, '<=', $first{descriptors} + 20, 'no descriptor was left open');
wait_for('all to be served again', sub { while (sysread $log, my $text, 1 << 20) { } $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => "http://127.0.0.1:9/" . time })->{status} == 201 });
my $ended = sample();
Faults::report("gateway: $seconds s, /healthz answered $healthy times, at most after $most{healthz_ms} ms");
Faults::report(sprintf 'gateway: %-11s %6d at the start, at most %6d in the first third, %6d ever, %6d in the last, %6d at the end', $_, $samples[0]{$_}, $first{$_}, $most{$_}, $last{$_}, $ended->{$_})
    for qw(rss_kb threads descriptors sessions);

done_testing();
