# The receivers for other formats and signatures, in three languages: each gets real deliveries of its kind and takes
# what they hold, refuses those that another key signed, and knows two signatures in one header.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use HTTP::Tiny ();
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Receivers;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('kinds');
my @languages = receiver_languages('kinds', $folder);
my $has_cryptography = run_log([ 'python3', '-c', 'import cryptography' ]);
my $node = new_node('kinds');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("SELECT whisperer.register_event(t) FROM unnest('{order-paid, order-forged}'::text[]) AS t");

my $batch = '{"size": 2, "wait": "10 s"}';
my $lines = '{"size": 2, "wait": "10 s", "form": "ndjson"}';
my %signing = (
    github  => '{"header": "X-Hub-Signature-256", "value": "sha256={hex}"}',
    shopify => '{"header": "X-Shopify-Hmac-Sha256", "value": "{base64}"}',
    slack   => '{"header": "X-Slack-Signature", "value": "v0={hex}", "content": "v0:{time}:{body}", "time_header": "X-Slack-Request-Timestamp"}',
    stripe  => '{"header": "Stripe-Signature", "value": "t={time},v1={hex}", "overlap": ",v1={hex}", "content": "{time}.{body}"}',
);
# Format, signature, batch.
my @kinds = ([ 'cloudevents', 'ed25519' ], [ 'cloudevents', 'github', $batch ], [ 'cloudevents', 'standard', $lines ], [ 'standard', 'stripe' ],
    [ 'standard', 'whisperer', $batch ], [ 'data', 'slack' ], [ 'data-batch', 'standard', $lines ], [ 'cloudevents-binary', 'standard' ], [ 'form', 'shopify' ]);

# A hook of the kind at the receiver, for an event type.  Returns its id.
sub hook {
    my ($is, $type, $secret) = @_;
    my ($format, $signature, $batch) = @{ $is->{kind} };
    my %more = (format => "'" . $format =~ s/-batch//r . "'", secret_key => $secret, batch => $batch ? "'$batch'" : 'NULL');
    $more{signatures} = $signature eq 'whisperer' ? "'{whisperer}'" : "'{}'" unless $signature =~ /standard|ed25519/;
    $more{signing} = "'$signing{$signature}'" if $signing{$signature};
    return sql("SELECT whisperer.create_hook('$type', 'http://127.0.0.1:$is->{port}/', " . join(', ', map { "$_ => $more{$_}" } sort keys %more) . ')');
}

# Two events in one transaction; their ids.
sub deliver {
    my ($type) = @_;
    return split /\n/, sql(<<"SQL");
SELECT replace(whisperer.deliver_event('$type', jsonb_build_object('n', n, 'note', U&'a b&c=\\00fc+', 'empty', ''))::text, '-', '') FROM generate_series(1, 2) AS n ORDER BY n
SQL
}

sub stored { my ($is) = @_; return grep { !/\./ } slurp_dir($is->{inbox}) }

# What is in the inbox: of each event its type and data.
sub taken {
    my ($is) = @_;
    my @taken;
    for my $id (stored($is)) {
        my ($type, $text) = slurp_file("$is->{inbox}/$id") =~ /\A(.*)\n(.*)\z/s;
        my $said = decode_json($text);
        push @taken, [ $type, $is->{kind}[0] =~ /^(cloudevents|standard)$/ ? $said->{data} : $said ];
    }
    return [ sort { $a->[1]{n} <=> $b->[1]{n} } @taken ];
}

my @all;
for my $language (@languages) {
    my ($name, @command) = @$language;
    for my $kind (@kinds) {
        my ($format, $signature, $form) = @$kind;
        my $what = "$name: $format, $signature" . ($form ? $form eq $lines ? ', lines' : ', array' : '');
        if ($name eq 'python' && $signature eq 'ed25519' && !$has_cryptography) {
            SKIP: { skip "$what: there is no library cryptography", 1 }
            next;
        }
        my %is = (what => $what, kind => $kind, port => PostgreSQL::Test::Cluster::get_free_port(), inbox => "$folder/inbox_" . @all, log => "$folder/log_" . @all);
        my $is_key = $signature eq 'ed25519';
        $is{paid} = hook(\%is, 'order-paid', $is_key ? 'whisperer.make_signing_key()' : 'NULL');
        $is{secret} = sql('SELECT whisperer.' . ($is_key ? 'hook_public_key' : 'hook_secret') . "($is{paid})");
        $is{forged} = hook(\%is, 'order-forged', $is_key ? 'whisperer.make_signing_key()' : 'NULL');
        my %environment = (WEBHOOK_SECRET => $is{secret}, WEBHOOK_FORMAT => $format, WEBHOOK_SIGNATURE => $signature);
        $is{process} = start_receiver(\%environment, $is{log}, @command, $is{port}, $is{inbox});
        push @all, \%is;
    }
}

sub ledger { my ($hook) = @_; return sql("SELECT string_agg(DISTINCT concat_ws(' ', state, response_http_status), ', ') FROM whisperer.delivery WHERE hook_id = $hook") }

my @paid = deliver('order-paid');
deliver('order-forged');
wait_for('every attempt', sub { sql('SELECT count(*) FROM whisperer.delivery WHERE retry_count > 0') == 4 * @all });
my %data = (note => "a b&c=\x{fc}+", empty => '');
for my $is (@all) {
    my ($format, $signature, $form) = @{ $is->{kind} };
    is(ledger($is->{paid}), 'delivered 204', "$is->{what}: it is delivered");
    is(ledger($is->{forged}), 'pending 401', "$is->{what}: what another key signed is refused");
    is_deeply(taken($is), [ map { [ 'order-paid', { %data, n => $_ } ] } 1, 2 ], "$is->{what}: both events are taken, and nothing else");
    wait_for("$is->{what}: both are handled", sub { (() = slurp_file($is->{log}) =~ /^handled order-paid \w/mg) == 2 });
    is_deeply([ sort(stored($is)) ], [ sort @paid ], "$is->{what}: under their ids") unless $form && $format !~ /^cloudevents/;
}

# --- once, though they come again
sql("SELECT whisperer.retry(e.id, h.id, force => true) FROM whisperer.hook h, whisperer.outbox e WHERE e.event_type = 'order-paid' AND h.event_type = 'order-paid'");
for my $is (@all) {
    wait_for("$is->{what}: both come again", sub { (() = slurp_file($is->{log}) =~ /^again /mg) == 2 });
    is(scalar(stored($is)), 2, "$is->{what}: what comes again is dropped");
}

# --- two signatures, of which the receiver knows the old one
my @rotated = grep { $_->{kind}[1] =~ /standard|ed25519|stripe/ && !$_->{kind}[2] } @all;
sql("SELECT whisperer.rotate_secret($_->{paid})") for @rotated;
deliver('order-paid');
for my $is (@rotated) {
    wait_for("$is->{what}: two more", sub { stored($is) == 4 });
    pass("$is->{what}: one of two signatures is enough");
}

# --- a time that is signed
for my $is (grep { $_->{kind}[1] =~ /stripe|slack/ } @all) {
    my $post = sub {
        my ($at) = @_;
        my $body = '{"type":"by-hand","n":3,"data":{"n":3}}';
        my %headers = $is->{kind}[1] eq 'stripe' ? ('Stripe-Signature' => "v1=,t=$at,v1,v1=" . hmac_sha256_hex("$at.$body", $is->{secret}))
            : ('X-Slack-Signature' => 'v0=' . hmac_sha256_hex("v0:$at:$body", $is->{secret}), 'X-Slack-Request-Timestamp' => $at);
        return HTTP::Tiny->new->post("http://127.0.0.1:$is->{port}/", { content => $body, headers => { 'webhook-id' => 'by_hand', 'X-Whisperer-Event' => 'by-hand', %headers } })->{status};
    };
    is($post->(time - 400), 401, "$is->{what}: an old request is refused");
    is($post->('soon'), 401, "$is->{what}: no time is refused");
    is($post->(time), 204, "$is->{what}: one of now is taken");
}
$_->{process}->kill_kill for @all;

done_testing();
