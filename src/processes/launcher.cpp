// The launcher's process.  Like autovacuum's, it is connected to no database and reads only
// pg_database; whether a database has the extension its worker finds out, by looking, and ends if
// not.
//
// What it knows is in shared memory (slots) and in a list of databases, which it makes anew when
// some transaction has ended since it last looked.  So it may die and start again at any point.
#include "src/processes/launcher.h"

#include "src/base/background.h"
#include "src/base/session.h"
#include "src/pg.h"
#include "src/processes/database_list.h"
#include "src/processes/shared_state.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// Databases that are not known yet are looked at by a few workers at a time.
constexpr int probes_max = 2;
constexpr int64 no_room_retry_us = 10 * USECS_PER_SEC;
// A worker that was registered and never came up, seen by a launcher that has lost its handle.
constexpr int64 start_timeout_us = 60 * USECS_PER_SEC;

BackgroundWorkerHandle** handles = nullptr;
SteadyTime no_room_until = 0;

// Under the lock.
bool is_withdrawn(const SharedState* shared, Oid database) {
    for (int i = 0; i < shared->withdrawn_count; i++)
        if (shared->withdrawn[i] == database)
            return true;
    return false;
}

void log_no_room() {
    static bool told = false;
    if (!told)
        ereport(LOG, errmsg("whisperer: no room for a delivery worker"),
                errhint("Raise max_worker_processes and restart the server; until then it is tried "
                        "again every %d s.",
                        (int)(no_room_retry_us / USECS_PER_SEC)));
    told = true;
}

bool start_process(int slot_number) {
    const WorkerSlot* slot = &shared_state()->slots[slot_number];
    char name[BGW_MAXLEN];
    snprintf(name, sizeof name, "whisperer worker %d: %s", slot->worker, slot->database_name);
    BackgroundProcess process = {};
    process.entry_point = "whisperer_worker_main";
    process.type = "whisperer worker";
    process.name = name;
    process.argument = Int32GetDatum(slot_number);
    return start_background(process, &handles[slot_number]);
}

WorkerSlot* find_slot(SharedState* shared, Oid database, int worker) {
    for (int i = 0; i < shared->slot_count; i++)
        if (shared->slots[i].state != WorkerState::Free && shared->slots[i].database == database &&
            shared->slots[i].worker == worker)
            return &shared->slots[i];
    return nullptr;
}

WorkerSlot* take_slot(SharedState* shared, const KnownDatabase* database, int worker) {
    for (int i = 0; i < shared->slot_count; i++) {
        WorkerSlot* slot = &shared->slots[i];
        if (slot->state != WorkerState::Free)
            continue;
        slot->database = database->oid;
        strlcpy(slot->database_name, database->name, sizeof slot->database_name);
        slot->worker = worker;
        slot->failures = 0;
        slot->restart_at = 0;
        return slot;
    }
    return nullptr;
}

void free_slot(WorkerSlot* slot) {
    slot->state = WorkerState::Free;
    slot->database = InvalidOid;
    slot->stop_requested = false;
    slot->reason[0] = '\0';
    pg_atomic_write_u64(&slot->ticket, 0);
    pg_atomic_write_u64(&slot->ticket_done, 0);
}

void start_worker(SharedState* shared, WorkerSlot* slot) {
    SteadyTime now = steady_now();
    slot->workers = settings.workers;
    slot->stop_requested = false;
    slot->since = GetCurrentTimestamp();
    slot->started_at = now;
    slot->state = WorkerState::Starting;
    if (start_process((int)(slot - shared->slots)))
        return;
    no_room_until = now + no_room_retry_us;
    log_no_room();
    slot->state = WorkerState::Stopped;
    slot->restart_at = no_room_until;
    strlcpy(slot->reason, "no room: raise max_worker_processes", sizeof slot->reason);
}

// A registered process that ended before it could say so in its slot.
bool start_failed(const WorkerSlot* slot, int slot_number, SteadyTime now) {
    if (slot->state != WorkerState::Starting || slot->pid != 0)
        return false;
    if (handles[slot_number] == nullptr)
        return now - slot->started_at > start_timeout_us;
    pid_t pid;
    return GetBackgroundWorkerPid(handles[slot_number], &pid) == BGWH_STOPPED;
}

bool is_wanted(const SharedState* shared, const KnownDatabase* database, const WorkerSlot* slot) {
    return settings.enabled && database && database->extension != ExtensionKnown::Absent &&
           !is_withdrawn(shared, database->oid) && slot->worker < settings.workers &&
           slot->workers == settings.workers;
}

// What the slot's process reported since the last look, and whether it should go on.
void attend_slot(SharedState* shared, int slot_number, SteadyTime now) {
    WorkerSlot* slot = &shared->slots[slot_number];
    if (slot->state == WorkerState::Free)
        return;
    KnownDatabase* database = find_database(slot->database);
    if (start_failed(slot, slot_number, now)) {
        slot->state = WorkerState::Stopped;
        slot->failures++;
        slot->restart_at = now + backoff_us(slot->failures);
    }
    switch (slot->state) {
        case WorkerState::Absent:
            // Unless CREATE EXTENSION committed after the worker had looked.
            if (database && database->announced_at < slot->started_at)
                database->extension = ExtensionKnown::Absent;
            free_slot(slot);
            break;
        case WorkerState::Stopped:
            if (!is_wanted(shared, database, slot))
                free_slot(slot);
            break;
        case WorkerState::Running:
        case WorkerState::Paused:
        case WorkerState::Idle:
            if (database)
                database->extension = ExtensionKnown::Present;
            [[fallthrough]];
        case WorkerState::Starting:
            if (!is_wanted(shared, database, slot) && !slot->stop_requested) {
                slot->stop_requested = true;
                wake_proc(&slot->proc);
            }
            break;
        case WorkerState::Free:
            break;
    }
}

int starting_count(const SharedState* shared) {
    int count = 0;
    for (int i = 0; i < shared->slot_count; i++)
        count += shared->slots[i].state == WorkerState::Starting;
    return count;
}

// Workers of the old number must all be gone before one of the new number starts: they share the
// hooks differently.
bool old_number_is_gone(const SharedState* shared, Oid database) {
    for (int i = 0; i < shared->slot_count; i++)
        if (shared->slots[i].state != WorkerState::Free && shared->slots[i].database == database &&
            shared->slots[i].workers != settings.workers)
            return false;
    return true;
}

void start_missing(SharedState* shared, KnownDatabase* database, SteadyTime now) {
    if (!settings.enabled || database->extension == ExtensionKnown::Absent ||
        is_withdrawn(shared, database->oid) || now < no_room_until ||
        !old_number_is_gone(shared, database->oid))
        return;
    bool is_probe = database->extension == ExtensionKnown::Unknown;
    for (int worker = 0; worker < (is_probe ? 1 : settings.workers); worker++) {
        if (is_probe && starting_count(shared) >= probes_max)
            return;
        WorkerSlot* slot = find_slot(shared, database->oid, worker);
        if (slot && (slot->state != WorkerState::Stopped || slot->restart_at > now))
            continue;
        if (slot == nullptr)
            slot = take_slot(shared, database, worker);
        if (slot == nullptr) {
            no_room_until = now + no_room_retry_us;
            log_no_room();
            return;
        }
        start_worker(shared, slot);
    }
}

void take_announcements(SharedState* shared) {
    if (shared->announced_count > announcements_max)
        forget_absences();
    for (int i = 0; i < Min(shared->announced_count, announcements_max); i++) {
        KnownDatabase* database = find_database(shared->announced[i]);
        if (database == nullptr)
            continue;
        database->extension = ExtensionKnown::Unknown;
        database->announced_at = steady_now();
    }
    shared->announced_count = 0;
}

void attend() {
    SharedState* shared = shared_state();
    SteadyTime now = steady_now();
    // Before the lock: it opens a transaction.  An announced database is in the list already, for
    // its announcement was made after its creation was committed.
    refresh_databases();
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    take_announcements(shared);
    for (int i = 0; i < shared->slot_count; i++)
        attend_slot(shared, i, now);
    for (KnownDatabase* database = first_database(); database; database = database->next)
        start_missing(shared, database, now);
    LWLockRelease(shared->lock);
}

// Until the next restart that is planned, at most a tick.
long wait_ms() {
    SharedState* shared = shared_state();
    SteadyTime now = steady_now();
    int64 wait_us = settings.poll_interval_ms * (int64)1000;
    for (int i = 0; i < shared->slot_count; i++)
        if (shared->slots[i].state == WorkerState::Stopped && shared->slots[i].restart_at > now)
            wait_us = Min(wait_us, shared->slots[i].restart_at - now);
    return (long)(wait_us / 1000 + 1);
}

void leave(int, Datum) {
    pg_atomic_write_u32(&shared_state()->launcher_proc, 0);
}

}  // namespace

void register_launcher() {
    BackgroundWorker launcher = {};
    launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    // On a standby that is at its promotion.
    launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
    launcher.bgw_restart_time = 5;
    strlcpy(launcher.bgw_library_name, "whisperer", sizeof launcher.bgw_library_name);
    strlcpy(launcher.bgw_function_name, "whisperer_launcher_main",
            sizeof launcher.bgw_function_name);
    strlcpy(launcher.bgw_name, "whisperer launcher", sizeof launcher.bgw_name);
    strlcpy(launcher.bgw_type, "whisperer launcher", sizeof launcher.bgw_type);
    RegisterBackgroundWorker(&launcher);
}

}  // namespace whisperer::pg

extern "C" {

PGDLLEXPORT void whisperer_launcher_main(Datum);

void whisperer_launcher_main(Datum) {
    using namespace whisperer::pg;
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    pin_session();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    pg_atomic_write_u32(&shared_state()->launcher_proc, my_proc_plus_one());
    before_shmem_exit(leave, 0);
    handles = (BackgroundWorkerHandle**)MemoryContextAllocZero(
        TopMemoryContext, sizeof(BackgroundWorkerHandle*) * shared_state()->slot_count);
    // Handles outlive the transactions in which the list of databases is read.
    MemoryContextSwitchTo(TopMemoryContext);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
        attend();
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms(),
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    }
}
}
