# Whose connections are whose: hooks of one owner share them, hooks of different owners never do, also after a hook
# was given away; and a request whose connection was left goes out once more, which status counts.
use strict;
use warnings;
use JSON::PP qw(encode_json);
use Test::More;
use Whisperer;

my $node = new_node('connections');
my $receiver = new_receiver('connections');
sub sql { return $node->safe_psql('postgres', shift) }

sql(<<'SQL');
CREATE ROLE ann; CREATE ROLE bob; GRANT USAGE ON SCHEMA whisperer TO ann, bob;
SELECT whisperer.register_event('e'), whisperer.allow('e', 'ann', 'subscribe'), whisperer.allow('e', 'bob', 'subscribe');
SQL

sub new_hook {
    my ($owner, $path) = @_;
    return $node->safe_psql('postgres', "SET ROLE $owner; SELECT whisperer.create_hook('e', '" . $receiver->url($path) . "')");
}
my %hook = (ann => new_hook('ann', '/ok/ann'), more => new_hook('ann', '/ok/more'), bob => new_hook('bob', '/ok/bob'));

# One event at a time, so that an idle connection is there.
sub deliver {
    my ($times) = @_;
    for (1 .. $times) {
        sql(q(SELECT whisperer.deliver_event('e', '{}')));
        wait_idle($node);
    }
}

sub ports {
    my %seen = map { $_->{port} => 1 } map { $receiver->requests("/ok/$_") } @_;
    return \%seen;
}
deliver(5);
my ($ann, $bob) = (ports('ann', 'more'), ports('bob'));
is(scalar(keys %$bob), 1, 'one hook, one event after the other: one connection');
cmp_ok(scalar(keys %$ann), '<=', 2, 'two hooks of an owner have no more than they need');
is(scalar(grep { $ann->{$_} } keys %$bob), 0, 'and none of them is that of another owner');

sql("SELECT whisperer.reassign_owned('bob', 'ann')");
sql("SELECT whisperer.delete_hook($hook{$_})") for qw(ann more);
deliver(3);
my @late = map { $_->{port} } ($receiver->requests('/ok/bob'))[-3 .. -1];
is(scalar(grep { $bob->{$_} } @late), 0, 'a hook that is given away leaves its connections behind');

is(sql('SELECT sent_again FROM whisperer.status'), 0, 'nothing was sent twice so far');
my $change = encode_json({ target_url => $receiver->url('/reset') });
sql("SELECT whisperer.update_hook($hook{bob}, '$change')");
sql(q(SELECT whisperer.deliver_event('e', '{}')));
wait_for('the attempt', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE hook_id = $hook{bob} AND error IS NOT NULL") == 1 });
is(scalar(() = $receiver->requests('/reset')), 2, 'a request whose kept connection breaks goes out twice');
is(sql("SELECT cardinality(request_datetimes) FROM whisperer.delivery WHERE hook_id = $hook{bob} AND error IS NOT NULL"), 1, 'in one attempt');
wait_for('status to say so', sub { sql('SELECT sent_again FROM whisperer.status') == 1 });
pass('and status counts it');

done_testing();
