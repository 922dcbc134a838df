# Poolers: pgbouncer in its three modes, and pgpool with a standby behind it.
# packages: pgbouncer pgpool2
. /src/tests/compatibility/inside.sh
start_server
start_receiver
sql "SELECT whisperer.watch('item')" >/dev/null

# --- pgbouncer -------------------------------------------------------------------------------------
for mode in session transaction statement; do
    cat >"$work/pgbouncer.ini" <<C
[databases]
* = host=$PGHOST port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
auth_type = any
pool_mode = $mode
default_pool_size = 2
logfile = $work/pgbouncer.log
pidfile = $work/pgbouncer.pid
C
    sed -i 's/^\* = /&user=postgres /' "$work/pgbouncer.ini"
    as_postgres pgbouncer -d -q "$work/pgbouncer.ini"
    through() { PGHOST=127.0.0.1 PGPORT=6432 sql "$1"; }
    soon through 'SELECT 1'
    check "$mode: a hook is made" through "SELECT whisperer.create_hook('item-created', '$url/ok/$mode')"
    before=$(count_recorded item-created)
    check "$mode: a row is captured" through "INSERT INTO item SELECT coalesce(max(id), 0) + 1, '$mode' FROM item"
    check "$mode: wait_idle" through "CALL whisperer.wait_idle('30 s')"
    is "$mode: it is recorded once" "$(($(count_recorded item-created) - before))" 1
    is "$mode: and delivered" "$(arrived "/ok/$mode")" 1
    check "$mode: deliver_now" through "CALL whisperer.deliver_now('item-created', '{\"id\": 0}')"
    kill "$(cat "$work/pgbouncer.pid")"; soon bash -c "! [ -e $work/pgbouncer.pid ]"
done
row pgbouncer "$(pgbouncer --version | sed -n 's/^PgBouncer //p')" 'applications may use any pool mode, `deliver_now` and `wait_idle` included. The worker does not connect: it runs in the server'

# --- pgpool ----------------------------------------------------------------------------------------
as_postgres pg_basebackup -D "$work/standby" -h "$PGHOST" -p 5432 -U postgres -R -c fast >/dev/null
echo 'port = 5433' >>"$work/standby/postgresql.conf"
start_cluster "$work/standby"
cat >"$work/pgpool.conf" <<C
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = 9999
pcp_port = 9898
unix_socket_directories = '$work'
pcp_socket_dir = '$work'
backend_hostname0 = '$PGHOST'
backend_port0 = 5432
backend_weight0 = 0
backend_flag0 = 'DISALLOW_TO_FAILOVER'
backend_hostname1 = '$PGHOST'
backend_port1 = 5433
backend_weight1 = 1
backend_flag1 = 'DISALLOW_TO_FAILOVER'
num_init_children = 4
load_balance_mode = on
enable_pool_hba = off
pool_passwd = ''
sr_check_user = 'postgres'
sr_check_database = 'postgres'
health_check_period = 0
pid_file_name = '$work/pgpool.pid'
logdir = '$work'
work_dir = '$work'
memqcache_oiddir = '$work'
C
chown postgres "$work/pgpool.conf"
as_postgres pgpool -n -f "$work/pgpool.conf" -F "$work/pcp.conf" >"$work/pgpool.log" 2>&1 &
pooled() { PGHOST=127.0.0.1 PGPORT=9999 sql "$1"; }
check 'pgpool answers' soon pooled 'SELECT 1'
is 'a SELECT goes to the standby' "$(pooled "SELECT current_setting('port')")" 5433
check 'pgpool: a hook is made by SELECT' pooled "SELECT whisperer.create_hook('item-created', '$url/ok/pgpool')"
check 'pgpool: an event is recorded by SELECT' pooled "SELECT whisperer.deliver_event('item-created', '{\"id\": -1}')"
check 'pgpool: a row is captured' pooled "INSERT INTO item VALUES (1000, 'pgpool')"
check 'pgpool: wait_idle' pooled "CALL whisperer.wait_idle('30 s')"
is 'pgpool: both are delivered' "$(arrived /ok/pgpool)" 2
row pgpool "$(dpkg-query -W -f '${Version}' pgpool2 | sed 's/-.*//')" 'with load balancing over a standby, functions that write go to the primary, because they are volatile'
