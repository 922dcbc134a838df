# PgQue: a log of events that is read in batches between two ticks.  It has no sender, and no registry has it: the sender is
# ours, by its documented functions, and does what its own client does.
pgque_obtain() {
    local checkout=${WHISPERER_BENCH_PGQUE:-}
    [ -n "$checkout" ] || { unavailable PgQue 'set WHISPERER_BENCH_PGQUE to a checkout of github.com/NikolayS/pgque'; return 1; }
    [ -f "$checkout/sql/pgque.sql" ] || { unavailable PgQue "there is no sql/pgque.sql in $checkout"; return 1; }
    named="PgQue $(sed -n 's/^-- Version: //p' "$checkout/sql/pgque.sql" | head -1)"
    install_packages PgQue pg@8.23.1
}
pgque_settings() { :; }

# Its page on latency: a tick more often, for each event.  A tick every 10 ms is the shortest that it does not warn of.
pgque_prepare() { # variant
    sql --single-transaction -f "$WHISPERER_BENCH_PGQUE/sql/pgque.sql" >/dev/null 2>&1
    sql -c "SELECT pgque.create_queue('others'), pgque.subscribe('others', 'sender')" >/dev/null
    [ "$1" = default ] || sql -c "SELECT pgque.set_tick_period_ms(10), pgque.set_queue_config('others', 'ticker_max_lag', '1 millisecond'),
        pgque.set_queue_config('others', 'ticker_max_count', '1')" >/dev/null
    enqueue_items "PERFORM pgque.send('others', 'item', to_json(NEW)::text)"
}
pgque_aim() { aim_sender "$1"; } # URL
pgque_start() { start_sender pgque.mjs "$1"; } # variant
pgque_stop() { stop_sender; }
pgque_keys() { echo 'SELECT id::text AS key, id AS item FROM item'; }

# Events that the last batch, which was read to its end, does not have.
pgque_held() {
    echo "SELECT count(*) FROM pgque.event_template e, pgque.subscription s JOIN pgque.tick t ON t.tick_queue = s.sub_queue AND t.tick_id = s.sub_last_tick
          WHERE NOT pg_visible_in_snapshot(e.ev_txid::text::xid8, t.tick_snapshot)"
}
