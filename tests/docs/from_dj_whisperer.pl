# How to move from dj-whisperer, with the tables that it makes.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('docs/from-dj-whisperer.md');
done_testing();
