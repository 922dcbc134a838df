# Schemas of event types: what does not fit ends failed or is sent, as the type says; what becomes of it
# when the schema is another by then; and a ping that shows what an event of a type is like.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('schemas');
my $receiver = new_receiver('schemas');
my $base = $receiver->url('');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub received {
    my ($path) = @_;
    return join ' ', sort { $a <=> $b } map { JSON::PP::decode_json($_->{body})->{data}{n} } $receiver->requests($path);
}

# state, attempts, error of an event, by its n.
sub became {
    my ($n) = @_;
    return sql("SELECT string_agg(concat_ws(' ', h.description, d.state, d.retry_count, d.error), ', ' ORDER BY h.id)
        FROM whisperer.outbox o JOIN whisperer.delivery d ON d.event_id = o.id JOIN whisperer.hook h ON h.id = d.hook_id WHERE o.data->>'n' = '$n'");
}

my $schema = '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "lines": {"items": {"properties": {"price": {"maximum": 9007199254740992}}}}}}';
sql(<<"SQL");
SELECT whisperer.register_event('strict', schema => '$schema', example => '{"n": 1000, "lines": []}');
SELECT whisperer.register_event('lenient', schema => '$schema', on_invalid => 'send'), whisperer.register_event('free');
SELECT whisperer.create_hook('strict', '$base/ok/strict', description => 'one');
SELECT whisperer.create_hook('strict, free', '$base/ok/second', description => 'two', ordering => 'hook', filter => '{"filtered": {"\$exists": false}}');
SELECT whisperer.create_hook('lenient', '$base/ok/lenient', description => 'three');
SELECT whisperer.deliver_event('strict', '{"n": 1, "lines": [{"price": 9007199254740992.0}]}');
SELECT whisperer.deliver_event('strict', '{"n": 2, "lines": [{}, {"price": 9007199254740993}], "secret": "s3cret"}');
SELECT whisperer.deliver_event('strict', '{"n": 3, "lines": [{"price": 1}], "filtered": 1}');
SELECT whisperer.deliver_event('free', '{"n": 4, "lines": [{"price": 1e400}]}');
SELECT whisperer.deliver_event('lenient', '{"n": 5, "lines": [{"price": 1e400}]}');
SELECT whisperer.deliver_event('lenient', '{"n": 6}');
SQL
wait_idle($node);
is(received('/ok/strict'), '1 3', 'what fits is sent');
is(received('/ok/second'), '1 4', 'the line of an ordered hook goes on behind what does not, and a type without a schema takes all');
my $fault = 'failed 0 schema: /lines/1/price: maximum';
is(became(2), "one $fault, two $fault", 'what does not fit ends failed at every hook that wants it, unattempted, with its place and keyword');
is(received('/ok/lenient'), '5 6', 'where the type says so it is sent all the same');
like(sql("SELECT whisperer.why(o.id, h.id) FROM whisperer.outbox o, whisperer.hook h WHERE o.data->>'n' = '5' AND h.description = 'three'"),
    qr/^delivered at .*; its data does not fit the schema of its type, which has it sent all the same: \/lines\/0\/price: maximum$/, 'and why says so');
unlike(sql("SELECT whisperer.why(o.id, h.id) FROM whisperer.outbox o, whisperer.hook h WHERE o.data->>'n' = '6' AND h.description = 'three'"),
    qr/schema/, 'but not of what fits');
wait_for('the count', sub { sql('SELECT invalid FROM whisperer.status') == 2 });
pass('status counts each event once, sent or not');

# Whoever asks for it again does not get around the schema, until it is mended.
sub retry_second { sql("SELECT whisperer.retry(o.id, h.id) FROM whisperer.outbox o, whisperer.hook h WHERE o.data->>'n' = '2' AND h.description = '$_[0]'") }
sub recorded_since { sql("SELECT count(*) FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.description = '$_[0]' AND d.state = 'failed' AND d.modified_at > '$_[1]'") }
for my $hook ('one', 'two') {
    my $before = sql('SELECT clock_timestamp()');
    # It is known by a number, however it is worded.
    sql("UPDATE whisperer.delivery d SET error = 'worded otherwise' FROM whisperer.outbox o, whisperer.hook h
        WHERE o.id = d.event_id AND o.data->>'n' = '2' AND h.id = d.hook_id AND h.description = '$hook'");
    retry_second($hook);
    wait_for("the retry at hook $hook", sub { recorded_since($hook, $before) == 1 });
}
is(became(2), "one $fault, two $fault", 'a retry asks the schema again');
sql(q(SELECT whisperer.pause_hook(id) FROM whisperer.hook WHERE description = 'one'));
retry_second('one');
wait_for('it to wait', sub { became(2) =~ /^one pending/ });
sql(q(SELECT whisperer.cancel(o.id, h.id) FROM whisperer.outbox o, whisperer.hook h WHERE o.data->>'n' = '2' AND h.description = 'one'));
wait_for('it to be cancelled', sub { became(2) =~ /^one cancelled/ });
retry_second('one');
wait_for('it to wait again', sub { became(2) =~ /^one pending/ });
sql(q(SELECT whisperer.resume_hook(id) FROM whisperer.hook WHERE description = 'one'));
wait_for('its attempt', sub { became(2) !~ /^one pending/ });
is(became(2), "one $fault, two $fault", 'also when it was cancelled in between');
is(received('/ok/strict'), '1 3', 'and sends nothing');
# What was let through once is not asked again, whatever has to follow.
$receiver->control({ path => '/ok/strict', steps => [ 'status/500', 'ok' ] });
sql(q(SELECT whisperer.update_hook(id, '{"retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 3600}}}') FROM whisperer.hook WHERE description = 'one'));
sql(q(SELECT whisperer.deliver_event('strict', '{"n": 7}')));
wait_for('the first attempt', sub { became(7) =~ /one pending 1/ });
sql(q(SELECT whisperer.update_event('strict', '{"example": null, "schema": {"required": ["m"]}}');
    SELECT whisperer.retry(o.id, h.id, force => true) FROM whisperer.outbox o, whisperer.hook h WHERE o.data->>'n' = '7' AND h.description = 'one'));
wait_for('the second', sub { became(7) =~ /one delivered 2/ });
pass('another attempt is not measured by a schema that came in between');
# So is what waited for a hook that was paused.
sql(q(SELECT whisperer.update_event('strict', '{"schema": {"required": ["n"]}}'); SELECT whisperer.pause_hook(id) FROM whisperer.hook WHERE description = 'one'));
sql(q(SELECT whisperer.deliver_event('strict', '{"n": 8}')));
wait_idle($node);
sql(q(SELECT whisperer.update_event('strict', '{"schema": {"required": ["m"]}}'); SELECT whisperer.deliver_event('strict', '{"n": 9}')));
wait_idle($node);
is(became(9), 'one failed 0 schema: required "m", two failed 0 schema: required "m"', 'a changed schema counts for what is read from then on');
sql(q(SELECT whisperer.resume_hook(id) FROM whisperer.hook WHERE description = 'one'));
wait_for('the backlog', sub { became(8) =~ /one delivered/ });
pass('what a paused hook had waiting was asked when it was read');
sql(q(SELECT whisperer.update_event('strict', '{"schema": {"properties": {"lines": {"type": "array"}}}}');
    SELECT whisperer.recover(id, now() - interval '1 hour') FROM whisperer.hook WHERE description = 'one'));
wait_for('what was recovered', sub { received('/ok/strict') =~ /\b9\b/ });
like(became(2), qr/^one delivered 1, /, 'a mended schema lets recover send what it had held');

# Backfill goes to one hook alone, by the same schema; a replay too.
sql(<<'SQL');
CREATE TABLE item (n int, lines json); INSERT INTO item VALUES (20, '[]'), (21, '{}');
SELECT whisperer.watch('item', 'item');
SELECT whisperer.update_event('item-created', '{"schema": {"properties": {"lines": {"type": "array"}}}}');
SQL
my $late = sql("SELECT whisperer.create_hook('item-created', '$base/ok/late', description => 'four')");
sql("SELECT whisperer.backfill($late, 'item')");
wait_for('the backfill', sub { became(21) ne '' && became(20) =~ /delivered/ });
is(became(21), 'four failed 0 schema: /lines: type', 'backfill is measured, too');
my $later = sql("SELECT whisperer.create_hook('strict', '$base/ok/later', description => 'five')");
sql(q(SELECT whisperer.update_event('strict', '{"schema": {"properties": {"n": {"minimum": 3}}}}')));
sql("SELECT whisperer.replay($later, now() - interval '1 hour')");
wait_for('the replay', sub { my %n = map { $_ => 1 } split / /, received('/ok/later'); $n{9} && became(1) =~ /five failed/ });
like(became(1), qr/five failed 0 schema: \/n: minimum$/, 'and so is a replay of what a hook never had');

# A schema that this version cannot read, as another may have stored it.
sql(q(UPDATE whisperer.event_type SET schema = '{"pattern": "x"}' WHERE name = 'free'; SELECT whisperer.deliver_event('free', '{"n": 30}')));
wait_idle($node);
is(became(30), 'two failed 0 schema: this version cannot read it', 'what cannot be read lets nothing through');

# A ping with a type's example.
sql(q(SELECT whisperer.update_event('strict', '{"schema": {"required": ["n"]}, "example": {"n": 1000, "lines": []}}')));
for my $format ([ 'whisperer', sub { @{ $_[0]{event} }{qw(type)} } ], [ 'standard', sub { $_[0]{type} } ], [ 'cloudevents', sub { $_[0]{type} } ]) {
    my ($name, $type_of) = @$format;
    my $hook = sql("SELECT whisperer.create_hook('strict', '$base/ok/ping-$name', format => '$name', filter => '{\"never\": 1}')");
    is(sql("CALL whisperer.ping_hook($hook, event_type => 'strict')") =~ s/\|.*//sr, 't', "a ping in format $name shows the example");
    my ($request) = $receiver->requests("/ok/ping-$name");
    my $body = JSON::PP::decode_json($request->{body});
    is($type_of->($body), 'strict', 'with its event type in the body');
    is_deeply($body->{data}, { n => 1000, lines => [] }, 'the example is the data');
    is(Whisperer::Receiver::header($request, 'X-Whisperer-Event') // 'strict', 'strict', 'and in the header');
}
my $unshown = sql("SELECT whisperer.create_hook('free', '$base/ok/plain')");
like(sql("CALL whisperer.ping_hook($unshown)"), qr/^t\|200\|/, 'a plain ping goes on as before');
my ($plain) = $receiver->requests('/ok/plain');
like($plain->{body}, qr/whisperer-ping/, 'and is of type whisperer-ping');
done_testing();
