# A wall clock that a test sets: that of the processes that are started with LD_PRELOAD => library().  It is ahead of the
# machine's by as many seconds as a file says; the steady clock is the machine's.
package WallClock;

use strict;
use warnings;
use PostgreSQL::Test::Utils ();

sub new {
    my ($class) = @_;
    my $folder = PostgreSQL::Test::Utils::tempdir('clock');
    PostgreSQL::Test::Utils::append_to_file("$folder/clock.c", <<"C");
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, clock, at);
    char ahead[16] = {0};
    int file = clock == CLOCK_REALTIME ? open("$folder/ahead", O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0 && read(file, ahead, sizeof ahead - 1) > 0)
        at->tv_sec += atol(ahead);
    if (file >= 0)
        close(file);
    return result;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec, at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
C
    system('cc', '-shared', '-fPIC', '-o', "$folder/clock.so", "$folder/clock.c") == 0 or die 'no C compiler';
    return bless { folder => $folder }, $class;
}

sub library { return "$_[0]{folder}/clock.so" }

# A server that runs by the machine's clock runs by this one afterwards.
sub restart {
    my ($self, $node) = @_;
    $node->stop;
    local $ENV{LD_PRELOAD} = $self->library;
    $node->start;
}

sub set {
    my ($self, $ahead_s) = @_;
    PostgreSQL::Test::Utils::append_to_file("$self->{folder}/new", $ahead_s);
    rename "$self->{folder}/new", "$self->{folder}/ahead" or die "cannot set the clock: $!";
}

1;
