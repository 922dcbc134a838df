# What PostgreSQL 19 brings that a user of the extension meets.  The lines of docs/upgrading.md on it come from here.
# postgres: 19
. /src/tests/compatibility/inside.sh
start_server
start_receiver
sql "SELECT whisperer.watch('item')" >/dev/null
sql "SELECT whisperer.create_hook('item-created', '$url/ok/item')" >/dev/null
delivered() { sql "SELECT count(*) FROM whisperer.delivery WHERE hook_id = 1 AND state = 'delivered'"; }
restart_with() { # lines of the configuration
    printf '%s\n' "$1" >>"$work/data/postgresql.conf"
    as_postgres pg_ctl -D "$work/data" -l "$work/data.log" -w restart >/dev/null
}

# --- asynchronous reads: a backlog that is on disk, read by each method ----------------------------------
n=0
for method in sync worker io_uring; do
    sql 'ALTER SYSTEM SET whisperer.enabled = off' && sql 'SELECT pg_reload_conf()' >/dev/null
    sql "INSERT INTO item SELECT g, repeat('x', 500) FROM generate_series($((n * 2000 + 1)), $((n * 2000 + 2000))) g; CHECKPOINT"
    sql 'ALTER SYSTEM RESET whisperer.enabled'
    if ! restart_with "io_method = $method"; then
        echo "# io_method = $method cannot be had here: $(grep -a 'FATAL\|not supported\|io_uring' "$work/data.log" | tail -1)"
        restart_with 'io_method = worker'
    fi
    n=$((n + 1))
    idle
    is "a backlog is delivered with io_method = $(sql 'SHOW io_method')" "$(delivered)" $((n * 2000))
done

# --- REPACK (CONCURRENTLY) of a watched table beside a writer --------------------------------------------
before=$(count_recorded item-created)
(for i in $(seq 10001 10300); do echo "INSERT INTO item VALUES ($i, 'w');"; done | psql -X -q) &
check 'REPACK (CONCURRENTLY) of a watched table' sql 'REPACK (CONCURRENTLY) item'
wait $!
is 'no event is missing, none is twice' "$(($(count_recorded item-created) - before))" 300
for table in outbox delivery; do
    for part in $(sql "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'whisperer.$table'::regclass" | head -2); do
        sql "REPACK (CONCURRENTLY) $part" >"$work/repack" 2>&1 && echo "ok - REPACK (CONCURRENTLY) $part" || echo "# $part: $(head -1 "$work/repack")"
    done
done

# --- output_plugin_libraries: the extension decodes nothing ---------------------------------------------
restart_with "output_plugin_libraries = ''"
sql "INSERT INTO item VALUES (20001, 'p')"; idle
is 'the extension has no replication slot' "$(sql 'SELECT count(*) FROM pg_replication_slots')" 0
is 'delivery goes on without any output plugin' "$(delivered)" $((n * 2000 + 301))
restart_with "output_plugin_libraries = 'pgoutput'"

# --- NOTIFY wakes only those who listen to the channel: those of the application, and from a callback ----
sql "CREATE SCHEMA app; CREATE FUNCTION app.told(response jsonb, event_type text, data json, payload json) RETURNS void LANGUAGE sql
     AS \$\$SELECT pg_notify('told', data->>'id')\$\$; SELECT whisperer.update_hook(1, '{\"callback\": \"app.told\"}')" >/dev/null
(echo 'LISTEN told;'; for _ in $(seq 100); do echo "SELECT pg_sleep(0.1);"; done) | psql -X -q -At >"$work/heard" 2>&1 &
soon sql "DO \$\$ BEGIN ASSERT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'); END \$\$"
sql "INSERT INTO item VALUES (20002, 'n')"
check "a listener hears a callback's NOTIFY" soon grep 'notification "told" with payload "20002"' "$work/heard"

# --- log_lock_waits is on by default --------------------------------------------------------------------
is 'log_lock_waits is on' "$(sql 'SHOW log_lock_waits')" on
check 'no wait of the workers is in the log' bash -c "! grep -a 'still waiting for' '$work/data.log'"

# --- replicated sequences -------------------------------------------------------------------------------
PGDATABASE=postgres sql 'CREATE DATABASE copy'
at_copy() { PGDATABASE=copy sql "$1"; }
at_copy "CREATE EXTENSION whisperer; SELECT whisperer.register_event('own'); SELECT whisperer.create_hook('own', '$url/ok/own' || g) FROM generate_series(1, 5) g" >/dev/null
sql "CREATE PUBLICATION numbers FOR ALL SEQUENCES"
at_copy "CREATE SUBSCRIPTION numbers CONNECTION 'host=$PGHOST port=$PGPORT user=postgres dbname=shop' PUBLICATION numbers WITH (connect = true, create_slot = false, slot_name = NONE, enabled = false)" >"$work/subscribed" 2>&1 ||
    sed 's/^/# /' "$work/subscribed"
echo "# $(at_copy 'SELECT count(*) FROM pg_subscription_rel') relations of the subscription; $(head -1 "$work/subscribed")"
sql "SELECT pg_create_logical_replication_slot('numbers', 'pgoutput')" >/dev/null
at_copy "ALTER SUBSCRIPTION numbers SET (slot_name = 'numbers'); ALTER SUBSCRIPTION numbers ENABLE; ALTER SUBSCRIPTION numbers REFRESH SEQUENCES" 2>&1 | sed 's/^/# /'
# Of the publisher's one hook.
taken_over() { [ "$(at_copy "SELECT last_value FROM whisperer.hook_definition_id_seq")" = 1 ]; }
if soon taken_over; then
    echo 'ok - a subscription of all sequences takes over those of the extension'
    check 'create_hook then meets numbers that are taken' bash -c "! psql -X -At -d copy -c \"SELECT whisperer.create_hook('own', '$url/ok/own6')\""
    at_copy "SELECT setval('whisperer.hook_definition_id_seq', (SELECT max(id) FROM whisperer.hook))" >/dev/null
    check 'setval mends it' at_copy "SELECT whisperer.create_hook('own', '$url/ok/own7')"
else
    echo "not ok - a subscription of all sequences takes over those of the extension"; bad=1
    sed 's/^/# /' <<<"$(at_copy 'SELECT * FROM whisperer.hook_definition_id_seq'; at_copy 'SELECT * FROM pg_subscription_rel'; tail -5 "$work/data.log")"
fi
