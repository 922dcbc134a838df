# How much of the database a look takes: what a page reads of the log and the ledger, however long they are and
# however many hooks there are.  Counted by auto_explain in blocks of 8 kB, so that it is no matter of time: on an
# old look at everything the bounds were passed many times over.
use strict;
use warnings;
use FindBin ();
use lib $FindBin::Bin;
use Gateway;
use JSON::PP ();
use Test::More;
use Whisperer;

my $node = new_node('looks', extra => "autovacuum = off\n");
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("SELECT whisperer.pause(); SELECT whisperer.register_event('a')");
my %tokens = map { $_ => new_role($node, $_, 'a') } qw(many few);

# 40,000 events over eight days, a day in each slot, and what became of them.  The hooks are made after them, so that
# no worker hands anything out.
my $many = 300;
sql(<<"SQL");
CREATE TABLE made AS SELECT g, t, ((g - 1) / 5000)::smallint AS slot, (left(whisperer.event_id_bound(t)::text, 14) || '7' || substr(whisperer_internal.new_event_id()::text, 16))::uuid AS id
FROM generate_series(1, 40000) g, LATERAL (SELECT now() - interval '8 days' + g * interval '8 days' / 40000) AS o (t);
INSERT INTO whisperer.outbox (id, event_type, data, object_id, created_at, slot)
SELECT id, 'a', json_build_object('number', g), 'object-' || g, t, slot FROM made ORDER BY g;
SQL
sql("SET ROLE many; SELECT whisperer.create_hook('a', 'http://127.0.0.1:9/' || g) FROM generate_series(1, $many) g");
sql("SET ROLE few; SELECT whisperer.create_hook('a', 'http://127.0.0.1:9/few')");
my $few = sql("SELECT id FROM whisperer.hook WHERE owner = 'few'::regrole");
sql(<<"SQL");
INSERT INTO whisperer.delivery (event_id, hook_id, xid, incarnation, state, retry_count, next_attempt_at, request_datetimes,
                                response_http_status, response_time, error, created_at, modified_at, slot)
SELECT m.id, CASE WHEN g % 8000 = 7 THEN $few ELSE h.ids[1 + g % $many] END, o.xid, o.incarnation, s.state, 1, CASE WHEN s.state = 'pending' THEN now() + interval '1 day' END,
       ARRAY[t], CASE s.state WHEN 'delivered' THEN 204 WHEN 'failed' THEN 500 WHEN 'pending' THEN 503 END, interval '1 ms', CASE WHEN s.state <> 'delivered' THEN 'HTTP status' END, t, t, m.slot
FROM made m, LATERAL (SELECT CASE WHEN g % 1000 = 1 THEN 'failed' WHEN g % 4000 = 2 THEN 'pending' WHEN g % 4000 = 3 THEN 'cancelled' ELSE 'delivered' END) AS s (state),
     (SELECT array_agg(id ORDER BY id) AS ids FROM whisperer.hook WHERE owner = 'many'::regrole) AS h, (SELECT xid, incarnation FROM whisperer.outbox LIMIT 1) AS o
ORDER BY g;
SQL
sql("VACUUM ANALYZE whisperer.$_") for qw(outbox delivery hook_definition event_type);

sql("ALTER ROLE gateway SET $_") for "session_preload_libraries = 'auto_explain'", 'auto_explain.log_min_duration = 0', 'auto_explain.log_analyze = on',
    'auto_explain.log_buffers = on', 'auto_explain.log_timing = off', "auto_explain.log_format = 'json'";
my $gateway = new_gateway($node);
my $plan;

# Blocks that the statements of a request read.  The first request of a connection reads the catalogs, too.
sub blocks_of {
    my ($role, $path) = @_;
    my ($from, $answer);
    for (1, 2) {
        $from = -s $node->logfile;
        $answer = $gateway->get("/whisperer/$path", $tokens{$role});
    }
    my $log = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from);
    my $blocks = 0;
    while ($log =~ /  plan:\n\t(\{\n.*?\n\t\})/gs) {
        my $told = JSON::PP::decode_json($1 =~ s/^\t//gmr);
        next if $told->{'Query Text'} =~ /set_config/;
        $plan = $told->{Plan};
        $blocks += $plan->{'Shared Hit Blocks'} + $plan->{'Shared Read Blocks'};
    }
    return ($blocks, $answer->{json}, $log);
}
sub takes {
    my ($role, $path, $rows, $most, $what) = @_;
    my ($blocks, $json) = blocks_of($role, $path);
    is(scalar @{ $json->{results} }, $rows, "$what: rows");
    cmp_ok($blocks, '<', $most, "$what: reads $blocks blocks");
    return $json;
}
my $all = sql('SELECT sum(pg_relation_size(inhrelid)) / 8192 FROM pg_inherits WHERE inhparent = \'whisperer.delivery\'::regclass');
cmp_ok($all, '>', 700, "the ledger has $all");

# --- the usual pages ----------------------------------------------------------------------------
# Whose a hook is is asked once for each hook in a page, not for each hook that there is in each slot.
takes('many', 'hook_events/?limit=1', 1, 150, 'the newest delivery');
my $page = takes('many', 'hook_events/?limit=50', 50, 800, 'a page');
takes('many', "hook_events/$page->{next}", 50, 800, 'the next one');
takes('many', "hook_events/?limit=5&webhook=1", 5, 450, 'the newest of a hook');

# One plan is good for every value: it has parameters where others have constants.
for my $ordering (qw(-id id created_date -uuid)) {
    for my $of ('', '&webhook=1') {
        my ($blocks, $json) = blocks_of('many', "hook_events/?limit=2&ordering=$ordering$of");
        my (undef, undef, $log) = blocks_of('many', "hook_events/$json->{next}");
        like($log, qr/ROW\(event_id, hook_id\) [<>] ROW\(\$2, \$3\)/, "planned once: $ordering$of");
        unlike($log, qr/"Node Type": "(Sort|Seq Scan|Bitmap Heap Scan)"/, 'by an index in order');
    }
}

# --- what was not delivered ---------------------------------------------------------------------
# Few have none of it: all of the ledger is not read to see that.
my %not_delivered = ('delivered=false' => 60, 'response_http_status=500' => 40, 'state=failed' => 40, 'state=pending' => 10, 'state=cancelled' => 10,
    'response_http_status=503' => 10, 'delivered=false&response_http_status=500' => 40, 'response_http_status=404' => 0);
for my $filter (sort keys %not_delivered) {
    takes('many', "hook_events/?limit=100&$filter", $not_delivered{$filter}, 1100, $filter);
    takes('few', "hook_events/?limit=100&$filter", 0, 450, "$filter, of few");
}
takes('many', 'hook_events/?limit=20&response_http_status=204', 20, 450, 'what was delivered, by its status');

# --- one event ----------------------------------------------------------------------------------
# By its id, which the log has no index by.
my $id = $page->{results}[0]{id};
my ($request) = blocks_of('many', "hook_events/$id/request/");
cmp_ok($request, '<', 300, "what would be sent: reads $request blocks");

# Of events that have no delivery the ledger does not know where they are: 25,000 of as many transactions.
sql("SELECT whisperer.register_event('quiet'); SELECT whisperer.allow('quiet', 'many', 'subscribe')");
sql(<<'SQL');
DO $$ BEGIN
    FOR number IN 1..25000 LOOP
        INSERT INTO whisperer.outbox (id, event_type, data, object_id) SELECT whisperer_internal.new_event_id(), 'quiet', '{}', number;
        COMMIT;
    END LOOP;
END $$;
SQL
# Recorded last, by a transaction that began long before.
sql("INSERT INTO whisperer.outbox (id, event_type, data, object_id, xid) SELECT whisperer_internal.new_event_id(), 'quiet', '{}', 'late', min(xid) FROM whisperer.outbox");
sql('VACUUM ANALYZE whisperer.outbox');
my $log = sql("SELECT sum(pg_relation_size(inhrelid)) / 8192 FROM pg_inherits WHERE inhparent = 'whisperer.outbox'::regclass");
cmp_ok($log, '>', 900, "the log has $log");
for my $number (1, 2, 12345, 24999, 25000, 'late') {
    my $event = sql("SELECT id FROM whisperer.outbox WHERE object_id = '$number' AND event_type = 'quiet'");
    # The first in a session reads the catalogs, too.
    my @told = split /^(?=\[$)/m, sql("SET ROLE many;" . "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) SELECT * FROM whisperer_internal.event('$event');" x 2);
    my $found = JSON::PP::decode_json($told[1])->[0]{Plan};
    is($found->{'Actual Rows'}, 1, "event $number is found");
    my $blocks = $found->{'Shared Hit Blocks'} + $found->{'Shared Read Blocks'};
    cmp_ok($blocks, '<', 700, "event $number: reads $blocks blocks") if $number ne 'late';
    is(sql("SET ROLE few; SELECT count(*) FROM whisperer_internal.event('$event')"), 0, 'but not by who may not see it');
    like(sql("SET ROLE many; SELECT whisperer.why('$event', 1)"), qr/^not subscribed/, 'and what it is to a hook');
}
is(sql("SELECT count(*) FROM whisperer_internal.event(whisperer_internal.new_event_id())"), 0, 'no event has another id');

# --- event types --------------------------------------------------------------------------------
# Most have had no event: the last are looked through once, not for each type.
sql("SELECT whisperer.register_event('unused-' || g) FROM generate_series(1, 40) g");
sql("INSERT INTO whisperer.outbox (id, event_type, data) SELECT whisperer_internal.new_event_id(), 'a', '{\"last\": true}'");
my $types = takes('many', 'hooks/registry/?limit=50', 42, 3000, 'event types');
is_deeply([map { $_->{sample} } grep { $_->{sample} } @{ $types->{results} }], [{ last => JSON::PP::true }, {}], 'with the latest data');

# --- an object's events --------------------------------------------------------------------------
# By an index that an operator makes who wants it: it is no part of the extension, for each event would pay for it.
my ($without) = blocks_of('many', 'hook_events/?object_id=object-17');
cmp_ok($without, '>', 900, "without an index an object id reads $without blocks");
sql('CREATE INDEX ON whisperer.outbox (object_id) WHERE object_id IS NOT NULL; ANALYZE whisperer.outbox');
takes('many', 'hook_events/?object_id=object-17', 1, 300, 'an object id');
takes('few', 'hook_events/?object_id=object-17', 0, 300, 'an object id, of who may not see its deliveries');
sql("SELECT whisperer.deliver_event('a', '{}', object_id => 'object-17')");
is(sql("SET enable_seqscan = off; SELECT count(*) FROM whisperer.outbox WHERE object_id = 'object-17'"), 2, 'what is recorded since is in it, too');

done_testing();
