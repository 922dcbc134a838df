# Memory with a full queue, processor time while idle, WAL and disk per delivered event.
events=$((20000 * scale / 100))

worker() { value -c "SELECT pid FROM whisperer.status"; }
memory_mb() { awk '/^(RssAnon|RssFile)/ {kb += $2} END {printf "%.1f", kb / 1024}' "/proc/$1/status"; }    # without the shared buffers

measure() {
    measure_idle
    measure_memory
    measure_wal
}

measure_idle() {
    local seconds=$((60 * scale / 100)) before after
    new_database idle
    add_hook idle "$nginx/idle"
    record_events idle 10
    sql -c 'CALL whisperer.wait_idle()'
    sleep 3
    before=$(our_ms); progress "idle: $seconds s ..."; sleep "$seconds"; after=$(our_ms)
    report "idle, one database: processor time in $seconds s" ms "$(calculate "$after - $before")" '' '<= 20'
    drop_database idle
}

# A receiver that never answers; as many requests as the worker takes wait for it.
measure_memory() {
    local size count mb queued
    start_receiver hanging
    for size in 1000 1000000; do
        count=$((size == 1000 ? 12000 : 400))
        new_database memory
        set_parameter whisperer.max_in_flight 2500    # four times that is taken at once
        set_parameter whisperer.park_after "'60s'"
        set_parameter whisperer.request_timeout "'600s'"
        add_hook memory "http://127.0.0.1:$port/hang"
        progress "memory: $count events of $size bytes ..."
        record_events memory "$count" "json_build_object('v', repeat('v', $size))"
        # Until it takes no more.
        queued=-1
        until [ "$(value -c 'SELECT queued + in_flight FROM whisperer.status')" = "$queued" ] && [ "$queued" -gt 0 ]; do
            queued=$(value -c 'SELECT queued + in_flight FROM whisperer.status'); sleep 2.5
        done
        mb=$(memory_mb "$(worker)")
        if [ "$size" = 1000 ]; then
            report 'memory: requests of 1 kB that wait' '' "$queued" '' ''
            report 'memory: worker with those' MB "$mb" '' '<= 64'
        else
            report 'memory: bodies of 1 MB that wait (whisperer.max_queued_bytes = 64 MB)' '' "$queued" '' ''
            report 'memory: worker with those' MB "$mb" '' ''
        fi
        drop_database memory
    done
    for size in max_in_flight park_after request_timeout; do
        db=postgres sql -c "ALTER SYSTEM RESET whisperer.$size" -c 'SELECT pg_reload_conf()' >/dev/null
    done
}

measure_wal() {
    local before recorded after table index
    new_database wal
    add_hook wal "$nginx/wal"
    sql -c 'SELECT whisperer.pause()' -c CHECKPOINT >/dev/null
    before=$(value -c 'SELECT pg_current_wal_insert_lsn()')
    record_events wal "$events" "json_build_object('v', repeat('v', 1000))"
    recorded=$(value -c 'SELECT pg_current_wal_insert_lsn()')
    sql -c 'SELECT whisperer.resume()' -c 'CALL whisperer.wait_idle()' >/dev/null
    after=$(value -c 'SELECT pg_current_wal_insert_lsn()')
    report 'WAL for an event of 1 kB: recording' B "$(value -c "SELECT round(pg_wal_lsn_diff('$recorded', '$before') / $events)")" '' ''
    report 'WAL for an event of 1 kB: delivery' B "$(value -c "SELECT round(pg_wal_lsn_diff('$after', '$recorded') / $events)")" '' ''
    table=$(value -c "SELECT sum(pg_total_relation_size(oid)) / $events FROM pg_class WHERE relname ~ '^(outbox|delivery)_[0-7]\$'")
    report 'disk for an event of 1 kB and its delivery' B "$(calculate "$table")" '' ''
    recorded=$(value -c "SELECT round(pg_wal_lsn_diff('$after', '$before') / $events)")
    drop_database wal
    measure_queue_wal "$recorded"
}

# A queue's jobs are gone when they are done; what is left of their table is room for others.
measure_queue_wal() { # our WAL for each event
    install_queue || return 0
    write_body
    local before after
    node "$work/queue/queue.mjs" "$nginx/queue" 1 "$work/body" >/dev/null    # makes its tables
    db=postgres sql -c CHECKPOINT
    before=$(db=queue value -c 'SELECT pg_current_wal_insert_lsn()')
    node "$work/queue/queue.mjs" "$nginx/queue" "$events" "$work/body" 1000 >/dev/null
    after=$(db=queue value -c 'SELECT pg_current_wal_insert_lsn()')
    report "WAL for an event of 1 kB, recorded and delivered / graphile-worker's" B "$1" \
        "$(db=queue value -c "SELECT round(pg_wal_lsn_diff('$after', '$before') / $events)")" ''
    report "disk of graphile-worker's tables, for each of its jobs" B \
        "$(db=queue value -c "SELECT round(sum(pg_total_relation_size(c.oid)) / $events) FROM pg_class c
            WHERE relnamespace = 'graphile_worker'::regnamespace AND relkind = 'r'")" '' ''
}
