// See publish.h.
#include "src/loop/publish.h"

#include "src/processes/shared_state.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

// Deliveries a second.
constexpr double rate_shown_min = 0.001;
constexpr int64 longest_turn_span_us = 300 * USECS_PER_SEC;

}  // namespace

void publish_counts(Worker* worker, SteadyTime before, SteadyTime now) {
    WorkerEntry* entry = worker->entry;
    WhispererCounts counts;
    whisperer_engine_counts(worker->engine, &counts);
    double seconds = (double)(now - before) / USECS_PER_SEC;
    double rate = (double)(counts.delivered_total - entry->delivered) / seconds;
    entry->rate = before == 0 ? 0.0 : 0.8 * entry->rate + 0.2 * rate;
    // It would become ever smaller and never nothing.
    if (entry->rate < rate_shown_min)
        entry->rate = 0.0;
    entry->in_flight = counts.in_flight;
    entry->queued = counts.queued;
    entry->delivered = counts.delivered_total;
    entry->failed = worker->failed_deliveries;
    entry->sent_again = counts.reposts_total;
    entry->invalid = worker->invalid_events;
}

void publish_fault(Worker* worker) {
    WorkerEntry* entry = worker->entry;
    char fault[100];
    char reason[sizeof entry->reason] = "";
    whisperer_engine_own_fault(worker->engine, fault, sizeof fault);
    if (fault[0] != '\0')
        snprintf(reason, sizeof reason, "deliveries wait: %s", fault);
    if (strcmp(reason, entry->reason) == 0)
        return;
    LWLockAcquire(shared_state()->lock, LW_EXCLUSIVE);
    strlcpy(entry->reason, reason, sizeof entry->reason);
    LWLockRelease(shared_state()->lock);
    if (reason[0] != '\0')
        ereport(LOG, errmsg("whisperer: %s", reason),
                errhint("No attempt is used up by it; the deliveries go out when it is mended."));
    else
        ereport(LOG, errmsg("whisperer: deliveries go on"));
}

void note_turn(Worker* worker, SteadyTime began_at, SteadyTime now) {
    static SteadyTime span_ends_at;
    WorkerEntry* entry = worker->entry;
    if (now >= span_ends_at) {
        span_ends_at = now + longest_turn_span_us;
        entry->longest_turn_before_us = entry->longest_turn_us;
        entry->longest_turn_us = 0;
    }
    entry->longest_turn_us = Max(entry->longest_turn_us, now - began_at);
}

uint64 requests_read_by_all() {
    SharedState* shared = shared_state();
    uint64 read = PG_UINT64_MAX;
    for (int i = 0; i < shared->entry_count; i++)
        if (shared->entries[i].database == MyDatabaseId && shared->entries[i].worker >= 0)
            read = Min(read, pg_atomic_read_u64(&shared->entries[i].requests_read));
    return read;
}

}  // namespace whisperer::pg
