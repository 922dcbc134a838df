# A clock that is wrong: ids of events grow all the same, so an ordered hook ends with the last value; and nothing
# that waits waits for as long as the clock was set back.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('clock');
sub sql { return $node->safe_psql('postgres', shift) }
my $deliver = q(SELECT whisperer.deliver_event('e', '{}'));
sql(q(SELECT whisperer.register_event('e')));

# --- a standby whose clock is behind is promoted: its log has ids of the future ------------------------
# A row of the log as its primary would have written it.
sub plant { sql("INSERT INTO whisperer.outbox (id, event_type, data) VALUES (whisperer.event_id_bound(now() + '$_[0]'), 'e', '{}')") }
plant('1 minute');
$node->restart;
my ($first, $second) = map { sql($deliver) } 1, 2;
is(sql("SELECT count(*) FROM whisperer.outbox WHERE id > '$first'"), 1, 'after a start ids go on behind the newest of the log');
cmp_ok($second, 'gt', $first, 'in every session');
plant('1 day');
$node->restart;
cmp_ok(sql($deliver), 'gt', $second, 'an id of a clock that was a day ahead');
is(sql("SELECT count(*) FROM whisperer.outbox WHERE id < whisperer.event_id_bound(now() + '1 hour')"), 4, 'moves none');
is(sql("SELECT count(DISTINCT id) FROM (SELECT whisperer.new_event_id() AS id FROM generate_series(1, 100000)) n"), 100000, 'ids are unique');

# Without a row in between: what was recorded up to now is recovered, whatever its id says.
my $receiver = new_receiver('clock');
my ($scripted, $ordered) = map { $receiver->url($_) } '/script/e', '/ok/item';
my $once = q('{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
sql("SELECT whisperer.create_hook('e', '$scripted', retry_countdown_config => $once)");
$receiver->control({ path => '/script/e', steps => [ 'status/500', 'ok' ] });
sql($deliver);
wait_for('the failure', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'failed'") == 1 });
is(sql("SELECT whisperer.recover(1, now() - interval '1 day')"), 1, 'recover() finds it');
wait_for('the recovery', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'delivered'") == 1 });

# --- the clock itself is set ------------------------------------------------------------------------
SKIP: {
    my ($faketime) = glob('/usr/lib/*/faketime/libfaketime.so.1');
    skip 'libfaketime is missing', 1 unless $faketime;
    my $folder = PostgreSQL::Test::Utils::tempdir('clock');
    my $set = sub { append_to_file("$folder/new", "$_[0]\n"); rename "$folder/new", "$folder/time" };
    $set->('+0');
    $node->stop;
    {
        local %ENV = (%ENV, LD_PRELOAD => $faketime, FAKETIME_TIMESTAMP_FILE => "$folder/time", FAKETIME_NO_CACHE => 1,
            FAKETIME_DONT_FAKE_MONOTONIC => 1);
        $node->start;
    }
    sql(q(CREATE TABLE item (value int); INSERT INTO item VALUES (0); SELECT whisperer.register_event('item');
        CREATE TRIGGER item AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('item')));
    sql("SELECT whisperer.create_hook('item', '$ordered', ordering => 'hook')");
    my $bump = sub { sql('UPDATE item SET value = value + 1') };
    my $received = sub { join ' ', map { JSON::PP::decode_json($_->{body})->{data}{value} } $receiver->requests('/ok/item') };
    my $order = q(SELECT string_agg(data->>'value', ' ' ORDER BY id) FROM whisperer.outbox WHERE event_type = 'item');
    sql('SELECT whisperer.pause()');
    $set->('+20');
    wait_for('the clock', sub { sql('SELECT extract(epoch FROM clock_timestamp())') > time + 10 });
    $bump->();
    $set->('+0');
    wait_for('the clock', sub { sql('SELECT extract(epoch FROM clock_timestamp())') < time + 10 });
    $bump->() for 1, 2;
    is(sql($order), '1 2 3', 'after the clock was set back ids still grow');
    sql('SELECT whisperer.resume()');
    wait_idle($node);
    is($received->(), '1 2 3', 'and an ordered hook ends with the last value');

    $set->('+2d');
    wait_for('the clock', sub { sql('SELECT extract(epoch FROM clock_timestamp())') > time + 3600 });
    $bump->();
    $set->('+0');
    wait_for('the clock', sub { sql('SELECT extract(epoch FROM clock_timestamp())') < time + 10 });
    $bump->();
    like(slurp_file($node->logfile), qr/event ids follow the clock again/, 'a clock that was far ahead is not followed, and the log says so');
    is(sql(q(SELECT max(left(id::text, 13)) < whisperer.event_id_bound(clock_timestamp() + '1 hour')::text FROM whisperer.outbox WHERE event_type = 'item' AND data->>'value' = '5')),
        't', 'for longer than it was wrong');
}
done_testing();
