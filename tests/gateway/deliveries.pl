# What became of events, over HTTP: found by every filter, page by page, in detail; tried again; and how the
# hooks are doing.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('api_deliveries');
my $receiver = new_receiver('api_deliveries');
my $token;
$node->safe_psql('postgres', "SELECT whisperer.register_event('$_')") for qw(a b);
$token = new_role($node, 'reader', 'a', 'b');
my $gateway = new_gateway($node);
my $true = JSON::PP::true;
my %once = (retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 }, max_retries => 0 });
my %later = (retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 }, max_retries => 9 });

sub hook { return $gateway->post('/whisperer/hooks/', $token, {@_})->{json}{id} }
sub found { my $list = $gateway->all("/whisperer/hook_events/?$_[0]", $token); return join ' ', map { "$_->{payload_id}$_->{webhook}" } map { { %$_, payload_id => note($_) } } @$list }
my %note;
sub note { my ($item) = @_; return $note{ $item->{uuid} } // '?' }
sub record {
    my ($type, $name) = @_;
    my $id = $node->safe_psql('postgres', qq(SELECT replace(whisperer.deliver_event('$type', '{"few": 1, "name": "$name"}')::text, '-', '')));
    $note{$id} = $name;
    wait_idle($node);
    return $id;
}
sub get { return $gateway->get("/whisperer/$_[0]", $token) }
sub retry { my ($id, $json) = @_; return $gateway->post("/whisperer/hook_events/$id/retry/", $token, $json) }

# --- filters ------------------------------------------------------------------------------------
my $well = hook(event_type => 'a', target_url => $receiver->url('/ok/a'));
# Only what record() makes: too many failures would open its circuit.
my $ill = hook(event_type => '*', target_url => $receiver->url('/status/500/x'), filter => { few => 1 }, %once);
my $slow = hook(event_type => 'b', target_url => $receiver->url('/status/503/x'), %later);
my $first = record('a', 'p');
my $second = record('a', 'q');
my $third = record('b', 'r');
is(found(''), "r$slow r$ill q$ill q$well p$ill p$well", 'all, newest first');
is(found("webhook=$well"), "q$well p$well", 'of a hook');
is(found("uuid=$second"), "q$ill q$well", 'of an event');
is(found('uuid=' . $second =~ s/^(.{8})(.{4})(.{4})(.{4})/\U$1-$2-$3-$4-/r), "q$ill q$well", 'of an event, written with dashes');
is(found('event_type=b'), "r$slow r$ill", 'of a type');
is(found('state=pending'), "r$slow", 'that wait');
is(found('state=failed'), "r$ill q$ill p$ill", 'that failed');
is(found('delivered=true'), "q$well p$well", 'that were delivered');
is(found('delivered=false'), "r$slow r$ill q$ill p$ill", 'that were not');
is(found('response_http_status=503'), "r$slow", 'by the status of the answer');
is(found("webhook=$ill&event_type=a&delivered=false&uuid=$first"), "p$ill", 'by several');
is(found("webhook=$ill&event_type=c"), '', 'by what there is not');

$node->safe_psql('postgres', 'CREATE TABLE thing (key text PRIMARY KEY)');
$node->safe_psql('postgres', "SELECT whisperer.register_event('c'); SELECT whisperer.allow('c', 'reader', 'subscribe'); CREATE TRIGGER c AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('c')");
my $things = hook(event_type => 'c', target_url => $receiver->url('/ok/c'));
$node->safe_psql('postgres', "INSERT INTO thing VALUES ('x/1''\"')");
wait_idle($node);
is(join(' ', map { "$_->{object_id} $_->{event_type}" } @{ $gateway->all(q(/whisperer/hook_events/?object_id=x/1'"), $token) }), q(x/1'" c), 'by the object');
$node->safe_psql('postgres', "INSERT INTO thing VALUES ('a=?b=='), ('b=='), ('a?limit')");
wait_idle($node);
is(join(' ', map { $_->{object_id} } @{ $gateway->all("/whisperer/hook_events/?object_id=$_", $token) }), 'a=?b==', "written as $_")
    for 'a=?b==', 'a%3D%3Fb%3D%3D', 'a=%3fb%3d=';
is(join(' ', map { $_->{object_id} } @{ $gateway->all('/whisperer/hook_events/?object_id=a?limit', $token) }), 'a?limit', 'what follows a "?" in a value is no parameter');
is($gateway->status_of('GET', '/whisperer/hook_events/?limit=1?x', token => $token), 400, 'and a number with one is none');
is($gateway->status_of('GET', '/whisperer/hook_events/?limit=1=2', token => $token), 400, 'nor with a "="');
is($gateway->status_of('GET', '/whisperer/hook_events/??limit=1', token => $token), 400, 'a name with one is unknown');

my %at = map { $_->{uuid} => $_->{created_date} } @{ $gateway->all('/whisperer/hook_events/', $token) };
sub coded { return $_[0] =~ s/\+/%2B/gr }
my ($early, $middle, $late) = map { coded($at{$_}) } $first, $second, $third;
is(found("created_date__gte=$middle&created_date__lte=$late"), "r$slow r$ill q$ill q$well", 'from a time to a time');
is(found("created_date__gt=$early&created_date__lt=$late"), "q$ill q$well", 'between two times');
is(found("created_date=$middle"), "q$ill q$well", 'at a time');
is(found("created_date__gte=$at{$second}&created_date__lt=$late"), "q$ill q$well", 'a plus sign that was not encoded is understood');
is(found('created_date__lt=2001-01-01'), '', 'before a day');
# HTTP::Tiny of newer Perls ends the test over a space in a URL.
sub encoded { return $_[0] =~ s/([^\w.:+\/-])/sprintf '%%%02X', ord $1/ger }
is($gateway->get('/whisperer/hook_events/?created_date__gte=' . encoded($_), $token)->{status}, 400, "$_ is no time")
    for qw(yesterday now infinity 2024-13-01 2024-02-30 2024-01-01T25:00 2024-01-01T10:00:00+99:00 1/2/2024 2024), "2024-01-01T10:00Z' OR true --", '';

# --- pages --------------------------------------------------------------------------------------
$node->safe_psql('postgres', "SELECT count(whisperer.deliver_event('a', json_build_object('g', g))) FROM generate_series(1, 225) g");
wait_idle($node);
my ($events, $pages) = $gateway->all("/whisperer/hook_events/?webhook=$well&limit=100", $token);
is(scalar(@$events) . " on $pages", '227 on 3', 'page by page');
is(scalar(keys %{ { map { $_->{id} => 1 } @$events } }), 227, 'each once');
is_deeply([ map { $_->{uuid} } @$events ], [ sort { $b cmp $a } map { $_->{uuid} } @$events ], 'in order');
is(scalar @{ get("hook_events/?webhook=$well")->{json}{results} }, 50, 'fifty unless it is said');
is(scalar @{ get("hook_events/?webhook=$well&limit=200")->{json}{results} }, 200, 'two hundred at most');
is(get('hook_events/?limit=1000')->{status}, 400, 'not more');
my $next = get("hook_events/?webhook=$well&limit=10")->{json}{next};
record('a', 'between');
is(get("hook_events/$next")->{json}{results}[0]{id}, $events->[10]{id}, 'what comes meanwhile moves nothing');
is(get("hook_events/?cursor=$_")->{status}, 400, "no cursor: $_") for 'x', "'", 'f' x 33 . '-1', 'f' x 32 . '-x', '-1';

# --- detail -------------------------------------------------------------------------------------
my $detail = get("hook_events/$third-$slow/")->{json};
is_deeply($detail->{payload}, { few => 1, name => 'r' }, 'a delivery has its payload');
is_deeply([ map { [ @{$_}{qw(number response_http_status error)} ] } @{ $detail->{attempts} } ], [ [ 1, 503, 'HTTP status 503' ] ], 'and attempts');
like($detail->{why}, qr/^waits for attempt 2 at .*last error: HTTP status 503/, 'and says what it waits for');
is(get("hook_events/$_/")->{status}, 404, "no delivery: $_") for "$third-$well", "$third-99", 'f' x 32 . "-$well", $third, "$third-", "x$third-1", "$third-$slow%00", '%2e%2e';

# --- retry --------------------------------------------------------------------------------------
my $again = retry("$first-$well");
is("$again->{status} $again->{json}{message}", '406 event already delivered', 'what was delivered is not sent again');
$again = retry("$third-$slow");
is("$again->{status} $again->{json}{message}", '406 event is still in retry process', 'nor what waits');
$again = retry("$first-$well", { force => $true });
is_deeply([ $again->{status}, @{ $again->{json} }{qw(response_status delivered detail)} ], [ 200, 200, $true, 'delivered' ], 'but by force');
$again = retry("$first-$ill", {});
is_deeply([ @{ $again->{json} }{qw(response_status delivered detail)} ], [ 500, JSON::PP::false, 'not delivered: HTTP status 500' ], 'what failed is tried again');
$gateway->request('PATCH', "/whisperer/hooks/$slow/", token => $token, json => { target_url => $receiver->url('/ok/well') });
$again = retry("$third-$slow", { force => $true });
is_deeply([ @{ $again->{json} }{qw(response_status delivered)} ], [ 200, $true ], 'and succeeds when the receiver is well');
is(get("hook_events/$third-$slow/")->{json}{retry_count}, 2, 'which shows');
$gateway->post("/whisperer/hooks/$ill/pause/", $token);
$again = retry("$first-$ill");
like($again->{json}{detail}, qr/^still pending: waits: the hook is paused \(paused by a person\)/, 'of a paused hook it says so');
like(get("hook_events/$first-$ill/")->{json}{why}, qr/^waits: the hook is paused \(paused by a person\)/, 'and so does the delivery');
is(get("hook_stats/?hook=$ill")->{json}{results}[0]{state_reason}, 'paused by a person', 'and its figures');

# An attempt that is under way when the retry is asked for is not what comes of it.
$receiver->control({ path => '/busy', steps => [ 'status/500', 'delay/1500/502', 'ok' ] });
my $busy = hook(event_type => 'b', target_url => $receiver->url('/busy'), filter => { name => 's' },
    retry_countdown_config => { choice => 'schedule', kwargs => { seconds => [ 1, 1000 ] } });
$node->safe_psql('postgres', q(ALTER SYSTEM SET whisperer.request_timeout = '60s'; SELECT pg_reload_conf()));
my $fourth = record('b', 's');
sub arrivals { my ($path) = @_; return scalar(my @all = $receiver->requests($path)) }
wait_for('the second attempt', sub { arrivals('/busy') == 2 });
$again = retry("$fourth-$busy", { force => $true });
is_deeply([ @{ $again->{json} }{qw(response_status delivered detail)} ], [ 200, $true, 'delivered' ], 'a retry during an attempt tells of the one after it');
is(arrivals('/busy'), 3, 'which was made');
# So it is with the first attempt, which has a row only when it is slow.
$receiver->control({ path => '/busy', steps => [ 'delay/6000/503', 'ok' ] });
my $parked = record('b', 's');
$again = retry("$parked-$busy", { force => $true });
is_deeply([ @{ $again->{json} }{qw(response_status delivered detail)} ], [ 200, $true, 'delivered' ], 'also of a slow first attempt');
$receiver->control({ path => '/busy', steps => [ 'status/500', 'hang' ] });
my $fifth = record('b', 's');
wait_for('another second attempt', sub { arrivals('/busy') == 7 });
$again = retry("$fifth-$busy", { force => $true });
is_deeply([ @{ $again->{json} }{qw(response_status response_content response_time delivered)} ], [ undef, undef, undef, JSON::PP::false ], 'when the time is up there is no answer');
is($again->{json}{detail}, 'still pending: attempt 2 is under way', 'and it is said why');
$gateway->request('DELETE', "/whisperer/hooks/$busy/", token => $token);

is(retry("$_")->{status}, 404, "no delivery: $_") for "$third-99", 'f' x 32 . "-$well", 'x';
is(retry("$first-$well", { force => 'yes' })->{status}, 400, 'force is true or false');

# --- the queue ----------------------------------------------------------------------------------
$node->safe_psql('postgres', 'SELECT whisperer.pause()');
wait_for('the pause', sub { get('status/')->{json}{results}[0]{state} eq 'paused' });
is(get('status/')->{json}{results}[0]{reason}, 'paused by a person', 'which is said in words');
like($gateway->post("/whisperer/hooks/$well/ping/", $token)->{json}{error}, qr/^no result yet: waits: all delivery is paused$/, 'a ping waits for its end');
$again = retry("$first-$well", { force => $true });
is($again->{json}{detail}, 'still pending: waits: all delivery is paused', 'and so does a retry');
my @queued = map { $node->safe_psql('postgres', qq(SELECT replace(whisperer.deliver_event('b', '{}')::text, '-', ''))) } 1 .. 3;
# What the worker did last it may not have noted yet.
my %is_queued = map { $_ => 1 } @queued;
is_deeply([ grep { $is_queued{$_} } map { $_->{uuid} } @{ $gateway->all('/whisperer/event_queue/?limit=2', $token) } ], \@queued, 'what is recorded and not yet handed out, oldest first');
$node->safe_psql('postgres', 'SELECT whisperer.resume()');
wait_idle($node);
wait_for('an empty queue', sub { !@{ get('event_queue/')->{json}{results} } });

# --- figures ------------------------------------------------------------------------------------
my $stats = wait_for('the figures', sub {
    my ($one) = @{ get("hook_stats/?hook=$well")->{json}{results} };
    return $one->{delivered} >= 228 && $one;
});
is_deeply([ @{$stats}{qw(hook_id state circuit failed pending owner)} ], [ $well, 'active', 'closed', 0, 0, 'reader' ], 'how a hook is doing');
cmp_ok($stats->{response_time_p50}, '>', 0, 'in seconds');
is_deeply([ map { $_->{hook_id} } @{ $gateway->all('/whisperer/hook_stats/?limit=1', $token) } ], [ $well, $ill, $slow, $things ], 'of all hooks, page by page');
sub total { my ($query, $what) = @_; my $sum = 0; $sum += $_->{$what} for @{ get("delivery_rate/$query")->{json}{results} }; return $sum }
is(total("?hook=$well", 'delivered'), $stats->{delivered_total}, 'by the minute');
cmp_ok(total('?hours=1', 'delivered'), '>', total("?hook=$well&hours=1", 'delivered'), 'of all together');
cmp_ok(total('', 'failed_attempts'), '>=', 5, 'with what failed');
is(get("delivery_rate/?hours=$_")->{status}, 400, "not $_ hours") for 0, 25, 'x';
wait_for('a running worker', sub { get('status/')->{json}{results}[0]{state} eq 'running' });
pass('and the worker');

# --- forgotten ----------------------------------------------------------------------------------
my $forgotten = record('a', 'forgotten');
wait_idle($node);
is(get("hook_events/$forgotten-$well/")->{json}{expunged}, JSON::PP::false, 'an event has its data');
my $request = get("hook_events/$forgotten-$well/request/")->{json};
is($request->{last_sent_at}, get("hook_events/$forgotten-$well/")->{json}{request_datetimes}[-1], 'its request says when it was sent last');
cmp_ok($request->{hook_modified_at}, 'lt', $request->{last_sent_at}, 'and that the hook is what it was then');
$gateway->request('PATCH', "/whisperer/hooks/$well/", token => $token, json => { description => 'changed' });
cmp_ok(get("hook_events/$forgotten-$well/request/")->{json}{hook_modified_at}, 'gt', $request->{last_sent_at}, 'or that it was changed since');
$node->safe_psql('postgres', "SELECT whisperer.expunge('$forgotten')");
wait_for('the answer to go', sub { !defined get("hook_events/$forgotten-$well/")->{json}{response_content} });
$detail = get("hook_events/$forgotten-$well/")->{json};
is_deeply([ @{$detail}{qw(expunged payload payload_bytes state)} ], [ $true, undef, undef, 'delivered' ], 'until it is expunged; the result stays');
like($detail->{meta}{expunged_at}, qr/^2/, 'it says when');
like($detail->{why}, qr/; its data was expunged at 2/, 'in words, too');
is(get("hook_events/$forgotten-$well/payload/")->{json}{message}, 'the data of the event has been expunged', 'there is no payload');
like(get("hook_events/$forgotten-$well/request/")->{json}{message}, qr/^the data of event .* has been expunged/, 'nor a request');
$again = retry("$forgotten-$well", { force => $true });
like("$again->{status} $again->{json}{message}", qr/^406 the data of event .* has been expunged/, 'nor another try');

# --- what a transform made ----------------------------------------------------------------------
$node->safe_psql('postgres', "SELECT whisperer.register_event('made'), whisperer.allow('made', 'reader', 'subscribe');
    CREATE FUNCTION public.made(event json) RETURNS json LANGUAGE sql RETURN json_build_array(event->'data', random())");
my $made = hook(event_type => 'made', target_url => $receiver->url('/ok/made'), transform => 'public.made');
my $shown = record('made', 'shown');
is(get("hook_events/$shown-$made/request/")->{json}{body}, ($receiver->requests('/ok/made'))[0]{body}, 'is in the request of a delivery that has ended');

# --- the last error -----------------------------------------------------------------------------
# Its next attempt waits for the rate, which is no error.
$node->safe_psql('postgres', "SELECT whisperer.register_event('limited'), whisperer.allow('limited', 'reader', 'subscribe')");
my $limited = hook(event_type => 'limited', target_url => $receiver->url('/status/500/limited'), rate_limit => 0.01,
    retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 0 }, max_retries => 9 });
my $put_off = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('limited', '{}')::text, '-', '')));
wait_for('the rate to put it off', sub { $node->safe_psql('postgres', "SELECT error = 'rate limit' FROM whisperer.delivery WHERE hook_id = $limited") eq 't' });
my ($item) = @{ get("hook_events/?webhook=$limited")->{json}{results} };
is($item->{error}, 'HTTP status 500', 'is that of its last attempt');
like(get("hook_events/$put_off-$limited/")->{json}{why}, qr/last error: HTTP status 500$/, 'which why says, too');

done_testing();
