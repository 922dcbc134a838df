// Allocation of the shared memory of shared_state.h, in PostgreSQL's two steps: ask for the size,
// then fill it at start-up.
#include "src/processes/shared_state.h"

namespace whisperer::pg {

namespace {

SharedState* state = nullptr;
shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

constexpr const char* tranche_name = "whisperer";

Size state_bytes() {
    return offsetof(SharedState, entries) + sizeof(WorkerEntry) * (Size)max_worker_processes;
}

void on_request() {
    if (previous_request_hook)
        previous_request_hook();
    RequestAddinShmemSpace(state_bytes());
    RequestNamedLWLockTranche(tranche_name, 1);
}

void on_startup() {
    if (previous_startup_hook)
        previous_startup_hook();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    bool found;
    state = (SharedState*)ShmemInitStruct("whisperer", state_bytes(), &found);
    if (!found) {
        memset(state, 0, state_bytes());
        state->lock = &GetNamedLWLockTranche(tranche_name)->lock;
        share_event_ids(&state->event_ids);
        pg_atomic_init_u32(&state->launcher_proc, 0);
        state->made_at = GetCurrentTimestamp();
        state->limits_of_all = {settings.max_hooks_per_role, settings.max_requests_per_second};
        state->entry_count = max_worker_processes;
        for (int i = 0; i < state->entry_count; i++) {
            WorkerEntry* entry = &state->entries[i];
            pg_atomic_init_u32(&entry->proc, 0);
            pg_atomic_init_u32(&entry->wake, 0);
            pg_atomic_init_u64(&entry->ticket, 0);
            pg_atomic_init_u64(&entry->ticket_done, 0);
            pg_atomic_init_u64(&entry->requests_read, 0);
        }
    }
    limits_of_all = &state->limits_of_all;
    LWLockRelease(AddinShmemInitLock);
}

}  // namespace

SharedState* shared_state() {
    return state;
}

SharedState* require_shared_state() {
    if (state == nullptr)
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("nothing is delivered: the library whisperer is not preloaded"),
                errhint("Add whisperer to shared_preload_libraries and restart the server."));
    return state;
}

void request_shared_state() {
    previous_request_hook = shmem_request_hook;
    shmem_request_hook = on_request;
    previous_startup_hook = shmem_startup_hook;
    shmem_startup_hook = on_startup;
}

void announce_database(SharedState* shared, Oid database) {
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    if (shared->announced_count < announcements_max)
        shared->announced[shared->announced_count] = database;
    shared->announced_count = OidIsValid(database)
                                  ? Min(shared->announced_count + 1, announcements_max + 1)
                                  : announcements_max + 1;
    LWLockRelease(shared->lock);
    wake_proc(&shared->launcher_proc);
}

uint32 my_proc_plus_one() {
    return (uint32)pg_proc_number(MyProc) + 1;
}

void wake_proc(pg_atomic_uint32* proc_plus_one) {
    uint32 number = pg_atomic_read_u32(proc_plus_one);
    if (number != 0)
        SetLatch(&ProcGlobal->allProcs[number - 1].procLatch);
}

}  // namespace whisperer::pg
