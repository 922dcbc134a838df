# Which events a hook wants, beside its type: filters, wildcards, types that nobody registered; and
# what can never be sent.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('matching', extra => "whisperer.max_payload = '10kB'\n");
my $receiver = new_receiver('matching');
my $base = $receiver->url('');

# The order of arrival is not promised.
sub received {
    my ($path) = @_;
    return join ' ', sort { $a <=> $b } map { JSON::PP::decode_json($_->{body})->{data}{n} } $receiver->requests($path);
}

$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event(e) FROM unnest('{order-paid,order-sent,other,none-yet}'::text[]) e;
SELECT whisperer.create_hook('order-paid', '$base/ok/filter', filter => '{"status": "paid", "tags": ["new"]}');
SELECT whisperer.create_hook('order-paid', '$base/ok/eu', config => '{"region": "eu"}');
SELECT whisperer.create_hook('order-*', '$base/ok/prefix');
SELECT whisperer.create_hook('*', '$base/ok/all');
SELECT whisperer.create_hook('other,order-s*', '$base/ok/several');
SELECT whisperer.create_hook('order-sent', '$base/ok/changed');
SELECT whisperer.deliver_event('order-paid', '{"n": 1, "status": "paid", "tags": ["old", "new"]}');
SELECT whisperer.deliver_event('order-paid', '{"n": 2, "status": "open", "tags": ["new"]}');
SELECT whisperer.deliver_event('order-paid', '{"n": 3}', config_filter => '{"region": "eu"}');
SELECT whisperer.deliver_event('order-sent', '{"n": 4}');
SELECT whisperer.deliver_event('other', '{"n": 5}');
SQL
wait_idle($node);
is(received('/ok/filter'), '1', 'a filter lets through what contains it');
is(received('/ok/eu'), '1 2 3', 'config_filter chooses hooks by their config');
is(received('/ok/prefix'), '1 2 4', 'prefix* matches the types that begin so');
is(received('/ok/all'), '1 2 4 5', '* matches every type');
is(received('/ok/several'), '4 5', 'a hook may be for several types');
$node->safe_psql('postgres', <<'SQL');
SELECT whisperer.update_hook(id, '{"event_type": "none-*, order-paid"}') FROM whisperer.hook WHERE target_url ~ 'changed';
SELECT whisperer.deliver_event(e, '{"n": 30}') FROM unnest('{order-paid,order-sent,other}'::text[]) e;
SQL
wait_idle($node);
is(received('/ok/changed'), '4 30', 'and change to others, which counts at once');
is(received('/ok/several'), '4 5 30 30', 'the rest get what they got');

# Operators; a filter as a version stored it that had none; and a config_filter, which has none.
$node->safe_psql('postgres', <<"SQL");
SELECT whisperer.register_event('changed');
SELECT whisperer.create_hook('changed', '$base/ok/became', filter => '{"old": {"status": {"\$ne": "paid"}}, "new": {"status": "paid"}}');
SELECT whisperer.create_hook('changed', '$base/ok/pattern', filter => '{"old": {"status": {"\$regex": "^(op|re)[a-z]{2}\$"}}}');
SELECT whisperer.create_hook('changed', '$base/ok/stored', config => '{"size": 5}');
SET session_replication_role = replica;
UPDATE whisperer.hook_definition SET filter = '{"\$type": "x"}', incarnation = incarnation + 1 WHERE target_url ~ 'stored';
UPDATE whisperer.hook_definition SET incarnation = incarnation - 1 WHERE target_url ~ 'stored';
RESET session_replication_role;
SELECT whisperer.deliver_event('changed', '{"n": 20, "old": {"status": "open"}, "new": {"status": "paid"}}');
SELECT whisperer.deliver_event('changed', '{"n": 21, "old": {"status": "paid"}, "new": {"status": "paid"}}');
SELECT whisperer.deliver_event('changed', '{"n": 22, "\$type": "x"}');
SELECT whisperer.deliver_event('changed', '{"n": 23, "\$type": "x"}', config_filter => '{"size": {"\$gt": 4}}');
SQL
wait_idle($node);
is(received('/ok/became'), '20', 'a filter with operators lets through what they say');
is(received('/ok/pattern'), '20', 'and so does a pattern');
is(received('/ok/stored'), '22', 'one that has other keys with $ is compared as before, and so is a config_filter');

# Types that nobody registered, and whose a role may not have.
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE maker; CREATE ROLE stranger; GRANT USAGE ON SCHEMA whisperer TO maker, stranger;
CREATE TABLE thing (n int); ALTER TABLE thing OWNER TO maker;
CREATE TRIGGER thing AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-made');
SELECT whisperer.allow('other', 'stranger', 'subscribe');
SET ROLE stranger; SELECT whisperer.create_hook('*', '$base/ok/stranger'); RESET ROLE;
INSERT INTO thing VALUES (6);
SELECT whisperer.deliver_event('other', '{"n": 7}');
SQL
wait_idle($node);
like(received('/ok/all'), qr/\b6\b/, 'an event of an unregistered type is delivered to who may have it');
is(received('/ok/stranger'), '7', 'and not to who may not');
wait_for('the registration', sub {
    $node->safe_psql('postgres', "SELECT owner::regrole FROM whisperer.event_type WHERE name = 'thing-made'") eq 'maker';
});
pass("the worker registers it for the table's owner");
$node->safe_psql('postgres', "SELECT whisperer.disallow('other', 'stranger', 'subscribe'); SELECT whisperer.deliver_event('other', '{\"n\": 8}')");
wait_idle($node);
is(received('/ok/stranger'), '7', 'what is disallowed stops');

# What can never be sent does not stop the rest.
$node->safe_psql('postgres', <<'SQL');
SELECT whisperer.deliver_event('order-sent', json_build_object('n', 9, 'big', repeat('x', 20000)));
SELECT whisperer.deliver_event('order-sent', '{"n": 10}');
SQL
wait_idle($node);
is(received('/ok/prefix'), '1 2 4 10 30 30', 'an event beyond max_payload is not sent, the next one is');
is($node->safe_psql('postgres', "SELECT DISTINCT state, retry_count, error FROM whisperer.delivery WHERE state = 'failed'"),
    'failed|0|payload is larger than whisperer.max_payload', 'and its delivery says why');

# 410 disables the hook; what comes meanwhile waits.
$node->safe_psql('postgres', "SELECT whisperer.create_hook('order-sent', '$base/gone'), whisperer.create_hook('none-yet, whisperer-hook-disabled', '$base/ok/told')");
$receiver->control({ path => '/gone', steps => [ 'status/410', 'ok' ] });
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('order-sent', '{"n": 11}')));
wait_for('the hook to be disabled', sub {
    $node->safe_psql('postgres', "SELECT state FROM whisperer.hook WHERE target_url ~ 'gone'") eq 'disabled';
});
is($node->safe_psql('postgres', "SELECT state_reason FROM whisperer.hook WHERE target_url ~ 'gone'"),
    'the receiver answered 410 Gone', '410 disables the hook, with the reason');
wait_for('the operator event', sub { scalar(() = $receiver->requests("/ok/told")) == 1 });
pass('a hook that is for operator events beside others gets those');
$node->safe_psql('postgres', q(SELECT whisperer.deliver_event('order-sent', '{"n": 12}')));
wait_idle($node);
is(received('/gone'), '11', 'a disabled hook gets nothing');
$node->safe_psql('postgres', "SELECT whisperer.resume_hook(id) FROM whisperer.hook WHERE target_url ~ 'gone'");
wait_for('the backlog', sub { received('/gone') eq '11 12' });
pass('resume_hook delivers what waited');

# Private addresses are refused unless allowed.
$node->safe_psql('postgres', "SELECT whisperer.create_hook('other', '$base/ok/guarded')");
$node->append_conf('postgresql.conf', "whisperer.allowed_networks = ''");
$node->reload;
wait_for('the refusal', sub {
    $node->safe_psql('postgres', q(SELECT whisperer.deliver_event('other', '{"n": 13}')));
    $node->safe_psql('postgres', "SELECT count(*) FROM whisperer.delivery WHERE error ~ 'address 127.0.0.1 is not allowed'") > 0;
});
pass('a private address is refused, and the ledger says so');

done_testing();
