# Whose connections are whose: hooks of one owner share them, hooks of different owners never do, also after a hook
# was given away; and a request whose connection was left goes out once more, which status counts.
use strict;
use warnings;
use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $folder = PostgreSQL::Test::Utils::tempdir('connections');
run_log([ qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tls -addext subjectAltName=IP:127.0.0.1),
        '-keyout', "$folder/key", '-out', "$folder/crt" ]) or die 'openssl failed';
my $node = new_node('connections', extra => "whisperer.ca_file = '$folder/crt'\n");
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

# A second answer in the same packet, and the same TLS record, as the first: of HTTP/1.1, whatever else the library speaks.
my $tls = new_receiver('tls', tls => [ "$folder/key", "$folder/crt" ], options => ['--http1']);
my $once = q('{"choice": "fixed", "kwargs": {"seconds": 0}, "max_retries": 0}');
for my $twice ($receiver, $tls) {
    my $id = sql("SELECT whisperer.create_hook('twice', '" . $twice->url("/twice/$twice->{scheme}") . "', retry_countdown_config => $once) FROM whisperer.register_event('twice')");
    for (1 .. 3) {
        sql(q(SELECT whisperer.deliver_event('twice', '{}')));
        wait_idle($node);
    }
    is(sql("SELECT string_agg(concat_ws(' ', state, response_content), ', ' ORDER BY event_id) FROM whisperer.delivery WHERE hook_id = $id"),
        'delivered ok, failed not stored, failed not stored', "$twice->{scheme}: the second answer is nobody's");
    sql("SELECT whisperer.delete_hook($id); SELECT whisperer.unregister_event('twice')");
}

# A second answer that comes when nobody asks is seen once, and from then on each request has a connection of its own.
for my $late ($receiver, $tls) {
    my $id = sql("SELECT whisperer.create_hook('late', '" . $late->url('/late/2') . "') FROM whisperer.register_event('late')");
    for (1 .. 10) {
        sql(q(SELECT whisperer.deliver_event('late', '{}')));
        wait_idle($node);
    }
    sql("SELECT whisperer.deliver_event('late', '{}') FROM generate_series(1, 100)");
    wait_idle($node);
    is(sql("SELECT string_agg(DISTINCT concat_ws(' ', state, response_http_status, response_content), ', ') FROM (SELECT * FROM whisperer.delivery WHERE hook_id = $id ORDER BY event_id DESC LIMIT 100) d"),
        'delivered 200 ok', "$late->{scheme}: a late second answer is nobody's");
    sql("SELECT whisperer.delete_hook($id); SELECT whisperer.unregister_event('late')");
}

done_testing();
