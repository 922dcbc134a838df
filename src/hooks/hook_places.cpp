// See hook_places.h.
#include "src/hooks/hook_places.h"

#include "src/base/id_table.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

struct MovedHook {
    int64 id;
    int worker;
};

}  // namespace

HookPlaces* create_hook_places(MemoryContext context, int worker, int workers) {
    HookPlaces* places = (HookPlaces*)MemoryContextAllocZero(context, sizeof(HookPlaces));
    places->worker = worker;
    places->workers = workers;
    places->moved = create_id_table(context, "whisperer moved hooks", sizeof(MovedHook), 16);
    return places;
}

void note_moved(HookPlaces* places, int64 hook_id, int worker) {
    MovedHook* moved = (MovedHook*)hash_search(places->moved, &hook_id, HASH_ENTER, nullptr);
    moved->worker = worker;
}

int place_of(const HookPlaces* places, int64 hook_id) {
    const MovedHook* moved =
        (const MovedHook*)hash_search(places->moved, &hook_id, HASH_FIND, nullptr);
    return moved ? moved->worker : whisperer_place_of_hook(hook_id, places->workers);
}

}  // namespace whisperer::pg
