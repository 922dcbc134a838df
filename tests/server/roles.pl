# Whose event is delivered to whom: event types that nobody registered, owners that are dropped or
# renamed, and what roles for operating and monitoring see and do.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('roles');
my $receiver = new_receiver('roles');
my $base = $receiver->url('');

sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query) }

sub error_of {
    my ($query) = @_;
    my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query");
    return $error =~ /ERROR:  (.*)/ ? $1 : 'no error';
}

# The order of arrival is not promised.
sub received { return join ' ', sort map { JSON::PP::decode_json($_->{body})->{data}{n} } $receiver->requests($_[0]) }

sql(<<"SQL");
CREATE ROLE ann; CREATE ROLE eve; CREATE ROLE mate IN ROLE ann;
GRANT USAGE ON SCHEMA whisperer TO PUBLIC;
CREATE SCHEMA ann AUTHORIZATION ann; CREATE SCHEMA eve AUTHORIZATION eve;
SQL

# --- an unregistered type that two owners' tables record ------------------------------------------------
# One page has both, eve's first: what is found for the type must not be hers for ann's events, too.
for my $role (qw(ann eve)) {
    sql(<<"SQL");
SET ROLE $role;
SELECT whisperer.register_event('$role-other');
SELECT whisperer.create_hook('*', '$base/ok/$role');
CREATE TABLE $role.thing (n text);
CREATE TRIGGER thing AFTER INSERT ON $role.thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-made');
SQL
}
sql("INSERT INTO eve.thing VALUES ('eves'); INSERT INTO ann.thing VALUES ('anns'); INSERT INTO eve.thing VALUES ('eves-2')");
wait_idle($node);
is(received('/ok/ann'), 'anns', "an event of an unregistered type goes to its table's owner");
is(received('/ok/eve'), 'eves eves-2', 'and not to the owner of another table');
sql("INSERT INTO eve.thing VALUES ('eves-3'); INSERT INTO ann.thing VALUES ('anns-2')");
wait_idle($node);
is(received('/ok/ann'), 'anns anns-2', 'for as long as it is unregistered');
is(sql("SELECT count(*) FROM whisperer.event_type WHERE name = 'thing-made'"), 0, 'the worker registers it for neither');
like(error_of("SET ROLE eve; SELECT whisperer.register_event('thing-made')"), qr/^42501: event type "thing-made" is recorded by a table of somebody else/,
    'nor can one of them');
sql("DROP TABLE eve.thing; INSERT INTO ann.thing VALUES ('anns-3')");
wait_for('the registration', sub {
    sql("INSERT INTO ann.thing VALUES ('again')");
    sql("SELECT owner::regrole FROM whisperer.event_type WHERE name = 'thing-made'") eq 'ann';
});
pass('it is registered when one owner is left');

done_testing();
