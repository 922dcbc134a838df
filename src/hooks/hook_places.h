// Which of the workers of this database serves a hook: the one where its id puts it, but for a few
// that were dealt by their loads.  Those are listed in whisperer.bookmark (src/ledger/dealing.h).
//
// Invariant: all workers that run answer alike.  So the list is written only while none runs, in
// the transaction that gives all of them the same bookmark, and is read once, by a worker's start.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct HookPlaces {
    int worker;
    int workers;
    HTAB* moved;  // hooks that are not where their ids put them
};

HookPlaces* create_hook_places(MemoryContext context, int worker, int workers);

void note_moved(HookPlaces* places, int64 hook_id, int worker);

int place_of(const HookPlaces* places, int64 hook_id);

}  // namespace whisperer::pg
