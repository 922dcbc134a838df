// Event ids: UUIDv7 (RFC 9562) whose 12 bits after the version hold the fraction of the
// millisecond.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// A new id, larger than every id that this backend made before.  Ids of two conflicting
// transactions follow the order of their row locks, because an id is made while the lock is held:
// ordered hooks rely on it.
pg_uuid_t make_event_id();

// An id that every event recorded before that moment is below.
pg_uuid_t event_id_bound(TimestampTz moment);

}  // namespace whisperer::pg
