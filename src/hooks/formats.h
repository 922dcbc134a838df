// Which format an event has for a hook whose format was changed.
//
// What was sent has its format in the ledger, unless the process died before it was entered.  Then
// it is read from the log again, and must be sent with the same bytes whatever the hook's format is
// by then.  So a change counts from a place of the log on: what the worker had read when it learned
// of it, or a worker before it may have, keeps the former format.
//
// Invariant: hook_run says where that place is, durably, before anything beyond it is sent.  A
// process that finds a change of which it says nothing knows thus that nobody has sent anything in
// the new format.
#pragma once

#include "src/hooks/hook_set.h"

namespace whisperer::pg {

// SQL: columns of a query that has hook_definition h and hook_run r, and their number.
#define FORMAT_COLUMNS                                                                       \
    "nullif(concat_ws(':', h.format, h.payload_key), 'whisperer'), "                         \
    "coalesce(r.current_format, h.first_format) <> concat_ws(':', h.format, h.payload_key) " \
    "AS is_new_format, nullif(coalesce(r.current_format, h.first_format), 'whisperer'), "    \
    "CASE WHEN r.formats_incarnation = $1 THEN r.former_formats END, "                       \
    "array_to_string(r.former_until, ';')"
constexpr int format_column_count = 5;

// From a row whose columns from `first` on are FORMAT_COLUMNS.  Allocates in the hook's context.
void load_formats(HookSet* set, Hook* hook, int row, int first);

// Of an event that is read from the log: as the ledger keeps it; null: whisperer.
const char* format_for(const HookSet* set, const Hook& hook, uint64 xid);

// After a page was read: notes durably, in a transaction of its own, which formats were found to be
// new.
void note_new_formats(HookSet* set);

}  // namespace whisperer::pg
