#!/usr/bin/env bash
# PostgreSQL 15.20 against 15.18: a function in standard SQL that takes a table's row stands in the way of ADD COLUMN.
#
# Such a function (RETURN, or BEGIN ATOMIC) is parsed once and depends on what it names.  Since 15.20 the server refuses to
# add a column with a default to the table, be it a constant, and to give any column another type, also one that the
# function does not name: both "use its row type".  15.18 refused only what the function names.  The same function as a
# string is in nobody's way.  A column without a default, and a new name, go through in both.
#
#   findings/row_type_function_blocks_alter.sh
#
# What it needs says lib/debian.sh.  Whisperer takes no part.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/debian.sh"

try() { # what it is called, the function's body
    query "CREATE TABLE stock (id int PRIMARY KEY, note text)"
    query "CREATE FUNCTION key_of(row_of stock) RETURNS int LANGUAGE sql $2"
    for change in 'ADD amount int' 'ADD place int DEFAULT 5' 'ALTER note TYPE varchar(9)' 'ALTER id TYPE bigint' 'RENAME note TO remark'; do
        said=$(query "ALTER TABLE stock $change")
        printf '%s, %s: %s: %s\n' "$version" "$1" "$change" "$(head -1 <<<"${said:-done}")"
    done
    query 'DROP TABLE stock CASCADE' >/dev/null
}

for version in 15.18 15.20; do unpack "$version"; done
create 15.18
for version in 15.18 15.20; do
    start "$version"
    try 'standard SQL' 'RETURN (row_of).id'
    try 'a string' "AS 'SELECT row_of.id'"
    stop
done >"$work/seen"
cat "$work/seen"
cat >"$work/expected" <<'O'
15.18, standard SQL: ADD amount int: done
15.18, standard SQL: ADD place int DEFAULT 5: done
15.18, standard SQL: ALTER note TYPE varchar(9): done
15.18, standard SQL: ALTER id TYPE bigint: ERROR:  cannot alter type of a column used by a function or procedure
15.18, standard SQL: RENAME note TO remark: done
15.18, a string: ADD amount int: done
15.18, a string: ADD place int DEFAULT 5: done
15.18, a string: ALTER note TYPE varchar(9): done
15.18, a string: ALTER id TYPE bigint: done
15.18, a string: RENAME note TO remark: done
15.20, standard SQL: ADD amount int: done
15.20, standard SQL: ADD place int DEFAULT 5: ERROR:  cannot alter table "stock" because function key_of(stock) uses its row type
15.20, standard SQL: ALTER note TYPE varchar(9): ERROR:  cannot alter table "stock" because function key_of(stock) uses its row type
15.20, standard SQL: ALTER id TYPE bigint: ERROR:  cannot alter type of a column used by a function or procedure
15.20, standard SQL: RENAME note TO remark: done
15.20, a string: ADD amount int: done
15.20, a string: ADD place int DEFAULT 5: done
15.20, a string: ALTER note TYPE varchar(9): done
15.20, a string: ALTER id TYPE bigint: done
15.20, a string: RENAME note TO remark: done
O
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described: since 15.20 such a function refuses a column with a default'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
