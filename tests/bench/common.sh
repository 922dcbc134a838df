# Sourced by tests/bench/bench: databases, baselines, and the results of the figures.
. tests/lib/folder.sh
. tests/lib/server.sh

results=$work/results    # figure, ours, baseline, ratio, bound; see report
db=postgres              # of sql
sql() { psql -X -q -v ON_ERROR_STOP=1 -d "$db" "$@"; }
value() { sql -At "$@"; }
progress() { echo "$*" >&2; }
median() { printf '%s\n' "$@" | sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
calculate() { awk "BEGIN {printf \"%.4g\", $*}"; }

# One line of the table.  ours and the baseline are of the same unit; the bound is of the ratio, or of
# ours where there is no baseline: ">= 0.65", "<= 3", or empty for a figure to read.
report() { # figure, unit, ours, baseline or empty, bound or empty
    local ratio=
    [ -z "$4" ] || ratio=$(calculate "$3 / $4")
    report_ratio "$1" "$2" "$3" "$4" "$ratio" "$5"
}

# The same where the ratio is the median of pairs.
report_ratio() { # figure, unit, ours, baseline, ratio, bound
    local met=
    [ -z "$6" ] || met=$(awk "BEGIN {print (${5:-$3} $6) ? \"yes\" : \"NO\"}")
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$6" "$met" | tee -a "$results" | tr '\t' ' ' >&2
}

# With the extension.
create_database() { # name
    db=postgres sql -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" -c "CREATE DATABASE $1" 2>/dev/null
    db=$1
    sql -c 'CREATE EXTENSION whisperer'
}

# The same with an event type of its name, and no hook yet.
new_database() { # name
    create_database "$1"
    sql -c "SELECT whisperer.register_event('$1')" >/dev/null
}

drop_database() { db=postgres sql -c "DROP DATABASE $1 WITH (FORCE)"; }

add_hook() { # event type, URL [, more arguments]
    sql -c "SELECT whisperer.create_hook('$1', '$2'${3:+, $3})" >/dev/null
}

set_parameter() { # name, value
    db=postgres sql -c "ALTER SYSTEM SET $1 = $2" -c 'SELECT pg_reload_conf()' >/dev/null
}

payload="json_build_object('id', g, 'transfer_id', 49, 'order_number', '248398923123')"

# A payload of about so many bytes: the lines of an order, as different as such lines are.  An expression over g.
orders() { # bytes
    echo "json_build_object('id', g, 'customer', md5(g::text), 'lines', (SELECT json_agg(json_build_object(
        'sku', upper(left(md5((g * 1000 + line)::text), 8)), 'title', (ARRAY['Kettle', 'Lamp', 'Chair', 'Desk'])[line % 4 + 1] || ' ' || line * 7 % 90,
        'quantity', line % 5 + 1, 'unit_price', (g * 31 + line * 17) % 9000 / 100.0, 'currency', 'EUR', 'shipped', line % 3 = 0,
        'warehouse', 'W-' || line % 12)) FROM generate_series(1, $1 / 137) line))"
}

record_events() { # event type, number [, payload, an expression over g]
    sql -c "SELECT count(whisperer.deliver_event('$1', ${3:-$payload})) FROM generate_series(1, $2) g" >/dev/null
}

# Processor time of the server's processes; schedstat has it in nanoseconds.
processor_ms() { # which, a condition on pg_stat_activity
    local pid
    for pid in $(db=postgres value -c "SELECT pid FROM pg_stat_activity WHERE $1"); do
        cat "/proc/$pid/schedstat"
    done | awk '{sum += $1} END {printf "%.2f", sum / 1e6}'
}

our_ms() { processor_ms "backend_type LIKE 'whisperer%'"; }

delivered() { value -c 'SELECT coalesce(sum(delivered), 0) FROM whisperer.status'; }

# Prints deliveries per second from a statement that lets them go until the ledger has them all.  When it had them its last
# rows say: wait_idle looks again after four times as long as a look took, which may be a second.
rate_from() { # statement, deliveries expected
    value <<SQL
SELECT clock_timestamp() AS begun \gset
$1 \g /dev/null
CALL whisperer.wait_idle('900 s');
SELECT round($2 / extract(epoch FROM (SELECT max(modified_at) FROM whisperer.delivery) - :'begun'));
SQL
}

# Records while delivery is paused, resumes, and prints deliveries per second.
drain_rate() { # deliveries expected, then commands that record
    local expected=$1 before after rate; shift
    sql -c 'SELECT whisperer.pause()' >/dev/null
    "$@"
    sql -c CHECKPOINT
    before=$(delivered)
    rate=$(rate_from 'SELECT whisperer.resume()' "$expected")
    # The status is a second old at most.
    for _ in $(seq 50); do
        after=$(delivered)
        [ $((after - before)) -lt "$expected" ] || break
        sleep 0.1
    done
    [ $((after - before)) = "$expected" ] || { progress "expected $expected deliveries, counted $((after - before))"; return 1; }
    echo "$rate"
}

# What one libcurl loop posts of the same body: the baseline of deliveries.
bare_rate() { # URL, requests [, in flight [, body file]]
    write_body
    build/bench/curl_loop "$1" "$2" "${3:-64}" "${4:-$work/body}"
}

# A virtual machine changes its speed by the minute: half of the bare loop's requests go before ours and half
# after them.  Prints our rate, and leaves the loop's in $work/bare_around.
sandwiched() { # URL, requests, in flight, body file, then the command that prints our rate
    local url=$1 half=$(($2 / 2)) in_flight=$3 body=$4 before ours after; shift 4
    before=$(bare_rate "$url" "$half" "$in_flight" "$body")
    ours=$("$@")
    after=$(bare_rate "$url" "$half" "$in_flight" "$body")
    calculate "2 / (1 / $before + 1 / $after)" >"$work/bare_around"
    echo "$ours"
}

# The body of the baselines: $work/body.
write_body() {
    [ -s "$work/body" ] || db=postgres value -c "SELECT json_build_object('id', gen_random_uuid(), 'type', 'bench', 'timestamp', now(),
        'data', json_build_object('id', 1, 'transfer_id', 49, 'order_number', '248398923123'))" | tr -d '\n' >"$work/body"
}

build_curl_loop() {
    mkdir -p build/bench
    [ build/bench/curl_loop -nt tests/bench/curl_loop.cpp ] ||
        ${CXX:-g++} -std=c++20 -O2 -o build/bench/curl_loop tests/bench/curl_loop.cpp -lcurl
}

# From commit to receipt, in milliseconds: median, 99th percentile and number.  The receipts are lines of
# seconds since 1970 and webhook-id.
latencies() { # file
    value -F ' ' <<SQL
CREATE TEMP TABLE receipt (at numeric, id text);
\copy receipt FROM '$1' (DELIMITER ' ')
SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2), round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2), count(*)
FROM (SELECT (r.at - extract(epoch FROM pg_xact_commit_timestamp(o.xid::xid))) * 1000 AS ms
      FROM receipt r JOIN whisperer.outbox o ON o.id = r.id::uuid) AS latency;
SQL
}

# Answers 204 to all, 200 with so many kB below /answerN, and logs the time and webhook-id of what comes to /log.
# Sets $nginx, its URL.
start_bench_nginx() {
    start_nginx "log_format receipt '\$msec \$http_webhook_id';" "
        set \$kb '$(printf 'a%.0s' $(seq 1000))';
        location /log { access_log $work/nginx.log receipt buffer=64k flush=200ms; return 204; }
        location /answer1 { return 200 '\$kb'; }
        location /answer8 { return 200 '\$kb\$kb\$kb\$kb\$kb\$kb\$kb\$kb'; }"
    nginx=http://127.0.0.1:$port
}

# What nginx has buffered of its log gets written within 200 ms.
nginx_flush() {
    local size=-1
    until [ "$(wc -c <"$work/nginx.log")" = "$size" ]; do size=$(wc -c <"$work/nginx.log"); sleep 0.5; done
}

# npm's graphile-worker, with a database of its own; see queue.mjs.  Skipped with a line where it cannot be had.
install_queue() {
    [ ! -e "$work/queue/queue.mjs" ] || return 0
    command -v npm >/dev/null || { progress 'graphile-worker: skipped: there is no npm'; return 1; }
    mkdir -p "$work/queue"
    (cd "$work/queue" && npm init -y && npm install --no-audit --no-fund graphile-worker@0.16 undici@6) >"$work/npm.log" 2>&1 ||
        { tail -3 "$work/npm.log" >&2; progress 'graphile-worker: skipped: npm cannot install it'; return 1; }
    db=postgres sql -c 'CREATE DATABASE queue'
    cp tests/bench/queue.mjs "$work/queue/"
}
