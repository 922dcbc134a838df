// Secrets under way through our own functions: a handle stands for each, so that no statement of
// ours has a secret as parameter or constant, which auto_explain and pgaudit would write to the
// log.
//
// Invariant: a handle is 128 random bits and means something in this process alone, while its value
// is one of the latest and the transaction lasts; who reads one in a log has nothing.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// A handle for the value, which is copied; of a handle, itself.  jsonb: a JSON string for a JSON
// value.  The result is of the value's type, in the current context.
Datum hide(Datum value, bool is_jsonb);

// What a handle stands for, copied; XX000 for anything else.
Datum reveal(Datum handle, bool is_jsonb);

}  // namespace whisperer::pg
