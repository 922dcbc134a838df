// What a worker's process knows of how a hook runs.  whisperer.hook_run has as much of it as the
// next process needs.
//
// Invariant: it is kept by the hook's id from the first load until the hook is forgotten, and a
// load replaces none of it.  A hook is loaded whenever anything in its row changes, so whatever
// had to be carried over from one definition to the next would sooner or later be left behind.
// What a change means for it (another address, another rate, resume_hook) hook_load.cpp says.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct HookLines;

// In the order in which a hook's rows are due.  Entries of rows that were changed since stay in the
// index for as long as somebody may see them; nobody walks them twice who begins at his place.
struct DuePlace {
    TimestampTz at;
    pg_uuid_t event_id;
};

// What deliveries of the ledger may wait for beside their countdown.
enum FreedFrom {
    FreedFromRate = 1,
    FreedFromCircuit = 2,  // of which only as many as fit into one statement are freed
    FreedFromAddress = 4,  // to which nothing might be sent
    FreedFromClock = 8,    // that was ahead when they were entered
};

// Of a hook's functions, in a row: it is disabled.
constexpr int function_timeouts_max = 10;

// Allocated in the set's memory context, as the lines are.
struct HookRun {
    // Due retries: nothing is due before next_due_at, and everything up to (low_at, low_id) has
    // been read by this process.  DT_NOEND: nothing is pending.
    TimestampTz next_due_at;
    TimestampTz low_at;
    pg_uuid_t low_id;
    int due_rows;         // that are read of it at a time
    HookLines* lines;     // null: it is not ordered and never was
    int freed_from;       // FreedFrom: what the ledger has waits for it no longer
    DuePlace freed;       // up to here
    bool waits_for_room;  // its backlog is not read, for the helper has enough of its calls
    bool wants_probe;     // its circuit's probe is to be made at once
    bool in_scan;         // for what was carried here, since before it began; see take_over.h
    bool is_in_use;       // of a deleted one: something is under way for it
    // Functions of the owner's.
    int function_timeouts;  // in a row
    bool timeouts_are_old;  // hook_run still counts those from before it was resumed
    bool call_was_cut;      // the server crashed in the middle of one, and nobody has counted it
    bool call_is_marked;    // this process has noted in hook_run that one begins
    bool is_survived;       // a call has ended since this process began
    bool refusal_is_told;   // the log says that nothing may be sent to its address
    // See hook_health.h.
    TimestampTz failing_since;    // 0: the last attempt succeeded
    SteadyTime failing_from;      // the same by the clock that nobody sets
    TimestampTz failing_written;  // what hook_run says; 0: null
    int64 failing_us_written;     // the same, of how long
    bool failing_is_stale;        // hook_run says it of an address that it has no more
    bool is_disabled;             // by this process, and the hooks were not loaded since
    bool circuit_is_open;
    bool circuit_is_stale;  // hook_run says open, and a new engine knows nothing of it
};

}  // namespace whisperer::pg
