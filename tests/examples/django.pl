# The shop in Django: what its page says, its own tests among it; that tests are refused where they would send; and the
# admin's actions on deliveries that failed.
use strict;
use warnings;
use Test::More;
use Pages;
use PostgreSQL::Test::Utils;
use Whisperer;

plan skip_all => 'the shop in Django: there is no python3-django or python3-psycopg2' unless run_log([ 'python3', '-c', 'import django, psycopg2' ]);

sub look_further {
    my ($page) = @_;
    my $receiver = new_receiver('admin')->url('/ok');
    my $status = $page->run_language('sh', "cd examples/django; RECEIVER=$receiver WAIT_S=$Whisperer::wait_s python3 manage.py shell -v 0 <../../tests/examples/django_admin.py");
    is($status, 0, 'the admin acts on failed deliveries');
    like($page->{output}, qr/^listed: 2\nwhy: True\nretry: 1 deliveries are queued again\.\nretry: .*event (?:already delivered|is still in retry process) 0 deliveries .*\nrecover: 1 deliveries are queued again\.\n\z/,
        'and says what it did') or diag($page->{output});

    # A template that is not paused: no test may begin.
    $page->{node}->safe_psql('shop_template', 'SELECT whisperer.resume()');
    isnt($page->run_language('sh', 'cd examples/django; python3 manage.py test --parallel 2'), 0, 'tests that would send are refused');
    like($page->{output}, qr/would send webhooks/, 'and it is said why');
    unlike($page->{output}, qr/^Ran /m, 'none was run');
    is($page->{node}->safe_psql('postgres', q(SELECT count(*) FROM pg_database WHERE datname LIKE 'test%')), 0, 'no test database is left');
}

run_page('examples/django/README.md', extra => 'max_worker_processes = 16', after => \&look_further);
done_testing();
