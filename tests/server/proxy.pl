# whisperer.proxy: what goes through it, what it refuses, and that a proxy that is down is nobody's fault but ours:
# no attempt is used up, no circuit opens, status says why.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('proxy');
sub openssl { run_log([ 'openssl', @_ ]) or die "openssl failed" }
openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=good -addext subjectAltName=IP:127.0.0.1), '-keyout', "$folder/key", '-out', "$folder/crt");
my $plain = new_receiver('plain');
my $secure = new_receiver('secure', tls => [ "$folder/key", "$folder/crt" ]);
my $node = new_node('proxy', extra => "whisperer.ca_file = '$folder/crt'\nwhisperer.request_timeout = '2s'\n");
sub sql { return $node->safe_psql('postgres', shift) }
sub record { return sql("SELECT whisperer.deliver_event('$_[0]', '{}')") }

my $program = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/proxy.mjs}r;
my $started = 0;
my $proxy;

sub start_proxy {
    my ($port) = @_;
    my $ready = "$folder/ready" . ++$started;
    $proxy = IPC::Run::start([ 'node', $program, '--ready', $ready, '--log', "$folder/log", '--port', $port // 0 ], '<', \undef, '>&', "$folder/said");
    wait_for('the proxy', sub { -e $ready });
    return slurp_file($ready);
}
END { my $status = $?; $proxy->kill_kill if $proxy; $? = $status }

my $port = start_proxy();

sub use_proxy {
    my ($url) = @_;
    sql("ALTER SYSTEM SET whisperer.proxy = '$url'");
    $node->reload;
    wait_for('the setting', sub { sql('SHOW whisperer.proxy') eq $url });
}

my $once = q({"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0});
my $often = q({"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 1000});
my $hooks = 0;

# A hook in the clear and one with TLS, each with one event: what came of it.
sub both {
    my ($retry) = @_;
    my $type = 'e' . ++$hooks;
    sql("SELECT whisperer.register_event('$type')");
    my @hooks = map { sql("SELECT whisperer.create_hook('$type', '" . $_->url("/ok/$type") . "', retry_countdown_config => '$retry')") } $plain, $secure;
    record($type);
    return @hooks;
}

sub ends {
    my (@hooks) = @_;
    wait_for('the end', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN (" . join(',', @hooks) . ") AND state <> 'pending'") == @hooks });
    return map { sql("SELECT concat_ws(' ', state, retry_count, response_http_status, error) FROM whisperer.delivery WHERE hook_id = $_") } @hooks;
}

# --- an honest one --------------------------------------------------------------------------------------
use_proxy("http://ok:swordfish\@127.0.0.1:$port");
is_deeply([ ends(both($once)) ], [ ('delivered 1 200') x 2 ], 'requests go through it');
my @seen = map { JSON::PP::decode_json($_) } split /\n/, slurp_file("$folder/log");
my ($connect) = grep { $_->{method} eq 'CONNECT' } @seen;
is(scalar(grep { /^(webhook|x-whisperer|authorization$)/i } @{ $connect->{headers} }), 0, 'CONNECT shows it nothing of the hook');

# --- what it says of a target is that target's ------------------------------------------------------------
for my $case ([ 403, 'HTTP status 403' ], [ 429, 'HTTP status 429' ], [ 502, 'HTTP status 502' ]) {
    my ($status, $clear) = @$case;
    use_proxy("http://$status:swordfish\@127.0.0.1:$port");
    is_deeply([ ends(both($once)) ], [ "failed 1 $status $clear", "failed 1 the proxy refused the connection: HTTP status $status" ], "$status to CONNECT is said to be the proxy's");
}
for my $case ([ close => 'the proxy closed the connection' ], [ hang => 'the proxy did not answer within 2 s' ]) {
    my ($user, $words) = @$case;
    use_proxy("http://$user:swordfish\@127.0.0.1:$port");
    is((ends(both($once)))[1], "failed 1 $words", "$user: $words");
}
use_proxy("http://garbage:swordfish\@127.0.0.1:$port");
like((ends(both($once)))[1], qr/^failed 1 the proxy /, 'so is what is no answer');

# --- our own fault -------------------------------------------------------------------------------------------
my $refusal = 'the proxy refused our credentials: HTTP status 407';
# A label has at most 63 octets (RFC 1035, 2.3.4): this one fails without a question to a name server, which might drop it.
my $nowhere = 'p' x 64;
my $closed = do { my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1'); $socket->sockport };
for my $case ([ '407', "http://407:swordfish\@127.0.0.1:$port", $refusal ],
    [ 'down', "http://127.0.0.1:$closed", 'could not connect to the proxy: connection refused' ],
    [ 'nowhere', "http://$nowhere:3128", q(could not resolve the proxy's host) ],
    [ 'no TLS', "https://127.0.0.1:$plain->{port}", qr/^proxy: TLS failure: / ]) {
    my ($what, $url, $words) = @$case;
    use_proxy($url);
    my $from = -s $node->logfile;
    my @hooks = both($often);
    my $list = join ',', @hooks;
    record("e$hooks") for 1 .. 14;
    wait_for("all to be put aside ($what)", sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN ($list) AND error IS NOT NULL") == 30
            && sql("SELECT count(DISTINCT hook_id) FROM whisperer.delivery WHERE hook_id IN ($list) AND error <> 'endpoint is busy'") == 2 });
    # What only says why it is put off behind others is no answer.
    my $said = sql("SELECT string_agg(DISTINCT error, ';') FROM whisperer.delivery WHERE hook_id IN ($list) AND error <> 'endpoint is busy'");
    ref $words ? like($said, $words, "$what: the ledger says why") : is($said, $words, "$what: the ledger says why");
    wait_for("status to say so ($what)", sub { sql('SELECT reason FROM whisperer.status') eq "deliveries wait: $said" });
    wait_idle($node);
    is(sql("SELECT sum(retry_count) FROM whisperer.delivery WHERE hook_id IN ($list)"), 0, "$what: no attempt is used up");
    is(sql("SELECT string_agg(DISTINCT circuit, ';') FROM whisperer.hook_stats"), 'closed', "$what: no circuit opens");
    use_proxy("http://ok:swordfish\@127.0.0.1:$port");
    wait_for("all to go out ($what)", sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN ($list) AND state = 'delivered' AND retry_count = 1") == 30 });
    wait_for("status to be quiet ($what)", sub { sql('SELECT reason IS NULL FROM whisperer.status') eq 't' });
    my $log = substr(slurp_file($node->logfile), $from);
    is(scalar(() = $log =~ /deliveries wait: /g), 1, "$what: one line of the log");
    is(scalar(() = $log =~ /deliveries go on/g), 1, "$what: and one when it is over");
}

# One that takes connections and says nothing: for one target it may be that target which is silent, for two it is not.
my $other = new_receiver('other', tls => [ "$folder/key", "$folder/crt" ]);
sql("SELECT whisperer.register_event('silent')");
my $silent = join ',', map { sql("SELECT whisperer.create_hook('silent', '" . $_->url('/ok/silent') . "', retry_countdown_config => '$often')") } $secure, $other;
my $said = q(the proxy did not answer within 2 s);
record('silent');
wait_for('both to be reached', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN ($silent) AND state = 'delivered'") == 2 });
use_proxy("http://hang:swordfish\@127.0.0.1:$port");
record('silent');
wait_for('status to say so', sub { sql('SELECT reason FROM whisperer.status') eq "deliveries wait: $said" });
my $after = record('silent');
wait_for('both to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE event_id = '$after' AND error = '$said'") == 2 });
is(sql("SELECT sum(retry_count) FROM whisperer.delivery WHERE event_id = '$after'"), 0, 'a proxy that is silent for all uses up no attempt');
is(sql("SELECT string_agg(DISTINCT circuit, ';') FROM whisperer.hook_stats"), 'closed', 'and opens no circuit');
use_proxy("http://ok:swordfish\@127.0.0.1:$port");
wait_for('all to go out', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN ($silent) AND state = 'delivered'") == 6 });

# It dies and comes back while there is a load.
my @hooks = both($often);
ends(@hooks);
$proxy->kill_kill;
record("e$hooks") for 1 .. 5;
wait_for('all to be put aside', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN (@{[ join ',', @hooks ]}) AND state = 'pending' AND error = 'could not connect to the proxy: connection refused'") == 10 });
start_proxy($port);
wait_for('all to go out', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id IN (@{[ join ',', @hooks ]}) AND state = 'delivered' AND retry_count <= 2") == 12 });
pass('what waited for a proxy goes out when it is back');

is(scalar(() = slurp_file($node->logfile) =~ /swordfish\@.*(?:deliveries|circuit|hook)/g), 0, 'the password of the proxy is in no line of ours');
is(sql("SELECT count(*) FROM whisperer.past_attempt WHERE error LIKE '%swordfish%'"), 0, 'nor in the ledger');
done_testing();
