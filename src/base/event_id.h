// Event ids: UUIDv7 (RFC 9562) whose 12 bits after the version hold the fraction of the
// millisecond.
//
// Ids only grow, in all backends of the server together: an id is the clock's or the one after the
// newest, whichever is larger.  So ids of two conflicting transactions follow the order of their
// row locks, because an id is made while the lock is held, also when the clock is set back or a
// standby whose clock is behind is promoted: ordered hooks rely on it.  A newest id that is more
// than an hour ahead of the clock was made by a clock that was wrong; then ids follow the clock
// again.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// What all backends share of them; zeros at start.
struct EventIds {
    pg_atomic_uint64 newest;        // its first 60 bits without the version
    pg_atomic_uint32 followed[64];  // databases whose log has been looked at
};

// Called once, before any id is made.  Without it each backend has ids of its own.
void share_event_ids(EventIds* shared);

// A new id, larger than every one that this server made before or has in the database's log.
pg_uuid_t make_event_id();

// An id that every event recorded before that moment is below, unless the clock was set back since.
pg_uuid_t event_id_bound(TimestampTz moment);

}  // namespace whisperer::pg
