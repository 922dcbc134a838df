# A log that nobody takes: the gateway serves, ends when it is told to, drops and counts, and never leaves a line
# that is half.
use strict;
use warnings;
use Fcntl qw(O_NONBLOCK O_RDWR O_RDONLY);
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Select ();
use JSON::PP ();
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('logs');
my $token = new_role($node, 'reader');
my $folder = PostgreSQL::Test::Utils::tempdir('logs');

# More than any queue holds: lines of 500 bytes.
sub ask_much {
    my ($gateway) = @_;
    my $id = 'x' x 64;
    for (1 .. 12) {
        my $answers = $gateway->raw(("GET /console/" . 'y' x 250 . " HTTP/1.1\r\nHost: x\r\nX-Request-Id: $id\r\n\r\n") x 500 . "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        return 0 unless $answers =~ /"status": "ok"\}\z/;
    }
    return 1;
}
sub is_well {
    my ($gateway, $what) = @_;
    ok(ask_much($gateway), "$what: requests are answered");
    like($gateway->raw("x\r\n\r\n"), qr/^HTTP\/1\.1 400 /, 'also those that are none');
    is($gateway->get('/whisperer/session/', $token)->{status}, 200, 'and those that need the database');
    my ($dropped) = $gateway->get('/metrics', $token)->{content} =~ /^whisperer_gateway_log_lines_dropped_total (\d+)$/m;
    cmp_ok($dropped, '>', 0, 'what found no room is counted');
}
sub ends_well {
    my ($gateway) = @_;
    $gateway->signal('TERM');
    is($gateway->wait_end, 0, 'and it ends when it is told to');
}
sub fifo { my ($name) = @_; mkfifo("$folder/$name", 0600) or die "mkfifo: $!"; sysopen my $handle, "$folder/$name", O_RDWR | O_NONBLOCK or die "open: $!"; return $handle }
sub are_lines {
    my ($text, $what) = @_;
    my @bad = grep { !eval { JSON::PP::decode_json($_) } } split /\n/, $text;
    is_deeply(\@bad, [], "$what: every line is one of JSON");
    return map { JSON::PP::decode_json($_) } split /\n/, $text;
}

# --- a pipe that is full ------------------------------------------------------------------------
my $full = fifo('full');
my $gateway = new_gateway($node, shell => "exec 2>$folder/full");
is_well($gateway, 'a full pipe');
ends_well($gateway);

# --- a pipe that is read again ------------------------------------------------------------------
my $late = fifo('late');
$gateway = new_gateway($node, shell => "exec 2>$folder/late");
is_well($gateway, 'a reader that sleeps');
my $text = '';
wait_for('what was dropped', sub { while (sysread $late, $text, 65536, length $text) { } $text =~ /"event": "log lines dropped"[^\n]*\n/ });
$gateway->request('GET', '/healthz', headers => { 'X-Request-Id' => 'after-it' });
wait_for('the next line', sub { while (sysread $late, $text, 65536, length $text) { } $text =~ /"after-it"[^\n]*\n\z/ });
my @lines = are_lines($text, 'when it wakes up');
my ($told) = map { $_->{detail} } grep { ($_->{event} // '') eq 'log lines dropped' } @lines;
cmp_ok($told, '>', 0, 'and one says how many are missing');
ends_well($gateway);

# --- a pipe that is closed, a disk that is full -------------------------------------------------
my $closed = fifo('closed');
$gateway = new_gateway($node, shell => "exec 2>$folder/closed");
close $closed;
is_well($gateway, 'a closed pipe');
ends_well($gateway);
$gateway = new_gateway($node, shell => 'exec 2>/dev/full');
is_well($gateway, 'a full disk');
ends_well($gateway);
SKIP: {
    skip 'there is no small file system', 6 unless $ENV{WHISPERER_SMALL};
    my $log = "$ENV{WHISPERER_SMALL}/gateway_log";
    my $ballast = "$ENV{WHISPERER_SMALL}/gateway_ballast";
    $gateway = new_gateway($node, shell => "exec 2>$log");
    system "dd if=/dev/zero of=$ballast bs=64k 2>/dev/null; dd if=/dev/zero of=$ballast bs=1k oflag=append conv=notrunc 2>/dev/null";
    is_well($gateway, 'a disk that fills up');
    unlink $ballast;
    wait_for('what was dropped', sub { slurp_file($log) =~ /"event": "log lines dropped"[^\n]*\n/ });
    $gateway->request('GET', '/healthz', headers => { 'X-Request-Id' => 'after-it' });
    wait_for('the next line', sub { slurp_file($log) =~ /"after-it"[^\n]*\n\z/ });
    are_lines(slurp_file($log), 'and has room again');
    ends_well($gateway);
    unlink $log;
}

# --- what libraries print -----------------------------------------------------------------------
my $passfile = "$folder/passwords";
PostgreSQL::Test::Utils::append_to_file($passfile, "*:*:*:gateway:x\n");
chmod 0644, $passfile;
$gateway = new_gateway($node, environment => { WHISPERER_GATEWAY_DATABASE => $node->connstr('postgres') . ' user=gateway', PGPASSFILE => $passfile });
is($gateway->get('/whisperer/session/', $token)->{status}, 200, 'a password file that others may read');
my ($warning) = grep { ($_->{event} // '') eq 'standard error' } are_lines($gateway->log_text, 'what libpq says of it');
like($warning->{detail}, qr/^WARNING: password file .* has group or world access/, 'is an event');

done_testing();
