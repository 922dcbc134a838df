# Extensions that move rows or make tables: pg_partman, pg_repack, pg_squeeze, Apache AGE.
# packages: postgresql-MAJOR-partman postgresql-MAJOR-repack postgresql-MAJOR-squeeze postgresql-MAJOR-age
. /src/tests/compatibility/inside.sh
# Where the server asks who may be an output plugin, pg_squeeze has to be named.
postgres --describe-config | grep '^output_plugin_libraries' >/dev/null && plugins="output_plugin_libraries = 'pgoutput, pg_squeeze'"
start_server 'pg_squeeze, age' "max_replication_slots = 10
${plugins:-}"
version() { sql "SELECT extversion FROM pg_extension WHERE extname = '$1'"; }

# Where AGE is preloaded and a database lacks it, other CREATE EXTENSION fail there.
sql 'CREATE EXTENSION age'

# --- pg_partman ------------------------------------------------------------------------------------
sql "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
     CREATE TABLE public.reading (id int NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at)"
sql "SELECT whisperer.watch('reading')" >/dev/null
sql "SELECT partman.create_parent('public.reading', 'at', '1 day')" >/dev/null
sql "INSERT INTO reading VALUES (1, now()), (2, now() + interval '1 day'), (3, now() + interval '90 days')"
is 'rows of partitions that it made are captured, and of the default' "$(count_recorded reading-created)" 3
sql "CALL partman.partition_data_proc('public.reading', p_quiet => true)" 2>&1 | sed 's/^/# /'
is 'rows that it moves out of the default are captured as deleted' "$(count_recorded reading-deleted)" 1
is 'and as created' "$(count_recorded reading-created)" 4
sql "CALL partman.run_maintenance_proc()" >/dev/null
sql "INSERT INTO reading VALUES (4, now() + interval '2 days')"
is 'after its maintenance as well' "$(count_recorded reading-created)" 5
row pg_partman "$(version pg_partman)" 'watch the parent table. `partition_data_proc` moves rows by DELETE and INSERT, and both are events'

# --- pg_repack, pg_squeeze -------------------------------------------------------------------------
sql "CREATE EXTENSION pg_repack; CREATE EXTENSION pg_squeeze"
sql "SELECT whisperer.watch('item')" >/dev/null
sql "INSERT INTO item SELECT g, 'n' FROM generate_series(1, 1000) g"
# A writer beside them; what it wrote is compared with what was recorded.
writer() { for i in $(seq 2001 2400); do echo "INSERT INTO item VALUES ($i, 'w'); UPDATE item SET name = 'x' WHERE id = $i;"; done | psql -X -q >"$work/writer" 2>&1; }
writer & pid=$!
check 'pg_repack of a watched table' as_postgres env PGHOST="$PGHOST" PGPORT="$PGPORT" pg_repack -d shop -t item --no-superuser-check
wait $pid
is 'nothing is missing after pg_repack, and nothing is twice' "$(count_recorded item-created) $(count_recorded item-updated)" '1400 400'
sql "DELETE FROM item WHERE id > 2000"
writer & pid=$!
check 'pg_squeeze of a watched table' sql "SELECT squeeze.squeeze_table('public', 'item')"
wait $pid
is 'nothing is missing after pg_squeeze, and nothing is twice' "$(count_recorded item-created) $(count_recorded item-updated)" '1800 800'
row pg_repack "$(version pg_repack)" 'capture triggers stay, and its copying makes no events; tried beside a writer'
row pg_squeeze "$(version pg_squeeze)" 'the same. It has to be named in `output_plugin_libraries` where the server has that'

# --- Apache AGE ------------------------------------------------------------------------------------
cypher() { PGOPTIONS='-c search_path=ag_catalog,public' sql "SELECT * FROM cypher('net', \$\$ $1 \$\$) AS (v agtype)" >/dev/null; }
PGOPTIONS='-c search_path=ag_catalog,public' sql "SELECT create_graph('net')" >/dev/null 2>&1
cypher "CREATE (:Person {name: 'Ann'})"
sql "SELECT whisperer.watch('net.\"Person\"', 'person')" >/dev/null 2>"$work/warning"
check 'watch() of a label warns' grep -i 'warning.*cypher\|age' "$work/warning"
cypher "CREATE (:Person {name: 'Bob'})"
is 'what Cypher writes fires no trigger' "$(count_recorded person-created)" 0
row 'Apache AGE' "$(version age)" 'Cypher writes past all triggers: **nothing of it is captured**, and `watch` warns'
