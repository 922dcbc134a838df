# A database that does not come to an end: whatever it waits for, the gateway has no more sessions there than
# --pool, says what it knows, and goes on when the wait is over.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use List::Util qw(max);
use Test::More;
use Whisperer;

my $node = new_node('slow_database', init => { allows_streaming => 1 });
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'subscriber', 'e');
# Who makes a hook waits for others of the same role that are being made, so two that are to wait for the database are two roles'.
my @makers = ($token, new_role($node, 'another', 'e'));
my $unused = new_token($node, 'subscriber');
my $gateway = new_gateway($node, options => [ '--pool', 2 ]);
my $count = 0;
my $of_gateway = "FROM pg_stat_activity WHERE application_name = 'whisperer-gateway'";

sub backends { return $node->safe_psql('postgres', "SELECT count(*) $of_gateway") }
sub is_served { return $gateway->status_of('GET', '/whisperer/session/', token => $token) == 200 }
sub set { my ($what) = @_; $node->safe_psql('postgres', $_) for $what, 'SELECT pg_reload_conf()' }
sub start_post {
    return $gateway->start_request('POST', '/whisperer/hooks/', token => $makers[$count % 2],
        json => { event_type => 'e', target_url => 'http://127.0.0.1:9/' . ++$count });
}

# Two rounds of two: the second finds what the first has left behind.
sub two_rounds {
    my ($what) = @_;
    for my $round (1, 2) {
        my @asked = map { start_post() } 1, 2;
        my $most = 0;
        my @answers;
        while (my $asked = shift @asked) {
            wait_for('an answer', sub { $most = max($most, backends()); IO::Select->new($asked->{reader})->can_read(0) });
            push @answers, $gateway->answer_of($asked);
        }
        is(join(' ', map { $_->{status} } @answers), '503 503', "$what: nobody waits for ever");
        is(scalar(grep { $_->{headers}{'retry-after'} && $_->{json}{message} eq 'the database did not answer in time' } @answers), 2, 'it is said why');
        like($_->{json}{hint}, qr/may have been done/, 'and that it may have been done') for @answers;
        cmp_ok(max($most, backends()), '<=', 2, 'with two sessions at most');
    }
    wait_for('the next', \&is_served);
    pass('who asks next is served');
    cmp_ok(backends(), '<=', 2, 'by as many');
}

ok(is_served(), 'all is well');

# --- a commit that waits ------------------------------------------------------------------------
# The checkpointer sees the setting in its own time, and commits wait from then on.
set("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
sub waits { return $node->safe_psql('postgres', "SELECT count(*) $of_gateway AND wait_event = 'SyncRep'") > 0 }
wait_for('a commit that waits', sub {
    my $asked = start_post();
    my $waits = wait_for('what becomes of it', sub { waits() ? 'yes' : IO::Select->new($asked->{reader})->can_read(0) ? 'no' : '' });
    $node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $of_gateway");
    $gateway->answer_of($asked);
    return $waits eq 'yes';
});
is($gateway->status_of('GET', '/whisperer/hooks/', token => $unused), 200, 'who only reads does not wait for a standby, though the use of the token is noted');
two_rounds('a synchronous standby that is away');
set('ALTER SYSTEM RESET synchronous_standby_names');

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION wait_long() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(600); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER wait_long AFTER INSERT ON whisperer.hook_definition DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_long();
SQL
two_rounds('a check that comes with the commit');
$node->safe_psql('postgres', 'DROP TRIGGER wait_long ON whisperer.hook_definition');
is($gateway->answer_of(start_post())->{status}, 201, 'and the next change is made');

# --- sessions that stand still ------------------------------------------------------------------
wait_for('two sessions', sub { my @asked = map { $gateway->start_request('GET', '/whisperer/hooks/', token => $token) } 1 .. 6; $gateway->answer_of($_) for @asked; backends() == 2 });
my @pids = split /\n/, $node->safe_psql('postgres', "SELECT pid $of_gateway");
kill STOP => @pids;
my @asked = map { $gateway->start_request('GET', '/whisperer/hooks/', token => $token) } 1, 2;
is(join(' ', map { $gateway->answer_of($_)->{status} } @asked), '503 503', 'sessions that stand still are given up');
is($gateway->status_of('GET', '/whisperer/hooks/', token => $token), 503, 'nobody gets one in their place') for 1 .. 3;
is(backends(), 2, 'so that there are as many as before');
kill CONT => @pids;
wait_for('the sessions', \&is_served);
is(backends(), 2, 'and they serve again when they go on');

# --- fewer connections than --pool --------------------------------------------------------------
sub crowd {
    my ($other) = @_;
    my @crowd = map { $other->start_request('GET', '/whisperer/hooks/', token => $token) } 1 .. 20;
    my %times;
    $times{ $other->answer_of($_)->{status} }++ for @crowd;
    return join ', ', map { "$times{$_} times $_" } sort keys %times;
}
$gateway->signal('TERM');
$gateway->wait_end;
$node->safe_psql('postgres', 'ALTER ROLE gateway CONNECTION LIMIT 1');
is(crowd(new_gateway($node, options => [ '--pool', 4 ])), '20 times 200', 'one connection where four are wanted serves all');
$node->safe_psql('postgres', 'ALTER ROLE gateway CONNECTION LIMIT -1');

# As a pooler does whose sessions are all taken: it lets everybody in, and one of them further.
sub start_pooler {
    my $door = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1') // die "cannot listen: $!";
    my $port = $door->sockport;
    my $child = fork // die "cannot fork: $!";
    return ($child, $port) if $child;
    my $select = IO::Select->new($door);
    my (%peer, %is_client, %said, $chosen);
    while (1) {
        for my $socket ($select->can_read) {
            if ($socket == $door) {
                my $client = $door->accept;
                my $server = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port);
                $is_client{$client} = 1;
                @peer{ $client, $server } = ($server, $client);
                $select->add($client, $server);
                next;
            }
            # Without its first message nobody could say what it wants.
            next if $is_client{$socket} && $said{$socket}++ && ($chosen //= $socket) != $socket;
            my $got = sysread $socket, my $text, 65536;
            if ($got) { syswrite $peer{$socket}, $text; next }
            $select->remove($socket, $peer{$socket});
            close $_ for $peer{$socket}, $socket;
        }
        $select->remove(grep { $said{$_} && $said{$_} > 1 && $_ != $chosen } $select->handles);
    }
}
my ($pooler, $port) = start_pooler();
my $pooled = new_gateway($node, options => [ '--pool', 4 ],
    database => "host=127.0.0.1 port=$port dbname=postgres user=gateway sslmode=disable gssencmode=disable");
is(crowd($pooled), '20 times 200', 'so does a pooler that lets the others wait');
$pooled->signal('KILL');
kill KILL => $pooler;
waitpid $pooler, 0;

done_testing();
