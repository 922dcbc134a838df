// Makes the data and the key of an event from a row, for capture triggers and for backfill.
//
// Everything is made as the writing user.  The result depends on the row and the trigger's options
// alone: the session's settings that shape text are pinned meanwhile.
#pragma once

#include "src/record/capture_options.h"
#include "src/record/record.h"

namespace whisperer::pg {

struct PayloadMaker {
    const CaptureOptions* options;
    Relation relation;   // whose rows are given
    FmgrInfo* function;  // the C function as its statement calls it: keeps what serves all its rows
    TupleDesc desc;      // of what is made of the rows: relation's, or the options' made_on's
};

PayloadMaker payload_maker(const CaptureOptions* options, Relation relation, FmgrInfo* function);

// Pins the settings that shape text until AtEOXact_GUC(true, level), which the caller calls with
// the level returned.
int pin_settings();

// old_row: the row before an UPDATE, null where there is none or it is not known.  False: no event
// for this row.  What cannot be made is an ERROR, or where the options say so (on_error=record) an
// event that says why and fails.
bool make_event(const PayloadMaker& maker, HeapTuple row, HeapTuple old_row, bool is_update,
                NewEvent* event);

// For payload_guard.cpp: the same, and always an ERROR.
bool make_whole_event(const PayloadMaker& maker, HeapTuple row, HeapTuple old_row, bool is_update,
                      NewEvent* event);
// The key as far as no expression makes it; null: it has one of those, or there is none.
text* key_of_stored_row(const PayloadMaker& maker, HeapTuple row);
// After an ERROR: what served the statement's rows may be in the middle of anything.
void forget_statement(const PayloadMaker& maker);

// Whether two rows as they are given have the same values in these columns.
bool has_same_key(const PayloadMaker& maker, HeapTuple row, HeapTuple other,
                  const AttrNumber* columns, int count);
// The same for two rows that have.
uint32 key_hash(const PayloadMaker& maker, HeapTuple row, const AttrNumber* columns, int count);

}  // namespace whisperer::pg
