# How many hooks a role may have: what ALTER ROLE and ALTER DATABASE say of their owner counts, wherever a hook is made
# from, and nobody but an operator changes it.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use Test::More;
use Whisperer;

my $node = new_node('quotas', extra => "whisperer.max_hooks_per_role = 3\nrestart_after_crash = on\n");
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("SELECT whisperer.register_event('e')");
my $shop = new_role($node, 'shop', 'e');
my $gateway = new_gateway($node);
sql(<<'SQL');
ALTER ROLE shop LOGIN;
CREATE ROLE "Ann ""x""" LOGIN;
GRANT USAGE ON SCHEMA whisperer TO "Ann ""x""";
SELECT whisperer.allow('e', '"Ann ""x"""', 'subscribe');
-- One who makes hooks for shop, and may have many.
CREATE ROLE agent LOGIN;
GRANT shop TO agent;
GRANT USAGE ON SCHEMA whisperer TO agent;
ALTER ROLE agent SET whisperer.max_hooks_per_role = 1000;
ALTER ROLE gateway SET whisperer.max_hooks_per_role = 1000;
SQL

# What the statements say as the role: '' or an error, its detail and hint.
sub as {
    my ($role, $statements) = @_;
    my (undef, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statements", extra_params => [ '-U', $role ], on_error_stop => 0);
    return join ' ', $stderr =~ /(?:ERROR|HINT): +(.*)/g;
}
my $n = 0;
sub url { $n++; return "https://receiver.example/$n" }
sub make { return sprintf "SELECT whisperer.create_hook('e', '%s');", url() }
# As many as it may have; how many there are then.
sub fill {
    my ($role) = @_;
    as($role, join '', map { make() } 1 .. 25);
    return sql("SELECT count(*) FROM whisperer.hook_definition WHERE owner_name = '$role' AND is_active");
}
sub apply { return sprintf q(SELECT * FROM whisperer.apply_hooks('[{"name": "%s", "event_type": "e", "target_url": "%s"}]');), $n, url() }
sub insert { return sprintf "INSERT INTO whisperer.hook (event_type, target_url) VALUES ('e', '%s');", url() }
sub over_http { return $gateway->post('/whisperer/hooks/', $shop, { event_type => 'e', target_url => url() }) }

# --- what everybody has
is(fill('shop'), 3, 'the files of the server say how many');
my $refused = as('shop', make());
like($refused, qr/^53400: role shop has 3 hooks already .*ask a superuser.*: ALTER ROLE shop SET whisperer\.max_hooks_per_role = 13;$/, 'one more is refused, and who may raise that is said');
for ([ 'after SET ROLE' => sub { as('agent', 'SET ROLE shop; ' . make()) } ], [ 'by a row' => sub { as('shop', insert()) } ],
    [ 'by a row of a member' => sub { as('agent', 'SET ROLE shop; ' . insert()) } ], [ 'by apply_hooks' => sub { as('shop', apply()) } ],
    [ 'in a transaction of an older snapshot' => sub { as('shop', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; ' . make()) } ])
{
    my ($how, $try) = @$_;
    is($try->(), $refused, "also $how");
}
my $answer = over_http();
is("$answer->{status} $answer->{json}{message}", '406 role shop has 3 hooks already', 'and over HTTP, though the gateway\'s role may have more');
is($answer->{json}{hint}, 'Delete some, or ask a superuser to raise the limit: ALTER ROLE shop SET whisperer.max_hooks_per_role = 13;', 'which says, too, who may raise that');
like(as('agent', make()), qr/^$/, 'a role with more of its own has them');

# --- who may raise it
for ([ 'SET' => 'SET whisperer.max_hooks_per_role = 100' ], [ 'ALTER ROLE of oneself' => 'ALTER ROLE shop SET whisperer.max_hooks_per_role = 100' ],
    [ 'ALTER ROLE of oneself in a database' => 'ALTER ROLE shop IN DATABASE postgres SET whisperer.max_hooks_per_role = 100' ])
{
    like(as('shop', $_->[1]), qr/^42501: permission denied to set parameter/, "not the role itself by $_->[0]");
}
my $superuser = sql('SELECT current_user');
like(as($superuser, 'SET whisperer.max_hooks_per_role = 100'), qr/^22023: whisperer.max_hooks_per_role cannot be set in a session Use ALTER ROLE/, 'nor anybody for a session');
is(as('shop', make()), $refused, 'and it is as it was');

# The hint as it stands, by a superuser.
sub follow { my ($said) = @_; my ($statement) = $said =~ /(ALTER ROLE .*;)$/ or die "no statement: $said"; sql($statement); return $statement }
follow($refused);
is(as('shop', make()), '', 'what the hint says raises it');
is(over_http()->{status}, 201, 'at once, and over HTTP');
is(fill('shop'), 13, 'by so many');
is(as('shop', 'SHOW whisperer.max_hooks_per_role'), '', 'the role sees it');
is($node->safe_psql('postgres', 'SHOW whisperer.max_hooks_per_role', extra_params => [ '-U', 'shop' ]), 13, 'as it is');

# --- which one counts, as at a login
sql('ALTER DATABASE postgres SET whisperer.max_hooks_per_role = 20');
like(as('shop', make()), qr/has 13 hooks/, 'what is said of the role comes before the database');
sql('ALTER ROLE shop RESET whisperer.max_hooks_per_role');
is(fill('shop'), 20, 'then the database');
sql('ALTER ROLE shop IN DATABASE postgres SET whisperer.max_hooks_per_role = 1; ALTER ROLE shop SET whisperer.max_hooks_per_role = 100');
$refused = as('shop', make());
like($refused, qr/has 1 hooks already .*: ALTER ROLE shop IN DATABASE postgres SET whisperer\.max_hooks_per_role = 11;$/, 'what is said of the role in the database comes first');
sql("SELECT count(whisperer.delete_hook(id)) FROM whisperer.hook_definition WHERE owner_name = 'shop' AND is_active");
is(fill('shop'), 1, 'it lowers, too');
follow(as('shop', make()));
is(fill('shop'), 11, 'and its hint is one to follow');
sql('ALTER ROLE shop IN DATABASE postgres RESET ALL; ALTER ROLE shop RESET ALL; ALTER DATABASE postgres RESET ALL');
sql("ALTER ROLE ALL SET whisperer.max_hooks_per_role = '0xc'");
is(fill('shop'), 12, 'then what is said of all roles, in any form that a setting has');
sql('ALTER ROLE ALL RESET whisperer.max_hooks_per_role; ALTER ROLE shop SET whisperer.max_hooks_per_role = -1');
is(as('shop', join '', map { make() } 1 .. 20), '', 'a role may have any number');
sql('ALTER ROLE shop RESET ALL');

# --- the files again: a reload, and memory that is made anew
is(fill('Ann "x"'), 3, 'another role has what the files say');
sql('ALTER SYSTEM SET whisperer.max_hooks_per_role = 4');
$node->reload;
wait_for('the reload', sub { sql('SHOW whisperer.max_hooks_per_role') == 4 });
is(fill('Ann "x"'), 4, 'also after a reload');
kill_worker($node, worker_pid($node));
is(fill('Ann "x"'), 4, 'and after a crash');
follow(as('Ann "x"', make()));
is(fill('Ann "x"'), 14, 'the hint knows how to write a name');
sql('ALTER ROLE "Ann ""x""" SET whisperer.max_hooks_per_role = 0');
like(as('Ann "x"', make()), qr/has 0 hooks/, 'none at all');
$node->restart;
is(fill('agent') > 4, 1, 'and after a restart');

# --- an operator who is no superuser
sql('CREATE ROLE operator LOGIN CREATEROLE; GRANT SET ON PARAMETER whisperer.max_hooks_per_role TO operator');
sql('GRANT "Ann ""x""" TO operator WITH ADMIN OPTION') if sql('SHOW server_version_num') >= 160000;
is(as('operator', 'ALTER ROLE "Ann ""x""" SET whisperer.max_hooks_per_role = 30'), '', 'one who was granted the parameter may raise it');
is(as('Ann "x"', make()), '', 'which counts');

done_testing();
