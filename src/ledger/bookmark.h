// The stored bookmark: where the worker starts to read after a restart.
//
// It may lag behind what was delivered, for what the ledger has is skipped; it must never run ahead
// of the ledger.  So it is written in the same transactions, at most once a second and at the end.
#pragma once

#include "src/base/steady_clock.h"
#include "src/hooks/hook_places.h"
#include "src/ledger/tracker.h"
#include "src/pg.h"

namespace whisperer::pg {

// SQL: whether some worker of its incarnation may still have to read row o of the outbox.
// marks is a materialized copy of the bookmarks.  Each of them is asked: of two places in different
// windows neither need be the earlier one.
#define UNDONE_BY_SOME                                                                     \
    "(NOT EXISTS (SELECT FROM marks m WHERE m.incarnation = o.incarnation) OR EXISTS "     \
    "(SELECT FROM marks m WHERE m.incarnation = o.incarnation AND NOT "                    \
    "(pg_visible_in_snapshot(o.xid, m.seen) OR (pg_visible_in_snapshot(o.xid, m.reading) " \
    "AND (o.xid, o.id) <= (m.place_xid, m.place_id)))))"

struct Bookmark {
    int worker;
    int workers;
    ItemPointerData row;  // where its row was last written
    Place written;        // what is stored; its window is retained
    bool was_drained;     // before this process: all that was sent is in the ledger
    bool is_drained;      // what is written next says so; by a worker that leaves
    XidSnapshot* ahead;   // where another worker was when hooks were dealt; null: there was none
    int64 rows_written;   // the tracker's rows_done then
    SteadyTime written_at;
};

// In a writing transaction: finds the worker's row or makes it, and notes in places which hooks
// were dealt by their loads.  When the number of workers has changed, or one has left so that hooks
// are dealt anew, every worker starts from the window's start that was furthest behind: the ledger
// knows the rest.  What it does not know of what the one furthest ahead had read, is of hooks whose
// worker was behind: that becomes pending, so that nobody has to deliver it to get to where he was.
// Then no other worker runs; see src/processes/deal_anew.h.  Nothing may be sent before it is
// durable.
Bookmark* create_bookmark(MemoryContext context, HookPlaces* places);

// In a writing transaction, by a worker that leaves and writes no more: whoever starts next, when
// all have left, shares out again.
void have_shared_out_again(const Bookmark* bookmark);

// In a transaction: when hooks were last shared out.
TimestampTz read_dealt_at();

// Worth a write?  A log in which nothing of ours happens moves too, but only its distance counts.
bool bookmark_is_due(const Bookmark* bookmark, const Tracker* tracker, SteadyTime now);

// Something of ours was done since the last write.
bool bookmark_is_behind(const Bookmark* bookmark, const Tracker* tracker);

// In a writing transaction.
void write_bookmark(Bookmark* bookmark, const Tracker* tracker);

}  // namespace whisperer::pg
