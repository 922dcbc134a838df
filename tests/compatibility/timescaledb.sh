# TimescaleDB: hypertables with row and statement triggers, chunks that come later, and its columnstore where it has one.
# packages: postgresql-MAJOR-timescaledb
. /src/tests/compatibility/inside.sh
start_server timescaledb 'timescaledb.telemetry_level = off'
sql 'CREATE EXTENSION timescaledb' 2>/dev/null
sql "CREATE TABLE metric (at timestamptz NOT NULL, v int); SELECT create_hypertable('metric', 'at')" >/dev/null
watched=$(sql "SELECT whisperer.watch('metric')" 2>&1 | tr '\n' ' ')
is 'a hypertable is watched' "$watched" 'metric-created metric-updated metric-deleted '
echo "# triggers: $(sql "SELECT string_agg(CASE WHEN tgtype::int & 1 = 1 THEN 'row' ELSE 'statement' END, ' ') FROM pg_trigger WHERE tgrelid = 'metric'::regclass AND NOT tgisinternal")"
sql "INSERT INTO metric SELECT '2026-01-01'::timestamptz + g * interval '3 days', g FROM generate_series(1, 10) g"
is 'rows of all chunks are captured' "$(count_recorded metric-created)" 10
sql "UPDATE metric SET v = v + 1 WHERE v <= 3; DELETE FROM metric WHERE v = 10"
is 'updates and deletes, too' "$(count_recorded metric-updated) $(count_recorded metric-deleted)" '3 1'
echo "# $(sql "SELECT drop_chunks('metric', older_than => '2026-01-10'::timestamptz)" 2>&1 | tr '\n' ' ')"
is 'drop_chunks makes no events' "$(count_recorded metric-deleted)" 1
before=$(count_recorded metric-created)
psql -X -q -c "COPY metric FROM STDIN" <<'D'
2026-03-01	100
2026-03-02	101
D
is 'COPY is captured' "$(($(count_recorded metric-created) - before))" 2
sql "CREATE TABLE plain (at timestamptz NOT NULL, v int); SELECT whisperer.watch('plain')" >/dev/null
check 'create_hypertable of a table that is watched' sql "SELECT create_hypertable('plain', 'at')"
sql "INSERT INTO plain VALUES (now(), 1)"
is 'its rows are captured' "$(count_recorded plain-created)" 1
if sql "ALTER TABLE metric SET (timescaledb.compress)" >"$work/compress" 2>&1; then
    sql "SELECT compress_chunk(c) FROM show_chunks('metric') c" >/dev/null
    before="$(count_recorded metric-created) $(count_recorded metric-updated) $(count_recorded metric-deleted)"
    sql "UPDATE metric SET v = v + 1 WHERE v = 5; DELETE FROM metric WHERE at < '2026-01-20'"
    echo "# compressed: $before, then $(count_recorded metric-created) $(count_recorded metric-updated) $(count_recorded metric-deleted)"
else
    echo "# the columnstore: $(head -1 "$work/compress")"
fi
row TimescaleDB "$(sql "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")" 'hypertables are watched like tables, new chunks, COPY and a table that becomes one included; `drop_chunks` makes no events. The columnstore, which this build lacks, was not tried'
