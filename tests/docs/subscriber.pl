# The page for subscribers, through a gateway.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('docs/subscriber.md');
done_testing();
