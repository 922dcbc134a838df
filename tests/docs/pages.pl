# Of all pages together: how many commands there are, which are not run and why, and that each page whose commands are
# run has a test that runs it.
use strict;
use warnings;
use Markdown qw(page_items is_command);
use PostgreSQL::Test::Utils;
use Test::More;
use Pages;

my $top = top();
my $tests = join '', map { slurp_file($_) } glob "$top/tests/{docs,examples}/*.pl";
my ($all, $not_run) = (0, 0);
for my $file (glob "$top/{README,CONTRIBUTING}.md $top/docs/*.md $top/examples/README.md $top/examples/*/README.md") {
    my $page = $file =~ s{^\Q$top\E/}{}r;
    my ($why, $here, $skipped) = ('', 0, 0);
    for my $item (page_items(slurp_file($file))) {
        if (is_command($item) && $why !~ /^(output|file)/) {
            $here++;
            next unless $why =~ /^not run: (.*)/s;
            $skipped++;
            note("$page:$item->{line} is not run: $1");
        }
        $why = $item->{kind} eq 'comment' ? $item->{text} : '';
    }
    ok($here == $skipped || $tests =~ /run_page\('\Q$page\E'/, "$page: $here commands, $skipped of them not run");
    $all += $here;
    $not_run += $skipped;
}
cmp_ok($all, '>', $not_run, "$all commands in the pages, $not_run of them not run");
diag("$all commands in the pages, $not_run of them not run");

done_testing();
