#!/usr/bin/env bash
# PostgreSQL 15.20 with wal2json 2.5 as Debian 12 has them: a minor release of the server ends a replication slot's plugin.
#
# 15.18 makes a slot for wal2json and reads changes from it.  15.20 refuses to make one, and to read from one that 15.18
# has made: its new setting output_plugin_libraries names pgoutput and test_decoding alone.  So does
# 17.12 after it.  A slot that is refused keeps its WAL.  With wal2json named in the setting, the changes are all there.
#
#   findings/output_plugin_after_minor.sh
#
# It needs apt-get with Debian 12 (bookworm and bookworm-security) among its sources, and what postgresql-15 depends on;
# the packages are unpacked into a folder that goes away.  Whisperer takes no part.  Exit status 0: the output is the
# one below.
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/debian.sh"

read_changes="SELECT jsonb_path_query_array(data::jsonb, '\$.change[*].columnvalues[*]') FROM pg_logical_slot_get_changes('kept', NULL, NULL)"

for version in 15.18 15.20; do unpack "$version" postgresql-15-wal2json=2.5-1+b1; done
create 15.18
{
    start 15.18 '-c wal_level=logical'
    query 'SHOW server_version' | cut -d' ' -f1
    query 'CREATE TABLE stock (id int PRIMARY KEY)'
    query "SELECT slot_name FROM pg_create_logical_replication_slot('kept', 'wal2json')"
    query 'INSERT INTO stock VALUES (1)'
    query "$read_changes"
    stop
    start 15.20 '-c wal_level=logical'
    query 'SHOW server_version' | cut -d' ' -f1
    query 'SHOW output_plugin_libraries'
    query 'INSERT INTO stock VALUES (2)'
    query "$read_changes"
    query "SELECT slot_name FROM pg_create_logical_replication_slot('another', 'wal2json')"
    stop
    start 15.20 '-c wal_level=logical -c output_plugin_libraries=wal2json'
    query "$read_changes"
    stop
} >"$work/seen"
cat "$work/seen"
cat >"$work/expected" <<'O'
15.18
kept
[1]
15.20
pgoutput, test_decoding
ERROR:  library "wal2json" may not be used as an output plugin
HINT:  If it is safe for all REPLICATION users to use this library as an output plugin, add it to "output_plugin_libraries" and reload the server configuration.
ERROR:  library "wal2json" may not be used as an output plugin
HINT:  If it is safe for all REPLICATION users to use this library as an output plugin, add it to "output_plugin_libraries" and reload the server configuration.
[2]
O
if cmp -s "$work/expected" "$work/seen"; then
    echo 'as described: 15.20 takes no wal2json until output_plugin_libraries names it'
else
    echo 'not as described: it should have been'; cat "$work/expected"; exit 1
fi
