# The quick start of the README, command by command.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('README.md');
done_testing();
