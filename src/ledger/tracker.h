// What the worker has handed to the engine and not yet seen in the ledger, and how far the log is
// therefore done.
//
// The log is read in pages.  A page is done when every delivery of it has a row in the ledger; the
// bookmark may move to the end of the longest run of done pages, never further.
#pragma once

#include "src/base/snapshot.h"
#include "src/pg.h"

namespace whisperer::pg {

// A stretch of the log: what is visible in until and not in seen.  Shared by the pages cut from it.
struct Window {
    XidSnapshot* seen;
    XidSnapshot* until;
    uint64 ticket;  // of wait_idle, taken before until
    int references;
};

// A point in the log: everything of the window up to (xid, id), or all of it.
struct Place {
    Window* window;
    uint64 xid;
    pg_uuid_t id;
    bool at_end;
};

// What is visible in it is done when all up to the place is.
inline const XidSnapshot* seen_at(const Place& place) {
    return place.at_end ? place.window->until : place.window->seen;
}

// A delivery that the engine works on.
struct Inflight {
    bool used;
    bool once;  // no attempt after this one
    bool is_operator_event;
    bool lacks_key;  // see LedgerEntry
    bool has_row;    // the ledger has a pending row for it: parked, or a retry
    bool for_run;    // its body is made beside others of its line, and goes into the ledger
    pg_uuid_t event_id;
    int64 hook_id;
    uint64 xid;
    int64 incarnation;  // that the xid is of; 0: this database's
    int16 slot;
    int64 line;  // that it stands in; 0: none
    int32 retry_count;
    int32 round_start;          // attempts before the countdown began anew
    TimestampTz probes_before;  // it is not due before then: it goes out to probe an open circuit;
                                // 0: it is due
    TimestampTz deliver_at;     // recorded to be sent then; 0: at once
    int64 page;                 // -1: of no page (a retry), or its page needs it no more
};

struct Page {
    Place end;
    int64 rows;
    int64 outstanding;
};

struct Tracker {
    MemoryContext context;
    Inflight* entries;
    int capacity;
    int used;
    int free_count;
    int* free_entries;
    HTAB* with_row;  // (event, hook) of entries that have a row
    Page* pages;     // a ring
    int page_capacity;
    int64 first_page;
    int64 end_page;
    Place done;
    int64 rows_done;     // rows of the outbox up to there, since the process began
    uint64 ticket_done;  // of wait_idle: the last window that is done to its end
};

Tracker* create_tracker(MemoryContext context, Place start);

// Adds a delivery and returns the engine's token for it.
uint64 track(Tracker* tracker, const Inflight& delivery);
Inflight* tracked(Tracker* tracker, uint64 token);
// From now on the ledger has a row for it.
void mark_row(Tracker* tracker, Inflight* delivery);
// The engine is through with it.
void untrack(Tracker* tracker, uint64 token);
bool row_is_in_flight(Tracker* tracker, const pg_uuid_t& event_id, int64 hook_id);
// The same, whether it has a row or not yet; looks at all that there are.
bool is_in_flight(const Tracker* tracker, const pg_uuid_t& event_id, int64 hook_id);

// Opens a page; deliveries are added to it by number; close says where it
// ended and how many rows of the outbox it had.
int64 open_page(Tracker* tracker);
void add_to_page(Tracker* tracker, int64 page);
void close_page(Tracker* tracker, int64 page, Place end, int64 rows);
// One delivery of the page is in the ledger.
void settle(Tracker* tracker, int64 page);

// Whether every delivery of the transaction's events is in the ledger.
bool is_settled(const Tracker* tracker, uint64 xid);

void retain(Window* window);
void release(Window* window);

}  // namespace whisperer::pg
