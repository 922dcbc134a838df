# What counts as delivered and what as a failed attempt, in words: the error that people read, the log
# line, and what is kept of the answer.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('what_counts', extra => "whisperer.request_timeout = '2s'\nwhisperer.log_deliveries = on\n");
my $receiver = new_receiver('what_counts');
my $base = $receiver->url('');
my $once = q('{"choice": "fixed", "kwargs": {"seconds": 1000}, "max_retries": 0}');
my $closed = new_receiver('closed');
my $closed_port = $closed->{port};
$closed->stop;

sub sql { return $node->safe_psql('postgres', shift) }

# By URL: the state and the error that are expected.
my @cases = (
    [ "$base/ok/a", 'delivered', qr/^$/ ],
    [ "$base/status/204", 'delivered', qr/^$/ ],
    [ "$base/status/299", 'delivered', qr/^$/ ],
    [ "$base/huge", 'delivered', qr/^$/ ],
    [ "$base/drip", 'delivered', qr/^$/ ],
    [ "$base/half-body", 'delivered', qr/^$/ ],
    [ "$base/status/300", 'failed', qr/^HTTP status 300$/ ],
    [ "$base/redirect", 'failed', qr{^redirect refused: 302 to http://127\.0\.0\.1:\d+/ok$} ],
    [ "$base/status/404", 'failed', qr/^HTTP status 404$/ ],
    [ "$base/status/500", 'failed', qr/^HTTP status 500$/ ],
    [ "$base/hang", 'failed', qr/^no response within 2 s$/ ],
    [ "$base/reset", 'failed', qr/^connection (closed without a response|lost: connection reset by peer)$/ ],
    [ "$base/half-head", 'failed', qr/^connection (lost|closed)/ ],
    [ "$base/bad-head", 'failed', qr/^(connection closed within the response's headers|nul byte in header|response header contains a NUL byte)$/ ],
    [ "http://127.0.0.1:$closed_port/", 'failed', qr/^could not connect: connection refused$/ ],
    [ 'http://no-such-name.invalid/', 'failed', qr/^could not resolve host no-such-name\.invalid/ ],
    [ 'http://10.0.0.1/', 'failed', qr/^address 10\.0\.0\.1 is not allowed \(whisperer\.allowed_networks does not name 10\.0\.0\.1:80\)$/ ],
    [ "https://127.0.0.1:$receiver->{port}/ok/tls", 'failed', qr/^TLS failure: / ],
);
sub ended { return sql("SELECT count(*) FROM whisperer.delivery WHERE state <> 'pending'") }
sub send_to { # type of the event, URLs; returns the event
    my ($type, @urls) = @_;
    sql("SELECT whisperer.register_event('$type')");
    # A literal address is refused when it is written, unless it comes from elsewhere.
    sql(m{//10\.}
        ? "SET session_replication_role = replica; INSERT INTO whisperer.hook_definition (owner, owner_name, event_type, target_url, retry_countdown_config, since)
           VALUES ('postgres'::regrole, 'postgres', '$type', '$_', $once, pg_current_snapshot())"
        : "SELECT whisperer.create_hook('$type', '$_', retry_countdown_config => $once)") for @urls;
    return sql(qq(SELECT whisperer.deliver_event('$type', '{"secret": "payload"}')));
}
# What only the time-out ends goes first; the others get all the time that a busy machine may take.
my @by_timeout = ("$base/hang", "$base/drip");
my $late = send_to('late', @by_timeout);
wait_for('the time-out', sub { ended() == @by_timeout });
$node->append_conf('postgresql.conf', "whisperer.request_timeout = '${Whisperer::wait_s}s'\n");
$node->restart;
my $event = send_to('e', grep { my $url = $_; !grep { $url eq $_ } @by_timeout } map { $_->[0] } @cases);
wait_for('every result', sub { ended() == @cases });

my $log = slurp_file($node->logfile);
for my $case (@cases) {
    my ($url, $state, $error) = @$case;
    my $path = $url =~ s{^\Q$base\E}{}r;
    my ($hook, $got, $said) = split /\|/, sql(<<"SQL"), 3;
SELECT h.id, d.state, d.error FROM whisperer.hook h JOIN whisperer.delivery d ON d.hook_id = h.id WHERE h.target_url = '$url'
SQL
    is($got, $state, "$path: $state");
    like($said, $error, "$path: said why");
    my $id = ($path =~ m{^/(?:hang|drip)$} ? $late : $event) =~ s/-//gr;
    like($log, qr/whisperer: hook $hook: event $id: attempt 1 $state/, "$path: a line in the log");
}
unlike($log =~ s/.*statement: .*//gr, qr/secret/, 'no payload in the log');
is(sql("SELECT max(length(response_content)) FROM whisperer.delivery"), 1024, 'a kilobyte is kept of a success');
sql('ALTER SYSTEM SET whisperer.log_deliveries = off');
$node->reload;
wait_for('the setting', sub { sql('SHOW whisperer.log_deliveries') eq 'off' });
wait_idle($node);
my $before = -s $node->logfile;
$receiver->control({ path => '/ok/a', steps => ['ok'] });
sql(q(SELECT whisperer.deliver_event('e', '{}')));
wait_for('the second event', sub { ended() == 2 * @cases - @by_timeout });
unlike(slurp_file($node->logfile, $before), qr/attempt 1/, 'none when the setting is off');

done_testing();
