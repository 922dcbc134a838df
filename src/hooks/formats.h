// Which format an event has for a hook whose format was changed.
//
// What was sent has its format in the ledger, unless the process died before it was entered.  Then
// it is read from the log again, and must be sent with the same bytes whatever the hook's format is
// by then.  So a change counts from a place of the log on: what the worker had read when it learned
// of it, or a worker before it may have, keeps the former format.
//
// Invariant: before anything is sent to a hook in a format, hook_run says so, durably, and from
// which place of the log on.  A process that finds another format than hook_run has thus knows that
// nobody has sent anything in it; one that finds none there, that nobody has sent anything at all.
#pragma once

#include "src/hooks/hook_set.h"

namespace whisperer::pg {

// SQL: columns of a query that has hook_definition h and hook_run r, and their number.
#define FORMAT_COLUMNS                                                            \
    "nullif(concat_ws(':', h.format, h.payload_key), 'whisperer'), "              \
    "r.current_format IS DISTINCT FROM concat_ws(':', h.format, h.payload_key), " \
    "r.current_format, r.former_formats, array_to_string(r.former_until, ';'), "  \
    "r.formats_incarnation"
constexpr int format_column_count = 6;

// From a row whose columns from `first` on are FORMAT_COLUMNS.  Allocates in the hook's context.
void load_formats(HookSet* set, Hook* hook, int row, int first);

// Of an event that is read from the log, as the ledger keeps it; null: whisperer.  incarnation:
// that the xid is of; 0: this database's.
const char* format_for(const HookSet* set, const Hook& hook, uint64 xid, int64 incarnation);

// Notes durably, in a transaction of its own, which formats were found to be new.
void note_new_formats(HookSet* set);

}  // namespace whisperer::pg
