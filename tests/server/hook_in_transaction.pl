# A hook gets what was not committed when it was made, also what the worker had read before the hook was committed:
# once, in order, and although the worker dies in between.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('making', extra => "restart_after_crash = on\n");
my $receiver = new_receiver('making');
sub sql { return $node->safe_psql('postgres', shift) }
sub deliver { return sql(qq(SELECT whisperer.deliver_event('$_[0]', '{"n": $_[1]}'))) }
sub received { return join ' ', map { JSON::PP::decode_json($_->{body})->{data}{n} } $receiver->requests($_[0]) }
my ($plain, $ordered, $other) = map { $receiver->url($_) } '/ok/plain', '/ok/ordered', '/ok/other';
sql("SELECT whisperer.register_event(e) FROM unnest('{e,f}'::text[]) e");

# Whatever is committed before since, or after the hook, goes its usual way.
deliver('e', 0);
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN');
$old->query_safe(q(SELECT whisperer.deliver_event('e', '{"n": 3}')));
my $maker = $node->background_psql('postgres');
$maker->query_safe('BEGIN');
$maker->query_safe("SELECT whisperer.create_hook('e', '$plain'), whisperer.create_hook('e', '$ordered', ordering => 'hook')");
my $first = deliver('e', 1);
deliver('f', 9);
sql(q(SELECT count(whisperer.deliver_event('e', '{"n": 2}')) FROM generate_series(1, 1100)));
$old->query_safe('COMMIT');
wait_idle($node);
hold($node, 'after-requests');
$maker->query_safe('COMMIT');
wait_held($node, 'after-requests');
deliver('e', 4);
like(sql("SELECT whisperer.why('$first', 1)"), qr/attempt 1 is due|not handed out yet/, 'why: it is on its way');
sql('CREATE TABLE flushes_what_the_ledger_has_so_far ()');
kill_worker($node, sql("SELECT pid FROM pg_stat_activity WHERE query = 'held at after-requests'"));
release_hold($node);
wait_idle($node);
is(join(' ', sort { $a <=> $b } split / /, received('/ok/plain')), join(' ', 1, (2) x 1100, 3, 4), 'each event arrives once');
# 3 was recorded before the hook was made, and committed after.
is(received('/ok/ordered'), join(' ', 3, 1, (2) x 1100, 4), 'in the order in which they were recorded');
like(sql("SELECT whisperer.why('$first', 1)"), qr/^delivered/, 'why: delivered');

# A prepared transaction, and one whose hook is gone before the worker sees it.
sql("BEGIN; SELECT whisperer.create_hook('f', '$other'); PREPARE TRANSACTION 'p'");
deliver('f', 5);
wait_idle($node);
sql("COMMIT PREPARED 'p'");
wait_for('what the prepared hook missed', sub { received('/ok/other') eq '5' });
sql("BEGIN; SELECT whisperer.create_hook('f', '$other/gone'); SELECT whisperer.delete_hook(max(id)) FROM whisperer.hook; COMMIT");
wait_idle($node);
is(sql("SELECT count(*) FROM whisperer.request WHERE kind <> 'hooks'"), 0, 'nothing is left to be done');

# What was read under another definition does not come, and why does not say that it will.
my $missed = deliver('e', 6);
wait_idle($node);
my $third = sql("SELECT id FROM whisperer.hook WHERE target_url = '$other'");
sql(qq(SELECT whisperer.update_hook($third, '{"event_type": "e"}')));
wait_idle($node);
wait_for('the bookmark', sub { sql("SELECT whisperer.why('$missed', $third)") =~ /as it was when the event was read/ });
pass('why: it was read before the hook was for it');
deliver('e', 7);
wait_idle($node);
is(received('/ok/other'), '5 7', 'and what comes then arrives');

# Of the transactions that ran when a hook was made, one may be the first that its snapshot says nothing of: here nothing
# has ended between the two.
sub enable {
    my ($value, $wanted) = @_;
    sql("ALTER SYSTEM SET whisperer.enabled = $value");
    $node->reload;
    wait_for("enabled = $value", sub { sql('SELECT count(pid) FROM whisperer.status') == $wanted });
}
my ($running, $making) = map { $node->background_psql('postgres') } 1, 2;
sql("SELECT whisperer.register_event('g')");
wait_idle($node);
enable('off', 0);
$running->query_safe('BEGIN');
$running->query_safe(q(SELECT whisperer.deliver_event('g', '{"n": 8}')));
$making->query_safe('BEGIN');
$making->query_safe("SELECT whisperer.create_hook('g', '$other/first')");
enable('on', 1);
$running->query_safe('COMMIT');
wait_idle($node);
$making->query_safe('COMMIT');
deliver('g', 9);
wait_idle($node);
is(join(' ', sort split / /, received('/ok/other/first')), '8 9', 'what was recorded last before a hook was made, and committed after, arrives');
$_->quit for $running, $making;
done_testing();
