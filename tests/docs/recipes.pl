# Each recipe, with its receiver.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('docs/recipes.md');
done_testing();
