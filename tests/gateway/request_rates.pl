# How many requests a role may make: what ALTER ROLE and ALTER DATABASE say of the role of the token, for all its tokens
# together, and nobody but an operator changes it.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use Test::More;
use Time::HiRes qw(time);
use Whisperer;

my $node = new_node('request_rates');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("SELECT whisperer.register_event('e')");
my $shop = new_role($node, 'shop', 'e');
my $other = new_role($node, 'Ann "x"', 'e');
sql('ALTER ROLE shop LOGIN');
# Of the gateway's own role it means nothing.
sql('ALTER ROLE gateway SET whisperer.max_requests_per_second = 1');
my $gateway = new_gateway($node);
sub ask { my ($token, $with) = @_; return ($with // $gateway)->get('/whisperer/session/', $token) }
# Many requests a look, for only those count that come within a second.
sub refused {
    my ($token, $with) = @_;
    return wait_for('a refusal', sub {
        for (1 .. 20) { my $answer = ask($token, $with); return $answer if $answer->{status} != 200 }
        return;
    });
}
sub is_free { my ($token) = @_; return !grep { ask($token)->{status} != 200 } 1 .. 20 }
sub becomes_free { my ($token, $what) = @_; wait_for($what, sub { is_free($token) }); return pass($what) }

ok(is_free($shop), 'any number, where nothing is said of the role');

# --- of one role
sql('ALTER ROLE shop SET whisperer.max_requests_per_second = 1');
my $answer = refused($shop);
is("$answer->{status} $answer->{json}{code}: $answer->{json}{message}", '429 too_many_requests: role shop may make 1 requests per second', 'then it is bounded, without a restart');
is($answer->{headers}{'retry-after'}, 1, 'and told when to come again');
my $raise = qr/^Wait as Retry-After says, or ask a superuser to raise the limit: (ALTER ROLE .*;)$/;
like($answer->{json}{hint}, $raise, 'and who may raise it');
wait_for('the next second', sub { ask($shop)->{status} == 200 });
ok(is_free($other), 'others go on');
is($gateway->status_of('GET', '/healthz'), 200, 'so does what needs no token') for 1 .. 3;

# All tokens of the role together: never more than there are seconds, and one.
my @tokens = ($shop, new_token($node, 'shop'), sql("SELECT substring(link FROM 'whap_.*') FROM whisperer.create_portal_link('shop') AS link"));
refused($_) for @tokens;
my $begun = time;
my %admitted;
while (time - $begun < 2) {
    for my $i (0 .. $#tokens) { $admitted{$i}++ if ask($tokens[$i])->{status} == 200 }
}
my $sum = 0;
$sum += $_ for values %admitted;
cmp_ok($sum, '<=', time - $begun + 1, 'all tokens of a role share it, and so does a portal link');
cmp_ok($sum, '>=', 1, 'and have it');

# Each gateway by itself.
my $second = new_gateway($node);
refused($shop);
is(ask($shop, $second)->{status}, 200, 'another gateway counts by itself');
is(refused($shop, $second)->{status}, 429, 'but it counts');

# --- who may raise it
for ([ 'SET' => 'SET whisperer.max_requests_per_second = 100' ], [ 'ALTER ROLE of oneself' => 'ALTER ROLE shop SET whisperer.max_requests_per_second = 100' ],
    [ 'ALTER ROLE of oneself in a database' => 'ALTER ROLE shop IN DATABASE postgres SET whisperer.max_requests_per_second = 100' ])
{
    my (undef, undef, $stderr) = $node->psql('postgres', $_->[1], extra_params => [ '-U', 'shop' ]);
    like($stderr, qr/permission denied to set parameter/, "not the role itself by $_->[0]");
}
my (undef, undef, $stderr) = $node->psql('postgres', 'SET whisperer.max_requests_per_second = 100');
like($stderr, qr/whisperer\.max_requests_per_second cannot be set in a session/, 'nor anybody for a session');
sub follow { my ($said) = @_; my ($statement) = $said->{json}{hint} =~ $raise or die "no statement: $said->{json}{hint}"; sql($statement); return $statement }
is(follow($answer), 'ALTER ROLE shop SET whisperer.max_requests_per_second = 2;', 'what the hint says raises it');
wait_for('more', sub { refused($shop)->{json}{message} =~ /may make 2 requests/ });

# --- which one counts
sql('ALTER ROLE shop IN DATABASE postgres SET whisperer.max_requests_per_second = 3');
$answer = wait_for('that of the database', sub { my $said = refused($shop); $said->{json}{message} =~ /may make 3 / && $said });
is(follow($answer), 'ALTER ROLE shop IN DATABASE postgres SET whisperer.max_requests_per_second = 6;', 'what is said of the role in the database comes first');
sql('ALTER ROLE shop IN DATABASE postgres RESET ALL; ALTER ROLE shop SET whisperer.max_requests_per_second = 0; ALTER DATABASE postgres SET whisperer.max_requests_per_second = 2');
becomes_free($shop, 'none for one role');
$answer = refused($other);
is(follow($answer), 'ALTER ROLE "Ann ""x""" SET whisperer.max_requests_per_second = 4;', 'and one for all the others; the hint knows how to write a name');
sql('ALTER ROLE "Ann ""x""" RESET ALL; ALTER DATABASE postgres RESET ALL; ALTER ROLE shop RESET ALL');
becomes_free($other, 'none again');
sql('ALTER SYSTEM SET whisperer.max_requests_per_second = 1');
$node->reload;
is(refused($other)->{json}{message}, 'role Ann "x" may make 1 requests per second', 'the files of the server, at a reload');
sql('ALTER SYSTEM RESET whisperer.max_requests_per_second');
$node->reload;
becomes_free($other, 'and back');

done_testing();
