# Events that are for later, or not for ever: nothing early, nothing late, nothing lost, and nobody waits for them.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('later', extra => "restart_after_crash = on\n");
my $receiver = new_receiver('later');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub header { return Whisperer::Receiver::header(@_) }
sub hook {
    my ($path, $arguments) = @_;
    my $url = $receiver->url($path);
    return sql("SELECT whisperer.create_hook('item', '$url', secret_key => '', $arguments)");
}
# Records an event; its number is its key, too.
sub deliver {
    my ($n, $arguments) = @_;
    return sql(qq(SELECT whisperer.deliver_event('item', '{"n": $n}', object_id => '$n', $arguments)));
}
sub numbers {
    my ($path) = @_;
    return join ' ', map { $_->{body} =~ /"n": ?(\d+)/ } $receiver->requests($path);
}
sub row {
    my ($event, $hook) = @_;
    return sql("SELECT concat_ws(' ', state, retry_count, error) FROM whisperer.delivery WHERE event_id = '$event' AND hook_id = $hook");
}

sql(<<'SQL');
SELECT whisperer.register_event('item');
CREATE SCHEMA app;
CREATE TABLE app.told (response jsonb);
CREATE FUNCTION app.tell(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql
BEGIN ATOMIC INSERT INTO app.told VALUES (response); END;
SQL
my $soon = q(retry_countdown_config => '{"choice": "fixed", "kwargs": {"seconds": 0.2}, "max_retries": 1000}');
my $plain = hook('/ok/plain', "callback => 'app.tell'");
my $ordered = hook('/ok/ordered', "ordering => 'hook'");
my $failing = hook('/status/500/failing', "$soon, filter => '{\"failing\": true}'");
my $operator = $receiver->url('/ok/operator');
sql("SELECT whisperer.create_hook('whisperer-delivery-failed', '$operator', secret_key => '')");

# --- later
my $hour = deliver(1, "deliver_at => now() + '1 h'");
deliver(2, 'headers => NULL');
wait_idle($node);
is(numbers('/ok/ordered'), '2', 'what is for later does not hold its line, nor wait_idle');
is(numbers('/ok/plain'), '2', 'and is not sent');
is(sql(qq(SELECT bool_and(d.state = 'pending' AND d.retry_count = 0 AND d.next_attempt_at = (o.meta->>'deliver_at')::timestamptz)
    FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id WHERE d.event_id = '$hour')), 't', 'it waits in the ledger with its time');
like(sql("SELECT whisperer.why('$hour', $plain)"), qr/^waits for attempt 1 at /, 'and why says so');
my $late = hook('/ok/late', q(description => 'made afterwards'));
my $seconds = deliver(3, "deliver_at => clock_timestamp() + '2 s'");
wait_for('its time', sub { numbers('/ok/plain') eq '2 3' && numbers('/ok/ordered') eq '2 3' });
my $due = sql("SELECT floor(extract(epoch FROM (meta->>'deliver_at')::timestamptz)) FROM whisperer.outbox WHERE id = '$seconds'");
my @early = grep { header($_, 'webhook-timestamp') < $due } map { ($receiver->requests($_))[1] } '/ok/plain', '/ok/ordered';
is(scalar(@early), 0, 'nothing is early');
wait_for('the hook made in between', sub { numbers('/ok/late') eq '3' });
is(row($hour, $late), '', 'hooks are those of the time of recording');

# Nor does one of a key hold others of that key.
my $keyed = hook('/ok/keyed', "ordering => 'key', filter => '{\"keyed\": true}'");
sql(qq(SELECT whisperer.deliver_event('item', '{"n": $_->[0], "keyed": true}', object_id => 'k', $_->[1]))) for [ 8, "deliver_at => now() + '1 h'" ], [ 9, 'headers => NULL' ];
wait_for('the key', sub { numbers('/ok/keyed') eq '9' });
pass('what is for later does not hold its key');

# --- beyond what is kept
like(($node->psql('postgres', q(SELECT whisperer.deliver_event('item', '{}', deliver_at => now() + '400 days'))))[2],
    qr/deliver_at is beyond whisperer\.retention.*HINT:  An event is kept for \d+ s/s, 'what would be gone by then is refused');
sql("ALTER SYSTEM SET whisperer.payload_retention = '2h'; SELECT pg_reload_conf()");
wait_for('the setting', sub { sql('SHOW whisperer.payload_retention') eq '2h' });
like(($node->psql('postgres', q(SELECT whisperer.deliver_event('item', '{}', deliver_at => now() + '3 hours'))))[2],
    qr/deliver_at is beyond whisperer\.payload_retention.*HINT:  An event is kept for 7200 s/s, 'its data as well');
sql("ALTER SYSTEM RESET whisperer.payload_retention; SELECT pg_reload_conf()");

# --- cancelled before it is due
is(sql("SELECT whisperer.cancel('$hour', $plain)"), 1, 'cancel reaches it');
wait_for('cancelled', sub { row($hour, $plain) =~ /^cancelled/ });
like(row($hour, $ordered), qr/^pending 0/, 'and no other hook\'s');

# Before the worker has read it, and with the worker gone in between.
hold($node, 'before-page-snapshot');
wait_held($node, 'before-page-snapshot');
my $unread = deliver(4, "deliver_at => clock_timestamp() + '1 s'");
is(sql("SELECT whisperer.cancel('$unread', $plain), whisperer.cancel('$unread', 1000)"), '1|0', 'cancel reaches what was not read yet');
kill_worker($node, worker_pid($node));
release_hold($node);
wait_for('its time', sub { numbers('/ok/ordered') =~ /4/ });
is(row($unread, $plain), 'cancelled 0 cancelled by request', 'and it is not sent');
unlike(numbers('/ok/plain'), qr/4/, 'nowhere');

# --- not after
my $expired = deliver(5, "expires_at => now() - interval '1 s'");
wait_idle($node);
is(row($expired, $_), 'failed 0 expired', 'what has expired is not sent') for $plain, $ordered;
wait_for('the callback', sub { sql(qq(SELECT count(*) FROM app.told WHERE response->>'event_id' = '$expired' AND response->>'error' = 'expired')) == 1 });
wait_for('operator events', sub { (() = grep { $_->{body} =~ /$expired/ && $_->{body} =~ /"error" ?: ?"expired"/ } $receiver->requests('/ok/operator')) >= 2 });
unlike(numbers('/ok/plain'), qr/5/, 'nowhere');
my $tried = sql(q(SELECT whisperer.deliver_event('item', '{"n": 6, "failing": true}', expires_at => clock_timestamp() + '1 s')));
wait_for('a delivery that fails until it expires', sub { row($tried, $failing) =~ /^failed [1-9]\d* expired/ });
pass('attempts end when the event expires');

# --- crashes
my @ends = (
    [ 'the worker is killed before it reads the event', sub { hold($node, 'before-page-snapshot') }, sub { kill_worker($node, worker_pid($node)) } ],
    [ 'the server is stopped when it has', sub { }, sub { $node->stop('immediate'); $node->start } ],
);
my $n = 10;
for my $end (@ends) {
    my ($what, $before, $crash) = @$end;
    $before->();
    my $event = deliver(++$n, "deliver_at => clock_timestamp() + '4 s'");
    wait_for('its row', sub { row($event, $plain) }) if $what =~ /server/;
    $crash->();
    release_hold($node) unless $what =~ /server/;
    wait_for("$n", sub { numbers('/ok/plain') =~ / $n$/ });
    my $due = sql("SELECT floor(extract(epoch FROM (meta->>'deliver_at')::timestamptz)) FROM whisperer.outbox WHERE id = '$event'");
    my ($request) = grep { $_->{body} =~ /"n": ?$n/ } $receiver->requests('/ok/plain');
    cmp_ok(header($request, 'webhook-timestamp'), '>=', $due, "$what: not lost, and not early");
}

done_testing();
