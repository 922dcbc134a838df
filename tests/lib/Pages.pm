# Runs what a page of the documentation tells its reader to do, on a real server.
#
# What a page is made of is in Markdown.pm, with the instructions that its comments may hold.
#
# A test may look further on the same server: after => sub { my ($page) = @_; ... }.
#
# Of a page for several servers: servers => { NAME => { node => Cluster, database => .., folder => where sh runs, is_source => whether
# nodes subscribe to it } }, and places => { 'what the page has' => 'what the test has' }.  The password and address of the
# page's db.example are those of the source that was worked on last.
#
# psql is a new session for each block.  Ports 8000, 8001 and 8080 become free ones; https://you.example is the receiver at 8000,
# https://whisperer.example the gateway at 8080.
package Pages;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use Markdown qw(page_items is_command);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

our @EXPORT = qw(run_page top);

# The copy of the checkout's documents, two folders above this file.
sub top { return $INC{'Pages.pm'} =~ s{/tests/lib/Pages\.pm$}{}r =~ s{^lib/Pages\.pm$}{..}r }

# --- one page ---------------------------------------------------------------------------------------

sub run_page {
    my ($page, %options) = @_;
    my @items = page_items(PostgreSQL::Test::Utils::slurp_file(top() . "/$page"));
    my %is = map { $_ => 1 } map { $_->{text} =~ /^page: (.*)/ ? split(/, */, $1) : () } grep { $_->{kind} eq 'comment' } @items;
    my $self = bless { page => $page, background => {}, output => '', count => 0, servers => $options{servers} // {}, places => $options{places} // {} }, __PACKAGE__;
    $self->{node} = new_node('docs', bare => $is{bare}, extra => $options{extra}) unless $options{servers};
    $self->{ports} = { map { $_ => PostgreSQL::Test::Cluster::get_free_port() } 8000, 8001, 8080 };
    $self->{folder} = PostgreSQL::Test::Utils::tempdir('page');
    $self->start_gateway if $is{gateway};
    my ($ran, $not_run) = (0, 0);
    my %next;
    for my $item (@items) {
        if ($item->{kind} eq 'comment') {
            my ($word, $rest) = $item->{text} =~ /^(not run|output of|output|background|stop|fails|until|file|part of|setup|on|printed on)\b:?\s*(.*)/s or next;
            if ($word eq 'stop') { $self->stop($rest) }
            elsif ($word eq 'until') { $self->wait_until($rest) }
            elsif ($word eq 'setup') { $self->set_up($rest, "$page:$item->{line}") }
            elsif ($word eq 'on') { $self->go_to(split / as /, $rest) }
            elsif ($word eq 'printed on') { $self->run_printed($rest, "$page:$item->{line}") }
            else { $next{$word} = $rest }
            next;
        }
        next unless $item->{kind} eq 'block';
        my $name = "$page:$item->{line}";
        if (exists $next{file}) { $self->write_file($next{file}, $item->{text}) }
        elsif (exists $next{'part of'}) { $self->check_part($name, $item->{text}, $next{'part of'}) }
        elsif (exists $next{output}) { $self->check_output($name, $item->{text}, $self->{output}) }
        elsif (exists $next{'output of'}) { $self->check_background($name, $item->{text}, $next{'output of'}) }
        elsif (is_command($item) && exists $next{'not run'}) { $not_run++; note("$name is not run: $next{'not run'}") }
        elsif (is_command($item)) { $ran++; $self->run_block($name, $item, \%next) }
        %next = ();
    }
    $options{after}->($self) if $options{after};
    $self->stop($_) for keys %{ $self->{background} };
    diag("$page: $ran commands run, $not_run not");
    return ($ran, $not_run);
}

sub go_to {
    my ($self, $name, $role) = @_;
    my $server = $self->{at} = $self->{servers}{$name} // die "the test has no server $name";
    $self->{node} = $server->{node};
    $self->{role} = $role;
    $self->{source} = $server if $server->{is_source};
}

# CREATE SUBSCRIPTION, which no function may run.
sub run_printed {
    my ($self, $name, $where) = @_;
    my ($statement) = $self->{printed} =~ /(CREATE SUBSCRIPTION [^;]*;)/ or die "$where: nothing was printed";
    $self->go_to($name);
    is($self->run_sql($statement), 0, "$where runs what was printed") or diag($self->{output});
}

sub database { return ($_[0]{at} // {})->{database} // 'postgres' }

sub placed {
    my ($self, $text) = @_;
    if (my $source = $self->{source}) {
        my $address = sprintf 'host=%s port=%s dbname=%s user=node', $source->{node}->host, $source->{node}->port, $source->{database} // 'postgres';
        $text =~ s{host=db\.example port=5432 dbname=shop user=node password=\.\.\.}{$address}g;
    }
    $text =~ s{\Q$_\E}{$self->{places}{$_}}g for keys %{ $self->{places} };
    $text =~ s{https://you\.example}{http://127.0.0.1:8000}g;
    $text =~ s{https://whisperer\.example}{http://127.0.0.1:8080}g;
    return $text =~ s/\b(8000|8001|8080)\b/$self->{ports}{$1}/gr;
}

sub environment {
    my ($self) = @_;
    return (PGHOST => $self->{node}->host, PGPORT => $self->{node}->port, PGDATABASE => $self->database, PGCONNECT_TIMEOUT => 20,
        PAGE_FOLDER => $self->{folder}, HOME => $self->{folder}, no_proxy => '*', PSQLRC => '/dev/null', PGOPTIONS => $self->{role} ? "-c role=$self->{role}" : '', PAGER => 'cat');
}

sub run_block {
    my ($self, $name, $item, $next) = @_;
    my $text = $self->placed($item->{text});
    if (exists $next->{background}) {
        $self->start($next->{background}, $text);
        return pass("$name goes on running");
    }
    my $status = $item->{language} eq 'sql' ? $self->run_sql($text) : $self->run_language($item->{language}, $text);
    my $output = $self->{output};
    if (exists $next->{fails}) {
        like($output, qr/(ERROR|FATAL):  \Q$next->{fails}\E:/, "$name fails with $next->{fails}");
    } else {
        is($status, 0, "$name runs") or diag($output);
        unlike($output, qr/^psql:.*WARNING:/m, "$name warns of nothing");
    }
    $self->settle;
}

sub set_up {
    my ($self, $text, $name) = @_;
    my $status = $text =~ s/^sh\n// ? $self->run_language('sh', $self->placed($text)) : $self->run_sql($self->placed($text));
    is($status, 0, "$name sets up") or diag($self->{output});
    $self->settle;
}

sub execute {
    my ($self, @command) = @_;
    local %ENV = (%ENV, $self->environment);
    my $output = '';
    IPC::Run::run(\@command, '<', \undef, '>&', \$output, init => sub { chdir(($self->{at} // {})->{folder} // top()) or die "cannot chdir: $!" });
    my $status = $?;
    $self->{output} = $output;
    $self->{printed} = $output if $output =~ /CREATE SUBSCRIPTION/;
    return $status;
}

sub run_sql {
    my ($self, $text) = @_;
    my $file = $self->write_file('block' . ++$self->{count} . '.sql', $text);
    return $self->execute('psql', '-X', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-f', $file);
}

# What one sh block exports the next one has, and programs have it, too.
sub run_language {
    my ($self, $language, $text) = @_;
    # Before version 22 node takes a file of modules for one only if it is named so.
    my $file = $self->write_file('block' . ++$self->{count} . '.' . ($language eq 'js' && $text =~ /^import /m ? 'mjs' : $language), $text);
    my $kept = "$self->{folder}/exports";
    my $before = -e $kept ? ". '$kept';" : '';
    # But for what says which server it is.
    my $run = $language eq 'sh' ? "set -eo pipefail; . '$file'; export -p | grep -vE ' (PAGE_|PG(HOST|PORT|DATABASE|OPTIONS)=)' >'$kept'" : ($language eq 'python' ? 'python3' : 'node') . " '$file'";
    return $self->execute('bash', '-c', "$before $run");
}

sub write_file {
    my ($self, $name, $text) = @_;
    my $file = "$self->{folder}/$name";
    open my $out, '>', $file or die "cannot write $file: $!";
    print $out $self->placed($text);
    close $out;
    return $file;
}

# What was committed has had its first attempt before the reader looks.
sub settle {
    my ($self) = @_;
    my $node = $self->{node};
    my $database = $self->database;
    return unless $node->safe_psql($database, "SELECT count(*) FROM pg_extension WHERE extname = 'whisperer'");
    return if $node->safe_psql($database, "SELECT count(*) FROM whisperer.status WHERE state <> 'running'");
    Whisperer::wait_idle($node, $database);
}

sub wait_until {
    my ($self, $query) = @_;
    wait_for($query, sub { $self->{node}->safe_psql($self->database, $query) eq 't' });
}

# --- commands in a second terminal ------------------------------------------------------------------

sub start {
    my ($self, $name, $text) = @_;
    my $file = $self->write_file("$name.sh", $text);
    my $log = $self->{background}{$name}{log} = "$self->{folder}/$name.log";
    my $before = -e "$self->{folder}/exports" ? ". '$self->{folder}/exports';" : '';
    local %ENV = (%ENV, $self->environment);
    # exec of the last command, so that the process is the one to end.
    my $script = $text =~ s/\\\n\s*/ /gr;
    $script =~ s/\s+\z//;
    $script =~ s/(^|\n)([^\n]+)\z/$1exec $2/;
    $self->{background}{$name}{process} = IPC::Run::start([ 'bash', '-c', "$before $script" ], '<', \undef, '>', $log, '2>&1',
        init => sub { chdir top() or die "cannot chdir: $!" });
    wait_for("$name to say something", sub { -s $log });
}

sub stop {
    my ($self, $name) = @_;
    my $background = delete $self->{background}{$name} or die "nothing runs as $name";
    $background->{process}->kill_kill(grace => 5);
}

sub start_gateway {
    my ($self) = @_;
    my $node = $self->{node};
    $node->safe_psql('postgres', 'CREATE ROLE gateway LOGIN NOINHERIT; GRANT USAGE ON SCHEMA whisperer TO gateway');
    my $program = $ENV{WHISPERER_GATEWAY} or die 'WHISPERER_GATEWAY does not say where the gateway is';
    $self->start('gateway', "$program --listen 127.0.0.1:$self->{ports}{8080} --database '" . $node->connstr('postgres') . " user=gateway'");
}

# --- what was printed -------------------------------------------------------------------------------

# White space and the rulers of tables are the reader's; "..." is anything; the page's ports are not the test's.
sub without_rulers { return $_[0] =~ s/^[-+ ]*--[-+ .]*$//gmr }

sub pattern {
    my ($self, $expected) = @_;
    my @parts = map { join '\s+', map { quotemeta } split ' ' } split /\.\.\./, without_rulers($self->placed($expected)), -1;
    my $pattern = join '.*?', map { length ? "\\s*$_\\s*" : '' } @parts;
    return qr/$pattern/s;
}

sub check_output {
    my ($self, $name, $expected, $output) = @_;
    my $pattern = $self->pattern($expected);
    ok(without_rulers($output) =~ $pattern, "$name is what is printed") or diag("expected:\n$expected\ngot:\n$output");
}

sub check_part {
    my ($self, $name, $text, $file) = @_;
    ok(index(PostgreSQL::Test::Utils::slurp_file(top() . "/$file"), $text) >= 0, "$name stands in $file") or diag($text);
}

sub check_background {
    my ($self, $name, $expected, $of) = @_;
    my $log = $self->{background}{$of}{log} or die "nothing runs as $of";
    my $pattern = $self->pattern($expected);
    my $seen = eval { wait_for("$of", sub { PostgreSQL::Test::Utils::slurp_file($log) =~ $pattern }) };
    ok($seen, "$name is what $of prints") or diag("expected:\n$expected\ngot:\n" . PostgreSQL::Test::Utils::slurp_file($log));
}

1;
