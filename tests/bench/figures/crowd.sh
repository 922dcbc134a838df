# What the trigger leaves of the throughput of 64 writers at once, each with one row a transaction.  Delivery is off: the
# processors are the writers'.  What the writers wait for is said on the terminal.
seconds=$((20 * scale / 100 > 2 ? 20 * scale / 100 : 2))

# Transactions per second.
crowd_rate() { # table
    echo "INSERT INTO $1 (customer, amount, note) VALUES (:client_id, 12.50, 'a note of some length, as notes are');" >"$work/crowd.sql"
    sql -c CHECKPOINT
    pgbench -n -M prepared -c 64 -j 2 -T "$seconds" -f "$work/crowd.sql" crowd 2>/dev/null >"$work/pgbench" &
    local load=$! waits=$work/waits_$1
    while kill -0 "$load" 2>/dev/null; do
        value -c "SELECT coalesce(wait_event_type || ':' || wait_event, 'running') FROM pg_stat_activity WHERE application_name = 'pgbench' AND state = 'active'" >>"$waits"
        sleep 0.2
    done
    wait "$load"
    sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/pgbench"
}

measure() {
    local round table with=() without=() ratios=()
    new_database crowd
    set_parameter whisperer.enabled off
    sql -f tests/bench/by_hand.sql -c 'CREATE TABLE watched (LIKE plain INCLUDING ALL)' \
        -c "CREATE TRIGGER t AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION whisperer.capture('crowd')"
    for round in $(seq "$rounds"); do
        for table in plain watched; do
            [ "$table" = plain ] && without+=("$(crowd_rate plain)") || with+=("$(crowd_rate watched)")
        done
        ratios+=("$(calculate "${with[-1]} / ${without[-1]}")")
        progress "64 writers, round $round: ${with[-1]} transactions/s with the trigger, ${without[-1]} without"
    done
    for table in plain watched; do
        progress "64 writers into $table wait for: $(sort "$work/waits_$table" | uniq -c | sort -rn | awk 'NR <= 6 {printf "%s%s %d", (NR > 1 ? ", " : ""), $2, $1}')"
    done
    report_ratio '64 writers at once, row trigger / without' 1/s "$(median "${with[@]}")" "$(median "${without[@]}")" "$(median "${ratios[@]}")" '>= 0.85'
    set_parameter whisperer.enabled on
    drop_database crowd
}
