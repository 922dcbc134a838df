// A transaction committed with synchronous_commit = off is visible before it is durable.  Nothing
// of it may be sent before a crash can no longer undo it.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// The write-ahead log position that makes a page safe to send.
struct SafePosition {
    XLogRecPtr local;    // to be flushed here; invalid: nothing to do
    XLogRecPtr standby;  // to be flushed by the synchronous standbys; invalid: there are none
};

// Adds a transaction of the page.  xids that repeat cost nothing when they come in order.
void add_transaction(SafePosition* position, uint64 xid);

// Flushes here, and says whether the synchronous standbys (if any) have followed.  False: keep the
// page and ask again in a moment, with the same position.
bool make_safe(SafePosition* position);

}  // namespace whisperer::pg
