# The receivers of examples/receivers, started by tests in each language that there is.
package Receivers;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use Pages;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

our @EXPORT = qw(receiver_languages start_receiver);

# [language, command...] of each; program: receiver or kinds.
sub receiver_languages {
    my ($program, $folder) = @_;
    my $here = top() . '/examples/receivers';
    my @languages = ([ python => 'python3', "$here/$program.py" ], [ javascript => 'node', "$here/$program.mjs" ]);
    if (!run_log([ 'sh', '-c', 'command -v go' ])) {
        SKIP: { skip "the $program in Go: there is no go", 1 }
        return @languages;
    }
    my @sources = map { "$here/$_.go" } 'receiver', $program eq 'receiver' ? () : $program;
    local %ENV = (%ENV, HOME => $folder, GOCACHE => "$folder/cache", GO111MODULE => 'off');
    command_ok([ 'go', 'build', '-o', "$folder/$program", @sources ], 'Go: it compiles');
    return @languages, [ go => "$folder/$program" ];
}

# It listens.  environment: its secret, and perhaps its kind.
sub start_receiver {
    my ($environment, $log, @command) = @_;
    local %ENV = (%ENV, PYTHONDONTWRITEBYTECODE => 1, %$environment);
    unlink $log;
    my $process = IPC::Run::start(\@command, '<', \undef, '>', $log, '2>&1');
    wait_for("@command", sub { slurp_file($log) =~ /^listening at/m || !$process->pumpable && die "@command: " . slurp_file($log) });
    return $process;
}

1;
