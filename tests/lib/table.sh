# Sourced by what keeps the tables of docs/compatibility.md, of which a row is the newest run.

# Puts the row into the table with that head, in place of the one with the same first cell, or after the others.
record_row() { # page, begin of the table's head, row
    awk -v head="$2" -v row="$3" -v key="$(cut -d'|' -f2 <<<"$3")" -F'|' '
        inside && !/^\|/ { if (!done) print row; inside = 0; done = 1 }
        inside && $2 == key { if (!done) print row; done = 1; next }
        index($0, head) == 1 { inside = 1 }
        { print }
        END { if (inside && !done) print row }' "$1" >"$1.new" && cat "$1.new" >"$1"
    rm -f "$1.new"
}
