# What recording costs the writer where the extension cannot be loaded (recorder/whisperer-recorder.sql), over the same
# hand-written PL/pgSQL trigger as in the figure writer.
rows=$((20000 * scale / 100))

measure() {
    db=postgres sql -c 'DROP DATABASE IF EXISTS recorder WITH (FORCE)' -c 'CREATE DATABASE recorder' 2>/dev/null
    db=recorder
    sql -c "DO 'BEGIN CREATE ROLE recorder; EXCEPTION WHEN duplicate_object THEN END'" \
        -c 'GRANT CREATE ON DATABASE recorder TO recorder' -c 'GRANT CREATE ON SCHEMA public TO recorder'
    { echo 'BEGIN; SET ROLE recorder;'; cat recorder/whisperer-recorder.sql; echo 'COMMIT;'; } | sql >/dev/null
    sql -f tests/bench/by_hand.sql
    sql <<'SQL' >/dev/null
CREATE TABLE watched (LIKE plain INCLUDING ALL);
CREATE TABLE by_statement (LIKE plain INCLUDING ALL);
SELECT whisperer.watch('watched', operations => '{insert}');
SELECT whisperer.register_event('writer');
CREATE TRIGGER t AFTER INSERT ON by_statement REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('writer');

-- For each row.
CREATE FUNCTION one_by_one(target regclass, rows int) RETURNS float8 LANGUAGE plpgsql AS $f$
DECLARE
    begun float8 := cpu_us();
BEGIN
    EXECUTE format($sql$DO $d$BEGIN FOR i IN 1..%s LOOP
        INSERT INTO %s (customer, amount, note) VALUES (i, 12.50, 'a note of some length, as notes are'); END LOOP; END$d$$sql$, rows, target);
    RETURN (cpu_us() - begun) / rows;
END$f$;
CREATE FUNCTION at_once(target regclass, rows int) RETURNS float8 LANGUAGE plpgsql AS $f$
DECLARE
    begun float8 := cpu_us();
BEGIN
    EXECUTE format('INSERT INTO %s (customer, amount, note) SELECT i, 12.50, ''a note of some length, as notes are'' FROM generate_series(1, %s) i', target, rows);
    RETURN (cpu_us() - begun) / rows;
END$f$;
SQL
    measure_rounds
    drop_database recorder
}

measure_rounds() {
    local round plain hand watched plain_many hand_many statement
    local hand_added=() watched_added=() watched_ratio=() hand_many_added=() statement_added=() statement_ratio=()
    for round in $(seq 0 "$rounds"); do
        progress "recorder, round $round ..."
        read -r plain hand watched plain_many hand_many statement < <(value -F ' ' -c "SET TimeZone = 'UTC'" -c "SELECT one_by_one('plain', $rows), one_by_one('by_hand', $rows),
            one_by_one('watched', $rows), at_once('plain', 10000), at_once('by_hand', 10000), at_once('by_statement', 10000)")
        [ "$round" -gt 0 ] || continue    # the first warms the caches
        hand_added+=("$(calculate "$hand - $plain")"); watched_added+=("$(calculate "$watched - $plain")")
        hand_many_added+=("$(calculate "$hand_many - $plain_many")"); statement_added+=("$(calculate "$statement - $plain_many")")
        watched_ratio+=("$(calculate "${watched_added[-1]} / ${hand_added[-1]}")")
        statement_ratio+=("$(calculate "${statement_added[-1]} / ${hand_many_added[-1]}")")
    done
    report_ratio "recorder: watch()'s row trigger's added time / PL/pgSQL outbox's" us "$(median "${watched_added[@]}")" "$(median "${hand_added[@]}")" "$(median "${watched_ratio[@]}")" '<= 1.3'
    report_ratio "recorder: statement trigger's added time, 10,000 rows / PL/pgSQL outbox's" us "$(median "${statement_added[@]}")" "$(median "${hand_many_added[@]}")" "$(median "${statement_ratio[@]}")" '<= 1.3'
}
