// Dealing the hooks of a database to its workers by their loads, which are the attempts of the last
// hour in whisperer.hook_minute.  Without whisperer.track_hooks there are none, and each hook is
// where its id puts it.
//
// Invariant: hooks are dealt only while no worker of the database runs, by the first that starts;
// see create_bookmark and src/processes/deal_anew.h.
#pragma once

#include "src/hooks/hook_places.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct HookLoads {
    WhispererHookLoad* hooks;
    size_t count;
};

// In a transaction: the hooks that had attempts.  Allocated in the current context.
HookLoads read_loads();

// The hooks that a worker serves though their ids put them elsewhere.
struct Moves {
    Datum hook_ids;  // bigint[]
    Datum workers;   // smallint[], of the same length
};
Moves deal_by_load(int workers);

// By how many percent the largest load of a worker would get smaller.
int gain_of_dealing(const HookPlaces* places, const HookLoads& loads);

}  // namespace whisperer::pg
