#!/usr/bin/env bash
# PostgreSQL: the triggers of a table that one has open and locked are freed when somebody else runs ANALYZE on it.
#
# An extension that opens a table gets its entry of the relation cache, with a row type and the triggers in it.  The
# lock keeps the table as it is, and the entry counts its users.  When a message of another session says that
# something about the table has changed, though (ANALYZE and VACUUM write how large it is), the entry is built anew
# the next time that anything is looked up.  What is equal stays where it was: row type, rules, policies, partition key.
# The triggers are made anew all the same, and the old ones are freed; a second message may put them where they were.
# So whoever walks through trigdesc and looks up a name on the way may go on in memory that is another's.  PostgreSQL's
# own executor works on a copy.
#
#   findings/triggers_of_an_open_table.sh
#
# It takes Debian's packages of PostgreSQL 15 (postgresql-15, postgresql-server-dev-15) and a C compiler, builds a function
# that compares addresses and reads nothing through the old ones, and runs it on a server in a folder that goes away.
# Whisperer takes no part.  Exit status 0: the output is the one below.
#
# Seen: 15.20 (Debian bookworm).
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"
pg_config=/usr/lib/postgresql/15/bin/pg_config

cat >"$work/probe.c" <<'C'
#include "postgres.h"
#include "access/table.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(moved);

static Relation table;
static TupleDesc row_type;
static TriggerDesc *triggers;
static bool row_type_moved, triggers_moved;

/* Called after each message: two of them may bring the triggers back to where they were. */
static void
compare(Datum unused, Oid relation)
{
	if (table == NULL)
		return;
	row_type_moved |= table->rd_att != row_type;
	triggers_moved |= table->trigdesc != triggers;
}

/* Which parts of an open table's entry are elsewhere after others were given the time to do something. */
Datum
moved(PG_FUNCTION_ARGS)
{
	StringInfoData text;

	CacheRegisterRelcacheCallback(compare, (Datum) 0);
	table = table_open(PG_GETARG_OID(0), RowExclusiveLock);
	row_type = table->rd_att;
	triggers = table->trigdesc;
	DirectFunctionCall1(pg_sleep, PG_GETARG_DATUM(1));
	AcceptInvalidationMessages();
	initStringInfo(&text);
	appendStringInfo(&text, "row type: %s, triggers: %s", row_type_moved ? "moved" : "stays",
					 triggers_moved ? "moved" : "stay");
	table_close(table, RowExclusiveLock);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}
C
gcc -O1 -fPIC -shared -I "$($pg_config --includedir-server)" -o "$work/probe.so" "$work/probe.c"
chmod 755 "$work/probe.so"

start "$(dirname "$pg_config")" >"$work/version"
sed 's/ (Debian.*//' "$work/version" >"$work/seen"
query <<SQL
CREATE FUNCTION moved(regclass, float8) RETURNS text LANGUAGE c AS '$work/probe.so';
CREATE TABLE item (id int);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION nothing();
INSERT INTO item SELECT generate_series(1, 1000);
SQL
echo "alone:   $(query -c "SELECT moved('item', 0)")" >>"$work/seen"
query -c "SELECT moved('item', 3)" >"$work/other" &
asking=$!
until [ "$(query -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")" = 1 ]; do :; done
query -c 'ANALYZE item'
wait "$asking"
echo "ANALYZE: $(cat "$work/other")" >>"$work/seen"
finish

cat "$work/seen"
cat >"$work/expected" <<'O'
postgres (PostgreSQL) 15.20
alone:   row type: stays, triggers: stay
ANALYZE: row type: stays, triggers: moved
O
diff "$work/expected" "$work/seen" && echo 'as described'
