// Putting rows into a table of ours as COPY does, without a plan: its start and end cost a few rows
// more than the rows themselves (docs/performance.md).
//
// Evaluates no default, applies no rule, and asks no partition whether the row is its own: that is
// the caller's business, and so is what must not be null.  Check constraints are checked.  Columns
// are counted as the install script creates them; what an update adds comes behind and is null.
//
// Triggers are fired where the table has some, as its owner.  We make none there; but whoever
// copies a table while it is written to (pg_repack, for one) learns of new rows by a trigger, and
// would lose those that fire none.  Those of the statement are the partition's, not its parent's.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Rows of one table.  Lives in the memory context that was current at the beginning.
struct DirectInsert {
    Relation relation;
    EState* estate;
    ResultRelInfo* info;
    TupleDesc desc;
    TupleTableSlot** rows;
    int count;
};

// For as many rows at most.  Refuses (25006) in a read-only transaction, and an error (XX000) if
// the table has fewer columns than are expected.
DirectInsert begin_direct_insert(Oid table, int columns, int rows_max);

// The next row, all null; its values must live until the end.
TupleTableSlot* add_direct_row(DirectInsert* insert);

inline void set_column(TupleTableSlot* row, int column, Datum value, bool is_null = false) {
    row->tts_values[column] = value;
    row->tts_isnull[column] = is_null;
}

// Inserts the rows, and lets go of the table; its locks stay until the transaction ends.
void end_direct_insert(DirectInsert* insert);

}  // namespace whisperer::pg
