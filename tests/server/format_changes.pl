# A hook whose format changes: from which event on the new one counts, and that no webhook-id ever stands for two bodies,
# whenever the worker dies.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('format_changes', extra => "restart_after_crash = on\nwhisperer.park_after = '60s'\nwhisperer.request_timeout = '5min'\n");
my $receiver = new_receiver('format_changes');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub record { sql(qq(SELECT whisperer.deliver_event('said', '{"n": $_[0]}'))) }

# Of each event, by its number: the kinds of bodies that came, and how often.
sub said {
    my (%bodies, %ids);
    for my $request ($receiver->requests) {
        my ($n) = $request->{body} =~ /"n": ?(\d+)/;
        my $kind = $request->{body} =~ /^\{"event"/ ? 'whisperer' : $request->{body} =~ /"specversion"/ ? 'cloudevents' : $request->{body} =~ /"timestamp"/ ? 'standard' : 'data';
        $bodies{$n}{$kind}++;
        $ids{ Whisperer::Receiver::header($request, 'webhook-id') }{ $request->{body} }++;
    }
    return (\%bodies, scalar grep { keys %$_ > 1 } values %ids);
}
sub came { return ((said())[0]{ $_[0] }) }
sub times_of { my $kinds = came($_[0]) // {}; my $all = 0; $all += $_ for values %$kinds; return $all }

sub held_worker { return sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'held at %'") }

sql("SELECT whisperer.register_event('said')");
record(1);
my $hook = sql(qq(SELECT whisperer.create_hook('said', '@{[ $receiver->url('/ok') ]}')));
sub change { sql("SELECT whisperer.update_hook($hook, '{\"format\": \"$_[0]\"}')") }

# --- without any fault
record(10);
change('standard');
record(11);
wait_idle($node);
is_deeply([ came(10), came(11) ], [ { whisperer => 1 }, { standard => 1 } ], 'recorded before a change and after it');
sql("SELECT whisperer.replay($hook, '-infinity')");
wait_for('the replayed event', sub { came(1) });
is_deeply(came(1), { standard => 1 }, 'one that was never for the hook is replayed in the format of now');
is(sql("SELECT current_format, former_formats FROM whisperer.hook_run WHERE hook_id = $hook"), 'standard|{whisperer}', 'and the hook\'s formats are noted');

# --- sent, and the worker dies before it is entered; the hook changes before it starts again
hold($node, 'after-post');
record(20);
wait_held($node, 'after-post');
change('data');
kill_worker($node, held_worker());
release_hold($node);
wait_for('the repetition', sub { times_of(20) == 2 });
is_deeply(came(20), { standard => 2 }, 'what was sent before a crash has the same bytes again');
record(21);
wait_idle($node);
is_deeply(came(21), { data => 1 }, 'what is recorded then has the new format');

# --- the same of what waited for its first attempt
sql("SELECT whisperer.pause_hook($hook)");
record(30);
wait_for('it waits', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") == 1 });
hold($node, 'after-post');
sql("SELECT whisperer.resume_hook($hook)");
wait_held($node, 'after-post');
change('standard');
kill_worker($node, held_worker());
release_hold($node);
wait_for('the repetition', sub { times_of(30) == 2 });
is_deeply(came(30), { data => 2 }, 'so has what had waited for its first attempt');
wait_idle($node);

# --- the worker knew of the changes, and two of three formats are not in the ledger when it dies
# Each success lets one request more be under way at a time.
record($_) for 31 .. 34;
wait_idle($node);
$receiver->control({ path => '/ok', steps => [ ('hang') x 3, 'ok' ] });
for my $format (qw(whisperer data cloudevents)) {
    change($format);
    my $n = 40 + { whisperer => 0, data => 1, cloudevents => 2 }->{$format};
    record($n);
    wait_for("a request of $format", sub { times_of($n) == 1 });
}
is_deeply([ map { came($_) } 40 .. 42 ], [ { whisperer => 1 }, { data => 1 }, { cloudevents => 1 } ], 'three formats are under way');
sub previewed { return sql("SELECT body FROM whisperer.preview((SELECT id FROM whisperer.outbox WHERE data->>'n' = '$_[0]')) WHERE hook_id = $hook") }
is_deeply([ map { my $body = previewed($_); $body =~ /specversion/ ? 'cloudevents' : $body =~ /"event"/ ? 'whisperer' : 'data' } 40 .. 42 ], [qw(whisperer data cloudevents)], 'preview shows each as it is');
kill_worker($node, worker_pid($node));
wait_for('all of them again', sub { !grep { times_of($_) < 2 } 40 .. 42 });
is_deeply([ map { came($_) } 40 .. 42 ], [ { whisperer => 2 }, { data => 2 }, { cloudevents => 2 } ], 'each has its format again after a crash');
$receiver->control({ release => JSON::PP::true });
wait_idle($node);

# --- a crash, and before what was sent is read again a worker that ends in order
hold($node, 'after-post');
record(45);
wait_held($node, 'after-post');
sql('SELECT whisperer.pause()');
kill_worker($node, held_worker());
release_hold($node);
sub paused_worker { return wait_for('a paused worker', sub { sql(q(SELECT pid FROM whisperer.status WHERE state = 'paused' AND pid IS NOT NULL)) }) }
my $paused = paused_worker();
sql("SELECT pg_terminate_backend($paused)");
wait_for('the next worker', sub { paused_worker() != $paused });
change('data');
sql('SELECT whisperer.resume()');
wait_for('the repetition', sub { times_of(45) == 2 });
is_deeply(came(45), { cloudevents => 2 }, 'one that ends in order does not know what one before it sent');
wait_idle($node);

# --- changed while no worker runs, after one that ended in order
$node->append_conf('postgresql.conf', 'whisperer.enabled = off');
$node->restart;
record(50);
change('standard');
record(51);
$node->append_conf('postgresql.conf', 'whisperer.enabled = on');
$node->restart;
wait_idle($node);
is_deeply([ came(50), came(51) ], [ ({ standard => 1 }) x 2 ], 'what nobody can have sent yet has the format of when it is sent');

# --- what waits keeps the format that it began to wait with
sql("SELECT whisperer.pause_hook($hook)");
record(60);
wait_for('it waits', sub { sql("SELECT count(*) FROM whisperer.delivery WHERE state = 'pending'") == 1 });
change('data');
my $waiting = sql("SELECT event_id FROM whisperer.delivery WHERE state = 'pending'");
like(sql("SELECT body FROM whisperer.preview('$waiting')"), qr/"timestamp"/, 'preview of what waits shows its format');
sql("SELECT whisperer.resume_hook($hook)");
wait_for('it came', sub { came(60) });
is_deeply(came(60), { standard => 1 }, 'what waits keeps its format');
wait_idle($node);

# --- beside a transaction that has an id and stays open
my $open = $node->background_psql('postgres');
$open->query_safe('BEGIN; SELECT pg_current_xact_id()');
for my $n (70 .. 75) {
    change($n % 2 ? 'data' : 'standard');
    record($n);
    wait_idle($node);
    # The bookmark is written once a second.
    wait_for('the bookmark', sub { sql("SELECT pg_visible_in_snapshot(o.xid, b.seen) FROM whisperer.bookmark b, whisperer.outbox o WHERE o.data->>'n' = '$n'") eq 't' });
}
is((said())[1], 0, 'no webhook-id stood for two bodies');
cmp_ok(sql("SELECT cardinality(former_formats) FROM whisperer.hook_run WHERE hook_id = $hook"), '<=', 1, 'former formats are forgotten when nothing can need them');

$open->query_safe('COMMIT');
$open->quit;
done_testing();
