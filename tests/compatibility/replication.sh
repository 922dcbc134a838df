# Rows that come by logical replication: PostgreSQL's own and pglogical, between two databases of one server.
# packages: postgresql-MAJOR-pglogical
. /src/tests/compatibility/inside.sh
# Where the server asks who may be an output plugin, pglogical has to be named.
postgres --describe-config | grep '^output_plugin_libraries' >/dev/null && plugins="output_plugin_libraries = 'pgoutput, pglogical_output'"
start_server pglogical "track_commit_timestamp = on
${plugins:-}"
start_receiver
at_copy() { PGDATABASE=copy sql "$1"; }
PGDATABASE=postgres sql 'CREATE DATABASE copy'
at_copy 'CREATE EXTENSION whisperer; CREATE TABLE item (id int PRIMARY KEY, name text); CREATE TABLE part (id int PRIMARY KEY)'
count_at_copy() { at_copy "SELECT count(*) FROM whisperer.outbox WHERE event_type = '$1'"; }
rows_at_copy() { [ "$(at_copy "SELECT count(*) FROM $1")" = "$2" ]; }

# --- native: of one server the slot is made first, or the two would wait for each other -------------
sql "CREATE PUBLICATION items FOR TABLE item; INSERT INTO item VALUES (1, 'copied')"
sql "SELECT pg_create_logical_replication_slot('items', 'pgoutput')" >/dev/null
at_copy "SELECT whisperer.watch('item', operations => '{insert}', prefix => 'before')" >/dev/null
at_copy "CREATE SUBSCRIPTION items CONNECTION 'host=$PGHOST port=$PGPORT user=postgres dbname=shop' PUBLICATION items WITH (create_slot = false, slot_name = 'items')" 2>/dev/null
check 'rows arrive' soon rows_at_copy item 1
sql "INSERT INTO item VALUES (2, 'replicated')"
check 'rows arrive' soon rows_at_copy item 2
is 'a table that was watched before it became a subscription'"'s"' records nothing' "$(count_at_copy before-created)" 0
at_copy "SELECT whisperer.unwatch('item')" >/dev/null
at_copy "SELECT whisperer.watch('item', operations => '{insert}')" >/dev/null
sql "INSERT INTO item VALUES (3, 'replicated')"
check 'rows arrive' soon rows_at_copy item 3
is 'one that is watched afterwards records what is replicated' "$(count_at_copy item-created)" 1
at_copy "SELECT whisperer.create_hook('item-created', '$url/ok/copy')" >/dev/null
sql "INSERT INTO item VALUES (4, 'replicated')"
check 'and its events are delivered' soon arrived /ok/copy
row 'logical replication' "$(sql 'SHOW server_version' | cut -d' ' -f1)" 'call `watch` on the subscriber after the subscription is there: its triggers are then ENABLE ALWAYS. Before, a warning names the table and nothing of it is recorded'
at_copy 'ALTER SUBSCRIPTION items DISABLE; ALTER SUBSCRIPTION items SET (slot_name = NONE); DROP SUBSCRIPTION items' 2>/dev/null
sql "CREATE TABLE part (id int PRIMARY KEY)"

# --- pglogical -------------------------------------------------------------------------------------
sql 'CREATE EXTENSION pglogical'; at_copy 'CREATE EXTENSION pglogical'
dsn="host=$PGHOST port=$PGPORT user=postgres dbname"
sql "SELECT pglogical.create_node('shop', '$dsn=shop'); SELECT pglogical.replication_set_add_table('default', 'part')" >/dev/null
at_copy "SELECT pglogical.create_node('copy', '$dsn=copy'); SELECT pglogical.create_subscription('parts', '$dsn=shop', synchronize_data := false)" >/dev/null
check 'pglogical replicates' soon bash -c "psql -X -At -d copy -c \"SELECT status FROM pglogical.show_subscription_status()\" | grep replicating"
at_copy "SELECT whisperer.watch('part', operations => '{insert}')" >/dev/null
sql 'INSERT INTO part VALUES (1)'
check 'rows arrive' soon rows_at_copy part 1
is 'watch() makes triggers that pglogical does not fire' "$(count_at_copy part-created)" 0
at_copy "SELECT whisperer.unwatch('part')" >/dev/null
at_copy "CREATE TRIGGER part_created AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION whisperer.capture('part-created');
         ALTER TABLE part ENABLE ALWAYS TRIGGER part_created"
sql 'INSERT INTO part VALUES (2)'
check 'rows arrive' soon rows_at_copy part 2
is 'a row trigger that is ENABLE ALWAYS records them' "$(count_at_copy part-created)" 1
row pglogical "$(sql "SELECT extversion FROM pg_extension WHERE extname = 'pglogical'")" 'name `pglogical_output` in `output_plugin_libraries`, where the server has that setting (seen in 15.20, 17.12 and 19). It fires row triggers that are ENABLE ALWAYS or REPLICA. `watch` makes others on its subscribers: make the trigger by hand, `FOR EACH ROW`, and `ALTER TABLE ... ENABLE ALWAYS TRIGGER`'
