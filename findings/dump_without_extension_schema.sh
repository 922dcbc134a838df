#!/usr/bin/env bash
# pg_dump 15.20: -N of the schema that an extension lives in keeps the extension and drops the schema, so the dump cannot be restored.
#
# The schema is left out, as asked; CREATE EXTENSION is not, and names it.  --exclude-schema looks at schemas alone, and 15 has no
# --exclude-extension (17 has).  A restore by psql goes on without the extension, one with ON_ERROR_STOP ends there.  Where the
# schema is made first the same dump goes in.
#
#   findings/dump_without_extension_schema.sh
#
# What it needs says lib/debian.sh.  Whisperer takes no part: the extension is hstore.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/debian.sh"

unpack 15.20 postgresql-client-15=15.20-0+deb12u1
create 15.20
start 15.20
restore() { psql -X -q -At -v ON_ERROR_STOP=1 -h "$socket" -U postgres -d "$1" -f "$work/dump" 2>&1 | sed 's/^psql:[^ ]* //' || true; }
{
    query 'CREATE SCHEMA ext' && query 'CREATE EXTENSION hstore SCHEMA ext' && query 'CREATE TABLE plain (id int)'
    server pg_dump -h "$socket" -U postgres -N ext postgres >"$work/dump"
    grep -E '^CREATE (SCHEMA|EXTENSION|TABLE)' "$work/dump"
    query 'CREATE DATABASE without' && restore without | grep -v '^$'
    query 'CREATE DATABASE schema_first'
    psql -X -q -h "$socket" -U postgres -d schema_first -c 'CREATE SCHEMA ext'
    restore schema_first | grep -v '^$' || true
    psql -X -q -At -h "$socket" -U postgres -d schema_first -c "SELECT 'with the schema made first: ' || count(*) FROM pg_extension WHERE extname = 'hstore'"
} >"$work/seen"
stop
cat "$work/seen"
cat >"$work/expected" <<'O'
CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA ext;
CREATE TABLE public.plain (
ERROR:  schema "ext" does not exist
with the schema made first: 1
O
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described: the dump has the extension and not its schema'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
