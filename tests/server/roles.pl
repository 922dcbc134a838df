# Whose event is delivered to whom: event types that nobody registered, owners that are dropped or
# renamed, and what roles for operating and monitoring see and do.
use strict;
use warnings;
use Test::More;
use Whisperer;

my $node = new_node('roles', extra => "whisperer.circuit_breaker = off\n");
my $receiver = new_receiver('roles');
my $base = $receiver->url('');

sub sql { my ($query) = @_; return $node->safe_psql('postgres', $query) }

sub error_of {
    my ($query) = @_;
    my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query");
    return $error =~ /ERROR:  (.*)/ ? $1 : 'no error';
}

# The order of arrival is not promised.
sub received { return join ' ', sort map { JSON::PP::decode_json($_->{body})->{data}{n} // 'ping' } $receiver->requests($_[0]) }

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
# A name that was ann's, whose events are in the log: eve would read them.
sql("DROP TABLE ann.thing; SELECT whisperer.unregister_event('thing-made')");
sql(<<'SQL');
SET ROLE eve;
CREATE TABLE eve.thing (n text);
CREATE TRIGGER thing AFTER INSERT ON eve.thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('thing-made');
INSERT INTO eve.thing VALUES ('eves-4');
SQL
wait_idle($node);
is(received('/ok/eve'), 'eves eves-2 eves-3 eves-4', 'her own are delivered to her');
is(sql("SELECT count(*) FROM whisperer.event_type WHERE name = 'thing-made'"), 0, 'but the worker does not register the name of another');
like(error_of("SET ROLE eve; SELECT whisperer.register_event('thing-made')"), qr/^42501/, 'nor can she');
is(sql("SET ROLE eve; SELECT count(*) FROM whisperer.outbox WHERE data->>'n' ~ 'ann'"), 0, 'so she does not see what was recorded under it');
sql("DROP TABLE eve.thing");

# --- a name that is another's by the time when the event is read -----------------------------------------
# Whose an event is was decided when it was recorded: eve comes by the table's name, and by the type's.
sql("SELECT whisperer.pause()");
sql('CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO ann, eve');
my $early = sub {
    my ($role, $type, $n) = @_;
    return "SET ROLE $role; CREATE TABLE shared.thing (n text);
        CREATE TRIGGER thing AFTER INSERT ON shared.thing FOR EACH ROW EXECUTE FUNCTION whisperer.capture('$type');
        INSERT INTO shared.thing VALUES ('$n'); RESET ROLE;";
};
for my $type (qw(taken-table taken-type)) {
    sql($early->('ann', $type, "ann-$type"));
    sql('DROP TABLE shared.thing');
    sql($early->('eve', $type, "eve-$type"));
    sql("SET ROLE eve; SELECT whisperer.register_event('$type')") if $type eq 'taken-type';
    sql('DROP TABLE shared.thing');
}
sql("SET ROLE ann; CREATE TABLE shared.left (n text);
    CREATE TRIGGER capture AFTER INSERT ON shared.left FOR EACH ROW EXECUTE FUNCTION whisperer.capture('given-away');
    INSERT INTO shared.left VALUES ('ann-given-away'); RESET ROLE; ALTER TABLE shared.left OWNER TO eve; INSERT INTO shared.left VALUES ('eve-given-away')");
is(sql(q(SET ROLE eve; SELECT count(*) FROM whisperer.outbox WHERE data->>'n' ~ '^ann-')), 0, 'eve sees none of what was recorded for ann');
is(sql(q(SET ROLE ann; SELECT count(*) FROM whisperer.outbox WHERE data->>'n' ~ '^(ann|eve)-')), 3, 'ann sees hers before it is registered');
sql("SELECT whisperer.resume()");
wait_idle($node);
my @of_ann = grep { /^ann-/ } split ' ', received('/ok/ann');
is("@of_ann", 'ann-given-away ann-taken-table ann-taken-type', "what ann's table recorded goes to ann, whoever has its name, its type or the table now");
my @of_eve = grep { /^(ann|eve)-/ } split ' ', received('/ok/eve');
is("@of_eve", 'eve-given-away eve-taken-table eve-taken-type', "and what eve's recorded to eve");
is(sql("SELECT owner::regrole FROM whisperer.event_type WHERE name = 'taken-type'"), 'eve', 'the type of an earlier table may be registered by who has one now');
is(sql(q(SELECT whisperer.why(o.id, h.id) FROM whisperer.outbox o, whisperer.hook h WHERE h.owner::text = 'eve' AND o.data->>'n' = 'ann-taken-type')),
    'not allowed: role eve may not subscribe to "taken-type"', 'why says why not');
sql('SET ROLE ann; SELECT whisperer.replay(min(id), now() - interval $$1 hour$$) FROM whisperer.hook WHERE owner::text = $$ann$$');
wait_idle($node);
is(scalar(grep { /^ann-taken-type$/ } split ' ', received('/ok/ann')), 2, 'a replay has it again');
is(scalar(grep { /^eve-/ } split ' ', received('/ok/ann')), 0, "and nothing of eve's");
sql('DROP TABLE shared.left');

# --- an owner that is dropped ---------------------------------------------------------------------------
# It owns a type and hooks for it; one has something to be tried again.
my $always = q('{"choice": "fixed", "kwargs": {"seconds": 0.1}, "max_retries": 1000}');
sql(<<"SQL");
CREATE ROLE gone;
SET ROLE gone;
SELECT whisperer.register_event('left');
SELECT whisperer.create_hook('left', '$base/status/500/left', retry_countdown_config => $always);
SELECT whisperer.create_hook('left', '$base/ok/left');
RESET ROLE;
SELECT whisperer.create_hook('left', '$base/ok/ours');
SELECT whisperer.deliver_event('left', '{"n": "1"}');
SQL
wait_for('a retry', sub { 2 < (() = $receiver->requests('/status/500/left')) });
my $oid = sql("SELECT 'gone'::regrole::oid");
sql('DROP OWNED BY gone; DROP ROLE gone');
sql(q(SELECT whisperer.deliver_event('left', '{"n": "2"}')));
wait_idle($node);
is(received('/ok/ours'), '1 2', "the others' hooks go on when an owner is dropped");
is(received('/ok/left'), '1', 'those of the dropped role get nothing');
my $tried = () = $receiver->requests('/status/500/left');
wait_for('the time of another retry', sub {
    sql("SELECT bool_and(next_attempt_at < now() - interval '200 ms') FROM whisperer.delivery d JOIN whisperer.hook_definition h ON h.id = d.hook_id
        WHERE h.owner = $oid AND d.state = 'pending'") eq 't';
});
is(scalar(() = $receiver->requests('/status/500/left')), $tried, 'nor is anything tried again');
is(sql("SELECT DISTINCT state, state_reason FROM whisperer.hook WHERE target_url ~ 'left'"), 'paused|its owner, role "gone", was dropped', 'the view hook says so');
is(sql("SELECT DISTINCT state_reason FROM whisperer.hook_stats WHERE target_url ~ 'left'"), 'its owner, role "gone", was dropped', 'hook_stats too');
is(sql('SELECT reason FROM whisperer.status'), 'hooks whose owner was dropped wait for whisperer.reassign_owned(): 2', 'and status');
like(sql("SELECT string_agg(whisperer.why(d.event_id, d.hook_id), '; ') FROM whisperer.delivery d JOIN whisperer.hook h ON h.id = d.hook_id WHERE h.target_url ~ 'left' AND d.state = 'pending'"),
    qr/^waits: the hook is paused \(its owner, role "gone", was dropped\)/, 'and why');
like(error_of("SET ROLE ann; SELECT whisperer.reassign_owned('$oid', 'ann')"), qr/^42501/, 'not anybody may take them over');
sql("SELECT whisperer.reassign_owned('$oid', 'ann')");
wait_for('what waited', sub { received('/ok/left') eq '1 2' });
wait_for('the retries', sub { $tried < (() = $receiver->requests('/status/500/left')) });
is(sql("SELECT string_agg(DISTINCT owner::text, ' ') FROM whisperer.hook WHERE target_url ~ 'left'"), 'ann', 'reassign_owned gives them to another role');
is(sql("SELECT owner::regrole, owner_name FROM whisperer.event_type WHERE name = 'left'"), 'ann|ann', 'the event type, too');
is(sql('SELECT reason FROM whisperer.status'), '', 'and all is well');

# --- a role that is renamed -----------------------------------------------------------------------------
sql('ALTER ROLE ann RENAME TO "Ann"; DELETE FROM whisperer.hook_definition WHERE target_url ~ \'status\'');
sql(q(SELECT whisperer.deliver_event('left', '{"n": "3"}')));
wait_idle($node);
is(received('/ok/left'), '1 2 3', 'a renamed role keeps its hooks');
is(sql(q(SET ROLE "Ann"; SELECT string_agg(DISTINCT owner::text, ' ') FROM whisperer.hook)), '"Ann"', 'and sees them');

# --- roles as README grants them ------------------------------------------------------------------------
my $team = $receiver->url('/ok/team');
sql(<<"SQL");
REVOKE USAGE ON SCHEMA whisperer FROM PUBLIC;
CREATE ROLE webhooks; CREATE ROLE shop; CREATE ROLE partner; CREATE ROLE operator; CREATE ROLE monitor;
GRANT USAGE ON SCHEMA whisperer TO webhooks, shop, partner, operator, monitor;
SET ROLE webhooks;
SELECT whisperer.register_event('order-paid');
SELECT whisperer.allow('order-paid', 'shop', 'publish');
SELECT whisperer.allow('order-paid', 'partner', 'subscribe');
RESET ROLE;
GRANT pg_monitor TO monitor;
CREATE SCHEMA webhook_admin;
CREATE FUNCTION webhook_admin.pause() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT whisperer.pause()';
CREATE FUNCTION webhook_admin.resume() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT whisperer.resume()';
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook_admin FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook_admin TO operator;
GRANT USAGE ON SCHEMA webhook_admin TO operator, partner;
SET ROLE partner; SELECT whisperer.create_hook('order-paid', '$team');
SET ROLE shop; SELECT whisperer.deliver_event('order-paid', '{"n": "1"}');
SQL
wait_for('the delivery', sub { received('/ok/team') eq '1' });
pass('a publisher publishes, a subscriber is told');
like(error_of(q(SET ROLE partner; SELECT whisperer.deliver_event('order-paid', '{}'))), qr/^42501/, 'not the other way round');
like(error_of("SET ROLE shop; SELECT whisperer.create_hook('order-paid', '$team')"), qr/^42501/, 'nor');
like(error_of('SET ROLE operator; SELECT whisperer.pause()'), qr/^42501/, 'an operator may not pause by himself');
like(error_of('SET ROLE partner; SELECT webhook_admin.pause()'), qr/^42501/, 'others not at all');
sql('SET ROLE operator; SELECT webhook_admin.pause()');
is(sql('SET ROLE operator; SELECT state, reason FROM whisperer.status'), 'paused|paused by whisperer.pause()', 'but through a function that a superuser made for him');
sql(q(SET ROLE shop; SELECT whisperer.deliver_event('order-paid', '{"n": "2"}')));
is(sql('SET ROLE monitor; SELECT lag_events > 0 FROM whisperer.status'), 't', 'monitoring sees what waits');
sql('SET ROLE operator; SELECT webhook_admin.resume()');
wait_for('the delivery', sub { received('/ok/team') eq '1 2' });
my $figures = q(SET ROLE monitor; SELECT owner, state, delivered, target_url FROM whisperer.hook_stats WHERE event_type = 'order-paid');
wait_for('the figures', sub { sql($figures) =~ /\|2\|/ });
is(sql($figures), 'partner|active|2|', 'and how each hook is doing');
is(sql('SET ROLE monitor; SELECT count(*) FROM whisperer.outbox'), 0, 'but no event');
sql('GRANT postgres TO operator');
sql('SET ROLE operator; SELECT whisperer.pause(), whisperer.resume()');
pass("a member of the extension's owner may, too");

# REVOKE USAGE closes the door; what was subscribed goes on until disallow.
sql(q(REVOKE USAGE ON SCHEMA whisperer FROM partner; SET ROLE shop; SELECT whisperer.deliver_event('order-paid', '{"n": "3"}')));
wait_for('the delivery', sub { received('/ok/team') eq '1 2 3' });
sql(q(SET ROLE webhooks; SELECT whisperer.disallow('order-paid', 'partner', 'subscribe'); SET ROLE shop; SELECT whisperer.deliver_event('order-paid', '{"n": "4"}')));
wait_idle($node);
is(received('/ok/team'), '1 2 3', 'disallow ends it');

# --- a superuser who is led astray ------------------------------------------------------------------------
# Procedures that commit cannot pin their search_path.
sql(<<"SQL");
GRANT USAGE ON SCHEMA eve TO PUBLIC;
SET ROLE eve;
CREATE FUNCTION eve.planted() RETURNS boolean LANGUAGE plpgsql AS \$\$BEGIN RAISE EXCEPTION 'planted code runs as %', current_user; END\$\$;
SQL
for my $type (qw(text uuid timestamptz jsonb json bigint integer interval)) {
    sql("SET ROLE eve; CREATE FUNCTION eve.planted($type, $type) RETURNS boolean LANGUAGE sql AS 'SELECT eve.planted()'") unless $type eq 'json';
    for my $operator (qw(= <> > >= < + - /), '||') {
        sql("SET ROLE eve; CREATE OPERATOR eve.$operator (LEFTARG = $type, RIGHTARG = $type, FUNCTION = eve.planted)") unless $type eq 'json';
    }
    sql("SET ROLE eve; CREATE DOMAIN eve.$type AS pg_catalog.$type CHECK (eve.planted())") unless $type =~ /int|interval/;
}
sql("SELECT whisperer.register_event('lure')");
my $lure = sql("SELECT whisperer.create_hook('lure', '$base/ok/lure')");
my $path = 'SET search_path = eve, pg_catalog';
is(error_of("$path; CALL whisperer.wait_idle('60 s')"), 'no error', 'wait_idle finds nothing planted');
is(error_of("$path; CALL whisperer.ping_hook($lure)"), 'no error', 'nor does ping_hook');
is(error_of(qq($path; CALL whisperer.deliver_now('lure', '{"n": "1"}'::pg_catalog.json))), 'no error', 'nor deliver_now');
is(received('/ok/lure') =~ /1/, 1, 'and it delivers');

done_testing();
