// The commit callback.  PostgreSQL calls it after the transaction has become visible, so a worker
// that wakes finds the row.  COMMIT PREPARED, and a commit while no worker runs, set no latch: the
// worker's tick finds those.
#include "src/record/wakeup.h"

#include "src/pg.h"
#include "src/processes/shared_state.h"

namespace whisperer::pg {

namespace {

bool callback_registered = false;
bool wake_wanted = false;
bool announce_wanted = false;

void wake_workers(SharedState* shared) {
    for (int i = 0; i < shared->entry_count; i++) {
        WorkerEntry* entry = &shared->entries[i];
        if (entry->database != MyDatabaseId)
            continue;
        pg_atomic_write_u32(&entry->wake, 1);
        wake_proc(&entry->proc);
    }
}

void on_transaction_end(XactEvent event, void*) {
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    SharedState* shared = shared_state();
    if (event == XACT_EVENT_COMMIT && shared) {
        if (wake_wanted)
            wake_workers(shared);
        if (announce_wanted)
            announce_database(shared, MyDatabaseId);
    }
    wake_wanted = announce_wanted = false;
}

void register_callback() {
    if (callback_registered)
        return;
    RegisterXactCallback(on_transaction_end, nullptr);
    callback_registered = true;
}

}  // namespace

void wake_workers_at_commit() {
    register_callback();
    wake_wanted = true;
}

void announce_at_commit() {
    register_callback();
    announce_wanted = true;
}

}  // namespace whisperer::pg
