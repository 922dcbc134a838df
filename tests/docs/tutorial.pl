# The tutorial, step by step, with its receiver.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('docs/tutorial.md');
done_testing();
