// A pg_snapshot in the worker's hands: which transactions had ended at a moment.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct XidSnapshot {
    uint64 xmin;
    uint64 xmax;
    int running_count;
    uint64* running;  // xids in progress, ascending
    char* text;       // "xmin:xmax:xid,xid"
    Datum datum;      // pg_snapshot
};

// Parses PostgreSQL's own text form.  Everything is allocated in the given context.
XidSnapshot* parse_snapshot(const char* text, MemoryContext context);
void free_snapshot(XidSnapshot* snapshot);

// Of two snapshots of one database: whether what is visible in the earlier is visible in the other.
bool covers(const XidSnapshot* snapshot, const XidSnapshot* earlier);

// What pg_visible_in_snapshot says.
bool visible_in(uint64 xid, const XidSnapshot* snapshot);

// The snapshot of the transaction that is now open, which must have no xid: its own xid would be
// missing from it, and what it writes would count as neither old nor new.
XidSnapshot* current_snapshot(MemoryContext context);

}  // namespace whisperer::pg
