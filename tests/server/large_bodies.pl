# Large bodies: what comes is the event's data byte for byte, signed, in each format and with each signature, around the
# sizes at which libcurl sends in pieces; and a page of the log has no more of them than the engine takes.
use strict;
use warnings;
use Openssl;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('large');
run_log([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=receiver -addext subjectAltName=IP:127.0.0.1),
    '-keyout', "$folder/key", '-out', "$folder/crt" ]) or die 'openssl failed';
chmod 0644, "$folder/key", "$folder/crt";
my $node = new_node('large_bodies', extra => "whisperer.ca_file = '$folder/crt'\n");
my $plain = new_receiver('plain');
my $tls = new_receiver('tls', tls => [ "$folder/key", "$folder/crt" ]);
sub sql { return $node->safe_psql('postgres', $_[0]) }

# What a body of a format is, beside the data.
my %shapes = (
    whisperer => qr/^\{"event":\{[^{}]*\},"data":(.*)\}$/s, standard => qr/^\{"type":[^{}]*,"data":(.*)\}$/s, cloudevents => qr/^\{"specversion":[^{}]*,"data":(.*)\}$/s,
    'cloudevents-binary' => qr/^(.*)$/s, data => qr/^(.*)$/s, form => qr/^(n=.*)$/s,
);
my @sizes = (1_000, 61_000, 65_000, 66_000, 100_000, 300_000, 1_000_000);

# Half of it does not compress.
sub data_of {
    my ($size) = @_;
    return "(SELECT json_build_object('n', $size, 'text', left(string_agg(md5(i::text) || repeat('x', 32), '' ORDER BY i), $size)) FROM generate_series(1, $size / 64 + 1) i)";
}

# --- the bytes ------------------------------------------------------------------------------------------------
my %receivers = (http => $plain, https => $tls);
for my $scheme (sort keys %receivers) {
    my $receiver = $receivers{$scheme};
    my @hooks = ((map { [ "$scheme-$_", $_, "format => '$_'" ] } sort keys %shapes),
        map { [ "$scheme-signed-$_", 'data', "format => 'data', signatures => '{$_}'" ] } qw(standard whisperer));
    sql("SELECT whisperer.register_event('$_->[0]');
         SELECT whisperer.create_hook('$_->[0]', '" . $receiver->url("/ok/$_->[0]") . "', secret_key => 'secret', $_->[2])") for @hooks;
    for my $hook (@hooks) {
        sql("SELECT whisperer.deliver_event('$hook->[0]', " . data_of($_) . ')') for @sizes;
    }
    wait_idle($node);
    for my $hook (@hooks) {
        my ($type, $format) = @$hook;
        my %data = map { split /\|/, $_, 2 } split /\n/, sql("SELECT replace(id::text, '-', ''), data FROM whisperer.outbox WHERE event_type = '$type'");
        my @requests = $receiver->requests("/ok/$type");
        is(scalar @requests, scalar @sizes, "$type: each event came");
        my ($whole, $signed) = (0, 0);
        for my $request (@requests) {
            my $data = $data{ Whisperer::Receiver::header($request, 'webhook-id') };
            $data =~ s/^\{"n" : (\d+), "text" : "(\w+)"\}$/n=$1&text=$2/ if $format eq 'form';
            $whole++ if $request->{body} =~ $shapes{$format} && $1 eq $data;
            my ($v1, $body) = map { defined Whisperer::Receiver::header($request, $_) } 'webhook-signature', 'x-whisperer-signature';
            $signed++ if ($v1 || $body) && (!$v1 || verifies_v1($request, 'secret')) && (!$body || verifies_body($request, 'secret'));
        }
        is($whole, scalar @sizes, "$type: its data is as it was recorded");
        is($signed, scalar @sizes, "$type: what came is what was signed");
    }
}

# --- pages ----------------------------------------------------------------------------------------------------
# There is room for twenty at a time, and for a thousand short ones.
sub rows_read { return sql("SELECT coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE schemaname = 'whisperer' AND relname LIKE 'outbox\\__'") }
sql("ALTER SYSTEM SET whisperer.max_queued_bytes = '1MB'");
$node->reload;
my $nginx = new_nginx('large');
sql("SELECT whisperer.register_event('page'); SELECT whisperer.create_hook('page', '" . $nginx->url('/page') . "')");
wait_for('the setting', sub { sql('SHOW whisperer.max_queued_bytes') eq '1MB' });
sql('SELECT whisperer.pause()');
sql("SELECT count(whisperer.deliver_event('page', json_build_object('n', g, 'text', repeat('x', 50000)))) FROM generate_series(1, 1000) g");
my $before = rows_read();
sql('SELECT whisperer.resume()');
wait_idle($node);
my $read;
wait_for('the statistics', sub { ($read = rows_read() - $before) >= 1000 });
cmp_ok($read, '<', 5000, 'rows of the log are read for what there is room for');
is(sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE o.event_type = 'page' AND d.state = 'delivered'"), 1000, 'all of them are delivered');

done_testing();
