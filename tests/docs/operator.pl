# The statements of the page for operators.  Gateway, service and nginx of the same page: tests/gateway/operator.pl.
use strict;
use warnings;
use Test::More;
use Pages;

run_page('docs/operator.md');
done_testing();
