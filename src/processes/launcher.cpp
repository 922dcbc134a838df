// The launcher's process.  Like autovacuum's, it is connected to no database and reads only
// pg_database; whether a database has the extension its worker finds out, by looking, and ends if
// not.
//
// What it knows is in shared memory (entries) and in a list of databases, which it makes anew when
// some transaction has ended since it last looked.  So it may die and start again at any point.
#include "src/processes/launcher.h"

#include "src/base/background.h"
#include "src/base/session.h"
#include "src/pg.h"
#include "src/processes/database_list.h"
#include "src/processes/resources.h"
#include "src/processes/shared_state.h"
#include "src/processes/slots.h"
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

bool start_process(int entry_number) {
    const WorkerEntry* entry = &shared_state()->entries[entry_number];
    char name[BGW_MAXLEN];
    snprintf(name, sizeof name, "whisperer worker %d: %s", entry->worker, entry->database_name);
    BackgroundProcess process = {};
    process.entry_point = "whisperer_worker_main";
    process.type = "whisperer worker";
    process.name = name;
    process.argument = Int32GetDatum(entry_number);
    return start_background(process, &handles[entry_number]);
}

WorkerEntry* find_entry(SharedState* shared, Oid database, int worker) {
    for (int i = 0; i < shared->entry_count; i++)
        if (shared->entries[i].state != WorkerState::Free &&
            shared->entries[i].database == database && shared->entries[i].worker == worker)
            return &shared->entries[i];
    return nullptr;
}

WorkerEntry* take_entry(SharedState* shared, const KnownDatabase* database, int worker) {
    for (int i = 0; i < shared->entry_count; i++) {
        WorkerEntry* entry = &shared->entries[i];
        if (entry->state != WorkerState::Free)
            continue;
        entry->database = database->oid;
        strlcpy(entry->database_name, database->name, sizeof entry->database_name);
        entry->worker = worker;
        entry->failures = 0;
        entry->restart_at = 0;
        return entry;
    }
    return nullptr;
}

void free_entry(WorkerEntry* entry) {
    entry->state = WorkerState::Free;
    entry->database = InvalidOid;
    entry->stop_requested = entry->leaves_to_deal = false;
    entry->reason[0] = '\0';
    pg_atomic_write_u64(&entry->ticket, 0);
    pg_atomic_write_u64(&entry->ticket_done, 0);
}

void start_worker(SharedState* shared, WorkerEntry* entry) {
    SteadyTime now = steady_now();
    entry->workers = settings.workers;
    entry->stop_requested = false;
    entry->since = GetCurrentTimestamp();
    entry->started_at = now;
    entry->state = WorkerState::Starting;
    if (start_process((int)(entry - shared->entries)))
        return;
    no_room_until = now + no_room_retry_us;
    log_no_room();
    entry->state = WorkerState::Stopped;
    entry->restart_at = no_room_until;
    strlcpy(entry->reason, "no room: raise max_worker_processes", sizeof entry->reason);
}

// A registered process that ended before it could say so in its entry.
bool start_failed(const WorkerEntry* entry, int entry_number, SteadyTime now) {
    if (entry->state != WorkerState::Starting || entry->pid != 0)
        return false;
    if (handles[entry_number] == nullptr)
        return now - entry->started_at > start_timeout_us;
    pid_t pid;
    return GetBackgroundWorkerPid(handles[entry_number], &pid) == BGWH_STOPPED;
}

bool is_wanted(const SharedState* shared, const KnownDatabase* database, const WorkerEntry* entry) {
    return settings.enabled && database && database->extension != ExtensionKnown::Absent &&
           !is_withdrawn(shared, database->oid) && entry->worker < settings.workers &&
           entry->workers == settings.workers && !entry->leaves_to_deal;
}

// What the entry's process reported since the last look, and whether it should go on.
void attend_entry(SharedState* shared, int entry_number, SteadyTime now) {
    WorkerEntry* entry = &shared->entries[entry_number];
    if (entry->state == WorkerState::Free)
        return;
    KnownDatabase* database = find_database(entry->database);
    if (start_failed(entry, entry_number, now)) {
        entry->state = WorkerState::Stopped;
        entry->failures++;
        entry->restart_at = now + backoff_us(entry->failures);
    }
    switch (entry->state) {
        case WorkerState::Absent:
            // Unless what it looks for may have come after it had looked.
            if (database && database->announced_at <= entry->started_at)
                database->extension = ExtensionKnown::Absent;
            free_entry(entry);
            break;
        case WorkerState::Stopped:
            if (!is_wanted(shared, database, entry))
                free_entry(entry);
            break;
        case WorkerState::Running:
        case WorkerState::Paused:
        case WorkerState::Idle:
            if (database)
                database->extension = ExtensionKnown::Present;
            [[fallthrough]];
        case WorkerState::Starting:
            if (!is_wanted(shared, database, entry) && !entry->stop_requested) {
                entry->stop_requested = true;
                wake_proc(&entry->proc);
            }
            break;
        case WorkerState::Free:
            break;
    }
}

int starting_count(const SharedState* shared) {
    int count = 0;
    for (int i = 0; i < shared->entry_count; i++)
        count += shared->entries[i].state == WorkerState::Starting;
    return count;
}

// Workers of the old number, or of the old dealing, must all be gone before one of the new starts:
// they share the hooks differently.
bool old_share_is_gone(const SharedState* shared, Oid database) {
    for (int i = 0; i < shared->entry_count; i++)
        if (shared->entries[i].state != WorkerState::Free &&
            shared->entries[i].database == database &&
            (shared->entries[i].workers != settings.workers || shared->entries[i].leaves_to_deal))
            return false;
    return true;
}

void start_missing(SharedState* shared, KnownDatabase* database, SteadyTime now) {
    if (!settings.enabled || database->extension == ExtensionKnown::Absent ||
        is_withdrawn(shared, database->oid) || now < no_room_until ||
        !old_share_is_gone(shared, database->oid))
        return;
    bool is_probe = database->extension == ExtensionKnown::Unknown;
    for (int worker = 0; worker < (is_probe ? 1 : settings.workers); worker++) {
        if (is_probe && starting_count(shared) >= probes_max)
            return;
        WorkerEntry* entry = find_entry(shared, database->oid, worker);
        if (entry && (entry->state != WorkerState::Stopped || entry->restart_at > now))
            continue;
        if (entry == nullptr)
            entry = take_entry(shared, database, worker);
        if (entry == nullptr) {
            no_room_until = now + no_room_retry_us;
            log_no_room();
            return;
        }
        start_worker(shared, entry);
    }
}

void take_announcements(SharedState* shared) {
    if (shared->announced_count > announcements_max)
        look_again_at_all();
    for (int i = 0; i < Min(shared->announced_count, announcements_max); i++) {
        KnownDatabase* database = find_database(shared->announced[i]);
        if (database)
            look_again_at(database);
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
    for (int i = 0; i < shared->entry_count; i++)
        attend_entry(shared, i, now);
    for (KnownDatabase* database = first_database(); database; database = database->next)
        start_missing(shared, database, now);
    LWLockRelease(shared->lock);
}

int databases_with_extension() {
    int count = 0;
    for (KnownDatabase* database = first_database(); database; database = database->next)
        count += database->extension == ExtensionKnown::Present;
    return count;
}

// Until the next restart that is planned, at most a tick.
long wait_ms() {
    SharedState* shared = shared_state();
    SteadyTime now = steady_now();
    int64 wait_us = settings.poll_interval_ms * (int64)1000;
    for (int i = 0; i < shared->entry_count; i++)
        if (shared->entries[i].state == WorkerState::Stopped && shared->entries[i].restart_at > now)
            wait_us = Min(wait_us, shared->entries[i].restart_at - now);
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
    // PostgreSQL says in the log that there are too many, and goes on.
    if (IsPostmasterEnvironment && !pg_is_registered(launcher.bgw_name))
        warn_of_no_launcher();
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
        TopMemoryContext, sizeof(BackgroundWorkerHandle*) * shared_state()->entry_count);
    // Handles outlive the transactions in which the list of databases is read.
    MemoryContextSwitchTo(TopMemoryContext);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            bool was_enabled = settings.enabled;
            ProcessConfigFile(PGC_SIGHUP);
            // A worker that started in between was not wanted.
            if (settings.enabled && !was_enabled)
                look_again_at_all();
        }
        attend();
        warn_of_shortages(databases_with_extension());
        warn_of_slots();
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms(),
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    }
}
}
