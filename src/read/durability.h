// A transaction committed with synchronous_commit = off is visible before it is durable.  Nothing
// of it may be sent before a crash can no longer undo it.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// The write-ahead log position that makes a page safe to send.  It only grows: what comes later in
// a window may have been committed later than what came first.
struct SafePosition {
    XLogRecPtr local;    // to be flushed here; invalid: nothing to do
    XLogRecPtr standby;  // to be flushed by the synchronous standbys
    bool is_held;        // a page waits for them
};

// Adds a transaction of the page.  xids that repeat cost nothing when they come in order.
void add_transaction(SafePosition* position, uint64 xid);

// Flushes here, and says whether the synchronous standbys (if any) have followed.  False: ask again
// in a moment, with the same position and no row more.
bool make_safe(SafePosition* position);

// Whether the page that is held must wait still.  Opens no transaction.
bool must_be_held(const SafePosition* position);

}  // namespace whisperer::pg
