# The services of compose.yaml, in the network that container made; see there.  Nothing here outlives this script.
work=$1 address=$2
. "$work/state"
. tests/packaging/checks.sh
ip link set lo up
ip address add "$address/32" dev lo

start database >"$work/database.log" 2>&1 &
ready() { within database pg_isready -h 127.0.0.1; }
check 'the database starts' soon ready
check 'it is prepared' start prepare
check 'and once more, as when everything is started again' start prepare
utf8() { [ "$(within database psql -U postgres -At -c 'SHOW server_encoding')" = UTF8 ]; }
check 'its encoding is UTF8' utf8
start receiver >"$work/receiver.log" 2>&1 &
start gateway >"$work/gateway.log" 2>&1 &
check 'the gateway serves it' soon answers 8080 /readyz 200
check 'the receiver listens' soon grep -q . "$work/receiver.log"
check 'a row is committed' within database psql -U postgres -c "INSERT INTO package (order_number) VALUES ('A-1')"
check 'the receiver has verified the event' soon grep '^verified package-created .*"A-1"' "$work/receiver.log"
[ $bad -eq 0 ] || tail -n 20 "$work"/*.log
exit $bad
