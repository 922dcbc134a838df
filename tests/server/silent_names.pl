# A name server that does not answer holds up neither DROP DATABASE nor the server's stop: whoever leaves waits for no
# look-up.  In place of the name server stands a getaddrinfo of ours, which libcurl's threads call.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('silent');
append_to_file("$folder/silent.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int Look(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    char name[4096];
    if (node == NULL || strstr(node, ".silent.example") == NULL)
        return ((Look *) dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, result);
    snprintf(name, sizeof name, "%s/asked-%s", getenv("SILENT_FOLDER"), node);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    snprintf(name, sizeof name, "%s/released", getenv("SILENT_FOLDER"));
    while (access(name, F_OK) != 0)
        usleep(50000);
    return EAI_AGAIN;
}
C
my ($compiler) = grep { system("command -v $_ >/dev/null") == 0 } qw(cc gcc clang);
plan skip_all => 'no C compiler' unless $compiler;
run_log([ $compiler, qw(-shared -fPIC -o), "$folder/silent.so", "$folder/silent.c", '-ldl' ]) or die 'it does not compile';

my $node;
{
    local @ENV{qw(LD_PRELOAD SILENT_FOLDER)} = ("$folder/silent.so", $folder);
    $node = new_node('silent');
}

# A database whose worker waits for names.
sub make_database {
    my ($database) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, "CREATE EXTENSION whisperer");
    $node->safe_psql($database, "SELECT whisperer.register_event('asked')");
    $node->safe_psql($database, "SELECT whisperer.create_hook('asked', 'http://$database-$_.silent.example/')") for 1 .. 20;
    $node->safe_psql($database, "SELECT whisperer.deliver_event('asked', '{}')");
    wait_for("look-ups in $database", sub { (() = glob "$folder/asked-$database-*") >= 10 });
}

make_database('dropped');
# The server gives whoever is connected 5 s to leave.
is($node->psql('postgres', 'DROP DATABASE dropped'), 0, 'DROP DATABASE waits for no look-up');

make_database('stopped');
{
    local $ENV{PGCTLTIMEOUT} = 20;
    ok($node->stop('fast', fail_ok => 1), 'nor does the server when it stops');
}
append_to_file("$folder/released", '');

done_testing();
