// Whether the workers' loads differ so much that hooks should be dealt anew.  The first worker
// looks.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

// About once a minute, while some worker has not kept up with the log at several looks in a row:
// all workers leave, and come back with other hooks, if the busiest would then have a fifth less,
// and hooks were not dealt in the last hour.
void look_after_balance(Worker* worker, SteadyTime now);

// At a worker's end, where it leaves for that; see src/processes/deal_anew.h.
void leave_to_be_dealt(Worker* worker);

}  // namespace whisperer::pg
