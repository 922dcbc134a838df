# Lists as clients of dj-whisperer ask for them: in their order, page by page, while hooks and deliveries come;
# found whatever the case of a text; and what is_active says of a hook, wherever it is said.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('ordering');
my $receiver = new_receiver('ordering');
$node->safe_psql('postgres', "SELECT whisperer.register_event('$_')") for qw(order-Paid order-sent);
my $token = new_role($node, 'shop', 'order-Paid', 'order-sent');
my $gateway = new_gateway($node);
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

sub get { return $gateway->get("/whisperer/$_[0]", $token) }
sub act { my ($method, $path, $json) = @_; return $gateway->request($method, "/whisperer/hooks/$path", token => $token, defined $json ? (json => $json) : ()) }
sub new_hook { return $gateway->post('/whisperer/hooks/', $token, {@_})->{json}{id} }
my @profile = (headers => { Accept => 'application/json; profile=dj-whisperer' });
sub bare { return $gateway->request('GET', "/whisperer/$_[0]", token => $token, @profile) }

my %names;
sub named { return join '', map { $names{ $_->{id} } } @{ $_[0] } }
sub hooks { return named(scalar $gateway->all("/whisperer/hooks/?$_[0]", $token)) }

# Follows the header Link, as a client does that takes lists to be arrays.
sub all_bare {
    my ($path) = @_;
    my ($base) = split /\?/, $path;
    my @all;
    while (defined $path) {
        my $answer = bare($path);
        push @all, @{ $answer->{json} };
        ($path) = map { $base . $_ } ($answer->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/;
    }
    return \@all;
}

my $a = new_hook(event_type => 'order-sent', target_url => $receiver->url('/ok/C'), retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 } });
my $b = new_hook(event_type => 'order-Paid', target_url => $receiver->url('/status/500/a'), retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 } });
my $c = new_hook(event_type => 'order-sent', target_url => $receiver->url("/ok/\x{c3}\x{a9}"));
my $d = new_hook(event_type => 'order-*', target_url => $receiver->url('/ok/b'));
@names{ $a, $b, $c, $d } = qw(a b c d);

# --- hooks in order -----------------------------------------------------------------------------
is(hooks(''), 'dcba', 'newest first');
act('PATCH', "$b/", { description => 'changed' });
act('PATCH', "$d/", { is_active => $false });
my %expected = ('id' => 'abcd', '-id' => 'dcba', 'created_date' => 'abcd', '-created_date' => 'dcba', '-modified_date' => 'dbca', 'modified_date' => 'acbd',
    'is_active' => 'dabc', '-is_active' => 'cbad', 'callback' => 'abcd', '-callback' => 'dcba');
$expected{$_} = join '', map { $names{$_} } split /\|/, $node->safe_psql('postgres', "SELECT string_agg(id::text, '|' ORDER BY @{[ s/^-//r ]} @{[ /^-/ ? 'DESC' : '' ]}, id @{[ /^-/ ? 'DESC' : '' ]}) FROM whisperer.hook")
    for qw(event_type -event_type target_url -target_url);
for my $order (sort keys %expected) {
    is(hooks("ordering=$order"), $expected{$order}, "hooks by $order");
    is(hooks("ordering=$order&limit=1"), $expected{$order}, 'one by one');
    is(named(all_bare("hooks/?ordering=$order&limit=3")), $expected{$order}, 'as arrays, too');
}
for ('ordering=colour', 'ordering=secret_key', 'ordering=', 'ordering=id,event_type', 'ordering=--id', 'ordering=id&ordering=id') {
    my $answer = get("hooks/?$_");
    is("$answer->{status} " . join(' ', keys %{ $answer->{json}{errors} }), '400 ordering', "refused: $_");
}

# --- pages --------------------------------------------------------------------------------------
my $page = get('hooks/?ordering=event_type&limit=2');
like($page->{json}{next}, qr/^\?limit=2&ordering=event_type&cursor=\d+\.[0-9a-f]+$/, 'a page says where the list goes on');
is($page->{headers}{link}, qq(<$page->{json}{next}>; rel="next"), 'in a header, too');
is(get('hooks/?ordering=event_type')->{headers}{link}, undef, 'but for the last');
my $left = named(get("hooks/$page->{json}{next}")->{json}{results});
my $e = new_hook(event_type => 'order-*', target_url => $receiver->url('/ok/0'));
$names{$e} = 'e';
is(named(get("hooks/$page->{json}{next}")->{json}{results}), $left, 'what comes before it meanwhile moves nothing');
my $last = $page->{json}{results}[1]{id};
act('DELETE', "$last/");
is(named(get("hooks/$page->{json}{next}")->{json}{results}), $left, 'nor when the hook is gone that the page ended with');
for my $cursor ('1.6', '1.6g', '1.ff', '1.00', '.61', '0.61', '1.61.61', '1.0x', '1.-1', "1.$last'") {
    is(get('hooks/?ordering=event_type&cursor=' . $cursor =~ s/'/%27/r)->{status}, 400, "no cursor: $cursor");
}
is(get("hooks/?$_")->{json}{errors}{cursor}[0], 'is of a list in another order', "$_: refused") for "cursor=$a.61", "ordering=event_type&cursor=$a";

# --- whatever the case --------------------------------------------------------------------------
is_deeply([ map { $_->{id} } @{ $_->('hooks/?target_url=' . uc $receiver->url('/ok/c')) } ], [$a], 'by target_url') for sub { get(@_)->{json}{results} }, sub { bare(@_)->{json} };
is(hooks('event_type=ORDER-SENT'), 'ca', 'by event_type');
is(hooks('event_type=ORDER-*&ordering=id'), 'de', 'of any');
is(hooks("is_active=$_->[0]"), $_->[1] =~ s/$names{$last}//r, "is_active=$_->[0], as Python writes it") for [ True => 'ecba' ], [ False => 'd' ];
is(get("hooks/?is_active=$_")->{status}, 400, "but not $_") for qw(TRUE 1 no);

# --- is_active ----------------------------------------------------------------------------------
sub shown { return join ' ', map { my $hook = $_->{json}; "$hook->{state} " . ($hook->{is_active} ? 1 : 0) } get("hooks/$_[0]/") }
is(shown($c), 'active 1', 'a hook that delivers is active');
is(hooks('is_active=false'), 'd', 'one that is paused is not');
is(shown($d), 'paused 0', 'and says so itself');
$node->safe_psql('postgres', "INSERT INTO whisperer.hook_run (hook_id, disabled_at, disabled_reason, disabled_resumes) SELECT $c, now(), 'HTTP status 410', resumes FROM whisperer.hook_definition WHERE id = $c
    ON CONFLICT (hook_id) DO UPDATE SET disabled_at = excluded.disabled_at, disabled_reason = excluded.disabled_reason, disabled_resumes = excluded.disabled_resumes");
is(shown($c) . ' ' . hooks('is_active=false'), 'disabled 0 dc', 'nor is one that was disabled');
is(hooks('is_active=true'), 'ecba' =~ s/[c$names{$last}]//gr, 'the others are');
is(act('PATCH', "$c/", { is_active => $true })->{json}{is_active}, $true, 'written, it means the same: it delivers again');
is(shown($c), 'active 1', 'and says so');
act('DELETE', "$d/");
is(hooks('is_active=false'), '', 'what is deleted is gone from both');
is(hooks('is_active=true') =~ /d/, '', 'from the active ones, too');
is(hooks('state=deleted&is_active=false&ordering=id'), join('', sort 'd', $names{$last}), 'and found by its state');
is(shown($d), 'deleted 0', 'inactive');

# --- deliveries ---------------------------------------------------------------------------------
new_hook(event_type => 'order-Paid', target_url => $receiver->url('/status/500/f'), retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 } });
$node->safe_psql('postgres', "SELECT count(whisperer.deliver_event(e, '{}')) FROM unnest('{order-Paid,order-sent}'::text[]) AS e, generate_series(1, 3)");
wait_idle($node);
$gateway->post('/whisperer/hook_events/' . get("hook_events/?webhook=$c&limit=1")->{json}{results}[0]{id} . '/retry/', $token, { force => $true });
sub deliveries { return [ map { $_->{id} } @{ $gateway->all("/whisperer/hook_events/?$_[0]", $token) } ] }
my %columns = (id => 'd.event_id', uuid => 'd.event_id', created_date => 'd.event_id', modified_date => 'd.modified_at', webhook => 'd.hook_id',
    delivered => "d.state = 'delivered'", response_http_status => 'd.response_http_status', retry_count => 'd.retry_count');
for my $order (map { ($_, "-$_") } sort keys %columns) {
    my ($name, $down) = ($order =~ s/^-//r, $order =~ /^-/ ? 'DESC' : '');
    my @sorted = split /\n/, $node->safe_psql('postgres', "SELECT replace(d.event_id::text, '-', '') || '-' || d.hook_id FROM whisperer.delivery d ORDER BY $columns{$name} $down, d.event_id $down, d.hook_id $down");
    is_deeply(deliveries("ordering=$order&limit=2"), \@sorted, "deliveries by $order");
}
is(scalar @{ deliveries('event_type=ORDER-paid&ordering=-webhook') }, scalar @{ deliveries('event_type=order-Paid') }, 'and by event type, whatever its case');
ok(@{ deliveries('event_type=order-Paid') } > 0, 'of which there are some');
is(get("hook_events/?ordering=$_")->{json}{errors}{ordering}[0] =~ /^must be one of id -id uuid /, 1, "not by $_") for qw(payload object_id);
is(get("hook_events/?ordering=webhook&cursor=$_")->{status}, 400, "no cursor: $_") for 'f' x 32 . '-1', 'f' x 32 . '-1.f', 'f' x 32 . '-1.zz', '1.61';

# --- the rest -----------------------------------------------------------------------------------
is_deeply(all_bare('hooks/registry/?limit=1'), [ 'order-Paid', 'order-sent' ], 'event types are names for clients of dj-whisperer');
is(ref get('hooks/registry/')->{json}{results}[0], 'HASH', 'and more for others');
$node->safe_psql('postgres', 'SELECT whisperer.pause()');
act('PATCH', "$a/", { is_active => $false });
is(get("event_queue/?event_type=$_")->{status}, 200, "the queue, of $_") for qw(ORDER-SENT nothing);

# --- the queue, by both its names ---------------------------------------------------------------
# The transaction that begins first records last: its event's id is the last, and its created_date the first.
my $early = $node->background_psql('postgres');
$early->query_safe('BEGIN; SELECT now()');
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('order-sent', '{}')") for 1 .. 4;
$early->query_safe(q(SELECT whisperer.deliver_event('order-sent', '{}'); COMMIT));
$early->quit;
my %sorted = (id => 'event_id', uuid => 'event_id', created_date => 'created_at, event_id');
for my $name (sort keys %sorted) {
    my @up = split /\n/, $node->safe_psql('postgres', "SELECT replace(event_id::text, '-', '') FROM whisperer.event_queue ORDER BY $sorted{$name}");
    is(scalar @up, 5, 'of five that wait');
    for my $path (qw(event_queue event_queues)) {
        for my $order ([ $name => @up ], [ "-$name" => reverse @up ]) {
            my ($ordering, @expected) = @$order;
            is_deeply([ map { $_->{uuid} } @{ $gateway->all("/whisperer/$path/?ordering=$ordering&limit=2", $token) } ], \@expected, "$path by $ordering");
            is_deeply([ map { $_->{uuid} } @{ all_bare("$path/?ordering=$ordering&limit=2") } ], \@expected, 'as arrays, too');
        }
    }
}
is(get("$_/?ordering=object_id")->{json}{errors}{ordering}[0], 'must be one of id -id uuid -uuid created_date -created_date', "$_ not by object_id") for qw(event_queue event_queues);
is(get("event_queues/?ordering=created_date&cursor=$_")->{status}, 400, "no cursor: $_") for 'f' x 32, 'f' x 32 . '.f', '1.61', 'f' x 32 . '-1.61';

done_testing();
