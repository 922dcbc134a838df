# The receivers in three languages, each with real deliveries, one by one and in batches: what is genuine is handled
# once, also when it comes again and after a restart; what is not is refused.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_base64);
use HTTP::Tiny ();
use MIME::Base64 qw(decode_base64);
use Pages qw(top);
use PostgreSQL::Test::Utils;
use Receivers;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('receivers');
my @languages = receiver_languages('receiver', $folder);
my $node = new_node('receivers');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("SELECT whisperer.register_event(t) FROM unnest('{package-created, in-array, in-lines}'::text[]) AS t");

# A request of our own: its status, and what differs from a genuine one.
sub post {
    my ($port, $secret, %differs) = @_;
    my %is = (id => 'request', at => time, body => envelope('by_hand'), %differs);
    my $signature = hmac_sha256_base64("$is{id}.$is{at}.$is{body}", decode_base64(substr $secret, 6)) . '=';
    return HTTP::Tiny->new->post("http://127.0.0.1:$port/", { content => $differs{changed} // $is{body},
        headers => { 'webhook-id' => $is{id}, 'webhook-timestamp' => $is{at}, 'webhook-signature' => $is{signatures} // "v1,$signature" } })->{status};
}

sub envelope { my ($uuid) = @_; return qq({"event":{"type":"by-hand","uuid":"$uuid"},"data":1}) }

# Of each event of the hook: its name, state, status and error.
sub ledger {
    my ($hook) = @_;
    return sql(<<"SQL");
SELECT string_agg(concat_ws(' ', o.data->>'name', d.state, d.response_http_status, d.error), '; ' ORDER BY o.id)
FROM whisperer.delivery d JOIN whisperer.outbox o ON o.xid = d.xid AND o.id = d.event_id WHERE d.hook_id = $hook
SQL
}

# One transaction with an event for each name; the ids by name.  The one named large has 100 kB.
sub deliver {
    my ($type, @names) = @_;
    my $names = join ',', map { "'$_'" } @names;
    return map { split /\|/ } split /\n/, sql(<<"SQL");
SELECT name, replace(whisperer.deliver_event('$type', jsonb_build_object('name', name, 'text', repeat('x', CASE name WHEN 'large' THEN 100000 END)))::text, '-', '')
FROM unnest(ARRAY[$names]) WITH ORDINALITY AS t (name, n) ORDER BY n
SQL
}

for (@languages) {
    my ($language, @command) = @$_;
    my ($port, $inbox, $log) = (PostgreSQL::Test::Cluster::get_free_port(), "$folder/inbox_$language", "$folder/$language.log");
    my $hook = sql("SELECT whisperer.create_hook('package-created', 'http://127.0.0.1:$port/')");
    my $secret = sql("SELECT whisperer.hook_secret($hook)");
    my $start = sub { return start_receiver({ WEBHOOK_SECRET => $secret }, $log, @_, @command, $port, $inbox) };
    my $process = $start->();
    my $lines = sub { my ($pattern) = @_; scalar(() = slurp_file($log) =~ /^$pattern/mg) };

    # --- one by one
    my (undef, $event) = deliver('package-created', 'one');
    wait_for("$language handles it", sub { $lines->("handled package-created $event\$") });
    wait_idle($node);
    is(ledger($hook), 'one delivered 204', "$language: it is delivered");

    $process->kill_kill;
    $process = $start->();
    my $old = sql("SELECT whisperer.rotate_secret($hook)");
    sql("SELECT whisperer.retry('$event', $hook, force => true)");
    wait_for("$language has it again", sub { $lines->("again $event\$") });
    is($lines->('handled'), 0, "$language: a repeat is dropped after a restart, and one of two signatures is enough");

    is(post($port, $secret), 204, "$language: what is genuine is taken");
    is(post($port, $secret, id => 'another'), 204, "$language: and a repeat, so that it comes no more");
    wait_for("$language handles that once", sub { $lines->('handled by-hand by_hand$') });
    is($lines->('handled'), 1, "$language: but only once");
    is(post($port, $secret, changed => envelope('changed')), 401, "$language: another body is refused");
    is(post($port, $secret, at => time - 400), 401, "$language: an old request is refused");
    is(post($port, $secret, at => time + 400), 401, "$language: and one of the future");
    is(post($port, $secret, at => 'now'), 401, "$language: no time is refused");
    is(post($port, 'whsec_' . 'A' x 44), 401, "$language: another key is refused");
    is(post($port, $secret, signatures => $_), 401, "$language: signatures '$_' are refused") for 'v1,', ' ', 'v1, v1,AAAA v2,x';
    is(post($port, $secret, body => $_->[1]), 400, "$language: $_->[0] is refused") for [ 'an id that is a path' => envelope('../outside') ],
        [ 'no id' => '{"event":{"type":"by-hand"}}' ], [ 'what is no JSON' => '{"event":' ], [ 'a member without an id' => '[' . envelope('good') . ',7]' ],
        [ 'what is nested deeply' => '[' x 100_000 . ']' x 100_000 ], [ 'an id that is a number' => '{"event":{"type":"by-hand","uuid":7}}' ];
    # It may answer 413 before it has read all, and close: then the client cannot read the answer.
    isnt(post($port, $secret, body => '{"event":{"type":"by-hand","uuid":"large"},"data":"' . 'x' x 2_000_001 . '"}'), 204, "$language: a body without end is refused");
    is_deeply([ grep { -e "$inbox/$_" } qw(changed large good 7 undefined) ], [], "$language: and nothing of them is stored");

    # --- in batches
    is(post($port, $secret, body => '[ ' . join(" ,\n", map { envelope($_) } qw(x y x)) . ' ]'), 204, "$language: an array is a batch, also without a header that says so");
    is(post($port, $secret, body => join("\n", map { envelope($_) } qw(y z)) . "\n"), 204, "$language: and so are lines");
    is(post($port, $secret, body => '[]'), 204, "$language: and nothing");
    wait_for("$language handles them", sub { $lines->('handled by-hand [xyz]$') == 3 });
    is($lines->('again [xy]$'), 2, "$language: each event once, in one batch and in two");
    my @many = map { "n$_" } 100 .. 159;
    is(post($port, $secret, body => '[' . join(',', map { envelope($_) } @many) . ']'), 204, "$language: many at once");
    wait_for("$language handles them all", sub { $lines->('handled by-hand n\d+$') == @many });
    is_deeply([ slurp_file($log) =~ /^handled by-hand (n\d+)$/mg ], \@many, "$language: in their order");
    $process->kill_kill;

    my %form = ('in-array' => 'array', 'in-lines' => 'ndjson');
    for my $type (sort keys %form) {
        my $batch = qq('{"form": "$form{$type}", "size": 3, "wait": "10 s"}');
        my $batched = sql("SELECT whisperer.create_hook('$type', 'http://127.0.0.1:$port/', secret_key => '$secret', batch => $batch,"
            . q[retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 1000}')]);
        # No file may be larger than 64 kB, as on a disk that is full but for that.
        $process = $start->('bash', '-c', 'trap "" XFSZ; ulimit -f 64; exec "$0" "$@"');
        my %id = deliver($type, qw(a large c));
        my $named = 'a delivered 200; large pending 200 the answer to its batch names it in "failed"; c delivered 200';
        wait_for("$language takes the others", sub { ledger($batched) eq $named && $lines->("handled $type") == 2 });
        pass("$language, $form{$type}: the one that cannot be stored is named");
        sql("SELECT whisperer.update_hook($batched, jsonb_build_object('batch', " . $batch =~ s/10 s/0 ms/r . "::jsonb))");
        wait_for("the next attempt of $language", sub { ledger($batched) =~ /large pending 500/ });
        is($lines->('again'), 0, "$language, $form{$type}: it comes again alone");
        $process->kill_kill;

        $process = $start->();
        wait_for("$language handles the last", sub { $lines->("handled $type $id{large}\$") });
        wait_idle($node);
        is(ledger($batched), 'a delivered 200; large delivered 204; c delivered 200', "$language, $form{$type}: and is taken at last");
        sql("SELECT whisperer.retry('$_', $batched, force => true)") for @id{qw(a c)};
        wait_for("$language has two again", sub { $lines->("again ($id{a}|$id{c})\$") == 2 });
        is($lines->('handled'), 1, "$language, $form{$type}: what comes again in another batch is dropped");
        like(sql("CALL whisperer.ping_hook($batched)"), qr/^t\|204/, "$language, $form{$type}: a ping is taken");
        $process->kill_kill;
        sql("SELECT whisperer.delete_hook($batched)");
    }

    # What was stored and not worked on is worked on at the start.
    unlink "$inbox/by_hand.done" or die "no by_hand.done: $!";
    $process = $start->();
    wait_for("$language works on what was left", sub { $lines->('handled by-hand by_hand$') });
    is($lines->('handled'), 1, "$language: what was left is worked on");
    $process->kill_kill;
    local $ENV{WEBHOOK_SECRET} = 'whsec_';
    command_fails([ @command, $port, $inbox ], "$language: an empty key is none");
    sql("SELECT whisperer.delete_hook($hook)");
}

# --- the one that pages try things with
my ($port, $log, $secret) = (PostgreSQL::Test::Cluster::get_free_port(), "$folder/docs.log", 'whsec_' . 'A' x 43 . '=');
my $process = start_receiver({}, $log, 'python3', top() . '/docs/receiver.py', '--secret', $secret, '--port', $port);
is(post($port, $secret, %$_), 200, "docs/receiver.py takes $_->{body}") for { body => envelope('a') }, { id => 'another', body => '[' . envelope('a') . ']' },
    { body => '[' . envelope('a') . ', ' . envelope('b') . ']' }, { body => envelope('b') . "\n" . envelope('a') . "\n" }, { id => 'data', body => '[1, 2]' }, { id => 'data', body => '[1, 2]' };
is(post($port, $secret, changed => '[1]'), 401, 'docs/receiver.py refuses another body');
wait_for('its lines', sub { slurp_file($log) =~ /^not genuine/m });
is(join(', ', slurp_file($log) =~ /^(verified|again)/mg), 'verified, again, verified, again, verified, again', 'docs/receiver.py knows the events of batches again');
$process->kill_kill;

done_testing();
