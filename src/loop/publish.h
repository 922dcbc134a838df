// What the worker says of itself in shared memory beside its state: for the view status, and for
// the gateway's metrics.  Called by the loop.
#pragma once

#include "src/base/steady_clock.h"
#include "src/base/worker.h"
#include "src/pg.h"

namespace whisperer::pg {

// before: the last time; 0: never.
void publish_counts(Worker* worker, SteadyTime before, SteadyTime now);

// A fault of ours is news when it appears and when it is over; status shows it meanwhile.
void publish_fault(Worker* worker);

// A turn of the loop, without its wait.  What takes the only thread holds up everybody's
// deliveries.
void note_turn(Worker* worker, SteadyTime began_at, SteadyTime now);

// The workers of this database have read every request with a smaller xid.
uint64 requests_read_by_all();

}  // namespace whisperer::pg
