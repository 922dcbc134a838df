# Many deliveries tried again over HTTP: what the list's filters let through, and of it what may be tried; counted first
# by the same filters; with the rights of a single retry.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('retry_many');
my $receiver = new_receiver('retry_many');
$node->safe_psql('postgres', "SELECT whisperer.register_event('$_')") for qw(a b);
my $token = new_role($node, 'reader', 'a', 'b');
my $bob = new_role($node, 'bob', 'a', 'b');
my $gateway = new_gateway($node);
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
sub countdown { my ($retries) = @_; return (retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 }, max_retries => $retries }) }
sub hook { my ($path, %more) = @_; return $gateway->post('/whisperer/hooks/', $token, { target_url => $receiver->url($path), %more })->{json}{id} }
sub answer { my ($query, $json, $as) = @_; return $gateway->post("/whisperer/hook_events/retry/$query", $as // $token, $json // {}) }
sub counted { my ($query, $as) = @_; return answer($query, { dry_run => $true }, $as)->{json} }
sub retried { my ($query, $as) = @_; return answer($query, undef, $as)->{json} }
sub record { my ($type, $more) = @_; my $id = $node->safe_psql('postgres', "SELECT replace(whisperer.deliver_event('$type', '{}'" . ($more ? ", $more" : '') . ")::text, '-', '')"); wait_idle($node); return $id }
sub state { my ($event, $hook) = @_; return $gateway->get("/whisperer/hook_events/$event-$hook/", $token)->{json}{state} }
sub requests { my ($path) = @_; return scalar(my @all = $receiver->requests($path)) }
sub asked { return $node->safe_psql('postgres', q(SELECT count(*) FROM whisperer.delivery WHERE state = 'pending')) }

# --- what there is ------------------------------------------------------------------------------
$receiver->control({ path => $_, steps => ['status/500'] }) for '/ill', '/later', '/gone';
my $well = hook('/ok/well', event_type => 'a');
my $ill = hook('/ill', event_type => 'a', countdown(0));
my $later = hook('/later', event_type => 'b', countdown(9));
my $gone = hook('/gone', event_type => 'a', countdown(0));
my @a = map { record('a', $_ ? "object_id => '7'" : undef) } 0 .. 2;
my @b = map { record('b') } 1 .. 3;
my $for_later = record('b', "deliver_at => now() + interval '1 hour'");
wait_for('what is for later', sub { $gateway->get("/whisperer/hook_events/$for_later-$later/", $token)->{status} == 200 });
$node->safe_psql('postgres', "SELECT whisperer.expunge('$a[2]')");
wait_for('the data to go', sub { $gateway->get("/whisperer/hook_events/$a[2]-$ill/", $token)->{json}{expunged} });
$node->safe_psql('postgres', "SELECT whisperer.cancel('$b[2]', $later)");
wait_for('the end of one', sub { state($b[2], $later) eq 'cancelled' });
$gateway->request('DELETE', "/whisperer/hooks/$gone/", token => $token);
wait_idle($node);

# --- counted ------------------------------------------------------------------------------------
is_deeply(counted(''), { count => 4, dry_run => $true, next => undef, left_out => { delivered => 3, cancelled => 1, expunged => 1, pending => 1, deleted_hook => 3 } },
    'two that failed and two that wait after a failure are counted, and what is left alone is told');
my ($cut) = map { $_->{created_date} =~ s/\+/%2B/gr } $gateway->get("/whisperer/hook_events/$b[0]-$later/", $token)->{json};
my %kept = map { ("$a[$_]-$ill" => 1, "$b[$_]-$later" => 1) } 0, 1;
for my $filter ('', "webhook=$ill", "webhook=$later", "webhook=$well", 'event_type=B', 'event_type=a', 'object_id=7', 'state=failed', 'state=pending', 'state=delivered', 'state=cancelled', 'delivered=false', 'delivered=true',
    'response_http_status=500', 'response_http_status=200', "uuid=$a[1]", "created_date__lt=$cut", "created_date__gte=$cut", "webhook=$ill&state=failed&event_type=a&created_date__lt=$cut", 'event_type=none')
{
    my @listed = grep { $kept{ $_->{id} } } @{ $gateway->all("/whisperer/hook_events/?$filter", $token) };
    is(counted("?$filter")->{count}, scalar @listed, 'as many as the list shows of them: ' . ($filter || 'all'));
}
is(requests('/ill') . requests('/later'), '33', 'and nothing was sent');

# --- refused ------------------------------------------------------------------------------------
for ([ 'state=broken', 'state' ], [ 'colour=red', 'colour' ], [ 'limit=5', 'limit' ], [ "cursor=$a[0]-$ill.00", 'cursor' ], [ 'cursor=x', 'cursor' ], [ "cursor=$a[0]-$ill.41", 'cursor' ], [ 'created_date__lt=now', 'created_date__lt' ]) {
    my $answer = answer("?$_->[0]");
    is("$answer->{status} " . join(' ', keys %{ $answer->{json}{errors} }), "400 $_->[1]", "refused: $_->[0]");
}
is(answer('', { dry_run => 'yes' })->{status}, 400, 'dry_run is true or false');
is(answer('', { force => $true })->{status}, 400, 'and there is no force');

# --- whose --------------------------------------------------------------------------------------
is_deeply([ @{ counted("?webhook=$ill", $bob) }{qw(count)}, @{ counted('', $bob)->{left_out} }{qw(delivered deleted_hook)} ], [ 0, 0, 0 ], 'another role has none of them');
is(retried("?webhook=$ill", $bob)->{count}, 0, 'and has none tried again');
$node->safe_psql('postgres', "SELECT whisperer.disallow('a', 'reader', 'subscribe')");
is(counted("?webhook=$ill")->{count}, 0, 'nor has who may no longer see the events');
$node->safe_psql('postgres', "SELECT whisperer.allow('a', 'reader', 'subscribe')");
my ($portal) = $node->safe_psql('postgres', "SELECT whisperer.create_portal_link('reader')") =~ /(whap_.*)/;
is(counted("?webhook=$ill", $portal)->{count}, 2, 'who came by a link may, as with a single one');
is(state($a[0], $ill), 'failed', 'they are as they were');

# --- done ---------------------------------------------------------------------------------------
$receiver->control({ path => $_, steps => ['ok'] }) for '/ill', '/later';
is_deeply(retried("?webhook=$ill"), { count => 2, dry_run => $false, next => undef, left_out => undef }, 'those of a hook are taken up');
wait_for('them to arrive', sub { state($a[0], $ill) eq 'delivered' && state($a[1], $ill) eq 'delivered' });
wait_idle($node);
is(state($a[2], $ill), 'failed', 'what was expunged is not');
is(requests('/later'), 3, 'nor what the filter leaves out');
is(counted("?webhook=$ill")->{count}, 0, 'there is none left');
is(retried("?webhook=$later&cursor=$b[0]-$later")->{count}, 1, 'behind a cursor is the rest');
wait_for('it to arrive', sub { state($b[1], $later) eq 'delivered' });
is(state($b[0], $later), 'pending', 'without the one before it');
is(retried('?state=pending')->{count}, 1, 'what waits is sent now');
wait_for('that to arrive', sub { state($b[0], $later) eq 'delivered' });
is(state($for_later, $later) . ' ' . state($b[2], $later), 'pending cancelled', 'but not before its time, nor what was cancelled');
wait_idle($node);
is(requests('/later'), 5, 'each once');

# --- at once ------------------------------------------------------------------------------------
# Whoever comes second finds less, or nothing; nobody is refused.
$node->safe_psql('postgres', q(SELECT count(whisperer.deliver_event('a', '{}')) FROM generate_series(1, 30)));
wait_idle($node);
$node->safe_psql('postgres', "UPDATE whisperer.delivery SET state = 'failed' WHERE hook_id = $well AND state = 'delivered'");
my @both = map { $gateway->start_request('POST', "/whisperer/hook_events/retry/?webhook=$well", token => $token, json => {}) } 1, 2;
my @answers = map { $gateway->answer_of($_) } @both;
is(join(' ', map { $_->{status} } @answers), '200 200', 'two at once are both answered');
cmp_ok($answers[0]{json}{count} + $answers[1]{json}{count}, '>=', 32, 'all are taken up');
wait_for('all of them', sub { $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE hook_id = $well AND state <> 'delivered'") == 1 });
pass('and arrive, but for the one that was expunged');

done_testing();
