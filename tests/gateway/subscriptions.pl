# Subscriptions over HTTP: made, found, changed, ended; what is refused and which field it names; and what
# can be done with one.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Openssl;
use Test::More;
use Whisperer;

my $node = new_node('api_hooks');
my $receiver = new_receiver('api_hooks');
$node->safe_psql('postgres', "SELECT whisperer.register_event('$_', 'an event') FROM generate_series(1, 1)") for 'order-paid', 'order-sent';
$node->safe_psql('postgres', "SELECT whisperer.register_event('secret-thing')");
my $token = new_role($node, 'shop', 'order-paid', 'order-sent');
my $gateway = new_gateway($node);
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

sub hooks { return $gateway->get("/whisperer/hooks/$_[0]", $token) }
sub act { my ($method, $path, $json) = @_; return $gateway->request($method, "/whisperer/hooks/$path", token => $token, defined $json ? (json => $json) : ()) }
sub ids { return join ' ', map { $_->{id} } @{ $gateway->all("/whisperer/hooks/$_[0]", $token) } }
sub record { $node->safe_psql('postgres', qq(SELECT whisperer.deliver_event('order-paid', '{"n": $_[0]}'))); wait_idle($node) }

# --- made ---------------------------------------------------------------------------------------
my %all = (event_type => 'order-paid', target_url => $receiver->url('/ok/1'), secret_key => 'secret',
    additional_headers => { 'X-Tenant' => '7' }, config => { shop => 3 }, filter => { n => 1 }, description => "Zo\x{eb}\x{2019}s \"shop\"",
    rate_limit => 12.5, ordering => 'key', format => 'whisperer', payload_key => 'payload',
    signing => { header => 'X-Own', value => '{hex}' }, signatures => ['standard'],
    metadata_headers => [ 'attempt', 'time' ], timeout => 2.5, max_in_flight => 2, name => 'paid', encoding => 'gzip', priority => 'high', retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 60 }, max_retries => 3 });
my $made = act('POST', '', \%all);
is($made->{status}, 201, 'a hook is made');
my $hook = $made->{json};
is_deeply({ map { $_ => $hook->{$_} } qw(event_type target_url config filter description rate_limit ordering format payload_key signing signatures metadata_headers timeout max_in_flight name batch encoding priority retry_countdown_config) },
    { map { $_ => $all{$_} } qw(event_type target_url config filter description rate_limit ordering format payload_key signing signatures metadata_headers timeout max_in_flight name batch encoding priority retry_countdown_config) }, 'with all that was said');
is("$hook->{state} $hook->{owner} $hook->{is_active}", 'active shop 1', 'it is the role\'s');
ok(!exists $hook->{secret_key} && !exists $hook->{additional_headers}, 'and secrets that were given are not said back');
my $second = act('POST', '', { event_type => 'order-*', target_url => $receiver->url('/ok/2') })->{json};
like($second->{secret_key}, qr/^whsec_/, 'a secret that was made is said');
is(act('GET', "$second->{id}/")->{json}{secret_key}, undef, 'that once');
my $third = act('POST', '', { event_type => 'order-sent,order-paid', target_url => $receiver->url('/ok/third'), secret_key => '', batch => { size => 5, wait => '0 ms' } })->{json};
is_deeply($third->{batch}, { size => 5, wait => '0 ms' }, 'one with batches');
is($third->{event_type}, 'order-sent, order-paid', 'it may be for several event types');
my $twice = act('POST', '', { event_type => 'order-*', target_url => $receiver->url('/ok/third') });
is("$twice->{status} $twice->{json}{message}", qq(406 you have a hook for "order-sent, order-paid" at this URL already: hook $third->{id}), 'but its receiver is sent nothing twice');

record(1);
my ($got) = $receiver->requests('/ok/1');
is(Whisperer::Receiver::header($got, 'X-Tenant'), '7', 'it delivers, with the headers');
ok(verifies_v1($got, 'secret'), 'signed with the secret');
like($got->{body}, qr/"payload":\{/, 'in the format');
ok(verifies_v1(($receiver->requests('/ok/2'))[0], $second->{secret_key}), 'or with the one that was made');

# --- found --------------------------------------------------------------------------------------
is(ids(''), join(' ', map { $_->{id} } $third, $second, $hook), 'newest first');
is(ids('?target_url=' . $receiver->url('/ok/2')), $second->{id}, 'by target_url');
is(ids('?event_type=order-paid'), "$third->{id} $hook->{id}", 'by event_type, also where a hook has several');
is(ids('?event_type=order-sent,+order-paid'), $third->{id}, 'or by all that it has');
is(ids('?event_type=order-*&target_url=nowhere'), '', 'by both');
is(act('DELETE', "$third->{id}/")->{status}, 204, 'one is deleted');
is(ids(''), "$second->{id} $hook->{id}", 'and gone from the list');
is(ids('?is_active=false') . ' ' . ids('?state=deleted'), " $third->{id}", 'but found as deleted');
is(act('GET', "$third->{id}/")->{json}{state}, 'deleted', 'and by its id');
is(act('DELETE', "$third->{id}/")->{status}, 204, 'to delete it again changes nothing');
is(ids('?state=active'), "$second->{id} $hook->{id}", 'by state');
my ($pages, $count) = $gateway->all('/whisperer/hooks/?limit=1&event_type=order-paid', $token);
is("@{[ scalar @$pages ]} $count", '1 1', 'a filter stays on the way through pages');
is_deeply([ map { $_->{name} } @{ $gateway->all('/whisperer/hooks/registry/?limit=1', $token) } ], [ 'order-paid', 'order-sent', 'secret-thing' ], 'what can be subscribed to');
my ($paid, undef, $unseen) = @{ $gateway->all('/whisperer/hooks/registry/', $token) };
is_deeply([ @{$paid}{qw(description owner)}, $paid->{sample} ], [ 'an event', $node->safe_psql('postgres', 'SELECT current_user'), { n => 1 } ], 'with a sample');
is($unseen->{sample}, undef, 'of what one may see');
is(join(' ', map { $_->{may_subscribe} ? 1 : 0 } @{ $gateway->all('/whisperer/hooks/registry/', $token) }), '1 1 0', 'and whether one may');

# --- as clients of dj-whisperer find it ------------------------------------------------------------
sub bare { return $gateway->request('GET', "/whisperer/$_[0]", token => $token, headers => { Accept => $_[1] // 'application/json; profile=dj-whisperer' }) }
my $bare = bare('hooks/');
is_deeply([ map { $_->{id} } @{ ref $bare->{json} eq 'ARRAY' ? $bare->{json} : [] } ], [ $second->{id}, $hook->{id} ], 'a list is an array for who asks for it');
is("$bare->{headers}{'content-type'} " . ($bare->{headers}{link} // 'whole'), 'application/json; profile=dj-whisperer whole', 'which says so');
is(ref bare($_)->{json}, 'ARRAY', "and so is $_") for qw(hooks/registry/ hook_events/ event_queue/);
$bare = bare('hooks/?limit=1&state=active');
is($bare->{headers}{link}, "<?limit=1&state=active&cursor=$second->{id}>; rel=\"next\"", 'where it goes on stands in a header');
is(ref bare('hooks/', $_)->{json}, 'ARRAY', "Accept: $_") for 'text/html, Application/JSON ;q=0.9; profile="dj-whisperer"', 'application/json;profile=dj-whisperer';
is(ref bare('hooks/', $_)->{json}, 'HASH', "Accept: $_") for '*/*', 'application/json', 'text/html; profile=dj-whisperer', 'application/json; profile=dj', 'application/json, profile=dj-whisperer';
is_deeply([ @{ hooks("$hook->{id}/")->{json} }{qw(created_date modified_date)} ], [ @{ hooks("$hook->{id}/")->{json} }{qw(created_at modified_at)} ], 'a hook has its dates under both names');
is(act('PATCH', "$hook->{id}/", { created_date => '2020-01-01T00:00:00Z' })->{json}{errors}{created_date}[0], 'is read-only', 'which are read-only');

sub states { return join ' ', map { act('PATCH', "$hook->{id}/", $_)->{json}{state} // 'refused' } @_ }
is(states({ is_active => $false }, { description => 'x' }, { is_active => undef }, { is_active => $true, description => undef }), 'paused paused paused active', 'to make it inactive pauses it');
my %put = (event_type => 'order-paid', target_url => $all{target_url});
sub put { return act('PUT', "$hook->{id}/", { %put, @_ })->{json}{state} // 'refused' }
is(put(is_active => $false) . ' ' . put(%{ hooks("$hook->{id}/")->{json} }) . ' ' . put() . ' ' . put(is_active => $true), 'paused paused paused active', 'with PUT, too, but not with what GET gave');
is(act($_->[0], $_->[1], { %put, is_active => 'no' })->{json}{errors}{is_active}[0], 'must be true or false', "$_->[0] takes no other word") for [ PUT => "$hook->{id}/" ], [ PATCH => "$hook->{id}/" ], [ POST => '' ];
my $inactive = act('POST', '', { %put, target_url => $receiver->url('/ok/inactive'), is_active => $false })->{json};
is($inactive->{state}, 'paused', 'a new one may begin so');
act('DELETE', "$inactive->{id}/") if $inactive->{id};
act('PUT', "$hook->{id}/", \%all);

# --- changed ------------------------------------------------------------------------------------
my $changed = act('PATCH', "$hook->{id}/", { filter => undef, description => 'new' })->{json};
is_deeply([ @{$changed}{qw(filter description rate_limit)} ], [ undef, 'new', 12.5 ], 'PATCH changes what it names');
like(act('PATCH', "$hook->{id}/", { secret_key => undef })->{json}{secret_key}, qr/^whsec_/, 'a new secret is said');
my $replaced = act('PUT', "$hook->{id}/", { %{ hooks("$hook->{id}/")->{json} }, description => 'put', rate_limit => undef })->{json};
is_deeply([ @{$replaced}{qw(id description rate_limit ordering config)} ], [ $hook->{id}, 'put', undef, 'key', { shop => 3 } ], 'PUT takes what GET gave');
$replaced = act('PUT', "$hook->{id}/", { event_type => 'order-sent', target_url => $receiver->url('/ok/3') })->{json};
is_deeply([ @{$replaced}{qw(event_type description ordering config filter retry_countdown_config format payload_key signing signatures metadata_headers timeout max_in_flight name batch encoding priority)} ], [ 'order-sent', undef, 'none', {}, undef, undef, 'whisperer', undef, undef, undef, undef, undef, undef, undef, undef, undef, 'normal' ], 'what PUT leaves out is cleared');
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('order-sent', '{}')));
wait_idle($node);
is(Whisperer::Receiver::header(($receiver->requests('/ok/3'))[0], 'X-Tenant'), '7', 'but for what nobody can read back');
my @bounds = qw(timeout max_in_flight name);
$replaced = act('PUT', "$hook->{id}/", { %all, map { $_ => undef } @bounds })->{json};
is_deeply([ @{ act('PUT', "$hook->{id}/", \%all)->{json} }{@bounds}, @{$replaced}{@bounds} ], [ 2.5, 2, 'paid', undef, undef, undef ], 'and so is what is null');

# --- refused ------------------------------------------------------------------------------------
my %new = (event_type => 'order-paid', target_url => $receiver->url('/ok/new'));
for ([ {}, 'event_type target_url' ], [ { %new, event_type => undef }, 'event_type' ], [ { %new, event_type => 7 }, 'event_type' ], [ { %new, event_type => 'nothing' }, 'event_type' ],
    [ { %new, target_url => 'ftp://x/' }, 'target_url' ], [ { %new, target_url => 'http://u:p@x/' }, 'target_url' ], [ { %new, target_url => "http://x/\0" }, 'target_url' ],
    [ { %new, config => [] }, 'config' ], [ { %new, config => { auth => { type => 'magic' } } }, 'config' ], [ { %new, config => { x => 'y' x 9000 } }, 'config' ],
    [ { %new, filter => { x => 'y' x 9000 } }, 'filter' ], [ { %new, additional_headers => { "a\r\nb" => 'c' } }, 'additional_headers' ],
    [ { %new, additional_headers => { Host => 'c' } }, 'additional_headers' ], [ { %new, additional_headers => 'x' }, 'additional_headers' ],
    [ { %new, retry_countdown_config => { choice => 'never' } }, 'retry_countdown_config' ], [ { %new, secret_key => 'whsec_???' }, 'secret_key' ],
    (map { [ { %new, filter => $_ }, 'filter' ] } { n => { '$like' => 'x' } }, { n => { '$in' => 1 } }, { '$or' => [] }),
    (map { [ { %new, retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1 }, %$_ } }, 'retry_countdown_config' ] }
        { give_up => [200] }, { only_if => 500 }, { give_up => [404], only_if => [ 404, 500 ] }, { give_up => ['404'] }, { kwargs => { seconds => 1, give_up => [404] } }),
    [ { %new, rate_limit => -1 }, 'rate_limit' ], [ { %new, rate_limit => '1' }, 'rate_limit' ], [ { %new, ordering => 'random' }, 'ordering' ], [ { %new, priority => 'urgent' }, 'priority' ], [ { %new, priority => 1 }, 'priority' ],
    [ { %new, format => 'xml' }, 'format' ], [ { %new, format => 1 }, 'format' ], [ { %new, format => 'data', payload_key => 'p' }, 'payload_key' ],
    [ { %new, signing => { header => 'Host', value => '{hex}' } }, 'signing' ], [ { %new, signing => 'github' }, 'signing' ],
    [ { %new, signatures => ['none'] }, 'signatures' ], [ { %new, signatures => 'none' }, 'signatures' ], [ { %new, metadata_headers => ['row'] }, 'metadata_headers' ],
    (map { [ { %new, timeout => $_ }, 'timeout' ] } 0, 0.5, 301, -5, 1e300, '30', '30 s'), (map { [ { %new, max_in_flight => $_ }, 'max_in_flight' ] } 0, 10001, -1, 1.5, 3e9, 1e300, '2'),
    (map { [ { %new, name => $_ }, 'name' ] } '', 'n' x 201, "a\nb", 7), [ { %new, batch => { size => 0 } }, 'batch' ], [ { %new, batch => 5 }, 'batch' ], [ { %new, encoding => 'br' }, 'encoding' ], [ { %new, encoding => $true }, 'encoding' ],
    [ { %new, transform => 'none' }, 'transform' ], [ { %new, transform => 'no.such' }, 'transform' ], [ { %new, callback => 'no.such' }, 'callback' ],
    [ { %new, colour => 'red', is_paused => $true }, 'colour is_paused' ], [ { %new, description => "\0" }, 'description' ])
{
    my ($json, $fields) = @$_;
    my ($bound) = grep { $fields eq $_ } @bounds, 'filter', 'retry_countdown_config';
    for my $how ([ POST => '' ], $bound ? ([ PUT => "$hook->{id}/" ], [ PATCH => "$hook->{id}/" ]) : ()) {
        my $answer = act(@$how, $how->[0] eq 'PATCH' ? { $bound => $json->{$bound} } : $json);
        is("$answer->{status} $answer->{json}{code} " . join(' ', sort keys %{ $answer->{json}{errors} // {} }), "400 invalid $fields",
            "$how->[0] refuses " . substr(JSON::PP->new->canonical->encode($json), 0, 100));
        unlike($answer->{content}, qr/whisperer\.|SELECT|=>/, 'in words, not in SQL');
    }
}
is(act('POST', '', { %new, filter => { n => { '$like' => 'x' } } })->{json}{errors}{filter}[0], 'filter has an unknown operator "$like"', 'an operator that there is not is named');
my $twice = act('POST', '', { %all, secret_key => 'x' });
is("$twice->{status} $twice->{json}{code}", '406 duplicate', 'a second one for the same');
for ([ POST => '', { event_type => 'secret-thing', target_url => $receiver->url('/ok') } ], [ PATCH => "$second->{id}/", { event_type => 'secret-thing' } ]) {
    my $answer = act(@$_);
    is_deeply([ $answer->{status}, @{ $answer->{json} }{qw(code message errors)} ], [ 403, 'forbidden', 'you may not subscribe to this event type', { event_type => ['you may not subscribe to this event type'] } ],
        "$_->[0] of one that the role may not subscribe to");
    unlike($answer->{content}, qr/whisperer\.|=>|permission denied/, 'in words');
}
$node->safe_psql('postgres', 'CREATE FUNCTION public.closed(json) RETURNS json LANGUAGE sql RETURN $1; REVOKE EXECUTE ON FUNCTION public.closed FROM PUBLIC');
my $closed = act('POST', '', { event_type => 'order-sent', target_url => $receiver->url('/ok/9'), transform => 'public.closed' });
is_deeply([ $closed->{status}, $closed->{json}{errors} ], [ 403, { transform => ['you may not use this function'] } ], 'nor a function that it may not use');
is(act('PATCH', "$second->{id}/", { event_type => 'order-paid', target_url => $all{target_url} })->{status}, 406, 'nor can it become the same');
$twice = act('PATCH', "$second->{id}/", { name => 'paid' });
is("$twice->{status} $twice->{json}{code} $twice->{json}{message}", '406 duplicate you have a hook named "paid" already', 'nor can it have the name of another');
is($twice->{json}{hint}, 'A name is that of one hook of yours that is not deleted.', 'as the hint says');
is(act('PATCH', "$second->{id}/", { target_url => undef })->{status}, 400, 'a target must stay');
for (qw(0 -1 9223372036854775808 99999999999999999999999999 1.5 abc %00 1%00 ' %27 +1 1e3)) {
    is(act('GET', "$_/")->{status}, 404, "there is no hook $_");
}
is(act('GET', "9223372036854775807/")->{status}, 404, 'nor the last of all');
for ('limit=0', 'limit=201', 'limit=x', 'cursor=x', 'is_active=1', 'state=broken', 'colour=red', 'event_type=a&event_type=b', 'target_url=%00', 'target_url=%ff') {
    my ($field) = /^(\w+)/;
    my $answer = hooks("?$_");
    is("$answer->{status} " . join(' ', keys %{ $answer->{json}{errors} }), "400 $field", "refused: $_");
}

# --- done with one ------------------------------------------------------------------------------
my $ping = act('POST', "$second->{id}/ping/")->{json};
is_deeply([ @{$ping}{qw(ok http_status error)} ], [ $true, 200, undef ], 'a ping');
is(act('POST', "$second->{id}/ping/", { event_type => 'order-paid' })->{json}{message}, 'event type "order-paid" has no example', 'a ping of a type without an example');
my $unknown = act('POST', "$second->{id}/ping/", { event_type => 'order-lost' });
is("$unknown->{status} $unknown->{json}{errors}{event_type}[0]", '400 event type "order-lost" is not registered', 'or of none, which is not told as a hook that is missing');
is(act('POST', '999999/ping/', { event_type => 'order-lost' })->{json}{message}, 'there is no such hook', 'as this one is');
is(act('POST', "$second->{id}/ping/", { event_type => 7 })->{status}, 400, 'or of no name');
$node->safe_psql('postgres', q(SELECT whisperer.update_event('order-paid', '{"schema": {"required": ["n"]}, "example": {"n": 12345}, "on_invalid": "send"}')));
my ($with_schema) = grep { $_->{name} eq 'order-paid' } @{ $gateway->all('/whisperer/hooks/registry/', $token) };
is_deeply([ @{$with_schema}{qw(schema example on_invalid)} ], [ { required => ['n'] }, { n => 12345 }, 'send' ], 'the registry shows schema and example');
act('POST', "$second->{id}/ping/", { event_type => 'order-paid' });
like((map { $_->{body} } $receiver->requests)[-1], qr/"type":"order-paid".*"data":\{"n": 12345\}/, 'and a ping sends the example as an event of its type');
my $private = act('PATCH', "$second->{id}/", { target_url => 'http://10.1.2.3/' });
is("$private->{status} $private->{json}{errors}{target_url}[0]", '400 address 10.1.2.3 is not allowed (whisperer.allowed_networks does not name 10.1.2.3:80)',
    'a private address is refused, with what would let it through');
act('PATCH', "$second->{id}/", { target_url => $receiver->url('/status/503/x') });
is(act('POST', "$second->{id}/ping/", {})->{json}{error}, 'HTTP status 503', 'a busy receiver');
act('PATCH', "$second->{id}/", { target_url => $receiver->url('/status/500/x') });
$ping = act('POST', "$second->{id}/ping/", {})->{json};
is_deeply([ @{$ping}{qw(ok http_status error)} ], [ $false, 500, 'HTTP status 500' ], 'one that fails');
act('PATCH', "$second->{id}/", { target_url => $receiver->url('/ok/2') });
is(join(' ', @{ act('POST', "$second->{id}/pause/")->{json} }{qw(state state_reason)}), 'paused paused by a person', 'paused');
my $unsent = act('POST', "$second->{id}/ping/");
is("$unsent->{status} $unsent->{json}{message}", "406 hook $second->{id} is paused", 'then there is no ping');
is($unsent->{json}{hint}, undef, 'and no hint that speaks SQL');
my $none = act('PATCH', "$second->{id}/", { rate_limit => 0 });
is($none->{status}, 400, 'a rate of none');
unlike($none->{content}, qr/pause_hook/, 'without a name of a function');
record(2);
is(scalar(grep { $_->{body} =~ /"n": 2/ } $receiver->requests('/ok/2')), 0, 'nor a delivery');
is(act('POST', "$second->{id}/resume/")->{json}{state}, 'active', 'resumed');
wait_for('what waited', sub { grep { $_->{body} =~ /"n": 2/ } $receiver->requests('/ok/2') });
pass('what waited is delivered');
my $new = act('POST', "$second->{id}/rotate_secret/", { overlap => 3600 })->{json}{secret_key};
record(3);
my ($last) = grep { $_->{body} =~ /"n": 3/ } $receiver->requests('/ok/2');
ok(verifies_v1($last, $new) && verifies_v1($last, $second->{secret_key}), 'both secrets sign during the overlap');
is(act('POST', "$second->{id}/rotate_secret/", { new_secret => 'mine', overlap => 0 })->{json}{secret_key}, 'mine', 'a secret of one\'s own');
is(join(' ', keys %{ act('POST', "$second->{id}/rotate_secret/", { new_secret => 'whsec_???' })->{json}{errors} }), 'new_secret', 'a bad one is refused');
is(act('POST', "$second->{id}/rotate_secret/", { overlap => $_ })->{status}, 400, "an overlap of $_") for -1, 1e300;

my $since = $node->safe_psql('postgres', q(SELECT to_char(now() - interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
sub arrived { return scalar grep { Whisperer::Receiver::header($_, 'X-Whisperer-Event') eq 'order-paid' } $receiver->requests('/ok/2') }
my $before = arrived();
is_deeply(act('POST', "$second->{id}/replay/", { since => $since, dry_run => $true })->{json}, { count => 4, expunged => 0, dry_run => $true }, 'a replay is counted first');
is(arrived(), $before, 'that sends nothing');
is(act('POST', "$second->{id}/replay/", { since => $since })->{json}{count}, 4, 'then done');
wait_for('the replay', sub { arrived() == $before + 3 });
is(act('POST', "$second->{id}/replay/", { since => $since, until => $since })->{json}{count}, 0, 'up to a time');
is_deeply(act('POST', "$second->{id}/recover/", { since => $since, dry_run => $true })->{json}, { count => 2, dry_run => $true }, 'the two pings that failed are no events to replay, and can be recovered');
for ([ {}, 'since' ], [ { since => 'yesterday' }, 'since' ], [ { since => '2024-02-30' }, 'since' ], [ { since => $since, until => '2000-01-01' }, 'since' ], [ { since => $since, dry_run => 1 }, 'dry_run' ]) {
    is(join(' ', keys %{ act('POST', "$second->{id}/replay/", $_->[0])->{json}{errors} }), $_->[1], 'refused: ' . JSON::PP->new->canonical->encode($_->[0]));
}
for my $action (qw(recover replay)) {
    for ([ { since => $since, until => '2000-01-01' }, '400 since and until must be a range of time' ], [ { since => '2999-01-01' }, '400 since and until must be a range of time' ]) {
        my ($json, $expected) = @$_;
        for my $more ({}, { dry_run => $true }) {
            my $answer = act('POST', "$second->{id}/$action/", { %$json, %$more });
            is("$answer->{status} $answer->{json}{message} " . join(' ', keys %{ $answer->{json}{errors} // {} }), "$expected since", "$action refuses " . JSON::PP->new->canonical->encode({ %$json, %$more }));
        }
    }
    is(act('POST', "$third->{id}/$action/", { since => $since, %$_ })->{status}, 406, "$action of a deleted hook") for {}, { dry_run => $true };
}
act('PATCH', "$second->{id}/", { target_url => $receiver->url('/status/500/y'), retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1 }, max_retries => 0 } });
record(4);
is(act('POST', "$second->{id}/recover/", { since => $since, dry_run => $true })->{json}{count}, 3, 'what failed is counted') for 1 .. 2;
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.request WHERE kind = 'recover'"), 0, 'and left alone');
my $failed = $node->safe_psql('postgres', "SELECT d.event_id FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE d.hook_id = $second->{id} AND d.state = 'failed' AND o.event_type = 'order-paid'");
$node->safe_psql('postgres', "SELECT whisperer.expunge('$failed')");
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.outbox WHERE id = '$failed' AND data IS NULL"), 1, 'the data of one goes');
is(act('POST', "$second->{id}/recover/", { since => $since, dry_run => $true })->{json}{count}, 2, 'it is counted no longer');
is(act('POST', "$second->{id}/recover/", { since => $since })->{json}{count}, 2, 'so many are recovered');
is_deeply(act('POST', "$second->{id}/replay/", { since => $since, dry_run => $true })->{json}, { count => 4, expunged => 1, dry_run => $true }, 'and a replay says that it stays out');
is_deeply(act('POST', "$second->{id}/replay/", { since => $since, until => $since, dry_run => $_ })->{json}, { count => 0, expunged => 0, dry_run => $_ }, 'if it is of that time') for $true, $false;

# --- which answers end a delivery -----------------------------------------------------------------
my %rules = (choice => 'linear', kwargs => { base => 0.05, limit => undef }, max_retries => undef, jitter => undef, give_up => [404], only_if => [500]);
my $ruled = act('POST', '', { event_type => 'order-sent', target_url => $receiver->url('/status/404/ruled'), retry_countdown_config => \%rules })->{json};
is_deeply($ruled->{retry_countdown_config}, \%rules, 'a countdown with all its keys, null or not');
sub ended {
    my $event = $node->safe_psql('postgres', q(SELECT replace(whisperer.deliver_event('order-sent', '{}')::text, '-', '')));
    my $path = "/whisperer/hook_events/$event-$ruled->{id}/";
    return wait_for('its end', sub { my $answer = $gateway->get($path, $token); ($answer->{json}{state} // '') eq 'failed' && $answer->{json} });
}
my $given_up = ended();
is_deeply([ @{$given_up}{qw(retry_count response_http_status)} ], [ 1, 404 ], 'one of give_up ends a delivery');
like($given_up->{why}, qr/; an answer with a status of 404 ends a delivery; of answers only those with a status of 500 are followed by another attempt$/, 'as is said');
act('PATCH', "$ruled->{id}/", { target_url => $receiver->url('/status/503/ruled'), retry_countdown_config => { %rules, give_up => undef } });
is_deeply([ @{ ended() }{qw(retry_count response_http_status)} ], [ 1, 503 ], 'and so does one that is not of only_if');
act('PATCH', "$ruled->{id}/", { target_url => $receiver->url('/status/500/ruled'), retry_countdown_config => { %rules, max_retries => 2 } });
is_deeply([ @{ ended() }{qw(retry_count response_http_status)} ], [ 3, 500 ], 'another one is tried again, as often as is said');

# --- events without a key -------------------------------------------------------------------------
act('PATCH', "$ruled->{id}/", { target_url => $receiver->url('/ok/keyed'), ordering => 'key' });
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('order-sent', '{}', object_id => $_)") for 'NULL', "'7'", 'NULL';
wait_for('the figures', sub { my ($one) = @{ $gateway->get("/whisperer/hook_stats/?hook=$ruled->{id}", $token)->{json}{results} }; $one->{without_key} == 2 });
pass('an ordered hook says how many had no key');
act('DELETE', "$ruled->{id}/");

# --- a deleted one ------------------------------------------------------------------------------
my ($gone) = grep { $_ ne $failed =~ s/-//gr } map { $_->{uuid} } @{ $gateway->all("/whisperer/hook_events/?webhook=$second->{id}", $token) };
is(act('DELETE', "$second->{id}/")->{status}, 204, 'deleted');
for ([ POST => 'pause/' ], [ POST => 'resume/' ], [ POST => 'rotate_secret/' ], [ POST => 'ping/' ], [ PATCH => '', { description => 'x' } ], [ PUT => '', { %all, target_url => $receiver->url('/ok/3') } ], [ POST => 'replay/', { since => $since } ]) {
    my ($method, $action, $json) = @$_;
    my $answer = act($method, "$second->{id}/$action", $json // {});
    is("$answer->{status} $answer->{json}{message}", "406 hook $second->{id} is deleted", "then $method $action says so");
}
my $retried = $gateway->post("/whisperer/hook_events/$gone-$second->{id}/retry/", $token, { force => $true });
is("$retried->{status} $retried->{json}{message}", "406 hook $second->{id} is deleted", 'and so does a retry');

# --- a filter tried out ---------------------------------------------------------------------------
$node->safe_psql('postgres', qq(SELECT whisperer.deliver_event('$_->[0]', '{"n": $_->[1]}'))) for [ 'order-paid', 51 ], [ 'secret-thing', 52 ], [ 'order-sent', 53 ];
sub tried { my ($event_type, $filter) = @_; return $gateway->post('/whisperer/test_filter/', $token, { event_type => $event_type, filter => $filter }) }
sub passes { my @found = @{ tried(@_)->{json}{results} }; return join ' ', map { "$_->{event_type}:" . ($_->{passes} ? 1 : 0) } @found[0 .. (@found > 1 ? 1 : $#found)] }
is(passes('order-paid,  order-s*', { n => { '$gt' => 51 } }), 'order-sent:1 order-paid:0', 'a filter is tried on the latest events');
is(passes('secret-thing', {}), '', 'that one may see');
is(passes('*', { n => 51 }), 'order-sent:0 order-paid:1', 'whatever the pattern');
is(passes('order-paid', { n => 51 }) =~ /^order-paid:1/ ? 1 : 0, 1, 'of one type alone');
for (qw(order-paid none)) {
    my $bad = tried($_, { n => { '$like' => 'x' } });
    is_deeply([ $bad->{status}, $bad->{json}{errors} ], [ 400, { filter => ['filter has an unknown operator "$like"'] } ], "a wrong filter is told, with events of $_ or without");
}

done_testing();
