#!/usr/bin/env bash
# pg_dump 15.20: a publication of an extension's table is restored without the table, and nothing says so.
#
# CREATE PUBLICATION is dumped, ALTER PUBLICATION ... ADD TABLE is not where the table is an extension's: the dump has no
# definition of it, CREATE EXTENSION makes it.  The table's rows are there again (it is a configuration table), the application's
# table is published again, and the restore ends with status 0.  Who subscribes gets no error, and none of the rows.
#
#   findings/dump_empties_publication.sh
#
# What it needs says lib/debian.sh.  Whisperer takes no part: the extension is pg_partman.  Exit status 0: the output is the one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/debian.sh"

unpack 15.20 postgresql-client-15=15.20-0+deb12u1 postgresql-15-partman=4.7.2-1
create 15.20
start 15.20
in_restored() { psql -X -q -At -v ON_ERROR_STOP=1 -h "$socket" -U postgres -d restored "$@" 2>&1; }
published="SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'published'"
{
    query 'CREATE SCHEMA partman' && query 'CREATE EXTENSION pg_partman SCHEMA partman' && query 'CREATE TABLE mine (id int PRIMARY KEY)'
    query 'CREATE TABLE measured (id int, at timestamptz NOT NULL) PARTITION BY RANGE (at)'
    query "SELECT 'configured: ' || partman.create_parent('public.measured', 'at', 'native', 'daily')"
    query 'SET client_min_messages = error; CREATE PUBLICATION published FOR TABLE mine, partman.part_config'
    echo "published: $(query "$published")"
    server pg_dump -h "$socket" -U postgres postgres >"$work/dump"
    grep -E '^(CREATE|ALTER) PUBLICATION ' "$work/dump" | grep -v OWNER
    query 'CREATE DATABASE restored'
    in_restored -f "$work/dump" >/dev/null && echo 'restored without an error'
    in_restored -c "SELECT 'rows of the extension''s table: ' || count(*) FROM partman.part_config"
    echo "published: $(in_restored -c "$published")"
} >"$work/seen"
stop
cat "$work/seen"
cat >"$work/expected" <<'O'
configured: true
published: public.mine partman.part_config
CREATE PUBLICATION published WITH (publish = 'insert, update, delete, truncate');
ALTER PUBLICATION published ADD TABLE ONLY public.mine;
restored without an error
rows of the extension's table: 1
published: public.mine
O
if cmp -s "$work/expected" "$work/seen"; then
    echo "as described: the publication has lost the extension's table"
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
