# Errors that come with the commit are errors like any other: told as what they are, and the connection lives.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use Test::More;
use Whisperer;

my $node = new_node('commits');
$node->safe_psql('postgres', "SELECT whisperer.register_event('e')");
my $token = new_role($node, 'subscriber', 'e');
my $gateway = new_gateway($node, options => [ '--pool', 1 ]);
my $count = 0;
sub create { return $gateway->post('/whisperer/hooks/', $token, { event_type => 'e', target_url => 'http://127.0.0.1:9/' . ++$count }) }
sub session { return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'whisperer-gateway'") }

is(create()->{status}, 201, 'a change is made');
my $session = session();
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE wanted (state text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN RAISE EXCEPTION 'too many hooks of this partner' USING ERRCODE = (SELECT state FROM public.wanted); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON whisperer.hook_definition DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
SQL

# state, status, code, whether the message is the client's to see
for ([ '23514', 400, 'invalid', 1 ], [ '23503', 400, 'invalid', 1 ], [ '23P01', 400, 'invalid', 1 ], [ '23505', 406, 'duplicate', 1 ], [ 'P0001', 400, 'invalid', 1 ], [ '42501', 403, 'forbidden', 0 ],
    [ '40001', 503, 'unavailable', 0 ], [ '40P01', 503, 'unavailable', 0 ], [ '53100', 503, 'unavailable', 0 ], [ '57014', 503, 'unavailable', 0 ], [ '55P03', 503, 'unavailable', 0 ], [ '58030', 500, 'internal_error', 0 ], [ 'XX000', 500, 'internal_error', 0 ])
{
    my ($state, $status, $code, $is_shown) = @$_;
    $node->safe_psql('postgres', "TRUNCATE wanted; INSERT INTO wanted VALUES ('$state'); GRANT SELECT ON wanted TO PUBLIC");
    my $answer = create();
    is("$answer->{status} $answer->{json}{code}", "$status $code", "$state at the commit");
    unlike($answer->{content}, qr/cannot be reached|may have been done/, 'is not a lost database');
    is($answer->{json}{message} eq 'too many hooks of this partner' ? 1 : 0, $is_shown, $is_shown ? 'and says what is wrong' : 'and tells nothing of the inside');
    is(defined $answer->{headers}{'retry-after'}, $status == 503, 'and when to try again, if that may help');
    is(session(), $session, 'the connection lives');
}
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON whisperer.hook_definition');
is(scalar @{ $gateway->all('/whisperer/hooks/', $token) }, 1, 'nothing of it was done');

# After a restore of the data alone the sequence is behind: no fault of the client's, and nothing that it could mend.
$node->safe_psql('postgres', q(SELECT setval('whisperer.hook_definition_id_seq', min(id), false) FROM whisperer.hook_definition));
my $behind = create();
is("$behind->{status} $behind->{json}{code} $behind->{json}{message}", '500 internal_error something went wrong on the server', 'an id that is taken');
is(create()->{status}, 201, 'the next one is free');
$node->safe_psql('postgres', <<'SQL');

CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER end_session AFTER INSERT ON whisperer.hook_definition DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_session();
SQL
my $cut = create();
is($cut->{status}, 503, 'a session that ends with the commit');
like($cut->{content}, qr/may have been done/, 'is one of which nobody knows');
$node->safe_psql('postgres', 'DROP TRIGGER end_session ON whisperer.hook_definition');
is(create()->{status}, 201, 'and the next change is made');

done_testing();
