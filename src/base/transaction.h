// The worker's transactions.  Each is short, and none is open while the worker waits for the
// network.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Opens a transaction with a snapshot and an SPI connection.  activity is shown in
// pg_stat_activity.
void begin_transaction(const char* activity);

// Keys: what was decided on idempotency keys.  A page of the log is read again when that is not
// seen; whoever reads the log only once needs it here.
enum class Tables { Log, LogAndLedger, LogLedgerAndKeys };

// The same for reading: the tables are locked before the snapshot is taken, against everybody who
// would replace them, and against nobody else.  Whoever swaps a table for a copy of it, pg_repack
// and REPACK (CONCURRENTLY), gives its rows a new xmin: to a snapshot from before the swap the copy
// is empty, and what is read once, as here, would be lost.
void begin_reading(const char* activity, Tables tables);
// Commits and leaves nothing open.
void commit_transaction();

// Runs a statement, with parameters or without, and returns what SPI does.  Like run_plan it leaves
// the caller's memory context current, where SPI leaves its own, which is gone after the commit.
int run_query(const char* query, int count, const Oid* types, const Datum* values,
              const char* nulls, bool read_only, long limit);
int run_query(const char* query, bool read_only, long limit);
// Runs a prepared statement; expected is the SPI_OK_... code.  read_only: under the transaction's
// snapshot, whatever was committed since.
void run_plan(SPIPlanPtr plan, const Datum* values, const char* nulls, bool read_only, long limit,
              int expected);
// Prepares a statement for the life of the process, the first time.
SPIPlanPtr kept_plan(SPIPlanPtr* plan, const char* query, int count, const Oid* types);

// Columns of row of the last SPI result; null pointers, zeros and false where the column is null.
Datum datum_column(int row, int number);
char* text_column(int row, int number);  // palloc'd in the current context
bool bool_column(int row, int number);
int32 int32_column(int row, int number);
int64 int64_column(int row, int number);
uint64 xid_column(int row, int number);
TimestampTz timestamp_column(int row, int number);
pg_uuid_t uuid_column(int row, int number);

// The same of an earlier result.
Datum rows_column(const SPITupleTable* rows, uint64 row, int number);

// A one-dimensional array; nulls may be null.
Datum make_array(const Datum* values, const bool* nulls, int count, Oid type);

}  // namespace whisperer::pg
