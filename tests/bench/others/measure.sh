# Sourced by figures/others.sh: the same work for every contender, on the server that the environment names.

# Lines of nginx's log are a receipt each: the time, and the webhook-id.
received() { wc -l <"$work/nginx.log"; }

# Until as many have come, or the time is up, or none comes any more and none is to come: those are lost.
await_receipts() { # contender, log, events, seconds
    local begun=$SECONDS seen=-1 now quiet=0
    while :; do
        now=$(wc -l <"$2")
        [ "$now" -lt "$3" ] || return 0
        [ $((SECONDS - begun)) -lt "$4" ] || return 0
        [ "$now" = "$seen" ] && quiet=$((quiet + 1)) || quiet=0
        if [ $quiet -ge 25 ] && [ "$(value -c "$("$1_held")")" = 0 ]; then return 0; fi
        seen=$now
        sleep 0.2
    done
}

# What it writes when a delivery is done is part of the WAL.  One that did not get through has more to do.
settle_contender() { # contender
    for _ in $(seq 50); do
        [ "$(value -c "$("$1_held")")" != 0 ] || return 0
        sleep 0.1
    done
}

# A backlog that is committed at once, to a contender that runs.  Prints events a second from the commit record to the last
# receipt, bytes of WAL for each, how many never came, and how many came again.  If the time was up before all had come, nobody
# knows what is lost: a "-".
drain_of() { # contender, variant, events, seconds
    local before after begun lost=-
    "$1_aim" "$nginx/log"
    "$1_start" "$2"
    sql -c CHECKPOINT
    : >"$work/nginx.log"
    before=$(value -c 'SELECT pg_current_wal_insert_lsn()')
    sql -c "INSERT INTO item SELECT FROM generate_series(1, $3)"
    begun=$(value -c 'SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM item ORDER BY id DESC LIMIT 1')
    await_receipts "$1" "$work/nginx.log" "$3" "$4"
    settle_contender "$1"
    [ "$(value -c "$("$1_held")")" != 0 ] || lost=0
    after=$(value -c 'SELECT pg_current_wal_insert_lsn()')
    "$1_stop"
    nginx_flush
    awk -v events="$3" -v lost=$lost -v begun="$begun" -v wal="$(value -c "SELECT pg_wal_lsn_diff('$after', '$before')")" '
        !($2 in seen) {seen[$2]; distinct++} $1 > last {last = $1}
        END {if (lost != "-") lost = events - distinct
             print (distinct ? distinct / (last - begun) : 0), wal / (distinct ? distinct : 1), lost, NR - distinct}' "$work/nginx.log"
}

# Prints the median and the 99th percentile of milliseconds from the commit record to the receipt, events a second, and the
# share that was received.  What did not come in time counts as if it came when it was not waited for any more.
latency_of() { # contender, variant, URL, its log, clients, events a second, seconds
    local last begun
    last=$(value -c 'SELECT coalesce(max(id), 0) FROM item')
    "$1_aim" "$3"
    "$1_start" "$2"
    : >"$4"
    echo 'INSERT INTO item DEFAULT VALUES;' >"$work/item.sql"
    pgbench -n -M prepared -c "$5" -j 1 -R "$6" -T "$7" -f "$work/item.sql" "$db" >"$work/pgbench" 2>&1
    await_receipts "$1" "$4" "$(value -c "SELECT count(*) FROM item WHERE id > $last")" "$patience"
    "$1_stop"
    if [ "$4" = "$work/nginx.log" ]; then nginx_flush; cp "$4" "$work/receipts"; else node tests/bench/receipts.mjs "$4" >"$work/receipts"; fi
    value -F ' ' <<SQL
CREATE TEMP TABLE receipt (at numeric, key text);
\\copy receipt FROM '$work/receipts' (DELIMITER ' ')
WITH latency AS (SELECT (coalesce(min(r.at), extract(epoch FROM now())) - extract(epoch FROM pg_xact_commit_timestamp(i.xmin))) * 1000 AS ms, min(r.at) IS NOT NULL AS came
                 FROM item i LEFT JOIN ($("$1_keys")) k ON k.item = i.id LEFT JOIN receipt r USING (key) WHERE i.id > $last GROUP BY i.id)
SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2), round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2),
       count(*) / $7, round(avg(came::int), 4) FROM latency
SQL
}

# A transaction that sees the database as it was, until release_xmin: what has died since then is not vacuumed.
hold_xmin() {
    PGAPPNAME=holder psql -X -q -d "$db" -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT pg_sleep(1e6)' >/dev/null 2>&1 &
    pids+=($!)
    until [ "$(value -c "SELECT count(backend_xmin) FROM pg_stat_activity WHERE application_name = 'holder'")" = 1 ]; do sleep 0.1; done
}
release_xmin() { sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'" >/dev/null; }

# Load while it delivers, then until it has delivered all, or is not waited for any more.
load_of() { # contender, variant, events a second, seconds
    local last; last=$(value -c 'SELECT coalesce(max(id), 0) FROM item')
    "$1_aim" "$nginx/held"
    "$1_start" "$2"
    echo 'INSERT INTO item DEFAULT VALUES;' >"$work/item.sql"
    pgbench -n -M prepared -c 4 -j 1 -R "$3" -T "$4" -f "$work/item.sql" "$db" >"$work/pgbench.$1" 2>&1
    for _ in $(seq $((patience * 2))); do
        [ "$(value -c "$("$1_held")")" != 0 ] || break
        sleep 0.5
    done
    "$1_stop"
}
