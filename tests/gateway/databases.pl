# A gateway of several databases: a primary, a delivery node of it, and a database with hooks of its own.  Lists, charts
# and metrics show what all of them have; one that is away is named and keeps nobody waiting.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Socket::INET ();
use JSON::PP ();
use Nodes;
use Test::More;
use Whisperer;

my $receiver = new_receiver('databases');
my $primary = new_primary('primary');
my $node = new_delivery_node('a');
sql($primary, "SELECT whisperer.register_event('order-paid')");
my $token = new_role($primary, 'shop', 'order-paid');
sql($primary, 'CREATE DATABASE other');
my $rights = 'GRANT USAGE ON SCHEMA whisperer TO gateway, shop';
sql($node, "CREATE ROLE gateway LOGIN NOINHERIT; GRANT shop TO gateway; $rights");
sub other { return $primary->safe_psql('other', $_[0]) }
other("CREATE EXTENSION whisperer; $rights; SELECT whisperer.register_event('order-sent'); SELECT whisperer.allow('order-sent', 'shop', 'subscribe')");

# Hooks 1 to 3 of the primary, 1 and 2 of the other database.
my $fixed = q('{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
sql($primary, qq(SET ROLE shop; SELECT whisperer.create_hook('order-paid', '@{[ $receiver->url('/ok') ]}/' || n) FROM generate_series(1, 2) n;
    SELECT whisperer.create_hook('order-paid', '@{[ $receiver->url('/status/400') ]}', retry_countdown_config => $fixed)));
other("SET ROLE shop; SELECT whisperer.create_hook('order-sent', '@{[ $receiver->url('/ok/other') ]}/' || n) FROM generate_series(1, 2) n");
sub record { my ($n) = @_; sql($primary, qq(SELECT whisperer.deliver_event('order-paid', '{"n": $n}'))); return other(qq(SELECT whisperer.deliver_event('order-sent', '{"n": $n}'))) }
record(1);
wait_idle($primary);
sql($primary, 'SELECT whisperer.publish_events(hooks => true)');
subscribe($primary, $node, 'a');
sql($primary, q(SELECT whisperer.add_node('a')));
record($_) for 2 .. 4;
settle($primary, $primary, $node);
wait_for('the other database', sub { other(q(SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered')) == 8 });

my @others = map { ('--database', $_ . ' user=gateway') } $node->connstr('postgres'), $primary->connstr('other');
my $gateway = new_gateway($primary, options => \@others);
my @names = qw(postgres a other);
is_deeply($gateway->get('/whisperer/session/', $token)->{json}{databases}, \@names, 'each database has its name');

# --- lists --------------------------------------------------------------------------------------
sub places { return join ' ', map { "$_->{database}:$_->{id}" } @_ }
is(places(@{ $gateway->all('/whisperer/hooks/?limit=1', $token) }), 'postgres:3 postgres:2 other:2 postgres:1 other:1', 'each hook is shown once, where it is changed');
is(places(@{ $gateway->all('/whisperer/hooks/?limit=2&ordering=event_type', $token) }), 'postgres:1 postgres:2 postgres:3 other:1 other:2', 'in any order');
is(places(@{ $gateway->all('/whisperer/hooks/?database=a', $token) }), 'a:3 a:2 a:1', 'a node has copies');

my %ledger = (postgres => sub { sql($primary, @_) }, a => sub { sql($node, @_) }, other => sub { other(@_) });
my %there;
for my $name (@names) {
    $there{$name} = [ split /\n/, $ledger{$name}->("SELECT replace(event_id::text, '-', '') || '-' || hook_id FROM whisperer.delivery") ];
}
is_deeply([ map { scalar @{ $there{$_} } } @names ], [ 3, 9, 8 ], 'each has its deliveries');
my $expected = join ' ', sort map { my $name = $_; map { "$name:$_" } @{ $there{$name} } } @names;
sub key_of { my ($row, $field) = @_; my $value = $row->{$field}; return ref $value ? ($value ? 'true' : 'false') : $value }
for my $limit (2, 7, 200) {
    my ($rows, $pages) = $gateway->all("/whisperer/hook_events/?limit=$limit", $token);
    is(join(' ', sort map { places($_) } @$rows), $expected, "all deliveries, $limit on a page");
    is(join(' ', map { $_->{uuid} } @$rows), join(' ', sort { $b cmp $a } map { $_->{uuid} } @$rows), 'newest first');
    is($pages, int((20 + $limit - 1) / $limit), 'each page is full');
}
for my $ordering (qw(webhook -webhook delivered -response_http_status modified_date created_date -retry_count)) {
    my $rows = $gateway->all("/whisperer/hook_events/?limit=3&ordering=$ordering", $token);
    my ($down, $field) = $ordering =~ /^(-?)(.*)/;
    my @keys = map { key_of($_, $field) } @$rows;
    my @sorted = sort { $a =~ /^\d+$/ ? $a <=> $b : $a cmp $b } @keys;
    is("@keys", join(' ', $down ? reverse @sorted : @sorted), "ordering=$ordering");
    is(join(' ', sort map { places($_) } @$rows), $expected, 'and all of them');
}
sub count_of { my ($query) = @_; my %count; $count{ $_->{database} }++ for @{ $gateway->all("/whisperer/hook_events/?limit=3&$query", $token) }; return \%count }
is_deeply(count_of('event_type=ORDER-sent'), { other => 8 }, 'filters are for all of them');
is_deeply(count_of('database=a'), { a => 9 }, 'or one is asked');
is_deeply(count_of('webhook=1'), { postgres => 1, a => 3 }, 'a hook is one of the first, and its copies');
is_deeply(count_of('database=other&webhook=1'), { other => 4 }, 'or of the one that is asked');
my $bare = $gateway->request('GET', '/whisperer/hook_events/?limit=2', token => $token, headers => { Accept => 'application/json; profile=dj-whisperer' });
is(scalar @{ $bare->{json} }, 2, 'an array for clients of dj-whisperer');
like($bare->{headers}{link}, qr/cursor=/, 'and where it goes on');
$bare = $gateway->get('/whisperer/hook_events/?database=nowhere', $token);
is("$bare->{status} $bare->{json}{errors}{database}[0]", '400 must be one of postgres, a, other', 'a database that there is not');
for my $odd ('%00', '%ff', "'", '', 'a%20', 'a&database=a', 'x' x 5000, 'POSTGRES') {
    is($gateway->get("$_?database=$odd", $token)->{status}, 400, 'an odd name') for '/whisperer/hooks/', '/whisperer/session/', '/metrics';
}
for my $cursor ('x', '1', '~', '~~~', '1~1~1') {
    is($gateway->get("/whisperer/hook_events/?cursor=$cursor", $token)->{status}, 400, "cursor $cursor");
}
my ($next) = $gateway->get('/whisperer/hook_events/?limit=2&ordering=webhook', $token)->{json}{next} =~ /cursor=([^&]*)/;
is($gateway->get("/whisperer/hook_events/?cursor=$next", $token)->{status}, 400, 'a cursor of another order');
my $single = new_gateway($primary);
is($single->get("/whisperer/hook_events/?cursor=$next", $token)->{status}, 400, 'or of more databases');
is_deeply([ map { exists $single->get($_, $token)->{json}{unavailable} } '/whisperer/hooks/', '/whisperer/status/', '/whisperer/delivery_rate/' ], [ ('') x 3 ], 'one database has no word of others');

other('SELECT whisperer.pause()');
record(5);
settle($primary, $node);
# What a worker has read it enters within a second.
my @waiting;
wait_for('the bookmarks', sub { @waiting = @{ $gateway->all('/whisperer/event_queue/', $token) }; @waiting <= 1 });
is(join(' ', map { "$_->{database}:$_->{event_type}" } @waiting), 'other:order-sent', 'what waits');
other('SELECT whisperer.resume()');
wait_for('the other database', sub { other(q(SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered')) == 10 });

# --- figures ------------------------------------------------------------------------------------
is(join(' ', map { "$_->{database}:$_->{worker}" } @{ $gateway->get('/whisperer/status/', $token)->{json}{results} }), 'postgres:0 a:0 other:0', 'the workers of each');
sub stats { return join ' ', map { "$_->{database}:$_->{hook_id}:$_->{delivered_total}" . ($_->{is_copy} ? ':copy' : '') } @{ $gateway->all("/whisperer/hook_stats/?limit=2$_[0]", $token) } }
wait_for('the figures', sub { stats('') eq 'postgres:1:1 a:1:4:copy other:1:5 postgres:2:1 a:2:4:copy other:2:5 postgres:3:0 a:3:0:copy' });
pass('figures of hooks, and of copies that have something to tell');
is(stats('&hook=1'), 'postgres:1:1 a:1:4:copy', 'of one hook');
is(stats('&hook=1&database=other'), 'other:1:5', 'of another one');
sub rates {
    my ($query) = @_;
    my %sum;
    for my $row (@{ $gateway->get("/whisperer/delivery_rate/?$query", $token)->{json}{results} }) { $sum{$_} += $row->{$_} for qw(delivered failed); $sum{times}++ if $row->{response_time_p95} }
    return "$sum{delivered} delivered, $sum{failed} failed" . ($sum{times} ? '' : ', no times');
}
is(rates(''), '20 delivered, 5 failed', 'the charts add them up');
is(rates('hook=1'), '5 delivered, 0 failed', 'of one hook, with its copies');
is(rates('hook=1&database=other'), '5 delivered, 0 failed', 'of another one');
my $metrics = $gateway->get('/metrics', $token)->{content};
like($metrics, qr/^whisperer_hook_deliveries_total\{database="$_->[0]",hook_id="1",outcome="delivered"\} $_->[1]$/m, "metrics of $_->[0]") for [ postgres => 1 ], [ a => 4 ], [ other => 5 ];
like($metrics, qr/^whisperer_gateway_database_up\{database="$_"\} 1$/m, "$_ is up") for @names;
like($metrics, qr/^whisperer_node_up\{database="postgres",node="a"\} 1$/m, 'and the node by the primary, too');
like($gateway->get('/metrics?hooks=false', $token)->{content}, qr/^whisperer_hooks\{database="other",state="active"\} 2$/m, 'sums of each');
unlike($single->get('/metrics', $token)->{content}, qr/database=|database_up/, 'with one database there is no label');

# --- single objects -----------------------------------------------------------------------------
my $failed = sql($node, "SELECT replace(event_id::text, '-', '') || '-' || hook_id FROM whisperer.delivery WHERE state = 'failed' LIMIT 1");
is($gateway->get("/whisperer/hook_events/$failed/", $token)->{status}, 404, 'a delivery of the node is not the primary\'s');
is($gateway->get("/whisperer/hook_events/$failed/?database=a", $token)->{json}{state}, 'failed', 'but is there');
is_deeply([ keys %{ $gateway->get("/whisperer/hook_events/$failed/payload/?database=a", $token)->{json} } ], ['n'], 'with its payload');
is($gateway->get("/whisperer/hook_events/$failed/request/?database=a", $token)->{status}, 200, 'and request');
sql($primary, qq(SET ROLE shop; SELECT whisperer.update_hook(3, '{"target_url": "@{[ $receiver->url('/ok/mended') ]}"}')));
settle($primary, $node);
is($gateway->post("/whisperer/hook_events/$failed/retry/?database=a", $token)->{json}{detail}, 'delivered', 'it is retried there');
is($gateway->get('/whisperer/hooks/1/', $token)->{json}{event_type}, 'order-paid', 'a hook is that of the first');
is($gateway->get('/whisperer/hooks/1/', $token)->{json}{state_reason}, 'node "a" delivers it, and knows whether it is disabled', 'which says who knows its state');
is($gateway->get("/whisperer/hooks/1/?database=$_", $token)->{json}{state_reason}, undef, "and $_ knows its own") for qw(a other);
is($gateway->get('/whisperer/hooks/1/?database=other', $token)->{json}{event_type}, 'order-sent', 'or of the one that is named');
is($gateway->get("/whisperer/hooks/1/?database=$_->[0]", $token)->{json}{is_copy}, $_->[1], "$_->[0] says whether it is a copy") for [ other => JSON::PP::false ], [ a => JSON::PP::true ], [ postgres => undef ];
is($gateway->request('PATCH', '/whisperer/hooks/1/?database=other', token => $token, json => { description => 'x' })->{json}{description}, 'x', 'and is changed there');
is(sql($primary, 'SELECT description IS NULL FROM whisperer.hook_definition WHERE id = 1'), 't', 'and nowhere else');
my $refused = $gateway->request('PATCH', '/whisperer/hooks/1/?database=a', token => $token, json => { description => 'x' });
like("$refused->{status} $refused->{json}{message}", qr/^4\d\d hook 1 comes from the primary/, 'a copy is not');
my @open = map { $gateway->get("$_?database=a", $token)->{status} } '/whisperer/session/', '/whisperer/hooks/registry/', '/whisperer/status/', '/whisperer/delivery_rate/', '/metrics';
is("@open", '200 200 200 200 200', 'everything may be asked of one');

# --- a role that a node lacks -------------------------------------------------------------------
sql($primary, 'CREATE ROLE late; GRANT USAGE ON SCHEMA whisperer TO late; GRANT late TO gateway');
other('GRANT USAGE ON SCHEMA whisperer TO late');
my $late = new_token($primary, 'late');
sub lacks { my ($path, $with) = @_; return join ' ', map { "$_->{database}: $_->{message}" } @{ $gateway->get($path, $with // $token)->{json}{unavailable} } }
is(lacks('/whisperer/hooks/', $late), 'a: your role is not set up there', 'is said');
is($gateway->get('/whisperer/hooks/?database=a', $late)->{status}, 200, 'also of that one alone');
is($gateway->get('/whisperer/hooks/1/?database=a', $late)->{status}, 403, 'a single thing is refused');
is($gateway->get('/whisperer/session/', $late)->{status}, 200, 'and the token is good');
is(lacks('/whisperer/hooks/'), '', 'nobody else lacks anything');
like($gateway->log_text, qr/"a database cannot be read".*role \\"late\\"/, 'the log says which role');

# --- one that is away ---------------------------------------------------------------------------
my $page = $gateway->get('/whisperer/hook_events/?limit=5', $token)->{json};
my @first = @{ $page->{results} };
$node->stop('immediate');
for my $path ('/whisperer/hooks/', '/whisperer/hook_events/', '/whisperer/event_queue/', '/whisperer/hook_stats/', '/whisperer/delivery_rate/', '/whisperer/status/') {
    is(lacks($path), 'a: it cannot be reached', "$path goes on without it");
}
is_deeply(count_of(''), { postgres => 3, other => 10 }, 'with what the others have');
is($gateway->request('GET', '/whisperer/hook_events/', token => $token, headers => { Accept => 'application/json; profile=dj-whisperer' })->{headers}{'x-unavailable-databases'}, 1, 'an array has a header for it');
$metrics = $gateway->get('/metrics', $token)->{content};
like($metrics, qr/^whisperer_gateway_database_up\{database="a"\} 0$/m, 'the metrics say so');
like($metrics, qr/^whisperer_gateway_database_up\{database="other"\} 1$/m, 'and have the others');
is($gateway->get("/whisperer/hook_events/$failed/?database=a", $token)->{status}, 503, 'what it alone has is not to be had');
is($gateway->request('PATCH', '/whisperer/hooks/1/', token => $token, json => { description => 'y' })->{status}, 200, 'changes are taken');
my $blind = new_gateway($primary, options => \@others);
like(join(' ', map { $_->{database} } @{ $blind->get('/whisperer/hooks/', $token)->{json}{unavailable} }), qr/^host=\S+ port=\d+ dbname=postgres$/, 'one that was never reached is named by its place');
$node->start;
wait_for('its return', sub { lacks('/whisperer/hooks/') eq '' });
my @rest = @{ $gateway->all("/whisperer/hook_events/$page->{next}", $token) };
is(scalar @first + @rest, 25, 'and a list that had begun goes on');
my %seen;
$seen{ places($_) }++ for @first, @rest;
is(scalar keys %seen, 25, 'without a row twice');

# One that takes everybody in and says nothing.
my $mute = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1');
my $deaf = new_gateway($primary, options => [ '--database', 'host=127.0.0.1 dbname=deaf port=' . $mute->sockport ]);
my @asked = map { $deaf->start_request('GET', '/whisperer/hooks/', token => $token) } 1 .. 20;
is(join(' ', map { my $answer = $deaf->answer_of($_); $answer->{status} . scalar @{ $answer->{json}{results} } . ' ' . scalar @{ $answer->{json}{unavailable} } } @asked), join(' ', ('2003 1') x 20), 'one that is mute is left out');

# --- told by the environment --------------------------------------------------------------------
my $told = new_gateway($primary, environment => { WHISPERER_GATEWAY_DATABASE => $primary->connstr('postgres') . ' user=gateway', WHISPERER_GATEWAY_DATABASE_2 => $node->connstr('postgres') . ' user=gateway' });
is_deeply($told->get('/whisperer/session/', $token)->{json}{databases}, [qw(postgres a)], 'or the environment names them');
local $ENV{WHISPERER_GATEWAY_DATABASE_2} = 'dbname=nowhere';
is(new_gateway($primary)->get('/whisperer/session/', $token)->{json}{databases}, undef, 'over which the command line wins');
$primary->stop('immediate');
is($gateway->get('/whisperer/hooks/', $token)->{status}, 503, 'without the first nobody is let in') for 1 .. 2;
$primary->start;

done_testing();
