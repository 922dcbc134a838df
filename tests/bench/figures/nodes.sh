# What delivery nodes reach, and what they cost: a primary, up to three nodes, and beside them the bench's own server, which
# delivers what it records itself.  The two are measured in turn, the median of the rounds' ratios counts.
#
# All are processes of one machine that speak over loopback.  Hosts of their own, which network namespaces could play, would
# share the same processors and the same kernel, so they would measure the same: the first figure is that of a limit of
# requests in flight against the receivers' delay, the third counts the writer's processor time alone.  The second and the
# fourth are harder here than on two machines, where the primary takes nothing from the node's processors.  Twenty minutes.
. tests/bench/servers.sh
seconds=$(calculate "$scale < 10 ? 2 : int(20 * $scale / 100)")
in_flight=20    # of each node: two cores are not the limit
slow_hooks=60   # so many that each node has about a third

measure() {
    db=nodes
    progress 'Starting a primary and three nodes ...'
    new_database nodes
    start_primary
    for server in alone primary; do on "$server" prepare; done
    start_receiver single
    for server in alone primary; do
        on "$server" add_hook nodes "$nginx/log"
        on "$server" add_hook single "http://127.0.0.1:$port/ok"
    done
    start_node a
    deliver_by a
    measure_backlog
    measure_lag
    start_node b
    start_node c
    measure_writer
    measure_slow
    for server in a b c primary; do stop_server_beside "$server"; done
    drop_database nodes
}

# Event types, captured tables, and writers that commit each row.
prepare() {
    sql -c "SELECT whisperer.register_event('single'), whisperer.register_event('written'), whisperer.register_event('slow')" >/dev/null
    sql -f tests/bench/by_hand.sql
    sql <<'SQL'
CREATE TABLE loaded (id bigserial PRIMARY KEY, v text);
CREATE TABLE single (LIKE loaded INCLUDING ALL);
CREATE TABLE written (LIKE plain INCLUDING ALL);
CREATE TRIGGER t AFTER INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION whisperer.capture('nodes');
CREATE TRIGGER t AFTER INSERT ON single FOR EACH ROW EXECUTE FUNCTION whisperer.capture('single');
CREATE TRIGGER t AFTER INSERT ON written FOR EACH ROW EXECUTE FUNCTION whisperer.capture('written');

CREATE PROCEDURE record_apart(events int, in_one_transaction int) LANGUAGE plpgsql AS $$
BEGIN
    FOR g IN 1..events LOOP
        PERFORM whisperer.deliver_event('nodes', json_build_object('id', g, 'transfer_id', 49, 'order_number', '248398923123'));
        IF g % in_one_transaction = 0 THEN COMMIT; END IF;
    END LOOP;
END$$;

-- Microseconds of this session's processor time for each row.
CREATE PROCEDURE write_apart(rows int, INOUT cpu float8) LANGUAGE plpgsql AS $$
BEGIN
    cpu := cpu_us();
    FOR i IN 1..rows LOOP
        INSERT INTO written (customer, amount, note) VALUES (i, 12.50, 'a note of some length, as notes are');
        COMMIT;
    END LOOP;
    cpu := round((cpu_us() - cpu) / rows);
END$$;
SQL
}

# A backlog: recorded by the one server while it is paused, and by the primary while the node is not subscribed.  With an
# event in each transaction, as a load of an application's has, and with a hundred.
measure_backlog() {
    local events=$((100000 * scale / 100)) size
    for size in 1 100; do measure_backlog_of "$events" "$size" "$([ "$size" != 1 ] || echo '>= 0.8')"; done
}

measure_backlog_of() { # events, of a transaction, bound
    local round numbers ours rate us ours_us alone=() node=() ratio=() alone_us=() node_us=() ratio_us=() title="backlog, events in a transaction: $2"
    for round in $(seq 0 "$rounds"); do
        numbers=$(drain_alone "$1" "$2"); read -r ours ours_us <<<"$numbers"
        numbers=$(drain_by_node "$1" "$2"); read -r rate us <<<"$numbers"
        [ "$round" -gt 0 ] || continue    # the first warms the caches
        alone+=("$ours") node+=("$rate") ratio+=("$(calculate "$rate / $ours")")
        alone_us+=("$ours_us") node_us+=("$us") ratio_us+=("$(calculate "$us / $ours_us")")
        progress "$title, round $round: a node $rate deliveries/s, $us us each; the primary itself $ours, $ours_us us"
    done
    report_ratio "nodes: $title; applied and delivered by a node / delivered by the primary itself" 1/s \
        "$(median "${node[@]}")" "$(median "${alone[@]}")" "$(median "${ratio[@]}")" "$3"
    report_ratio "nodes: $title; processor time of apply and worker / of the worker" us \
        "$(median "${node_us[@]}")" "$(median "${alone_us[@]}")" "$(median "${ratio_us[@]}")" ''
}

record_apart() { sql -c 'SET synchronous_commit = off' -c "CALL record_apart($1, $2)" -c CHECKPOINT; } # events, of a transaction

# Both print the rate, from the command that lets it begin to the last receipt, and the microseconds of a processor for each.
drain_alone() { # events, of a transaction
    local begun before rate
    : >"$work/nginx.log"
    sql -c 'SELECT whisperer.pause()' >/dev/null
    record_apart "$@"
    before=$(our_ms) begun=$(date +%s.%N)
    sql -c 'SELECT whisperer.resume()' >/dev/null
    settle alone
    rate=$(receipt_rate "$1" "$begun") || return 1
    echo "$rate $(calculate "($(our_ms) - $before) * 1000 / $1")"
}

drain_by_node() { # events, of a transaction
    local begun before rate
    : >"$work/nginx.log"
    on a sql -c 'ALTER SUBSCRIPTION whisperer_hooks DISABLE'
    on primary record_apart "$@"
    before=$(on a our_ms) begun=$(date +%s.%N)
    on a sql -c 'ALTER SUBSCRIPTION whisperer_hooks ENABLE'
    settle primary
    rate=$(receipt_rate "$1" "$begun") || return 1
    echo "$rate $(calculate "($(on a our_ms) - $before + $(on a apply_ms)) * 1000 / $1")"
}

# What applies is a new process after each ENABLE.
apply_ms() { processor_ms "backend_type = 'logical replication worker'"; }

receipt_rate() { # events that nginx must have got, each once, and since when
    nginx_flush
    awk -v expected="$1" -v begun="$2" '{seen[$2]; if ($1 > last) last = $1}
        END {if (length(seen) != expected || NR != expected) {print "expected " expected " events, got " NR | "cat >&2"; exit 1}
             printf "%.0f\n", NR / (last - begun)}' "$work/nginx.log"
}

# From the commit to the receiver.  nginx logs milliseconds, which will do under load; the test receiver knows microseconds.
measure_lag() {
    echo "INSERT INTO loaded (v) VALUES ('x');" >"$work/loaded.sql"
    echo "INSERT INTO single (v) VALUES ('x');" >"$work/single.sql"
    measure_lag_of 'events one by one, idle' lag_single
    measure_lag_of 'events at 2,000/s' lag_loaded
}

measure_lag_of() { # title, function that prints the median, the 99th percentile and the rate
    local round server p50 p99 rate p50_ratio=() p99_ratio=()
    local -A p50s=() p99s=() rates=()
    for server in alone primary; do "$2" "$server" 2 >/dev/null; done
    for round in $(seq "$rounds"); do
        for server in $(in_turn "$round"); do
            read -r p50 p99 rate < <("$2" "$server" "$seconds")
            p50s[$server]+=" $p50" p99s[$server]+=" $p99" rates[$server]+=" $rate"
            progress "$1, round $round, $([ "$server" = alone ] && echo without a node || echo through a node): median $p50 ms, p99 $p99 ms, at $rate/s"
        done
        p50_ratio+=("$(calculate "${p50s[primary]##* } / ${p50s[alone]##* }")")
        p99_ratio+=("$(calculate "${p99s[primary]##* } / ${p99s[alone]##* }")")
    done
    # shellcheck disable=SC2086 # they are lists of numbers
    {
        report "nodes: $1: events, with a node / without" 1/s "$(median ${rates[primary]})" "$(median ${rates[alone]})" ''
        report_ratio "nodes: $1: commit to receipt, median, through a node / without" ms "$(median ${p50s[primary]})" "$(median ${p50s[alone]})" "$(median "${p50_ratio[@]}")" ''
        report_ratio "nodes: $1: commit to receipt, 99th percentile, through a node / without" ms "$(median ${p99s[primary]})" "$(median ${p99s[alone]})" "$(median "${p99_ratio[@]}")" '<= 3'
    }
}

lag_single() { # server, seconds
    local before p50 p99 count
    before=$(wc -l <"$work/single.log")
    on "$1" pgbench -n -c 1 -R 50 -T "$2" -f "$work/single.sql" nodes >/dev/null 2>&1
    settle "$1"
    tail -n +$((before + 1)) "$work/single.log" >"$work/single.now"
    node tests/bench/receipts.mjs "$work/single.now" >"$work/receipts"
    read -r p50 p99 count < <(on "$1" latencies "$work/receipts")
    echo "$p50 $p99 $(calculate "$count / $2")"
}

lag_loaded() { # server, seconds
    local p50 p99 count
    : >"$work/nginx.log"
    on "$1" pgbench -n -M prepared -c 8 -j 1 -R 2000 -T "$2" -f "$work/loaded.sql" nodes >/dev/null 2>&1
    settle "$1"
    nginx_flush
    read -r p50 p99 count < <(on "$1" latencies "$work/nginx.log")
    echo "$p50 $p99 $(calculate "$count / $2")"
}

# A transaction for each row, because it is a COMMIT that wakes what sends to the nodes.  Nobody delivers here: the events
# have no hook, and the two workers that could read them are off, as in the figure writer.  Many short rounds, since what is
# looked for is smaller than what the machine's speed changes in a minute.
measure_writer() {
    local rows=$((1000 * scale / 100 + 100)) round server cpu ratio=()
    local -A cpus=()
    for server in alone primary; do on "$server" set_parameter whisperer.enabled off; done
    for round in $(seq 0 $((4 * rounds))); do
        for server in $(in_turn "$round"); do
            cpu=$(on "$server" value -c "CALL write_apart($rows, NULL)")
            [ "$round" -eq 0 ] || cpus[$server]+=" $cpu"    # the first warms the caches
        done
        [ "$round" -gt 0 ] || continue
        ratio+=("$(calculate "${cpus[primary]##* } / ${cpus[alone]##* }")")
        progress "a row and its COMMIT, round $round: with three nodes ${cpus[primary]##* } us, without ${cpus[alone]##* }"
    done
    for server in alone primary; do on "$server" set_parameter whisperer.enabled on; done
    # shellcheck disable=SC2086 # they are lists of numbers
    report_ratio 'nodes: INSERT with a row trigger and its COMMIT, processor time, with three nodes / without' us \
        "$(median ${cpus[primary]})" "$(median ${cpus[alone]})" "$(median "${ratio[@]}")" '<= 1.15'
}

# Receivers that answer after 50 ms, for each node as many requests at once as it may have.
measure_slow() {
    local round one=() three=() ratio=() node
    on primary sql -c "SELECT count(whisperer.create_hook('slow', 'http://127.0.0.1:$port/delay/50/200/' || g)) FROM generate_series(1, $slow_hooks) g" >/dev/null
    for node in a b c; do on "$node" set_parameter whisperer.max_in_flight "$in_flight"; done
    for round in $(seq "$rounds"); do
        deliver_by a
        one+=("$(slow_rate a)")
        deliver_by a b c
        three+=("$(slow_rate a b c)")
        ratio+=("$(calculate "${three[-1]} / ${one[-1]}")")
        progress "receivers that answer after 50 ms, round $round: three nodes ${three[-1]} deliveries/s, one ${one[-1]}"
    done
    report_ratio "nodes: receivers that answer after 50 ms, three nodes / one, $in_flight in flight each" 1/s \
        "$(median "${three[@]}")" "$(median "${one[@]}")" "$(median "${ratio[@]}")" '>= 2.7'
}

# Deliveries a second while each of the nodes has more to do than it may.
slow_rate() { # nodes
    local node before after begun ended
    # Twice as much as they can do in that time and in the second before: shares are not even,
    # and the least of them may be half of a third.
    before=$(wc -l <"$work/single.log")
    on primary record_events slow "$(calculate "int(($seconds + 2) * 2 * $# * $in_flight / 0.05 / $slow_hooks)")"
    begun=$SECONDS
    until [ "$(wc -l <"$work/single.log")" -gt "$((before + 2 * $# * in_flight))" ]; do
        [ $((SECONDS - begun)) -lt 60 ] || { progress 'the receivers get nothing'; return 1; }
        sleep 0.1
    done
    sleep 1
    begun=$(date +%s.%N) before=$(wc -l <"$work/single.log")
    sleep "$seconds"
    ended=$(date +%s.%N) after=$(wc -l <"$work/single.log")
    for node; do
        [ "$(on "$node" value -c 'SELECT coalesce(sum(queued), 0) FROM whisperer.status')" -gt 0 ] || { progress "node $node had nothing left to do"; return 1; }
    done
    settle primary || return 1
    calculate "($after - $before) / ($ended - $begun)"
}
