# From the commit to the receiver, under a steady load and on an idle server.
seconds=$((60 * scale / 100))

measure() {
    new_database latency
    sql -c 'CREATE TABLE item (id bigserial PRIMARY KEY, v text)' \
        -c "CREATE TRIGGER item_created AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION whisperer.capture('latency')"
    add_hook latency "$nginx/log"
    sql -c 'CREATE TABLE plain_item (LIKE item INCLUDING ALL)'
    echo "INSERT INTO item (v) VALUES ('x');" >"$work/insert.sql"
    echo "INSERT INTO plain_item (v) VALUES ('x');" >"$work/insert_plain.sql"
    echo "INSERT INTO item (v) SELECT 'x' FROM generate_series(1, 5);" >"$work/insert_five.sql"
    measure_load 'one event a transaction' insert 5000
    measure_load 'five events a transaction' insert_five 1000
    measure_beside_bare
    measure_single
    measure_batched
    drop_database latency
}

# nginx logs the time to the millisecond.
measure_load() { # title, script, transactions a second
    : >"$work/nginx.log"
    progress "sustained, $1: $3 transactions/s for $seconds s ..."
    sql -c 'TRUNCATE item'
    pgbench -n -M prepared -c 8 -j 1 -R "$3" -T "$seconds" -f "$work/$2.sql" latency >"$work/pgbench" 2>&1
    sql -c 'CALL whisperer.wait_idle()'
    nginx_flush
    local rate p50 p99 count third late
    rate=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/pgbench")
    read -r p50 p99 count < <(latencies "$work/nginx.log")
    report "sustained, $1: transactions of $3/s" 1/s "$rate" '' ''
    [ "$count" -gt 0 ] && report "sustained, $1: events received, none twice" '' "$(cut -d' ' -f2 "$work/nginx.log" | sort -u | wc -l)" "$count" '== 1'
    report "sustained, $1: commit to receipt, median" ms "$p50" '' '<= 3'
    report "sustained, $1: commit to receipt, 99th percentile" ms "$p99" '' '<= 20'
    third=$((count / 3))
    read -r p50 late _ < <(head -"$third" "$work/nginx.log" >"$work/part" && latencies "$work/part")
    read -r p50 p99 _ < <(tail -"$third" "$work/nginx.log" >"$work/part" && latencies "$work/part")
    report "sustained, $1: 99th percentile, last third / first third" ms "$p99" "$late" ''
}

# At 2,000 events a second, one a transaction, beside the bare loop at the same rate, which posts while the same transactions
# run without the trigger.  Its latency is from when a request was due.
measure_beside_bare() {
    local round rate=2000 p50 p99 ours=() bare=() ours_p50=() bare_p50=() ratios=()
    for round in $(seq "$rounds"); do
        sql -c 'TRUNCATE item'
        : >"$work/nginx.log"
        pgbench -n -M prepared -c 8 -j 1 -R $rate -T $((seconds / 3)) -f "$work/insert.sql" latency >/dev/null 2>&1
        sql -c 'CALL whisperer.wait_idle()'
        nginx_flush
        read -r p50 p99 _ < <(latencies "$work/nginx.log")
        ours+=("$p99") ours_p50+=("$p50")
        : >"$work/nginx.log"
        write_body
        pgbench -n -M prepared -c 8 -j 1 -R $rate -T $((seconds / 3)) -f "$work/insert_plain.sql" latency >/dev/null 2>&1 &
        local load=$!
        build/bench/curl_loop --rate $rate "$nginx/log" $((rate * seconds / 3)) 64 "$work/body" >/dev/null
        wait "$load"
        nginx_flush
        read -r p50 p99 < <(due_to_receipt "$work/nginx.log")
        bare+=("$p99") bare_p50+=("$p50")
        ratios+=("$(calculate "${ours[-1]} / ${bare[-1]}")")
        progress "$rate events/s, round $round: commit to receipt ${ours_p50[-1]} ms, 99th percentile ${ours[-1]}; bare loop, due to receipt ${bare_p50[-1]}, ${bare[-1]}"
    done
    report "sustained, one event a transaction, $rate/s: commit to receipt, median" ms "$(median "${ours_p50[@]}")" '' ''
    report "sustained, one event a transaction, $rate/s: commit to receipt, 99th percentile" ms "$(median "${ours[@]}")" '' '<= 8'
    report_ratio "sustained, $rate/s: 99th percentile / bare libcurl's, due to receipt" ms "$(median "${ours[@]}")" "$(median "${bare[@]}")" "$(median "${ratios[@]}")" ''
}

# Median and 99th percentile of the bare loop's, in milliseconds.
due_to_receipt() { # file
    awk '{printf "%.3f\n", $1 * 1000 - $2 / 1000}' "$1" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)], v[int(NR * 0.99)]}'
}

# When the COMMIT of the only client's transactions returned, in the order of their events: by their ids, or,
# because the id of a batch does not tell, as they arrived.
returned_to_receipt() { # order
    value -F ' ' <<SQL
CREATE TEMP TABLE committed (client int, number int, us int, script int, at int, fraction int, lag int);
\\copy committed FROM PROGRAM 'cat $work/single_times.*' (DELIMITER ' ')
CREATE TEMP TABLE receipt (at numeric, id text);
\\copy receipt FROM '$work/receipts' (DELIMITER ' ')
SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2), round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2), count(*)
FROM (SELECT (r.at - (c.at + c.fraction / 1e6)) * 1000 AS ms
      FROM (SELECT *, row_number() OVER (ORDER BY number) AS n FROM committed) c
      JOIN (SELECT r.at, row_number() OVER (ORDER BY $1) AS n FROM receipt r) r USING (n)) AS latency
SQL
}

# Events one by one, for so many seconds; what the receiver has logged meanwhile is in $work/receipts.
send_singles() { # seconds
    local before; before=$(wc -l <"$work/single.log")
    sql -c 'TRUNCATE item'
    rm -f "$work"/single_times.*
    pgbench -n -c 1 -R 20 -T "$1" -l --log-prefix="$work/single_times" -f "$work/insert.sql" latency >/dev/null 2>&1
    sql -c 'CALL whisperer.wait_idle()'
    tail -n +$((before + 1)) "$work/single.log" >"$work/single.now"
    node tests/bench/receipts.mjs "$work/single.now" >"$work/receipts"
}

# One event at a time, with the test receiver, which knows microseconds.
measure_single() {
    progress 'single events on an idle server ...'
    start_receiver single
    sql -c "SELECT whisperer.update_hook(id, jsonb_build_object('target_url', 'http://127.0.0.1:$port/ok')) FROM whisperer.hook" >/dev/null
    send_singles $((seconds / 3))
    local p50 p99 count
    read -r p50 p99 count < <(returned_to_receipt r.id::uuid)
    report 'single event, idle server: COMMIT returned to receipt, median' ms "$p50" '' '<= 1.5'
    report 'single event, idle server: COMMIT returned to receipt, 99th percentile' ms "$p99" '' '<= 5'
    read -r p50 p99 count < <(latencies "$work/receipts")
    report 'single event, idle server: commit record made to receipt, median' ms "$p50" '' ''
}

# A batch that waits for nothing, and no batch, in turn.
measure_batched() {
    local round batch p50 batched=() plain=() ratios=()
    for round in $(seq "$rounds"); do
        for batch in '{"size": 100, "wait": "0 ms"}' null; do
            sql -c "SELECT whisperer.update_hook(id, '{\"batch\": $batch}') FROM whisperer.hook" >/dev/null
            send_singles $((seconds / 6))
            read -r p50 _ < <(returned_to_receipt r.at)
            [ "$batch" = null ] && plain+=("$p50") || batched+=("$p50")
        done
        ratios+=("$(calculate "${batched[-1]} / ${plain[-1]}")")
        progress "single events, round $round: in a batch of one ${batched[-1]} ms, without ${plain[-1]} ms"
    done
    report_ratio 'single event, idle server, batch with wait 0 / without, median' ms "$(median "${batched[@]}")" "$(median "${plain[@]}")" "$(median "${ratios[@]}")" '<= 1.1'
}
