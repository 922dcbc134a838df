# What recording costs the writer, over a hand-written PL/pgSQL trigger that fills an outbox with two
# indexes.  Delivery is off: the processors are the writer's.
rows=$((20000 * scale / 100))

measure() {
    new_database writer
    set_parameter whisperer.enabled off
    create_written_tables
    measure_rounds
    set_parameter whisperer.enabled on
    drop_database writer
}

# With functions that write rows into each, and give back the microseconds of one.
create_written_tables() {
    sql -f tests/bench/by_hand.sql
    sql <<'SQL'
CREATE TABLE by_row (LIKE plain INCLUDING ALL);
CREATE TABLE by_statement (LIKE plain INCLUDING ALL);
CREATE TRIGGER t AFTER INSERT ON by_row FOR EACH ROW EXECUTE FUNCTION whisperer.capture('writer');
CREATE TRIGGER t AFTER INSERT ON by_statement REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION whisperer.capture('writer');

DO $do$
DECLARE
    target text;
BEGIN
    FOREACH target IN ARRAY '{plain,by_hand,by_row,by_statement}'::text[] LOOP
        EXECUTE format($sql$
            CREATE FUNCTION one_by_one_%1$s(rows int) RETURNS float8 LANGUAGE plpgsql AS $f$
            DECLARE
                begun float8 := cpu_us();
            BEGIN
                FOR i IN 1..rows LOOP
                    INSERT INTO %1$s (customer, amount, note) VALUES (i, 12.50, 'a note of some length, as notes are');
                END LOOP;
                RETURN (cpu_us() - begun) / rows;
            END$f$;
            CREATE FUNCTION at_once_%1$s(rows int) RETURNS float8 LANGUAGE plpgsql AS $f$
            DECLARE
                begun float8 := cpu_us();
            BEGIN
                INSERT INTO %1$s (customer, amount, note) SELECT i, 12.50, 'a note of some length, as notes are' FROM generate_series(1, rows) i;
                RETURN (cpu_us() - begun) / rows;
            END$f$$sql$, target);
    END LOOP;
END
$do$;
CREATE FUNCTION by_function(rows int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    begun float8 := cpu_us();
BEGIN
    FOR i IN 1..rows LOOP
        PERFORM whisperer.deliver_event('writer', '{"id": 1, "customer": 1, "amount": 12.50, "note": "a note of some length, as notes are"}');
    END LOOP;
    RETURN (cpu_us() - begun) / rows;
END$$;
SQL
}

measure_rounds() {
    local round plain hand row statement function plain_many hand_many
    local hand_added=() row_added=() function_cost=() row_ratio=() function_ratio=() hand_many_added=() statement_added=() statement_ratio=()
    for round in $(seq 0 "$rounds"); do
        progress "writer's cost, round $round ..."
        read -r plain hand row function plain_many hand_many statement < <(value -F ' ' -c "SELECT one_by_one_plain($rows), one_by_one_by_hand($rows),
            one_by_one_by_row($rows), by_function($rows), at_once_plain(10000), at_once_by_hand(10000), at_once_by_statement(10000)")
        [ "$round" -gt 0 ] || continue    # the first warms the caches
        hand_added+=("$(calculate "$hand - $plain")"); row_added+=("$(calculate "$row - $plain")"); function_cost+=("$function")
        hand_many_added+=("$(calculate "$hand_many - $plain_many")"); statement_added+=("$(calculate "$statement - $plain_many")")
        row_ratio+=("$(calculate "${row_added[-1]} / ${hand_added[-1]}")")
        function_ratio+=("$(calculate "$function / ${row_added[-1]}")")
        statement_ratio+=("$(calculate "${statement_added[-1]} / ${hand_many_added[-1]}")")
    done
    report_ratio "writer: row trigger's added time / PL/pgSQL outbox's" us "$(median "${row_added[@]}")" "$(median "${hand_added[@]}")" "$(median "${row_ratio[@]}")" '<= 0.3'
    report_ratio "writer: statement trigger's added time, 10,000 rows / PL/pgSQL outbox's" us "$(median "${statement_added[@]}")" "$(median "${hand_many_added[@]}")" "$(median "${statement_ratio[@]}")" '<= 0.18'
    report_ratio "writer: deliver_event / row trigger's added time" us "$(median "${function_cost[@]}")" "$(median "${row_added[@]}")" "$(median "${function_ratio[@]}")" '<= 1'
}
