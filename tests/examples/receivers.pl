# The receivers in three languages, each with real deliveries: what is genuine is handled once, also when it comes again
# and after a restart; what is not is refused.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_base64);
use HTTP::Tiny ();
use IPC::Run ();
use MIME::Base64 qw(decode_base64);
use Pages;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('receivers');
my $here = top() . '/examples/receivers';
my @languages = ([ python => 'python3', "$here/receiver.py" ], [ javascript => 'node', "$here/receiver.mjs" ]);
if (run_log([ 'sh', '-c', 'command -v go' ])) {
    local %ENV = (%ENV, HOME => $folder, GOCACHE => "$folder/cache", GO111MODULE => 'off');
    command_ok([ 'go', 'build', '-o', "$folder/receiver", "$here/receiver.go" ], 'Go: it compiles');
    push @languages, [ go => "$folder/receiver" ];
} else {
    SKIP: { skip 'the receiver in Go: there is no go', 1 }
}

my $node = new_node('receivers');
$node->safe_psql('postgres', "SELECT whisperer.register_event('package-created')");

sub start {
    my ($port, $secret, $inbox, $log, @command) = @_;
    local $ENV{WEBHOOK_SECRET} = $secret;
    unlink $log;
    my $process = IPC::Run::start([ @command, $port, $inbox ], '<', \undef, '>', $log, '2>&1');
    wait_for("@command", sub { slurp_file($log) =~ /^listening at/m });
    return $process;
}

# A request of our own: its status, and what differs from a genuine one.
sub post {
    my ($port, $secret, %differs) = @_;
    my %is = (id => 'by_hand', at => time, body => '{"event":{"type":"by-hand"}}', %differs);
    my $signature = hmac_sha256_base64("$is{id}.$is{at}.$is{body}", decode_base64(substr $secret, 6)) . '=';
    return HTTP::Tiny->new->post("http://127.0.0.1:$port/", { content => $differs{changed} // $is{body},
        headers => { 'webhook-id' => $is{id}, 'webhook-timestamp' => $is{at}, 'webhook-signature' => "v1,$signature" } })->{status};
}

for (@languages) {
    my ($language, @command) = @$_;
    my ($port, $inbox, $log) = (PostgreSQL::Test::Cluster::get_free_port(), "$folder/$language", "$folder/$language.log");
    my $hook = $node->safe_psql('postgres', "SELECT whisperer.create_hook('package-created', 'http://127.0.0.1:$port/')");
    my $secret = $node->safe_psql('postgres', "SELECT whisperer.hook_secret($hook)");
    my $process = start($port, $secret, $inbox, $log, @command);
    my $lines = sub { my ($pattern) = @_; scalar(() = slurp_file($log) =~ /^$pattern/mg) };

    my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('package-created', '{"id": 61}')::text, '-', '')));
    wait_for("$language handles it", sub { $lines->("handled package-created $event\$") });
    wait_idle($node);
    is($node->safe_psql('postgres', "SELECT state, response_http_status FROM whisperer.delivery WHERE hook_id = $hook"), 'delivered|204', "$language: it is delivered");

    $process->kill_kill;
    $process = start($port, $secret, $inbox, $log, @command);
    my $old = $node->safe_psql('postgres', "SELECT whisperer.rotate_secret($hook)");
    $node->safe_psql('postgres', "SELECT whisperer.retry('$event', $hook, force => true)");
    wait_for("$language has it again", sub { $lines->("again $event\$") });
    is($lines->('handled'), 0, "$language: a repeat is dropped after a restart, and one of two signatures is enough");

    is(post($port, $secret), 204, "$language: what is genuine is taken");
    is(post($port, $secret), 204, "$language: and a repeat, so that it comes no more");
    wait_for("$language handles that once", sub { $lines->('handled by-hand by_hand$') });
    is($lines->('handled'), 1, "$language: but only once");
    is(post($port, $secret, changed => '{"event":{"type":"another"}}'), 401, "$language: another body is refused");
    is(post($port, $secret, at => time - 400), 401, "$language: an old request is refused");
    is(post($port, $secret, at => 'now'), 401, "$language: no time is refused");
    is(post($port, $secret, id => '../outside'), 401, "$language: an id that is a path is refused");
    is(post($port, 'whsec_' . 'A' x 44), 401, "$language: another key is refused");
    # It may answer 413 before it has read all, and close: then the client cannot read the answer.
    isnt(post($port, $secret, id => 'large', body => 'x' x 2_000_001), 204, "$language: a body without end is refused");
    is(-e "$inbox/large", undef, "$language: and not stored");
    $process->kill_kill;

    # What was stored and not worked on is worked on at the start.
    unlink "$inbox/by_hand.done" or die "no by_hand.done: $!";
    $process = start($port, $secret, $inbox, $log, @command);
    wait_for("$language works on what was left", sub { $lines->('handled by-hand by_hand$') });
    is($lines->('handled'), 1, "$language: what was left is worked on");
    $process->kill_kill;
    $node->safe_psql('postgres', "SELECT whisperer.delete_hook($hook)");
}

done_testing();
