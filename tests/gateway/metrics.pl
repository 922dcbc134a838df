# The figures for Prometheus: their form, what they say, whom they say it to; and the dashboard, whose every
# expression must be about metrics that there are.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('metrics', extra => "wal_level = logical\nmax_slot_wal_keep_size = 1GB\n");
my $receiver = new_receiver('metrics');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'owner', 'e');
my $monitor = new_role($node, 'monitor');
$node->safe_psql('postgres', 'GRANT pg_monitor TO monitor');
my $stranger = new_role($node, 'stranger');
my $gateway = new_gateway($node);

my %never = (retry_countdown_config => { choice => 'fixed', kwargs => { seconds => 1000 }, max_retries => 0 });
my $well = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/ok') })->{json}{id};
my $ill = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/status/500/x'), %never })->{json}{id};
my $odd = qq(a "shop"\n\\ of Zo\x{eb});
$gateway->request('PATCH', "/whisperer/hooks/$ill/", token => $token, json => { description => $odd });
my $paused = $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => $receiver->url('/ok/p') })->{json}{id};
$gateway->post("/whisperer/hooks/$paused/pause/", $token);
$node->safe_psql('postgres', "SELECT whisperer.deliver_event('e', '{}') FROM generate_series(1, 3)");
wait_idle($node);

# A delivery node that is away.
$node->safe_psql('postgres', q(INSERT INTO whisperer.node (name) VALUES ('a'); SELECT pg_create_logical_replication_slot('whisperer_a', 'pgoutput'); CREATE TABLE what_it_lacks ()));

# {name => {labels => value}}; dies for a line that Prometheus would not take.
sub read_metrics {
    my ($text) = @_;
    my (%samples, %type);
    for (split /\n/, $text) {
        next if /^# HELP whisperer_\w+ \S/;
        if (/^# TYPE (\w+) (counter|gauge|summary|histogram)$/) { die "$1 is described twice" if $type{$1}; $type{$1} = $2; next }
        my ($name, $labels, $value) = /^(\w+)(?:\{((?:\w+="(?:[^"\\]|\\["\\n])*",?)*)\})? (-?[0-9.]+(?:e[-+]?\d+)?)$/ or die "no sample: $_";
        my ($family) = grep { $type{$_} } $name, $name =~ s/_(?:sum|count|bucket)$//r;
        die "$name has no type" unless $family;
        die "$name is there twice" if exists $samples{$name}{ $labels // '' };
        $samples{$name}{ $labels // '' } = $value;
        die "$name is a counter" if $type{$family} eq 'counter' && $name !~ /_total$/;
    }
    return (\%samples, \%type);
}

my ($samples, $type);
wait_for('the figures', sub {
    my $answer = $gateway->get('/metrics', $token);
    ($samples, $type) = read_metrics($answer->{content});
    return ($samples->{whisperer_hook_deliveries_total}{qq(hook_id="$well",outcome="delivered")} // 0) == 3
        && ($samples->{whisperer_hook_failed_attempts_total}{qq(hook_id="$ill")} // 0) == 3
        && $samples->{whisperer_worker_lag_events}{'worker="0"'} == 0;
});
pass('the text is of the form that Prometheus reads');
my %expected = (
    whisperer_worker_up => { 'worker="0"' => 1 }, whisperer_worker_paused => { 'worker="0"' => 0 }, whisperer_worker_lag_events => { 'worker="0"' => 0 }, whisperer_worker_sent_again_total => { 'worker="0"' => 0 },
    whisperer_hook_deliveries_total => { qq(hook_id="$ill",outcome="failed") => 3, qq(hook_id="$ill",outcome="delivered") => 0, qq(hook_id="$well",outcome="failed") => 0 },
    whisperer_hook_pending => { qq(hook_id="$well") => 0, qq(hook_id="$paused") => 3 },
    whisperer_hook_success_ratio => { qq(hook_id="$well") => 1, qq(hook_id="$ill") => 0 },
    whisperer_hook_state => { qq(hook_id="$paused",state="paused") => 1, qq(hook_id="$paused",state="active") => 0, qq(hook_id="$well",state="active") => 1 },
    whisperer_hook_circuit_state => { qq(hook_id="$well",state="closed") => 1, qq(hook_id="$well",state="open") => 0 },
    whisperer_hook_response_time_seconds_count => { qq(hook_id="$well") => 3 },
    whisperer_hook_info => { qq(hook_id="$well",event_type="e",description="") => 1, qq(hook_id="$ill",event_type="e",description="a \\"shop\\"\\n\\\\ of Zo\xc3\xab") => 1 },
    whisperer_node_up => { 'node="a"' => 0 }, whisperer_node_hooks => { 'node="a"' => 0 },
    whisperer_gateway_pool_in_use => { '' => 0 }, whisperer_gateway_pool_size => { '' => 8 });
for my $name (sort keys %expected) {
    is(($samples->{$name}{$_} // 'missing') + 0, $expected{$name}{$_}, "$name\{$_}") for sort keys %{ $expected{$name} };
}
cmp_ok($samples->{whisperer_hook_response_time_seconds}{qq(hook_id="$well",quantile="$_")}, '>', 0, "quantile $_") for '0.5', '0.95';
cmp_ok($samples->{whisperer_hook_response_time_seconds_sum}{qq(hook_id="$well")}, '>', 0, 'and the sum');
cmp_ok($samples->{"whisperer_node_$_"}{'node="a"'}, '>', 0, "$_ of a node that is away") for qw(behind_bytes slot_safe_bytes);
cmp_ok($samples->{whisperer_gateway_requests_total}{'method="POST",route="/whisperer/hooks/",status="2xx"'}, '==', 3, 'requests are counted by route');
$gateway->get("/whisperer/hooks/$_/", $token) for 901 .. 905;
my ($more) = read_metrics($gateway->get('/metrics', $token)->{content});
is($more->{whisperer_gateway_requests_total}{'method="GET",route="/whisperer/hooks/{id}/",status="4xx"'}, 5, 'and by class of status');
is(scalar keys %$more, scalar keys %$samples, 'without a label for each');
my $histogram = $more->{whisperer_gateway_request_duration_seconds_bucket};
is($histogram->{'le="+Inf"'}, $more->{whisperer_gateway_request_duration_seconds_count}{''}, 'the histogram adds up');
is_deeply([ map { $histogram->{$_} } grep { !/Inf/ } sort { ($a =~ /([\d.]+)/)[0] <=> ($b =~ /([\d.]+)/)[0] } grep { !/Inf/ } keys %$histogram ],
    [ sort { $a <=> $b } map { $histogram->{$_} } grep { !/Inf/ } keys %$histogram ], 'and grows');

# --- whom ---------------------------------------------------------------------------------------
is($gateway->get('/metrics')->{status}, 401, 'not without a token');
my ($of_monitor) = read_metrics($gateway->get('/metrics', $monitor)->{content});
is(scalar keys %{ $of_monitor->{whisperer_hook_pending} }, 3, 'a member of pg_monitor has the figures of all hooks');
my ($of_stranger) = read_metrics($gateway->get('/metrics', $stranger)->{content});
is(scalar keys %{ $of_stranger->{whisperer_hook_pending} // {} }, 0, 'others those of their own');
unlike($gateway->get('/metrics', $monitor)->{content}, qr{http://}, 'and no URL');
is($of_monitor->{whisperer_hook_info}{$_}, 1, 'it is told what they are for') for keys %{ $expected{whisperer_hook_info} };
my ($sums) = read_metrics($gateway->get('/metrics?hooks=false', $monitor)->{content});
my %summed = (whisperer_hooks_pending => { '' => 3 }, whisperer_hooks_last_hour_deliveries => { 'outcome="delivered"' => 3, 'outcome="failed"' => 3 }, whisperer_hooks => { 'state="active"' => 2, 'state="paused"' => 1, 'state="disabled"' => 0 },
    whisperer_hooks_circuits => { 'state="closed"' => 3, 'state="half-open"' => 0, 'state="open"' => 0 });
is_deeply($sums->{$_}, $summed{$_}, "$_ is of all hooks together") for sort keys %summed;
is_deeply([ grep { /^whisperer_hook_/ } keys %$sums ], [], 'then there is no series for each');
is_deeply([ (read_metrics($gateway->get('/metrics?hooks=true', $monitor)->{content}))[0]{whisperer_hook_pending} ], [ $of_monitor->{whisperer_hook_pending} ], 'as there is if one says so');
is((read_metrics($gateway->get('/metrics?hooks=false', $stranger)->{content}))[0]{whisperer_hooks}{'state="active"'}, 0, 'a stranger has no sums of others');
$more->{$_} = $sums->{$_} for keys %summed;

# Of several databases, here twice the same one, with a label more.
my $several = new_gateway($node, options => [ '--database', $node->connstr('postgres') . ' user=gateway' ]);
for my $hooks (qw(true false)) {
    my ($of_each) = read_metrics($several->get("/metrics?hooks=$hooks", $monitor)->{content});
    for my $name (keys %$of_each) { $more->{$name} = $of_each->{$name} if !$more->{$name} || grep { /database=/ } keys %{ $of_each->{$name} } }
}
is_deeply($more->{whisperer_gateway_database_up}, { 'database="postgres"' => 1, 'database="postgres (2)"' => 1 }, 'of several databases each is up');

# --- the dashboard ------------------------------------------------------------------------------
my $file = "$FindBin::Bin/../../docs/grafana/whisperer.json";
my $dashboard = JSON::PP::decode_json(PostgreSQL::Test::Utils::slurp_file($file));
my @queries;
sub look { my ($thing) = @_; if (ref $thing eq 'HASH') { push @queries, grep { defined && !ref } @{$thing}{qw(expr query)}; look($_) for values %$thing } elsif (ref $thing eq 'ARRAY') { look($_) for @$thing } }
look($dashboard);
my @expressions = grep { /whisperer/ } @queries;
cmp_ok(scalar @expressions, '>=', 12, 'the dashboard asks');
my %used;
for my $expression (@expressions) {
    my $text = $expression =~ s/"[^"]*"//gr;
    my @names = $text =~ /\b(whisperer_\w+)/g;
    my @unknown = grep { !$more->{$_} } @names;
    is("@unknown", '', "of what there is: $expression");
    $used{$_}++ for @names;
    # Labels that it groups and filters by.
    for my $name (@names) {
        next unless $text =~ /\b$name\{([^}]*)\}/;
        my ($sample) = keys %{ $more->{$name} // {} };
        ok(($sample // '') =~ /\b$_=/, "$name has the label $_") for $1 =~ /(\w+)\s*[=!]/g;
    }
    for my $label (map { split /\s*,\s*/ } $text =~ /\bby\s*\(([^)]*)\)/g) {
        ok((grep { my $name = $_; grep { /\b$label=/ } keys %{ $more->{$name} // {} } } @names), "and the label $label") unless $label eq 'le' && grep { /_bucket$/ } @names;
    }
}

# --- as Prometheus sees it ------------------------------------------------------------------------
my $folder = PostgreSQL::Test::Utils::tempdir('prometheus');
my $rules = PostgreSQL::Test::Utils::slurp_file("$FindBin::Bin/../../docs/prometheus/whisperer.rules.yml");
my %alerts = map { $_ => 1 } $rules =~ /^ +- alert: (\w+)$/gm;
my @asked = map { /\b(whisperer_\w+)/g } $rules =~ /^ +expr: (?:\|\n)?(.*?)\n +(?:for|labels):/gms;
is(join(' ', grep { !$more->{$_} } @asked), '', 'the alerts ask for what there is');
my $tested = PostgreSQL::Test::Utils::slurp_file("$FindBin::Bin/alerts.yml");
is(join(' ', grep { $tested !~ /\b$_\b/ } sort keys %alerts), '', 'and each is tested');
SKIP: {
    skip 'there is no promtool', 4 if !grep { -x "$_/promtool" } split /:/, $ENV{PATH};
    my $says = sub { my ($in, @arguments) = @_; my $said; return IPC::Run::run([ 'promtool', @arguments ], '<', \$in, '>&', \$said) ? 'well' : $said };
    is($says->($gateway->get("/metrics?hooks=$_", $monitor)->{content}, qw(check metrics)), 'well', "promtool finds nothing wrong with the metrics, hooks=$_") for qw(true false);
    append_to_file("$folder/whisperer.rules.yml", $rules);
    append_to_file("$folder/alerts.yml", $tested);
    is($says->('', qw(test rules), "$folder/alerts.yml"), 'well', 'nor with the alerts');
    append_to_file("$folder/dashboard.yml", "groups:\n- name: dashboard\n  rules:\n" . join '', map { my $text = s/\$hook/.*/gr; $text =~ s/\$__rate_interval/5m/g; "  - record: a\n    expr: |\n      $text\n" } grep { !/^label_values/ } @expressions);
    is($says->('', qw(check rules --lint=none), "$folder/dashboard.yml"), 'well', 'nor with what the dashboard asks');
}
my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
is(scalar(grep { !$_->{title} || !@{ $_->{targets} // [] } } @panels), 0, 'each panel has a title and asks something');

done_testing();
