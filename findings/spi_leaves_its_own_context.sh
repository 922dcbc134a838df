#!/usr/bin/env bash
# PostgreSQL's SPI: a statement leaves another memory context current than the one it was called in.
#
# SPI_connect makes a context of its own the current one, as its page in the manual says.  Who switches to a longer-lived one afterwards, to
# keep what a query gives, is taken back by the next statement: SPI_execute and its like, SPI_prepare and the cursors' calls make SPI's context current
# on their way in, and again on their way out, whatever was current before.  Calls that only look at a result leave it alone.  So the first
# query's values are kept, those of a second one in the same stretch are gone after SPI_finish, and only a server that overwrites
# what is freed tells.  Switch after each statement, or wrap them.
#
#   findings/spi_leaves_its_own_context.sh
#
# It takes Debian's packages of PostgreSQL 15 (postgresql-15, postgresql-server-dev-15) and a C compiler, builds a function
# that compares contexts and keeps nothing, and runs it on a server in a folder that goes away.
# Whisperer takes no part.  Exit status 0: the output is the one below.
#
# Seen: 15.20 (Debian bookworm).
set -euo pipefail
case ${1:-} in -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
. "$(dirname "$0")/lib/postgres.sh"
pg_config=/usr/lib/postgresql/15/bin/pg_config

cat >"$work/probe.c" <<'C'
#include "postgres.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(current_after);

static StringInfoData report;
static MemoryContext of_spi;

/* Which context is current; then the one that was asked for is again. */
static void
note(const char *call)
{
	const char *current = CurrentMemoryContext == TopTransactionContext ? "the caller's"
		: CurrentMemoryContext == of_spi ? "SPI's" : "another";

	MemoryContextSwitchTo(TopTransactionContext);
	appendStringInfo(&report, "%s: %s\n", call, current);
}

Datum
current_after(PG_FUNCTION_ARGS)
{
	SPIPlanPtr plan;
	Portal cursor;

	MemoryContextSwitchTo(TopTransactionContext);
	initStringInfo(&report);
	SPI_connect();
	of_spi = CurrentMemoryContext;
	note("SPI_connect");
	SPI_execute("SELECT 'text'", true, 1);
	note("SPI_execute");
	SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	note("SPI_getvalue");
	SPI_copytuple(SPI_tuptable->vals[0]);
	note("SPI_copytuple");
	SPI_freetuptable(SPI_tuptable);
	note("SPI_freetuptable");
	SPI_execute_with_args("SELECT 1", 0, NULL, NULL, NULL, true, 1);
	note("SPI_execute_with_args");
	plan = SPI_prepare("SELECT 1", 0, NULL);
	note("SPI_prepare");
	SPI_execute_plan(plan, NULL, NULL, true, 1);
	note("SPI_execute_plan");
	cursor = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	note("SPI_cursor_open");
	SPI_cursor_fetch(cursor, true, 1);
	note("SPI_cursor_fetch");
	SPI_cursor_close(cursor);
	note("SPI_cursor_close");
	SPI_finish();
	note("SPI_finish");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(report.data, report.len - 1));
}
C
gcc -O1 -fPIC -shared -I "$($pg_config --includedir-server)" -o "$work/probe.so" "$work/probe.c"
chmod 755 "$work/probe.so"

start "$(dirname "$pg_config")" >"$work/version"
sed 's/ (Debian.*//' "$work/version" >"$work/seen"
query -c "CREATE FUNCTION current_after() RETURNS text LANGUAGE c AS '$work/probe.so'" -c 'SELECT current_after()' >>"$work/seen"
finish

cat "$work/seen"
cat >"$work/expected" <<'O'
postgres (PostgreSQL) 15.20
SPI_connect: SPI's
SPI_execute: SPI's
SPI_getvalue: the caller's
SPI_copytuple: the caller's
SPI_freetuptable: the caller's
SPI_execute_with_args: SPI's
SPI_prepare: SPI's
SPI_execute_plan: SPI's
SPI_cursor_open: SPI's
SPI_cursor_fetch: SPI's
SPI_cursor_close: the caller's
SPI_finish: the caller's
O
diff "$work/expected" "$work/seen" && echo 'as described'
