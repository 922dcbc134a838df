# Throughput with a long history and a dead hook's backlog, and beside an old snapshot, over that of an empty
# and quiet database.  The two databases are drained in turn.
events=$((100000 * scale / 100))
history=$((10000000 * scale / 100))
pending=$((1000000 * scale / 100))

fill() { # rows of history, pending rows of a hook whose receiver is gone
    progress "flat: making $1 delivered and $2 pending deliveries ..."
    sql -c "SELECT whisperer.register_event('flat_dead')" >/dev/null
    add_hook flat_dead http://127.0.0.1:1/dead
    sql <<SQL
SET synchronous_commit = off;
INSERT INTO whisperer.outbox (id, event_type, data, xid) SELECT whisperer_internal.new_event_id(), 'old', '{"id": 1, "transfer_id": 49}', '10'
FROM generate_series(1, $1 + $2);
INSERT INTO whisperer.delivery (event_id, hook_id, xid, incarnation, slot, state, retry_count, next_attempt_at, request_datetimes, response_http_status)
SELECT o.id, CASE WHEN n <= $2 THEN h.id ELSE 0 END, o.xid, o.incarnation, o.slot, CASE WHEN n <= $2 THEN 'pending' ELSE 'delivered' END, 1,
       CASE WHEN n <= $2 THEN now() + n * interval '1 ms' END, ARRAY[now()], CASE WHEN n > $2 THEN 204 END
FROM (SELECT *, row_number() OVER () AS n FROM whisperer.outbox) o, whisperer.hook h WHERE h.target_url ~ 'dead';
VACUUM ANALYZE;
CHECKPOINT;
SQL
}

measure() {
    local round empty full beside ratio_full=() ratio_beside=() empties=() fulls=() besides=() session
    new_database flat_full
    fill "$history" "$pending"
    add_hook flat_full "$nginx/full" "filter => '{\"transfer_id\": 49}'"
    new_database flat_empty
    add_hook flat_empty "$nginx/empty"
    for round in $(seq 0 "$rounds"); do
        db=flat_empty; empty=$(drain_all flat_empty)
        db=flat_full; full=$(drain_all flat_full)
        db=flat_empty
        hold_snapshot
        beside=$(drain_all flat_empty)
        release_snapshot
        progress "flat, round $round: empty $empty, full $full, beside a snapshot $beside deliveries/s"
        [ "$round" -gt 0 ] || continue
        empties+=("$empty"); fulls+=("$full"); besides+=("$beside")
        ratio_full+=("$(calculate "$full / $empty")"); ratio_beside+=("$(calculate "$beside / $empty")")
    done
    report_ratio 'flat: with 10 million delivered, 1 million pending / empty' 1/s "$(median "${fulls[@]}")" "$(median "${empties[@]}")" "$(median "${ratio_full[@]}")" '>= 0.9'
    report_ratio 'flat: beside an open repeatable-read transaction / without' 1/s "$(median "${besides[@]}")" "$(median "${empties[@]}")" "$(median "${ratio_beside[@]}")" '>= 0.9'
    drop_database flat_empty
    drop_database flat_full
}

# As drain_rate, but asks the status, a tenth of a second old at most: wait_idle looks at every pending delivery.
drain_all() { # event type
    value <<SQL
SELECT whisperer.pause() \g /dev/null
SELECT count(whisperer.deliver_event('$1', $payload)) FROM generate_series(1, $events) g \g /dev/null
CHECKPOINT;
CREATE TEMP TABLE wanted AS SELECT sum(delivered) + $events AS count FROM whisperer.status;
SELECT clock_timestamp() AS begun \gset
SELECT whisperer.resume() \g /dev/null
DO 'BEGIN WHILE (SELECT sum(s.delivered) < min(w.count) FROM whisperer_internal.worker_state() s, wanted w) LOOP COMMIT; PERFORM pg_sleep(0.05); END LOOP; END';
SELECT round($events / extract(epoch FROM clock_timestamp() - :'begun'));
SQL
}

# A snapshot of this database that was taken before anything was recorded.
hold_snapshot() {
    coproc session { psql -X -q -d "$db"; }
    echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; \\echo held" >&"${session[1]}"
    local line=
    while [ "$line" != held ]; do read -r line <&"${session[0]}"; done
}
release_snapshot() { local pid=$session_PID; echo 'COMMIT; \q' >&"${session[1]}"; wait "$pid"; }
