# Two roles through the same few connections at the same time, and each sees its own alone, also when
# requests fail in every way.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use POSIX ();
use Test::More;
use Whisperer;

my $node = new_node('isolation');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my %token = map { $_ => new_role($node, $_, 'e') } qw(one two);
$token{nobody} = new_role($node, 'nobody');
# Rows of the ledger as a superuser would see them all: who forgets to take on a role shows too much.
my $gateway = new_gateway($node, user => $node->safe_psql('postgres', 'SELECT current_user'), options => [ '--pool', 2 ]);

my %hooks;
for my $role (qw(one two)) {
    $hooks{$role} = [ map { $gateway->post('/whisperer/hooks/', $token{$role}, { event_type => 'e', target_url => "http://127.0.0.1:9/$role/$_" })->{json}{id} } 1 .. 5 ];
}
$hooks{nobody} = [];

# What one request of a role must come to.  Answers what is wrong.
sub try_one {
    my ($role, $turn) = @_;
    my $other = $role eq 'one' ? 'two' : 'one';
    my $kind = $turn % 8;
    my $answer;
    if ($kind == 0) {
        $answer = $gateway->get('/whisperer/session/', $token{$role});
        return $answer->{json}{role} eq $role ? () : "$role is $answer->{json}{role}";
    } elsif ($kind == 1) {
        $answer = $gateway->get("/whisperer/hooks/$hooks{$other}[0]/", $token{$role});
        return $answer->{status} == 404 ? () : "$role sees a hook of $other";
    } elsif ($kind == 2) {
        $answer = $gateway->request('POST', '/whisperer/hooks/', token => $token{$role}, json => { event_type => 'none', target_url => 'x' });
        return $answer->{status} == 400 ? () : "$role: $answer->{status}";
    } elsif ($kind == 3) {
        $answer = $gateway->request('PATCH', "/whisperer/hooks/$hooks{$other}[1]/", token => $token{$role}, json => { description => "by $role" });
        return $answer->{status} == 404 ? () : "$role changes a hook of $other";
    } elsif ($kind == 4) {
        $answer = $gateway->request('POST', '/whisperer/hooks/', token => $token{$role}, json => { event_type => 'e', target_url => "http://127.0.0.1:9/$role/1" });
        my $expected = $role eq 'nobody' ? 403 : 406;
        return $answer->{status} == $expected ? () : "$role: $answer->{status}, not $expected";
    } elsif ($kind == 5) {
        $answer = $gateway->get('/metrics', $token{$role});
        my %seen = map { $_ => 1 } $answer->{content} =~ /^whisperer_hook_pending\{hook_id="(\d+)"/mg;
        return join(' ', sort { $a <=> $b } keys %seen) eq "@{ $hooks{$role} }" ? () : "$role has the figures of others";
    }
    $answer = $gateway->get('/whisperer/hooks/', $token{$role});
    my $ids = join ' ', reverse map { $_->{id} } @{ $answer->{json}{results} };
    return $ids eq "@{ $hooks{$role} }" ? () : "$role sees $ids";
}

my @children;
for my $number (0 .. 5) {
    my $child = fork // die "cannot fork: $!";
    if (!$child) {
        my $role = (qw(one two nobody))[ $number % 3 ];
        my @wrong = eval { map { try_one($role, $_) } 1 .. 200 };
        push @wrong, $@ if $@;
        diag($wrong[0]) if @wrong;
        POSIX::_exit(@wrong ? 1 : 0);
    }
    push @children, $child;
}
my $bad = grep { waitpid $_, 0; $? != 0 } @children;
is($bad, 0, 'six clients at once, of three roles, over two connections: each sees its own');
is($node->safe_psql('postgres', "SELECT count(*) FROM whisperer.hook WHERE description IS NOT NULL"), 0, 'and changes no other');
is(join(' ', sort { $a cmp $b } split /\n/, $node->safe_psql('postgres', "SELECT DISTINCT owner::text FROM whisperer.hook")), 'one two', 'what is made is of who made it');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whisperer-gateway'"), '<=', 2, 'no more connections than were allowed');
is(scalar(grep { ($_->{status} // 0) >= 500 } $gateway->log_lines), 0, 'and nothing failed on the server');

# The same client, one connection, roles in turn.
my @wrong = map { my $turn = $_; map { try_one($_, $turn) } qw(one two nobody) } 1 .. 16;
is("@wrong", '', 'in turn, too');

done_testing();
