# What counts as delivered and what as a failed attempt, in words: the error that people read, the log
# line, and what is kept of the answer.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use List::Util qw(max);
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

# --- what a hook says of its own requests ----------------------------------------------------------------------
sql("SELECT whisperer.register_event(e) FROM unnest('{short,patient,bounded,lined}'::text[]) e");
my $short = sql("SELECT whisperer.create_hook('short', '$base/hang/200/short', timeout => '1 s', retry_countdown_config => $once)");
is(sql("CALL whisperer.ping_hook($short)") =~ /no response within 1 s$/, 1, 'a hook with a time-out of its own waits no longer, nor does a ping of it');
sql(q(SELECT whisperer.deliver_event('short', '{}')));
wait_for('the time-out', sub { sql("SELECT error FROM whisperer.delivery WHERE hook_id = $short AND state = 'failed' AND NOT error IS NULL LIMIT 1") eq 'no response within 1 s' });
sub bounded { # name, path, more of create_hook
    return sql("SELECT whisperer.create_hook('$_[0]', '$base$_[1]', max_in_flight => 2 $_[2])");
}
sub most_open { my ($path) = @_; return max(map { $_->{open} } $receiver->requests($path)) }
my $bounded = bounded('bounded', '/ok/bounded', '');
$receiver->control({ path => '/ok/bounded', steps => [ ('delay/20') x 12, 'hang' ] });
sql("SELECT whisperer.deliver_event('bounded', '{}') FROM generate_series(1, 20)");
# Two hang, and are parked; what is behind them comes back without an attempt.
my $states = "SELECT count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE error IS NOT NULL), count(*) FROM whisperer.delivery WHERE hook_id = $bounded";
wait_for('the others to be put off', sub { sql($states) eq '12|6|20' });
is(scalar(() = $receiver->requests('/ok/bounded')), 14, 'two requests of a hook with max_in_flight 2 hang, and no third is made');
$receiver->control({ path => '/ok/bounded', steps => ['delay/20'] });
$receiver->control({ release => 1 });
wait_for('all of them', sub { sql($states) =~ /^20\|/ });
is(most_open('/ok/bounded'), 2, 'it never has three, and has two');
my $lined = bounded('lined', '/delay/20/200/lined', ", ordering => 'key'");
sql("SELECT whisperer.deliver_event('lined', '{}', object_id => g::text) FROM generate_series(1, 30) g");
wait_for('the lines', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $lined AND state = 'delivered'") == 30 });
is(most_open('/delay/20/200/lined'), 2, 'nor has one that is ordered');
sql(qq(SELECT whisperer.update_hook($lined, '{"max_in_flight": null}')));
sql("SELECT whisperer.deliver_event('lined', '{}', object_id => g::text) FROM generate_series(1, 60) g");
wait_for('the lines', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $lined AND state = 'delivered'") == 90 });
cmp_ok(most_open('/delay/20/200/lined'), '>', 2, 'until it says so no more');
# --- which answers end a delivery -------------------------------------------------------------------------------
sub ruled { # name, rules, answers one after the other; returns how many attempts there were, and why
    my ($name, $rules, @answers) = @_;
    $receiver->control({ path => "/ok/$name", steps => \@answers });
    my $hook = sql(qq(SELECT whisperer.register_event('$name'); SELECT whisperer.create_hook('$name', '$base/ok/$name',
        retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.05}, $rules}')));
    my $id = sql("SELECT whisperer.deliver_event('$name', '{}')");
    wait_for('its end', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hook AND state <> 'pending'") });
    return scalar(() = $receiver->requests("/ok/$name")) . ' ' . sql("SELECT whisperer.why('$id', $hook)");
}
is(ruled('given_up', '"give_up": [400, 404]', 'status/500', 'half-head', 'status/404', 'ok'),
    '3 failed after 3 attempts: HTTP status 404; an answer with a status of 400, 404 ends a delivery', 'give_up ends a delivery');
is(ruled('chosen', '"only_if": [503]', 'half-head', 'status/503', 'status/500', 'ok'),
    '3 failed after 3 attempts: HTTP status 500; of answers only those with a status of 503 are followed by another attempt', 'so does what is not in only_if');
my $ruled = sql(q(SELECT whisperer.register_event('untried'); SELECT whisperer.create_hook('untried', 'https://example.com/untried',
    retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 1}, "give_up": [404], "only_if": [500, 503]}')));
my $untried = sql("SELECT whisperer.deliver_event('untried', '{}', deliver_at => now() + '1 h')");
wait_for('its row', sub { sql("SELECT state FROM whisperer.delivery WHERE hook_id = $ruled") eq 'pending' });
like(sql("SELECT whisperer.why('$untried', $ruled)"), qr/^waits for attempt 1 at [^;]*; an answer with a status of 404 ends a delivery; of answers only those with a status of 500, 503 are followed by another attempt$/,
    'what would end it is said before the first attempt');
my $unread = sql("BEGIN; SELECT whisperer.deliver_event('untried', '{}') AS id \\gset\nSELECT whisperer.why(:'id', $ruled); ROLLBACK");
like($unread, qr/^not handed out yet, or in its first attempt; an answer with a status of 404 ends a delivery; of answers only those with a status of 500, 503 are followed/m, 'and before the event is read');
like(ruled('kept_on', '"give_up": [404], "only_if": null', 'status/500', 'half-head', 'ok'), qr/^3 delivered at .* by attempt 3/, 'anything else is tried again');
$node->append_conf('postgresql.conf', "whisperer.request_timeout = '1s'\n");
$node->reload;
wait_for('the setting', sub { sql('SHOW whisperer.request_timeout') eq '1s' });
sql("SELECT whisperer.create_hook('patient', '$base/delay/1500/200/patient', timeout => '${Whisperer::wait_s} s', retry_countdown_config => $once)");
sql(q(SELECT whisperer.deliver_event('patient', '{}')));
wait_for('the answer', sub { sql("SELECT d.state FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.event_type = 'patient'") eq 'delivered' });
pass('one that has more time than the setting says waits for its answer');
$node->append_conf('postgresql.conf', "whisperer.request_timeout = '${Whisperer::wait_s}s'\n");
$node->reload;
my $also_ended = ended() - @cases;

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
wait_for('the second event', sub { ended() - $also_ended == 2 * @cases - @by_timeout });
unlike(slurp_file($node->logfile, $before), qr/attempt 1/, 'none when the setting is off');

done_testing();
