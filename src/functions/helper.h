// Subscribers' functions (transform, callback, countdown), as the worker sees them: what is to be
// called waits in a queue, one call at a time is with the helper process, and what comes back goes
// on as a delivery, an entry of the ledger or news of a hook.  The worker never runs such a
// function itself and never waits for one.
//
// Nothing is lost when the process dies: a transform's delivery is still in the log or pending, a
// callback's row says that it is due, and a countdown's default is in the ledger already.
#pragma once

#include "src/base/steady_clock.h"
#include "src/functions/process.h"
#include "src/functions/queue.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/tracker.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Worker;

struct Helper {
    HelperProcess process;
    HelperQueue* queue;
    HelperCall* current;    // taken from the queue; with the process once it has started_at
    SteadyTime idle_since;  // the process has nothing to do
    SteadyTime parks_at;    // the next look for calls that wait too long
};

Helper* create_helper(MemoryContext context);

// Outside of a transaction: takes answers, gives calls, ends what takes too long.  Never waits.
void run_helper(Worker* worker, SteadyTime now);

// Until run_helper has something to do without being woken; -1: no deadline.
int64 helper_wait_ms(const Worker* worker, SteadyTime now);

// The worker leaves in order: nobody of ours stays connected to the database.
void stop_helper(Worker* worker);

}  // namespace whisperer::pg
