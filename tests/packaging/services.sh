# The services of compose.yaml, in the network that container made; see there.  Nothing here outlives this script.
work=$1 address=$2
. "$work/state"
. tests/packaging/checks.sh
ip link set lo up
ip address add "$address/32" dev lo

# At once, and the database last: not every engine waits for what a service depends on.
start receiver >"$work/receiver.log" 2>&1 &
start gateway >"$work/gateway.log" 2>&1 &
start prepare >"$work/prepare.log" 2>&1 &
preparing=$!
start database >"$work/database.log" 2>&1 &
ready() { within database pg_isready -h 127.0.0.1; }
check 'the database starts' soon ready
check 'it is prepared' wait $preparing
check 'and once more, as when everything is started again' start prepare
utf8() { [ "$(within database psql -U postgres -At -c 'SHOW server_encoding')" = UTF8 ]; }
check 'its encoding is UTF8' utf8
check 'the gateway serves it' soon answers 8080 /readyz 200
check 'the receiver listens' soon grep -q . "$work/receiver.log"
check 'a row is committed' within database psql -U postgres -c "INSERT INTO package (order_number) VALUES ('A-1')"
check 'the receiver has verified the event' soon grep '^verified package-created .*"A-1"' "$work/receiver.log"

# As an engine stops them.  /proc may be that of another name space than ours: the last number of a process is the one that it
# has in its service, the one before it is ours.
first_process() { # service
    local status
    for status in /proc/[0-9]*/status; do
        [ "$(readlink "${status%status}root")" = "$work/${stage_of[$1]}" ] || continue
        awk '$1 == "NSpid:" && $NF == 1 { print $(NF - 1) }' "$status"
    done 2>/dev/null
}
stops() { # service
    local pid; pid=$(first_process "$1")
    [ -n "$pid" ] && kill -s "${signals[$1]}" "$pid" || return 1
    has_ended() { ! kill -0 "$pid" 2>/dev/null; }
    soon has_ended
}
check 'the database stops while the gateway is connected to it' stops database
check 'and has not been killed' grep 'database system is shut down' "$work/database.log"
check 'the receiver stops' stops receiver
check 'the gateway stops' stops gateway
[ $bad -eq 0 ] || tail -n 20 "$work"/*.log
exit $bad
