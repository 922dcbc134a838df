# What a change costs the worker: the hook that changed is loaded, and no other; and one that was deleted is loaded
# no more when its last delivery was cancelled.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Whisperer;

my $node = new_node('loading', extra => "log_min_messages = debug1\nwhisperer.poll_interval = 100ms\n");
my $receiver = new_receiver('loading');
sub sql { return $node->safe_psql('postgres', shift) }
my ($seen, $number) = (0, 0);

# How many hooks the worker has loaded, each time, when it has seen all that was committed.
sub loaded_by {
    my ($change) = @_;
    $seen = -s $node->logfile;
    $change->();
    $number++;
    sql(qq(SELECT whisperer.deliver_event('beat', '{"n": $number}')));
    wait_for('an event behind it', sub { grep { $_->{body} =~ /"n": $number\}/ } $receiver->requests('/ok/beat') });
    return join ' ', substr(slurp_file($node->logfile), $seen) =~ /DEBUG:  whisperer: hooks loaded: (\d+)/g;
}
sub loaded { my ($query) = @_; return loaded_by(sub { sql($query) }) }

# One for the beat, and three hundred for events that nobody records.
sql("SELECT whisperer.register_event(t) FROM unnest('{beat,e}'::text[]) t;
    SELECT whisperer.create_hook('beat', '@{[ $receiver->url('/ok/beat') ]}');
    SELECT count(whisperer.create_hook('e', '@{[ $receiver->url('/ok/e') ]}' || g)) FROM generate_series(1, 300) g");
loaded('SELECT 1');
is(loaded('SELECT 1'), '', 'none when nothing changes');
is(loaded(q(SELECT whisperer.update_hook(7, '{"description": "changed"}'))), 1, 'a hook that changes is loaded alone');
is(loaded('SELECT whisperer.rotate_secret(8)'), 1, 'and one whose secret does');
is(loaded('SELECT whisperer.pause_hook(9)'), 1, 'one that is paused');
is(loaded(q(SELECT whisperer.create_hook('e', 'http://127.0.0.1:1/new'))), 1, 'one that is made');
is(loaded(q(SELECT whisperer.register_event('other'))), '', 'none for an event type');
is(loaded(q(SELECT count(whisperer.update_hook(id, '{"description": "changed"}')) FROM generate_series(10, 12) id)), 3, 'three that change at once');

# What a deleted hook has pending is cancelled; then it is forgotten.
sql('SELECT whisperer.pause_hook(id) FROM generate_series(100, 300) id');
sql(q(SELECT whisperer.deliver_event('e', '{}')));
wait_for('the backlog', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'pending' AND hook_id BETWEEN 100 AND 300") == 201 });
is(loaded('SELECT count(whisperer.delete_hook(id)) FROM generate_series(100, 300) id'), 201, 'those that are deleted, for what they have pending');
wait_for('the cancellation', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'pending' AND hook_id BETWEEN 100 AND 300") == 0 });
is(loaded_by(sub {
    my $pid = worker_pid($node);
    sql("SELECT pg_terminate_backend($pid)");
    wait_for('another worker', sub { worker_pid($node) != $pid });
}), 101, 'a worker that begins anew loads none that was deleted and has nothing left');
is(loaded('CREATE ROLE someone'), 101, 'nor one that has to look at all of them');
done_testing();
