// Making a worker; see worker_setup.h.
#include "src/loop/worker_setup.h"

#include "src/again/hand_over.h"
#include "src/again/requests.h"
#include "src/again/take_over.h"
#include "src/base/background.h"
#include "src/base/memory_limit.h"
#include "src/base/session.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/functions/helper.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"
#include "src/processes/shared_state.h"
#include "src/read/outbox_reader.h"
#include "src/read/register_types.h"
#include "src/retention/payload_retention.h"
#include "src/retention/retention.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

WorkerEntry* own_entry = nullptr;
WhispererEngine* own_engine = nullptr;
Helper* own_helper = nullptr;

constexpr int64 failures_forgotten_after_us = 60 * USECS_PER_SEC;

// Runs at every kind of exit that leaves the cluster standing.
void leave(int code, Datum) {
    whisperer_engine_destroy(own_engine);
    own_engine = nullptr;
    // A function that runs for ever has nobody who would end it.
    if (own_helper)
        abandon_helpers(&own_helper->process);
    SharedState* shared = shared_state();
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    WorkerEntry* entry = own_entry;
    SteadyTime now = steady_now();
    if (now - entry->started_at > failures_forgotten_after_us)
        entry->failures = 0;
    entry->failures = code == 0 ? 0 : entry->failures + 1;
    entry->restart_at = code == 0 ? now : now + backoff_us(entry->failures);
    entry->pid = 0;
    entry->in_flight = entry->queued = 0;
    entry->since = GetCurrentTimestamp();
    if (entry->state != WorkerState::Absent)
        entry->state = WorkerState::Stopped;
    pg_atomic_write_u32(&entry->proc, 0);
    LWLockRelease(shared->lock);
    wake_proc(&shared->launcher_proc);
}

void enter(int entry_number) {
    SharedState* shared = shared_state();
    own_entry = &shared->entries[entry_number];
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    own_entry->pid = MyProcPid;
    own_entry->since = GetCurrentTimestamp();
    own_entry->delivered = own_entry->failed = own_entry->in_flight = own_entry->queued = 0;
    own_entry->sent_again = own_entry->invalid = 0;
    own_entry->rate = own_entry->lag_seconds = 0;
    own_entry->longest_turn_us = own_entry->longest_turn_before_us = 0;
    pg_atomic_write_u64(&own_entry->requests_read, 0);
    pg_atomic_write_u32(&own_entry->proc, my_proc_plus_one());
    LWLockRelease(shared->lock);
    before_shmem_exit(leave, 0);
}

void set_state(WorkerState state, const char* reason) {
    LWLockAcquire(shared_state()->lock, LW_EXCLUSIVE);
    own_entry->state = state;
    strlcpy(own_entry->reason, reason, sizeof own_entry->reason);
    LWLockRelease(shared_state()->lock);
}

enum class Extension { Absent, OtherVersion, Present };

Extension look_for_extension(char* version, size_t version_bytes) {
    begin_transaction("looking for the extension");
    if (run_query("SELECT extversion FROM pg_extension WHERE extname = 'whisperer'", true, 1) !=
        SPI_OK_SELECT)
        elog(ERROR, "could not read pg_extension");
    Extension found = Extension::Absent;
    if (SPI_processed == 1) {
        strlcpy(version, text_column(0, 1), version_bytes);
        found =
            strcmp(version, WHISPERER_VERSION) == 0 ? Extension::Present : Extension::OtherVersion;
    }
    commit_transaction();
    return found;
}

// After a package upgrade the library is new and the schema old until ALTER EXTENSION UPDATE.
// Recording goes on meanwhile.  False: the extension is not there, or the worker is told to stop.
bool wait_for_extension() {
    bool told = false;
    for (;;) {
        char version[64] = "";
        uint64 completed = pg_transactions_completed();
        Extension found = look_for_extension(version, sizeof version);
        if (found == Extension::Present)
            return true;
        if (found == Extension::Absent) {
            set_state(WorkerState::Absent, "");
            return false;
        }
        if (!told)
            ereport(LOG,
                    errmsg("whisperer: database \"%s\" waits: its extension has version %s, the "
                           "library has version %s",
                           own_entry->database_name, version, WHISPERER_VERSION),
                    errhint("Run ALTER EXTENSION whisperer UPDATE in that database."));
        told = true;
        set_state(WorkerState::Idle, "versions differ: run ALTER EXTENSION whisperer UPDATE");
        while (pg_transactions_completed() == completed) {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                            settings.poll_interval_ms, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
            if (own_entry->stop_requested)
                return false;
        }
    }
}

WhispererSpan span(const char* value) {
    return {value, strlen(value)};
}

WhispererSettings engine_settings() {
    const Settings& s = settings;
    WhispererSettings engine = {};
    engine.max_in_flight = s.max_in_flight;
    engine.max_in_flight_per_hook = s.max_in_flight_per_hook;
    engine.park_after_ms = s.park_after_ms;
    engine.request_timeout_ms = s.request_timeout_ms;
    engine.connect_timeout_ms = s.connect_timeout_ms;
    engine.queued_bytes_max = s.max_queued_bytes;
    engine.failure_response_bytes_max = s.max_response_bytes;
    engine.success_response_bytes_max = Min(success_response_bytes_max, s.max_response_bytes);
    engine.require_https = s.require_https;
    engine.circuit_breaker = s.circuit_breaker;
    engine.any_key_exchange = s.tls_key_exchange == KeyExchangeAny;
    engine.allowed_networks = span(s.allowed_networks);
    engine.denied_networks = span(s.denied_networks);
    engine.divert_to = span(s.divert_to);
    engine.proxy = span(s.proxy);
    engine.ca_file = span(s.ca_file);
    engine.version = span(WHISPERER_VERSION);
    return engine;
}

WhispererEngine* create_engine() {
    WhispererSettings initial = engine_settings();
    WhispererError error = {};
    own_engine = whisperer_engine_create(&initial, &error);
    if (own_engine == nullptr)
        ereport(ERROR,
                errmsg("whisperer: could not create the delivery engine: %s", error.message));
    return own_engine;
}

Worker* create_worker() {
    MemoryContext context =
        AllocSetContextCreate(TopMemoryContext, "whisperer worker", ALLOCSET_DEFAULT_SIZES);
    Worker* made = (Worker*)MemoryContextAllocZero(context, sizeof(Worker));
    made->context = context;
    made->step = AllocSetContextCreate(context, "whisperer step", ALLOCSET_DEFAULT_SIZES);
    made->entry = own_entry;
    made->engine = create_engine();
    made->ledger = create_ledger(context);
    made->helper = own_helper = create_helper(context);
    begin_transaction("reading the bookmark");
    HookPlaces* places = create_hook_places(context, own_entry->worker, own_entry->workers);
    made->bookmark = create_bookmark(context, places);
    commit_transaction();
    XLogFlush(XactLastCommitEnd);
    made->hooks = create_hook_set(context, places);
    note_settled(made->hooks, seen_at(made->bookmark->written));
    made->tracker = create_tracker(context, made->bookmark->written);
    made->retention = create_retention(context);
    made->payload_retention = create_payload_retention(context);
    made->hand_over = create_hand_over(context);
    made->requests = create_requests(context);
    made->take_over = create_take_over(context);
    made->unregistered = create_unregistered_types(context);
    begin_transaction("looking where the log ends");
    made->reader = create_reader(context, *made->bookmark);
    commit_transaction();
    return made;
}

}  // namespace

Worker* set_up_worker(int entry_number) {
    enter(entry_number);
    pin_session();
    limit_worker_memory();
    BackgroundWorkerInitializeConnectionByOid(own_entry->database, InvalidOid, 0);
    if (!wait_for_extension())
        return nullptr;
    if (!settings.enabled) {
        ereport(LOG, errmsg("whisperer: nothing is delivered in database \"%s\": whisperer.enabled "
                            "is off there",
                            own_entry->database_name));
        set_state(WorkerState::Absent, "");
        return nullptr;
    }
    Worker* made = create_worker();
    set_state(WorkerState::Running, "");
    return made;
}

void report_absent(Worker* worker) {
    ereport(LOG, errmsg("whisperer: the extension was dropped from database \"%s\"",
                        worker->entry->database_name));
    set_state(WorkerState::Absent, "");
}

void configure_engine(WhispererEngine* engine) {
    WhispererSettings changed = engine_settings();
    WhispererError error = {};
    if (whisperer_engine_configure(engine, &changed, &error) != WhispererOk)
        ereport(LOG, errmsg("whisperer: the settings were not taken over: %s", error.message));
}

bool reload_settings(Worker* worker) {
    ConfigReloadPending = false;
    bool had_keys = settings.secret_key_file[0] != '\0';
    int had_memory_mb = settings.worker_memory_mb;
    char* had_allowed = pstrdup(settings.allowed_networks);
    char* had_denied = pstrdup(settings.denied_networks);
    bool had_https = settings.require_https;
    ProcessConfigFile(PGC_SIGHUP);
    limit_worker_memory();
    configure_engine(worker->engine);
    if (strcmp(had_allowed, settings.allowed_networks) != 0 ||
        strcmp(had_denied, settings.denied_networks) != 0 || had_https != settings.require_https)
        free_all_refused(worker->hooks);
    // The key file may be another, or be there again.
    bool keys_may_differ = had_keys || settings.secret_key_file[0] != '\0' ||
                           had_memory_mb != settings.worker_memory_mb;
    worker->hooks->stale |= keys_may_differ;
    return keys_may_differ;
}

WaitEventSet* create_wait_events(const WhispererEngine* engine) {
    WaitEventSet* events = pg_create_wait_event_set(3);
    AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
    AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
    AddWaitEventToSet(events, WL_SOCKET_READABLE, whisperer_engine_fd(engine), nullptr, nullptr);
    return events;
}

}  // namespace whisperer::pg
