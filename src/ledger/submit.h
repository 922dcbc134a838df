// The way into the engine.  What the engine refuses for good ends as a failed delivery, with its
// reason: an event that can never be sent must not stop the log.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Hook;
struct Inflight;
struct Worker;

// Whether the engine takes more.
bool has_credit(const Worker* worker);

// Whether hooks of this one's priority have all in the engine that they may, as long as there are
// hooks of a higher one.  What else is there for it waits in the ledger.
bool has_used_share(const Worker* worker, const Hook* hook);

// Hands one event to the given hooks.  The engine copies everything.
void submit(Worker* worker, const WhispererEvent& event, const WhispererDelivery* deliveries,
            int count);

// Hands events to one hook, as many as go into so many requests, one after the other, from the
// first on.  Returns how many the engine is through with or works on; the others are as they were.
int submit_run(Worker* worker, const WhispererEvent* events, const Inflight* deliveries, int count,
               int requests_max);

// The engine has not started it, for something before it in its line did not succeed, or it was
// asked to stop.
void take_back(Worker* worker, const WhispererOutcome& unsent);

}  // namespace whisperer::pg
