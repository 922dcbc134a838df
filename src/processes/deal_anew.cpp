// See deal_anew.h.
#include "src/processes/deal_anew.h"

#include "src/processes/shared_state.h"

namespace whisperer::pg {

int deal_anew(Oid database) {
    SharedState* shared = shared_state();
    int count = 0;
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    for (int i = 0; i < shared->entry_count; i++) {
        WorkerEntry* entry = &shared->entries[i];
        // One worker has all hooks.
        if (entry->database != database || entry->workers < 2 ||
            entry->state == WorkerState::Free || entry->state == WorkerState::Absent)
            continue;
        entry->leaves_to_deal = true;
        count++;
    }
    LWLockRelease(shared->lock);
    wake_proc(&shared->launcher_proc);
    return count;
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_deal_anew);

PGDLLEXPORT Datum whisperer_deal_anew(PG_FUNCTION_ARGS) {
    using namespace whisperer::pg;
    (void)fcinfo;
    (void)require_shared_state();
    PG_RETURN_INT32(deal_anew(MyDatabaseId));
}
}
