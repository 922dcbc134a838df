// Reading the log: window by window, page by page, each row once.
//
// A window is what became visible between two snapshots.  Its rows are read in the order (xid, id),
// and the place reached is (window, xid, id).  T, the window's end, is taken in a transaction
// without an xid; every page has a snapshot of its own, under which the hooks are looked at first.
#pragma once

#include "src/ledger/tracker.h"
#include "src/pg.h"
#include "src/read/durability.h"
#include "src/read/key_decisions.h"

namespace whisperer::pg {

struct Worker;

struct Reader {
    Window* window;
    bool is_open;  // the window has been read only up to (xid, id)
    uint64 xid;
    pg_uuid_t id;
    uint64 ledger_may_have;  // rows with smaller xids may have been delivered by an earlier process
    const XidSnapshot* cut_off;  // a process that ended without notice may have sent what is
                                 // visible in it; null: none did
    bool has_begun;              // a window, since the process began
    const XidSnapshot* ahead;  // what is visible in it had been read by some worker; null: nothing
    SafePosition safe;         // of what was read
    int held_rows;             // of the page that is held; 0: none is
    uint64 windows_read;       // to their ends, by this process
    double deliveries_per_event;
    double bytes_per_event;   // of what the engine was given
    TimestampTz last_row_at;  // when the last row handled was recorded
    bool awaits_resume;       // delivery is paused, and the next row is for a hook of this database
    MemoryContext row_context;
    Undecided* undecided;
};

enum class PageEnd {
    Caught,  // everything committed so far was read
    More,    // there is more, now or when the engine has credit again
    Held,    // the page must not be sent yet; ask again in a few milliseconds
    Paused,  // whisperer.pause(), and hooks of this database may want what comes next
    Gone,    // the extension was dropped
};

struct Bookmark;

// Continues at the bookmark's place.  In a transaction without an xid.
Reader* create_reader(MemoryContext context, const Bookmark& bookmark);

// Whether rows may still come that another worker had read before hooks were dealt anew.
bool reads_again(const Reader* reader);

// Whether the ledger has, beside what this process has sent, what one before it may have.
bool knows_what_was_sent(const Reader* reader, const Tracker* tracker);

// In a transaction: the greatest xid that a row has, of whichever database.  Rows of another one
// may be arriving (logical replication), by that one's xids: whoever reads them, too, stops here.
uint64 last_xid_of_log();

// One transaction: refreshes the hooks, reads a page and hands it out.
PageEnd read_page(Worker* worker);

}  // namespace whisperer::pg
