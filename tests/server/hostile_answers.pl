# Receivers that crash, break off, never end or mean harm: what is kept of their answers is bounded, sane
# text, the worker stays as small as it was, and the other hooks are served.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('hostile', extra => "whisperer.request_timeout = '5s'\nwhisperer.circuit_breaker = off\n");
# What only the time-out ends goes first and alone.  The others are hundreds at a time, and a busy machine may take
# longer for them than a time-out that is worth waiting for.
my @by_timeout = qw(drip drip-head);
# These do not read what they are sent, so that it has to be too much for a socket's buffers.  A body for each of the others
# would be in the worker's memory as well, which is to be measured.
my @unread = qw(drop early reset slam);
my $receiver = new_receiver('hostile');
my $healthy = new_receiver('healthy');
my $slam = new_receiver('slam', options => ['--slam']);
sub sql { return $node->safe_psql('postgres', shift) }
my $once = q('{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');

# path => [state, HTTP status, error, first bytes of the answer]
my $too_long = qr/^response headers are longer than 65536 bytes$/;
my $too_many = qr/^response has more than 1000 header lines$/;
my %expected = (
    'half-body' => [ 'delivered', 200, qr/^$/, qr/^half$/ ],    # a 2xx with all its headers is an answer
    'half-head' => [ 'failed', '', qr/^connection closed within the response's headers$/, qr/^$/ ],
    'bad-head' => [ 'failed', '', qr/^[a-z]/, qr/^$/ ],
    'giant-header' => [ 'failed', '', $too_long, qr/^$/ ],
    'headers/900' => [ 'delivered', 200, qr/^$/, qr/^ok$/ ],
    'headers/10000' => [ 'failed', '', $too_many, qr/^$/ ],
    'endless-headers' => [ 'failed', '', $too_long, qr/^$/ ],
    'drip-head' => [ 'failed', '', qr/^no response within 5 s$/, qr/^$/ ],
    'endless-body' => [ 'failed', 500, qr/^HTTP status 500$/, qr/^b{8192}$/ ],
    'gzip-bomb' => [ 'failed', 500, qr/^HTTP status 500$/, qr/^\x1f\x{fffd}\x08/ ],
    'transfer-gzip-bomb' => [ 'failed', '500|', qr/^(HTTP status 500$|unsolicited Transfer-Encoding)/, qr// ],    # newer libcurl
    'bad-chunk' => [ 'failed', 500, qr/^HTTP status 500$/, qr/^abc$/ ],
    'big-chunk' => [ 'failed', 500, qr/^HTTP status 500$/, qr// ],
    'interim/100' => [ 'delivered', 200, qr/^$/, qr/^ok$/ ],
    'interim/100000' => [ 'failed', '', $too_many, qr/^$/ ],
    'http09' => [ 'failed', '', qr/HTTP\/0\.9|^invalid status line$/, qr/^$/ ],
    'binary' => [ 'failed', '500|', qr/\S/, qr// ],
    'no-length' => [ 'failed', '500|', qr/\S/, qr// ],
    'drop' => [ 'failed', '', qr/^(connection (closed|lost)|could not send)/, qr/^$/ ],
    'early' => [ 'failed', '413|', qr/^(HTTP status 413|connection lost|could not send)/, qr/^(too large)?$/ ],
    'reset' => [ 'failed', '', qr/^(connection (closed|lost)|could not send)/, qr/^$/ ],
    'drip' => [ 'delivered', 200, qr/^$/, qr/^\.+$/ ],
    'huge' => [ 'delivered', 200, qr/^$/, qr/^x{1024}$/ ],
    'slam' => [ 'failed', '', qr/^(connection (closed|lost)|could not send)/, qr/^$/ ],
);
# Its own: shared buffers count in VmRSS once they are touched.
sub memory_kb { return slurp_file('/proc/' . worker_pid($node) . '/status') =~ /^RssAnon:\s+(\d+)/m ? $1 : die }

sql("SELECT whisperer.register_event(e) FROM unnest('{e,large,late,warm,good}'::text[]) e");
my $url = $receiver->url('');
my $events = 10;
my %hook;
sub hook { # its type of events, path
    my ($type, $path) = @_;
    my $target = $path eq 'slam' ? $slam->url('/slam') : "$url/$path";
    $hook{$path} = sql("SELECT whisperer.create_hook('$type', '$target', retry_countdown_config => $once)");
}
sub ended { return sql("SELECT count(*) FROM whisperer.delivery WHERE state <> 'pending'") }
hook('late', $_) for @by_timeout;
sql("SELECT whisperer.deliver_event('late', '{}') FROM generate_series(1, $events)");
my $late = $events * @by_timeout;
wait_for('the time-out', sub { ended() == $late });
$node->append_conf('postgresql.conf', "whisperer.request_timeout = '${Whisperer::wait_s}s'\n");
$node->restart;

sql("SELECT whisperer.create_hook('warm', '$url/ok/warm'), whisperer.create_hook('good', '" . $healthy->url('/ok/good') . "')");
# A worker that has had some work is what it is compared with: 500 kB, so that the first bytes are not the
# last ones on the wire.
my $large = q(json_build_object('n', g, 'fill', repeat('f', 500000)));
sql("SELECT whisperer.deliver_event('warm', $large) FROM generate_series(1, 50) g");
wait_idle($node);
my ($pid, $before) = (worker_pid($node), memory_kb());
hook('large', $_) for @unread;
for my $path (sort keys %expected) {
    hook('e', $path) unless grep { $_ eq $path } @by_timeout, @unread;
}
sql("SELECT whisperer.deliver_event('e', '{}') FROM generate_series(1, $events) g");
sql("SELECT whisperer.deliver_event('large', $large) FROM generate_series(1, $events) g");
sql("SELECT whisperer.deliver_event('good', json_build_object('n', g)) FROM generate_series(1, 100) g");
wait_for('the other hook', sub { 100 == (() = $healthy->requests) });
pass('the other hooks are served meanwhile');
my $all = 50 + 100 + $events * keys %expected;
wait_for('every delivery to end', sub { ended() == $all });

for my $path (sort keys %expected) {
    my ($state, $status, $error, $content) = @{ $expected{$path} };
    my @rows = split /\x02/, $node->safe_psql('postgres', "SELECT state, response_http_status, coalesce(error, ''), coalesce(response_content, '') "
            . "FROM whisperer.delivery WHERE hook_id = $hook{$path}", extra_params => [ '-R', "\x02", '-F', "\x01" ]);
    my %seen;
    $seen{$_}++ for grep {
        utf8::decode(my $row = $_);
        my @field = split /\x01/, $row, -1;
        chomp $field[3];
        !($field[0] eq $state && $field[1] =~ /^(?:$status)$/ && $field[2] =~ $error && $field[3] =~ $content)
    } @rows;
    is(scalar(@rows) . ' ' . join(' ', map { substr($_, 0, 200) } sort keys %seen), "$events ", "$path: ends as it should, with the reason");
}
is(sql(q(SELECT count(*) FROM whisperer.delivery WHERE error ~ '[[:cntrl:]]' OR octet_length(response_content) > 8192 OR octet_length(error) > 500)),
    0, 'what is kept is short, and errors are on one line');
is(sql(q(SELECT count(*) FROM whisperer.attempt a WHERE a.error ~ '[[:cntrl:]]' OR octet_length(a.response_content) > 8192)), 0, 'of each attempt, too');
is(worker_pid($node), $pid, 'the worker is the same');
my $after = memory_kb();
note "worker: $before kB before, $after kB after";
cmp_ok($after - $before, '<', 64 * 1024, 'and has not grown by what they sent');

done_testing();
