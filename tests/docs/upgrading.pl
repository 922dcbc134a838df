# What the page on upgrades says, from the release before to this one.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('docs/upgrading.md');
done_testing();
