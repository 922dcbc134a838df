# Sourced by each subject of this folder, inside the bare system: a server with the extension in it, a receiver, and a
# line for each check.  What was started ends with the name space that it runs in.
set -uo pipefail
bad=0
bin=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/postgres | sort -V | tail -1)")
here=/src/tests/compatibility
work=$(mktemp -d /tmp/compatibility.XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"; exit $bad' EXIT
export PATH=$bin:$PATH PGHOST=$work/socket PGPORT=5432 PGUSER=postgres PGDATABASE=shop PGCONNECT_TIMEOUT=10
mkdir "$work/socket"; chown postgres "$work" "$work/socket"

as_postgres() { runuser -u postgres -- env PATH="$PATH" "$@"; }
sql() { psql -X -q -At -v ON_ERROR_STOP=1 ${1+-c "$1"}; }
check() { # what, command ...
    local what=$1; shift
    if "$@" >"$work/said" 2>&1; then echo "ok - $what"; else echo "not ok - $what"; sed 's/^/#   /' "$work/said"; bad=1; fi
}
is() { # what, what there is, what there should be
    if [ "$2" = "$3" ]; then echo "ok - $1"; else printf 'not ok - %s\n#   got  %s\n#   want %s\n' "$1" "$2" "$3"; bad=1; fi
}
soon() { # command ..., which gets two minutes and more
    local _
    for _ in $(seq 1200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    return 1
}
package_version() { dpkg-query -W -f '${Version}' "$1" | sed 's/^[0-9]*://; s/[-+~].*//'; }
# A row of the page; printed only if all was well.
row() { # together with, version, what to know
    [ $bad -ne 0 ] || echo "row | $1 | $2 | $3 |"
}

make_cluster() { # folder, port, more libraries, lines of postgresql.conf
    as_postgres initdb -D "$1" -U postgres -A trust -N --locale=C --encoding=UTF8 >/dev/null || exit 1
    cat >>"$1/postgresql.conf" <<C
shared_preload_libraries = 'whisperer${3:+, $3}'
whisperer.allowed_networks = '127.0.0.0/8'
listen_addresses = '127.0.0.1'
unix_socket_directories = '$work/socket'
port = $2
wal_level = logical
max_worker_processes = 40
${4:-}
C
}
start_cluster() { # folder
    as_postgres pg_ctl -D "$1" -l "$1.log" -w start >/dev/null || { tail -20 "$1.log"; echo 'not ok - the server starts'; bad=1; exit 1; }
}
# With database shop, which has the extension, and the table that all use.
start_server() { # [more libraries [lines of postgresql.conf]]
    make_cluster "$work/data" 5432 "${1:-}" "${2:-}"
    start_cluster "$work/data"
    PGDATABASE=postgres sql 'CREATE DATABASE shop'
    sql 'CREATE EXTENSION whisperer; CREATE TABLE item (id int PRIMARY KEY, name text)'
}

# Sets $url.
start_receiver() {
    node /src/tests/receiver/receiver.mjs --ready "$work/receiver.port" --log "$work/receiver.log" &
    soon test -s "$work/receiver.port" || exit 1
    url=http://127.0.0.1:$(cat "$work/receiver.port")
}
idle() { PGDATABASE=${1:-shop} sql "CALL whisperer.wait_idle('300 s')"; }
# What was recorded of a type, in the order of its events.
recorded() { sql "SELECT coalesce(string_agg(data::text, ' ' ORDER BY id), 'nothing') FROM whisperer.outbox WHERE event_type = '$1'"; }
count_recorded() { sql "SELECT count(*) FROM whisperer.outbox WHERE event_type = '$1'"; }
arrived() { grep -c "\"path\":\"$1\"" "$work/receiver.log"; }
