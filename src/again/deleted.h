// Deleted hooks: what is pending for one is cancelled, and then the worker forgets it, so that a
// change or a start costs nothing for hooks of the past.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

// Those of which something is due, some rows of each.
void cancel_deleted(Worker* worker, TimestampTz now);

}  // namespace whisperer::pg
