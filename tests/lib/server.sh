# Sourced by demo and bench, after folder.sh: a server with the extension, receivers, and psql on it.
say() { printf '\n\033[1m%s\033[0m\n\n' "$*"; }
sql() { psql -X -q -v ON_ERROR_STOP=1 -d demo "$@"; }

wait_for_file() { # file, what
    for _ in $(seq 500); do [ -s "$1" ] && return; sleep 0.02; done
    echo "timed out waiting for $2" >&2; exit 1
}

# With an empty database demo; psql then finds it by the environment.
start_server() { # [lines of postgresql.conf]
    start_server_of . "$work" "${1:-}"
}

# The same of another built copy of the source, in a folder of its own; what it sets in the environment is the server.
start_server_of() { # source, folder [, lines of postgresql.conf]
    local bin folder=$2
    bin=$("$1/tests/lib/tree" "$folder/pg")
    export PATH=$bin:$PATH PGHOST=$folder/socket PGPORT PGUSER=postgres
    PGPORT=$(free_port)
    mkdir "$folder/data" "$folder/socket"
    [ "$(id -u)" != 0 ] || chown postgres "$folder/data" "$folder/socket"
    as_user initdb -D "$folder/data" -U postgres -A trust -N --locale=C --encoding=UTF8 >/dev/null
    cat >>"$folder/data/postgresql.conf" <<C
shared_preload_libraries = 'whisperer'
whisperer.allowed_networks = '127.0.0.0/8'
listen_addresses = ''
unix_socket_directories = '$folder/socket'
port = $PGPORT
track_commit_timestamp = on
shared_buffers = 256MB
max_wal_size = 4GB
${3:-}
C
    as_user pg_ctl -D "$folder/data" -l "$folder/data/log" -w start >/dev/null || { tail -20 "$folder/data/log"; exit 1; }
    psql -X -q -d postgres -c 'CREATE DATABASE demo'
}

start_receiver() { # name: sets $port, log in $work/$name.log
    node tests/receiver/receiver.mjs --ready "$work/$1.port" --log "$work/$1.log" &
    pids+=($!)
    wait_for_file "$work/$1.port" 'the receiver'
    port=$(cat "$work/$1.port")
}

# Walks paths.sql on the running server, and prints what it saw; false if that was not all right.
walk_paths() { # rows, seconds to wait for one thing [, debug_discard_caches while something is recorded]
    start_receiver paths
    run_job env PGDATABASE=demo psql -X -q -At -v ON_ERROR_STOP=1 -v url="http://127.0.0.1:$port" \
        -v rows="$1" -v wait="$2" -v discard="${3:-0}" -f tests/lib/paths.sql >"$work/paths" 2>&1
    local status=$?
    cat "$work/paths"
    [ $status -eq 0 ] && ! grep -qv '^ok ' "$work/paths"
}

# A receiver that answers 204 and costs next to nothing: sets $port.  With more of its configuration, within
# http and within server.
start_nginx() { # [http [server]]
    port=$(free_port)
    mkdir "$work/nginx"
    cat >"$work/nginx.conf" <<C
worker_processes 1; daemon off; pid $work/nginx/pid; error_log $work/nginx/error.log;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 100000000; client_body_temp_path $work/nginx; proxy_temp_path $work/nginx;
    fastcgi_temp_path $work/nginx; uwsgi_temp_path $work/nginx; scgi_temp_path $work/nginx;
    ${1:-}
    server { listen 127.0.0.1:$port backlog=4096; location / { return 204; } ${2:-} }
}
C
    "$(command -v nginx || echo /usr/sbin/nginx)" -c "$work/nginx.conf" -p "$work/nginx" 2>/dev/null &
    pids+=($!)
    wait_for_file "$work/nginx/pid" nginx
}

# Records events while delivery is paused, resumes, and prints how fast the ledger had them all.
drain() { # number of events; sets $drained
    start_nginx
    sql <<SQL
SELECT whisperer.register_event('drain') \\g /dev/null
SELECT whisperer.create_hook('drain', 'http://127.0.0.1:$port/') AS hook \\gset
SELECT whisperer.pause() \\g /dev/null
SELECT count(whisperer.deliver_event('drain', json_build_object('id', g, 'transfer_id', 49, 'order_number', '248398923123')))
FROM generate_series(1, $1) g \\g /dev/null
CHECKPOINT;
SELECT clock_timestamp() AS begun \\gset
SELECT whisperer.resume() \\g /dev/null
CALL whisperer.wait_idle('300 s');
SELECT count(*) AS delivered, round(extract(epoch FROM clock_timestamp() - :'begun')::numeric, 2) AS seconds,
       round(count(*) / extract(epoch FROM clock_timestamp() - :'begun')) AS "deliveries/s"
FROM whisperer.delivery WHERE hook_id = :hook AND state = 'delivered';
SQL
    drained=$(sql -At -c "SELECT count(*) FROM whisperer.delivery d JOIN whisperer.outbox o ON o.id = d.event_id
                          WHERE o.event_type = 'drain' AND d.state = 'delivered'")
}
