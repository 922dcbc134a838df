# PostgreSQL::Test::Cluster, cheaper.  Tests ask thousands of questions, and on a machine where a process is dear most
# of a test's time went to psql and to sessions of one question each.  So they are asked by libpq in this process, and
# what is asked again and again until the answer is right shares a session.  What needs psql still gets it.
package Cluster;

use strict;
use warnings;
use FFI::Platypus ();
use PostgreSQL::Test::Cluster ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time);

our @ISA = 'PostgreSQL::Test::Cluster';

my $libpq = FFI::Platypus->new(api => 2, lib => 'libpq.so.5');
$libpq->attach(PQconnectdb => ['string'] => 'opaque');
$libpq->attach(PQsendQuery => [ 'opaque', 'string' ] => 'int');
$libpq->attach(PQgetResult => ['opaque'] => 'opaque');
$libpq->attach(PQerrorMessage => ['opaque'] => 'string');
$libpq->attach(PQgetvalue => [ 'opaque', 'int', 'int' ] => 'string');
$libpq->attach(PQsetNoticeProcessor => [ 'opaque', '(opaque,string)->void', 'opaque' ] => 'opaque');
$libpq->attach($_ => ['opaque'] => 'int') for qw(PQstatus PQresultStatus PQntuples PQnfields PQsocket PQconsumeInput PQisBusy);
$libpq->attach($_ => ['opaque'] => 'void') for qw(PQclear PQfinish);

# ConnStatusType and ExecStatusType of libpq-fe.h, and what psql exits with.
use constant { CONNECTION_OK => 0, PGRES_EMPTY_QUERY => 0, PGRES_COMMAND_OK => 1, PGRES_TUPLES_OK => 2 };
use constant { EXIT_BADCONN => 2, EXIT_USER => 3 };

my %known = map { $_ => 1 } qw(stdout stderr on_error_die on_error_stop timeout);

# The last of these questions with its answer, for who gives up waiting.
our $last_said = '';

# A list while somebody polls: the servers that he has a session with.
our $polled;

# initdb takes longer than to copy what it made.  From PostgreSQL 16 on the base class does so itself.
sub init {
    my ($self, %params) = @_;
    local %ENV = %ENV;
    my $template = $ENV{INITDB_TEMPLATE};
    # What another version or other options would have made differs.
    return delete $ENV{INITDB_TEMPLATE}, $self->SUPER::init(%params) if !$template || $params{extra} || $self->{_install_path};
    my $run = \&PostgreSQL::Test::Utils::system_or_bail;
    no warnings 'redefine';
    local *PostgreSQL::Test::Utils::system_or_bail =
        sub { $run->($_[0] eq 'initdb' ? ('cp', '-RPp', $template, $self->data_dir) : @_) };
    return $self->SUPER::init(%params);
}

# What psql would send of it, one by one; nothing if psql must read it itself.
sub statements {
    my ($sql) = @_;
    return if utf8::is_utf8($sql) || $sql =~ /[\\\0]|\bCOPY\b|\bBEGIN\s+ATOMIC\b/i;
    my $quoted = qr{'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\g{-1}}s;
    my (@statements, $end);
    while ($sql =~ /\G(?=.)((?:$quoted|[^;'"\-\/\$]+|[^;])*+)(?:;|\z)/gs) {
        my $one = $1;
        $end = pos $sql;
        push @statements, $one if $one =~ /\S/;
    }
    return ($end // 0) == length $sql ? @statements : ();
}

# As of the base class, with the same exit status, output and messages.
sub psql {
    my ($self, $database, $sql, %params) = @_;
    my $is_caught = wantarray || (ref $params{stdout} && ref $params{stderr});
    my @statements = !$is_caught || grep({ !$known{$_} } keys %params) ? () : statements($sql);
    if (!@statements) {
        $self->leave_session;
        return $self->SUPER::psql($database, $sql, %params);
    }
    my $stops = $params{on_error_stop} // 1;
    my ($status, $out, $error) = $self->ask_all($database, { stops => $stops, until => time + ($params{timeout} // 86400) }, @statements);
    die(($status == EXIT_BADCONN ? 'connection error' : 'error running SQL') . ": '$error'\nwhile running '$sql'")
        if $status && $params{on_error_die};
    ${ $params{stdout} } = $out if $params{stdout};
    ${ $params{stderr} } = $error if $params{stderr};
    return wantarray ? ($status, $out, $error) : $status;
}

# One that leaves nothing in its session that another would notice.
sub is_question {
    my ($statement) = @_;
    return $statement =~ /^\s*(?:SELECT|CALL whisperer\.wait_idle)\b/i && $statement !~ /set_config|advisory|_pid\b/i;
}

# The session of the last question, if it is to the same server as the same role with the same settings and still there:
# a server that says something unasked has ended it.  A process that was forked has none.
sub session {
    my ($self, $connstr) = @_;
    my $key = join "\0", $$, $connstr, map { "$_=$ENV{$_}" } sort grep { /^PG/ } keys %ENV;
    my $kept = $self->{session};
    return $kept->{connection} if $kept && $kept->{key} eq $key && !is_readable(PQsocket($kept->{connection}), 0);
    $self->leave_session;
    $self->{session} = { key => $key, process => $$, connection => PQconnectdb($connstr) };
    push @$polled, $self if $polled;
    return $self->{session}{connection};
}

# Until then; with 0 as it is now.  A signal, of a child that ends for example, interrupts select.
sub is_readable {
    my ($socket, $until) = @_;
    while (1) {
        vec(my $set = '', $socket, 1) = 1;
        my $found = select($set, undef, undef, $until > time ? $until - time : 0);
        return $found > 0 if $found >= 0;
        $!{EINTR} or die "select: $!";
    }
}

sub leave_session {
    my ($self) = @_;
    my $kept = delete $self->{session} or return;
    PQfinish($kept->{connection}) if $kept->{process} == $$;
}

# The last result of a statement, as PQexec has it.
sub execute {
    my ($self, $connection, $statement, $until) = @_;
    PQsendQuery($connection, $statement);
    my $last;
    while (1) {
        while (PQisBusy($connection)) {
            if (!is_readable(PQsocket($connection), $until)) {
                $self->leave_session;
                die "psql timed out\nwhile running '$statement'";
            }
            PQconsumeInput($connection) or last;    # then PQgetResult says why
        }
        my $result = PQgetResult($connection) // last;
        PQclear($last) if $last;
        $last = $result;
    }
    return $last;
}

# Its status, output and errors, as psql has them.
sub ask_all {
    my ($self, $database, $how, @statements) = @_;
    local %ENV = $self->_get_env;
    my $is_kept = $polled && @statements == 1 && is_question($statements[0]);
    $self->leave_session unless $is_kept;
    my $connection = $self->session($self->connstr($database));
    my (@said, @rows);
    my $notices = $libpq->closure(sub { push @said, "psql:<stdin>:1: $_[1]" });
    PQsetNoticeProcessor($connection, $notices, undef);
    my $status = PQstatus($connection) == CONNECTION_OK ? 0 : EXIT_BADCONN;
    push @said, 'psql: error: ' . PQerrorMessage($connection) if $status;
    for my $statement (@statements) {
        last if $status == EXIT_BADCONN || $status && $how->{stops};
        my $result = $self->execute($connection, $statement, $how->{until});
        my $got = $result ? PQresultStatus($result) : -1;
        if ($got == PGRES_COMMAND_OK || $got == PGRES_TUPLES_OK) {
            my $last = PQnfields($result) - 1;
            push @rows, map { my $row = $_; join '|', map { PQgetvalue($result, $row, $_) } 0 .. $last } 0 .. PQntuples($result) - 1;
        } elsif ($got != PGRES_EMPTY_QUERY) {
            $status = PQstatus($connection) == CONNECTION_OK ? EXIT_USER : EXIT_BADCONN;
            push @said, 'psql:<stdin>:1: ' . PQerrorMessage($connection);
        }
        PQclear($result) if $result;
    }
    $self->leave_session unless $is_kept && PQstatus($connection) == CONNECTION_OK;
    $status = 0 if $status == EXIT_USER && !$how->{stops};
    chomp(my $error = join '', @said);
    my $out = join "\n", @rows;
    $last_said = join(';', @statements) . "\ngave: $out$error";
    return ($status, $out, $error);
}

1;
