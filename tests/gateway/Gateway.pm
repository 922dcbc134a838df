# A gateway beside a server, and HTTP clients that hold it to its description: every answer to a request
# made with request() is checked against the openapi.json that the gateway itself serves.
package Gateway;

use strict;
use warnings;
use Exporter 'import';
use HTTP::Tiny ();
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use OpenApi ();
use Whisperer;

our @EXPORT = qw(new_gateway new_role new_token);

# More than that is for the test to compare: in perl 5.42 JSON::PP takes half an hour for 22 MB, in 5.36 a few seconds.
our $parsed_bytes_max = 2_000_000;

my @gateways;
my $count = 0;

sub quoted { return '"' . $_[0] =~ s/"/""/gr . '"' }

# A role that the gateway may act as, with the right to subscribe to the event types.
sub new_role {
    my ($node, $role, @event_types) = @_;
    my $name = quoted($role);
    $node->safe_psql('postgres', <<"SQL");
DO \$do\$ BEGIN
    IF to_regrole('gateway') IS NULL THEN
        CREATE ROLE gateway LOGIN NOINHERIT;
        GRANT USAGE ON SCHEMA whisperer TO gateway;
    END IF;
END \$do\$;
CREATE ROLE $name; GRANT USAGE ON SCHEMA whisperer TO $name; GRANT $name TO gateway;
SQL
    $node->safe_psql('postgres', "SELECT whisperer.allow('$_', '$name', 'subscribe')") for @event_types;
    return new_token($node, $role);
}

sub new_token {
    my ($node, $role, $more) = @_;
    $more //= '';
    my $name = quoted($role);
    return $node->safe_psql('postgres', "SELECT whisperer.create_api_token('$name', 'test'$more)");
}

# options: arguments; user: of the database; database: another connection string; shell: commands before;
# environment: in place of what says where the database is.
sub new_gateway {
    my ($node, %options) = @_;
    my $program = $ENV{WHISPERER_GATEWAY} or die 'WHISPERER_GATEWAY does not say where the gateway is';
    my $folder = PostgreSQL::Test::Utils::tempdir('gateway_' . ++$count);
    my $user = $options{user} // 'gateway';
    my $self = bless { out => "$folder/out", log => "$folder/log", address => '127.0.0.1' }, __PACKAGE__;
    my @command = ($program, $options{environment} ? () : ('--database', $options{database} // $node->connstr('postgres') . " user=$user"),
        '--listen', '127.0.0.1:0', @{ $options{options} // [] });
    local %ENV = (%ENV, %{ $options{environment} // {} });
    @command = ('sh', '-c', "$options{shell}; exec \"\$\@\"", 'sh', @command) if $options{shell};
    PostgreSQL::Test::Utils::append_to_file($_, '') for @{$self}{qw(out log)};
    $self->{pid} = fork // die "cannot fork: $!";
    if (!$self->{pid}) {
        open STDOUT, '>', $self->{out} and open STDERR, '>', $self->{log} and exec @command;
        POSIX::_exit(127);
    }
    push @gateways, $self;
    $self->{port} = wait_for('the gateway', sub {
        die 'the gateway ended: ' . $self->raw_log if defined $self->end_status;
        return PostgreSQL::Test::Utils::slurp_file($self->{out}) =~ m{listening on http://127\.0\.0\.1:(\d+)\n} ? $1 : 0;
    });
    $self->{spec} = OpenApi->new(JSON::PP::decode_json($self->request('GET', '/whisperer/openapi.json')->{content}));
    return $self;
}

sub url { return "http://127.0.0.1:$_[0]{port}$_[1]" }
sub raw_log { return PostgreSQL::Test::Utils::slurp_file($_[0]{log}) }

# Lines are written a moment after the answers; with that of one more request all before it are there.
sub log_text {
    my ($self) = @_;
    if ($self->{port} && !defined $self->end_status) {
        my $id = 'the-log-is-here-' . ++$self->{log_marks};
        $self->raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: $id\r\nConnection: close\r\n\r\n");
        wait_for('the log', sub { defined $self->end_status || $self->raw_log =~ /"\Q$id\E"/ });
    }
    return $self->raw_log;
}

sub log_lines { return map { JSON::PP::decode_json($_) } split /\n/, $_[0]->log_text }

# more: token, scheme, json (a value) or content, headers.  Answers {status, headers, content, json}.
sub request {
    my ($self, $method, $path, %more) = @_;
    $self->{clients}{$$} //= HTTP::Tiny->new(keep_alive => 1, timeout => $Whisperer::wait_s, max_redirect => 0);
    my %headers = %{ $more{headers} // {} };
    $headers{Authorization} = ($more{scheme} // 'Token') . " $more{token}" if $more{token};
    my $content = exists $more{json} ? JSON::PP->new->utf8->canonical->allow_nonref->encode($more{json}) : $more{content};
    $headers{'Content-Type'} //= 'application/json' if defined $content;
    my $answer = $self->{clients}{$$}->request($method, $self->url($path), { headers => \%headers, defined $content ? (content => $content) : () });
    die "$method $path: $answer->{content}" if $answer->{status} == 599;
    $answer->{json} = eval { JSON::PP->new->utf8->allow_nonref->decode($answer->{content}) }
        if ($answer->{headers}{'content-type'} // '') =~ m{^application/json} && length $answer->{content} < $parsed_bytes_max;
    my $fault = $self->{spec} && $self->{spec}->fault_of($method, $path, $answer);
    fail("$method $path is as described: $fault") if $fault;
    return $answer;
}

# Asks in a process of its own; answer_of waits for what request answers.
sub start_request {
    my ($self, @request) = @_;
    pipe(my $reader, my $writer) or die "cannot make a pipe: $!";
    my $child = fork // die "cannot fork: $!";
    if (!$child) {
        my $answer = eval { $self->request(@request) } // { status => 'none', content => $@ };
        print {$writer} JSON::PP::encode_json({ map { $_ => $answer->{$_} } qw(status headers content json) });
        close $writer;
        POSIX::_exit(0);
    }
    close $writer;
    return { child => $child, reader => $reader };
}

sub answer_of {
    my ($self, $asked) = @_;
    local $/;
    my $answer = JSON::PP::decode_json(readline $asked->{reader});
    waitpid $asked->{child}, 0;
    return $answer;
}

sub get { my ($self, $path, $token) = @_; return $self->request('GET', $path, token => $token) }
sub post { my ($self, $path, $token, $json) = @_; return $self->request('POST', $path, token => $token, json => $json // {}) }
sub status_of { my $self = shift; return $self->request(@_)->{status} }

# Follows next to the end of a list.
sub all {
    my ($self, $path, $token) = @_;
    my ($base) = split /\?/, $path;
    my (@results, $pages);
    while (defined $path) {
        my $answer = $self->get($path, $token);
        die "GET $path: $answer->{status} $answer->{content}" if $answer->{status} != 200;
        push @results, @{ $answer->{json}{results} };
        $path = defined $answer->{json}{next} ? $base . $answer->{json}{next} : undef;
        die 'the list has no end' if ++$pages > 1000;
    }
    return wantarray ? (\@results, $pages) : \@results;
}

# --- clients that are no good -------------------------------------------------------------------

# from: another address of this machine.
sub connect {
    my ($self, $from) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Proto => 'tcp',
        $from ? (LocalAddr => $from) : ()) // die "cannot connect: $!";
}

# Everything until the gateway closes; dies when the time is up.
sub read_to_end {
    my ($socket) = @_;
    my ($text, $deadline) = ('', time + $Whisperer::wait_s);
    while (1) {
        # A child that ends interrupts the wait.
        if (!IO::Select->new($socket)->can_read($deadline - time)) {
            next if time < $deadline;
            die "the connection stays open, after: $text";
        }
        my $got = sysread $socket, $text, 65536, length $text;
        return $text unless $got;
    }
}

# Sends bytes and answers what comes back before the gateway closes.
sub raw {
    my ($self, $bytes, $from) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $socket = $self->connect($from);
    syswrite $socket, $bytes;
    return read_to_end($socket);
}

# The bytes of a body in a coding.
sub read_body {
    my ($self, $path, $coding) = @_;
    return $self->raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: $coding\r\n\r\n") =~ s/^.*?\r\n\r\n//sr;
}

sub signal { my ($self, $name) = @_; kill $name => $self->{pid} unless defined $self->end_status }

# The status with which it ended, if it has.
sub end_status {
    my ($self) = @_;
    $self->{end_status} = $? if !defined $self->{end_status} && waitpid($self->{pid}, WNOHANG) == $self->{pid};
    return $self->{end_status};
}

sub wait_end {
    my ($self) = @_;
    wait_for('the gateway to end', sub { defined $self->end_status });
    return $self->{end_status};
}

END {
    my $status = $?;
    for my $gateway (@gateways) {
        $gateway->signal('KILL');
        waitpid $gateway->{pid}, 0;
        my @lines = split /\n/, eval { $gateway->raw_log } // '';
        # A sanitizer's build of the gateway speaks on standard error, too.
        if (grep { /Sanitizer|runtime error:/ } @lines) {
            diag('a sanitizer complains');
            $status ||= 1;
        }
        diag(join "\n", 'the end of the log of the gateway:', @lines > 20 ? @lines[ -20 .. -1 ] : @lines)
            if $status || !Test::More->builder->is_passing;
    }
    $? = $status;
}

1;
