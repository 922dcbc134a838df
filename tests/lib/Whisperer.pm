# A server with the extension, a receiver, and what tests ask of them.
#
# Built on Cluster.  Nothing here sleeps for a guess: wait_for polls a condition and
# dies, with what it saw last, when its time is up.
package Whisperer;

use strict;
use warnings;
use Cluster;
use Cpanel::JSON::XS ();
use Exporter 'import';
use IO::Socket::INET ();
use IPC::Run ();
use JSON::PP ();
use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(new_node new_receiver new_nginx wait_for wait_idle wait_rest hold wait_held release_hold worker_pid kill_worker wait_server);

our $wait_s = $ENV{WHISPERER_TEST_WAIT_S} // 60;
my @receivers;

# A running server with the extension in database postgres.  extra: lines for postgresql.conf; init: of
# PostgreSQL::Test::Cluster.
sub new_node {
    my ($name, %options) = @_;
    my $node = Cluster->new($name);
    $node->init(%{ $options{init} // {} });
    $node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'whisperer'
whisperer.allowed_networks = '127.0.0.0/8'
max_prepared_transactions = 10
log_min_messages = 'info'
work_mem = 64kB
CONF
    $node->append_conf('postgresql.conf', slurp_file($ENV{WHISPERER_TEST_CONF})) if $ENV{WHISPERER_TEST_CONF};
    $node->append_conf('postgresql.conf', $options{extra}) if $options{extra};
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION whisperer') unless $options{bare};
    return $node;
}

# Polls until the block returns something true, and returns that.  Most blocks ask a server, which costs the other tests
# more than a pause costs this one: what has taken a while is looked at less often.
sub wait_for {
    my ($what, $condition) = @_;
    my $begun = time;
    local $Cluster::polled = [];
    while (1) {
        my $result = $condition->();
        if ($result) {
            $_->leave_session for @$Cluster::polled;
            return $result;
        }
        my $passed = time - $begun;
        die "timed out waiting for $what; the last question was\n$Cluster::last_said" if $passed > $wait_s;
        sleep max(0.02, min(0.1, $passed / 5));
    }
}

sub wait_idle {
    my ($node, $database) = @_;
    $node->safe_psql($database // 'postgres', "CALL whisperer.wait_idle('${wait_s} s')");
}

# The worker has nothing to do and sleeps until it has: it was not run between several looks in a row.  They take less
# than the second after which libcurl looks at connections that are kept.
sub wait_rest {
    my ($node) = @_;
    my $folder = '/proc/' . worker_pid($node);
    my ($last, $alike) = ('', 0);
    wait_for('the worker to rest', sub {
        my @fields = split ' ', slurp_file("$folder/stat") =~ s/.*\) //sr;
        my $run = join ' ', @fields[ 11, 12 ], slurp_file("$folder/status") =~ /ctxt_switches:\s+(\d+)/g;
        $alike = $run eq $last ? $alike + 1 : 0;
        $last = $run;
        return $alike >= 5;
    });
}

sub worker_pid {
    my ($node, $database) = @_;
    return wait_for('a worker', sub {
        my $pid = $node->safe_psql($database // 'postgres',
            "SELECT pid FROM whisperer.status WHERE state = 'running' AND pid IS NOT NULL");
        return $pid;
    });
}

# kill -9, and the server has recovered.  It still answers in the moment before it notices.
sub kill_worker {
    my ($node, $pid) = @_;
    my $seen = -s $node->logfile;
    kill 'KILL', $pid;
    wait_for('the crash', sub { substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $seen) =~ /terminated; reinitializing/ });
    wait_server($node);
}

# Waits until it takes connections again.  psql, which is told its query by a pipe, would not do: one that is refused
# may be gone before the query is written, and the broken pipe ends the test.
sub wait_server {
    my ($node) = @_;
    wait_for('the server', sub { system('pg_isready', '-q', '-d', $node->connstr('postgres')) == 0 });
}

# Makes the worker wait at an injection point.
sub hold {
    my ($node, $point) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET whisperer.hold_at = '$point'");
    $node->reload;
}

# Waits until it does.  An idle worker reads again only when a transaction has ended that had an id: each look is one.
sub wait_held {
    my ($node, $point) = @_;
    return wait_for("the worker at $point", sub {
        $node->safe_psql('postgres', q(DO $$BEGIN IF NOT pg_is_in_recovery() THEN PERFORM pg_current_xact_id(); END IF; END$$;)
            . "SELECT count(*) FROM pg_stat_activity WHERE query = 'held at $point'") > 0;
    });
}

sub release_hold {
    my ($node) = @_;
    $node->safe_psql('postgres', 'ALTER SYSTEM RESET whisperer.hold_at');
    $node->reload;
}

# --- the receiver -------------------------------------------------------------------------------

# tls: [key file, certificate file]; client_ca: certificate file of who must have signed the clients';
# port: where an earlier one listened; options: more of receiver.mjs.
sub new_receiver {
    my ($name, %options) = @_;
    my $folder = PostgreSQL::Test::Utils::tempdir("receiver_$name");
    my $self = bless { ready => "$folder/ready", log => "$folder/log" }, 'Whisperer::Receiver';
    my $program = $INC{'Whisperer.pm'} =~ s{lib/Whisperer\.pm$}{receiver/receiver.mjs}r;
    $self->{process} = IPC::Run::start(
        [ 'node', $program, '--ready', $self->{ready}, '--log', $self->{log}, '--port', $options{port} // 0,
            $options{tls} ? ('--key', $options{tls}[0], '--cert', $options{tls}[1]) : (),
            $options{client_ca} ? ('--client-ca', $options{client_ca}) : (), @{ $options{options} // [] } ],
        '<', \undef, '>', "$folder/out", '2>', "$folder/err");
    wait_for('the receiver', sub { -e $self->{ready} });
    $self->{port} = PostgreSQL::Test::Utils::slurp_file($self->{ready});
    $self->{scheme} = $options{tls} ? 'https' : 'http';
    push @receivers, $self;
    return $self;
}

# A receiver that is fast: it answers 204, below /gone/ 410, and logs the path and webhook-id of each request.
# server: the configuration of another one, from its port.
sub new_nginx {
    my ($name, $server) = @_;
    my $folder = PostgreSQL::Test::Utils::tempdir("nginx_$name");
    my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
    my $self = bless { log => "$folder/log", port => $port, scheme => 'http' }, 'Whisperer::Receiver';
    $server //= sub { "server { listen 127.0.0.1:$_[0]; location / { return 204; } location /gone/ { return 410; } }" };
    PostgreSQL::Test::Utils::append_to_file("$folder/conf", <<"CONF");
worker_processes 1; daemon off; pid $folder/pid; error_log $folder/error.log;
events { worker_connections 1024; }
http {
    log_format ids '\$uri \$http_webhook_id';
    access_log $folder/log ids buffer=64k flush=200ms;
    keepalive_requests 100000000; client_body_temp_path $folder; proxy_temp_path $folder;
    fastcgi_temp_path $folder; uwsgi_temp_path $folder; scgi_temp_path $folder;
    @{[ $server->($port) ]}
}
CONF
    my $program = (grep { -x } '/usr/sbin/nginx', map { "$_/nginx" } split /:/, $ENV{PATH})[0] or die 'nginx is missing';
    $self->{process} = IPC::Run::start([ $program, '-c', "$folder/conf", '-p', $folder ], '<', \undef, '>', "$folder/out", '2>', "$folder/err");
    push @receivers, $self;
    wait_for('nginx', sub {
        die 'nginx: ' . PostgreSQL::Test::Utils::slurp_file("$folder/err") unless $self->{process}->pumpable || -s "$folder/pid";
        return -s "$folder/pid";
    });
    return $self;
}

END {
    my $status = $?;
    $_->stop for @receivers;
    $? = $status;
}

package Whisperer::Receiver;

use strict;
use warnings;

sub url {
    my ($self, $path) = @_;
    return "$self->{scheme}://127.0.0.1:$self->{port}$path";
}

# Every request so far, oldest first; path: only those.
sub requests {
    my ($self, $path) = @_;
    return () unless -e $self->{log};
    open my $file, '<:raw', $self->{log} or die "cannot read $self->{log}: $!";
    # Perl's own JSON::PP takes fifty times as long, a minute for 200,000 requests.
    my @requests = map { Cpanel::JSON::XS::decode_json($_) } grep { /\n\z/ } <$file>;
    close $file;
    return grep { !defined $path || $_->{path} eq $path } @requests;
}

sub header {
    my ($request, $name) = @_;
    my @pairs = @{ $request->{headers} };
    while (my ($key, $value) = splice @pairs, 0, 2) {
        return $value if lc $key eq lc $name;
    }
    return undef;
}

# Of nginx: how often each webhook-id came to a path.
sub ids {
    my ($self, $path) = @_;
    return $self->ids_by_path->{$path} // {};
}

sub ids_by_path {
    my ($self) = @_;
    my %times;
    open my $file, '<', $self->{log} or return {};
    while (<$file>) { my ($at, $id) = split; $times{$at}{$id}++ }
    close $file;
    return \%times;
}

# {"path": ..., "steps": [...]}, {"release": true} or {"revoke": name}; see receiver.mjs.
sub control {
    my ($self, $command) = @_;
    require HTTP::Tiny;
    my $answer = HTTP::Tiny->new->post($self->url('/control'), { content => JSON::PP::encode_json($command) });
    die "the receiver refused: $answer->{status}" unless $answer->{success};
}

# Sends a signal to the process, by name.
sub signal {
    my ($self, $name) = @_;
    $self->{process}->signal($name);
}

sub stop {
    my ($self) = @_;
    return unless $self->{process};
    $self->{process}->kill_kill;
    delete $self->{process};
}

1;
