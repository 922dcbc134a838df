# The reference says what this server says: docs/make-reference makes it anew, and nothing public lacks a text.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Pages;
use Whisperer;

my $top = top();
my $node = new_node('reference');
require "$top/docs/make-reference";
my ($page, @problems) = do {
    local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
    main::page();
};
is(join("\n", @problems), '', 'everything public has a text, and no text is of nothing');
utf8::encode($page);
append_to_file("$top/docs/reference.made", $page);
my $stored = -e "$top/docs/reference.md" ? slurp_file("$top/docs/reference.md") : '';
ok($page eq $stored, 'docs/reference.md is what docs/make-reference writes')
    or diag(do { IPC::Run::run([ 'diff', "$top/docs/reference.md", "$top/docs/reference.made" ], '>&', \my $difference); $difference },
        'ACCEPT=1 tests/run docs tests/docs/reference.pl takes it over');

# Options of the trigger: all that the server knows.
my (undef, undef, $error) = $node->psql('postgres', <<'SQL');
CREATE TABLE t (id int);
SELECT whisperer.register_event('e');
CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION whisperer.capture('e', 'no=option');
INSERT INTO t VALUES (1);
SQL
my ($known) = $error =~ /HINT:  Options of whisperer\.capture: (.*)\./;
is(join(' ', sort map { $_->[0] =~ /^(\w+)/ } main::capture_options()), join(' ', sort(($known // '') =~ /(\w+)=/g)), 'the options of a capture trigger are those that the server names');

# Each message of the page can be found by who has met it.
my $count = () = $page =~ /^\| `[0-9A-Z]{5}` \| [a-z%"]/gm;
cmp_ok($count, '>', 50, "$count messages have their SQLSTATE");

done_testing();
