# PostgreSQL::Test::Cluster, asked by libpq in this process.  Tests ask thousands of questions of one statement, and
# to start psql for one takes more processor time than everything else about it.  What needs psql still gets it.
package Cluster;

use strict;
use warnings;
use FFI::Platypus ();
use PostgreSQL::Test::Cluster ();

our @ISA = 'PostgreSQL::Test::Cluster';

my $libpq = FFI::Platypus->new(api => 2, lib => 'libpq.so.5');
$libpq->attach(PQconnectdb => ['string'] => 'opaque');
$libpq->attach(PQexec => [ 'opaque', 'string' ] => 'opaque');
$libpq->attach(PQerrorMessage => ['opaque'] => 'string');
$libpq->attach(PQgetvalue => [ 'opaque', 'int', 'int' ] => 'string');
$libpq->attach(PQsetNoticeProcessor => [ 'opaque', '(opaque,string)->void', 'opaque' ] => 'opaque');
$libpq->attach($_ => ['opaque'] => 'int') for qw(PQstatus PQresultStatus PQntuples PQnfields);
$libpq->attach($_ => ['opaque'] => 'void') for qw(PQclear PQfinish);

# ConnStatusType and ExecStatusType of libpq-fe.h, and what psql exits with.
use constant { CONNECTION_OK => 0, PGRES_COMMAND_OK => 1, PGRES_TUPLES_OK => 2 };
use constant { EXIT_BADCONN => 2, EXIT_USER => 3 };

my %known = map { $_ => 1 } qw(stdout stderr on_error_die on_error_stop);

# The last of these questions with its answer, for who gives up waiting.
our $last_said = '';

# One statement, in which there is nothing for psql to read or to replace.
sub is_single {
    my ($sql) = @_;
    return 0 if utf8::is_utf8($sql) || $sql !~ /\S/ || $sql =~ /[\\\0]|\bCOPY\b/i;
    my $unquoted = $sql =~ m{--|/\*|\$} ? $sql : $sql =~ s/'[^']*'//gr;
    return $unquoted !~ /;(?=.*[^\s;])/s;
}

# As of the base class, with the same exit status, output and messages.
sub psql {
    my ($self, $database, $sql, %params) = @_;
    my $is_caught = wantarray || (ref $params{stdout} && ref $params{stderr});
    return $self->SUPER::psql($database, $sql, %params) if !$is_caught || grep({ !$known{$_} } keys %params) || !is_single($sql);

    my ($status, $out, $error) = ask($self, $database, $sql);
    die(($status == EXIT_BADCONN ? 'connection error' : 'error running SQL') . ": '$error'\nwhile running '$sql'")
        if $status && $params{on_error_die};
    $status = 0 if $status == EXIT_USER && !($params{on_error_stop} // 1);
    ${ $params{stdout} } = $out if $params{stdout};
    ${ $params{stderr} } = $error if $params{stderr};
    return wantarray ? ($status, $out, $error) : $status;
}

sub ask {
    my ($self, $database, $sql) = @_;
    local %ENV = $self->_get_env;
    my @said;
    my $connection = PQconnectdb($self->connstr($database));
    my $notices = $libpq->closure(sub { push @said, "psql:<stdin>:1: $_[1]" });
    my ($status, @rows) = EXIT_BADCONN;
    if (PQstatus($connection) == CONNECTION_OK) {
        PQsetNoticeProcessor($connection, $notices, undef);
        my $result = PQexec($connection, $sql);
        my $got = PQresultStatus($result);
        if ($got == PGRES_COMMAND_OK || $got == PGRES_TUPLES_OK) {
            $status = 0;
            my $last = PQnfields($result) - 1;
            @rows = map { my $row = $_; join '|', map { PQgetvalue($result, $row, $_) } 0 .. $last } 0 .. PQntuples($result) - 1;
        } else {
            $status = EXIT_USER if PQstatus($connection) == CONNECTION_OK;
            push @said, 'psql:<stdin>:1: ' . PQerrorMessage($connection);
        }
        PQclear($result);
    } else {
        push @said, 'psql: error: ' . PQerrorMessage($connection);
    }
    PQfinish($connection);
    chomp(my $error = join '', @said);
    my $out = join("\n", @rows);
    $last_said = "$sql\ngave: $out$error";
    return ($status, $out, $error);
}

1;
