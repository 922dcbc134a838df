// What SQL may ask about the workers of the current database: their state for the view status, and
// the tickets of wait_idle.
#include "src/base/identity.h"
#include "src/pg.h"
#include "src/processes/shared_state.h"
#include "worker/engine.h"

namespace whisperer::pg {

namespace {

const char* state_text(WorkerState state) {
    switch (state) {
        case WorkerState::Running:
            return "running";
        case WorkerState::Paused:
            return "paused";
        case WorkerState::Idle:
            return "idle";
        case WorkerState::Starting:
        case WorkerState::Stopped:
        case WorkerState::Absent:
        case WorkerState::Free:
            break;
    }
    return "down";
}

void put_worker(ReturnSetInfo* result, const WorkerEntry* entry) {
    Datum values[] = {Int32GetDatum(entry->worker),
                      Int32GetDatum(entry->pid),
                      DirectFunctionCall1(namein, CStringGetDatum(entry->database_name)),
                      CStringGetTextDatum(state_text(entry->state)),
                      CStringGetTextDatum(entry->reason),
                      TimestampTzGetDatum(entry->since),
                      Int64GetDatum(entry->in_flight),
                      Int64GetDatum(entry->queued),
                      Int64GetDatum(entry->delivered),
                      Int64GetDatum(entry->failed),
                      Float8GetDatum(entry->lag_seconds),
                      Float8GetDatum(entry->rate)};
    bool nulls[lengthof(values)] = {};
    nulls[1] = entry->pid == 0;
    nulls[4] = entry->reason[0] == '\0';
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void put_turn(ReturnSetInfo* result, const WorkerEntry* entry) {
    int64 longest_us = Max(entry->longest_turn_us, entry->longest_turn_before_us);
    Datum values[] = {Int32GetDatum(entry->worker),
                      Float8GetDatum((double)longest_us / USECS_PER_SEC)};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void put_wire(ReturnSetInfo* result, const WorkerEntry* entry) {
    char http[100];
    whisperer_http_versions(http, sizeof http);
    Datum values[] = {Int32GetDatum(entry->worker), Int64GetDatum(entry->sent_again),
                      CStringGetTextDatum(http), Int64GetDatum(entry->invalid)};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

bool is_worker_of_database(const WorkerEntry* entry) {
    return entry->state != WorkerState::Free && entry->state != WorkerState::Absent &&
           entry->database == MyDatabaseId;
}

Datum put_workers(FunctionCallInfo fcinfo, void (*put)(ReturnSetInfo*, const WorkerEntry*)) {
    InitMaterializedSRF(fcinfo, 0);
    SharedState* shared = shared_state();
    if (shared == nullptr)
        PG_RETURN_NULL();
    int count = 0;
    WorkerEntry* entries = (WorkerEntry*)palloc(sizeof(WorkerEntry) * shared->entry_count);
    LWLockAcquire(shared->lock, LW_SHARED);
    for (int i = 0; i < shared->entry_count; i++)
        if (is_worker_of_database(&shared->entries[i]))
            entries[count++] = shared->entries[i];
    LWLockRelease(shared->lock);
    for (int i = 0; i < count; i++)
        put((ReturnSetInfo*)fcinfo->resultinfo, &entries[i]);
    PG_RETURN_NULL();
}

void ask(WorkerEntry* entry, uint64 ticket) {
    if (pg_atomic_read_u64(&entry->ticket) >= ticket)
        return;
    pg_atomic_write_u64(&entry->ticket, ticket);
    wake_proc(&entry->proc);
}

// One number for all workers of the database, larger than any given out before.
uint64 take_ticket(SharedState* shared) {
    int asked = 0;
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    uint64 ticket = ++shared->last_ticket;
    for (int i = 0; i < shared->entry_count; i++)
        if (is_worker_of_database(&shared->entries[i])) {
            ask(&shared->entries[i], ticket);
            asked++;
        }
    LWLockRelease(shared->lock);
    return asked > 0 ? ticket : 0;
}

// A worker that started later, as all do when their number changes, is asked now; and one that is
// still to come, as all but the first where nobody has looked yet, is waited for.
bool ticket_is_done(SharedState* shared, uint64 ticket) {
    int workers = 1;
    int left = 0;
    int done = 0;
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    for (int i = 0; i < shared->entry_count && ticket <= shared->last_ticket; i++)
        if (is_worker_of_database(&shared->entries[i])) {
            ask(&shared->entries[i], ticket);
            workers = Max(workers, shared->entries[i].workers);
            (pg_atomic_read_u64(&shared->entries[i].ticket_done) >= ticket ? done : left)++;
        }
    LWLockRelease(shared->lock);
    return left == 0 && done >= workers;
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_worker_state);
PG_FUNCTION_INFO_V1(whisperer_worker_turns);
PG_FUNCTION_INFO_V1(whisperer_worker_wire);
PG_FUNCTION_INFO_V1(whisperer_idle_ticket);
PG_FUNCTION_INFO_V1(whisperer_idle_ticket_done);
PG_FUNCTION_INFO_V1(whisperer_in_transaction_block);

PGDLLEXPORT Datum whisperer_worker_state(PG_FUNCTION_ARGS) {
    return whisperer::pg::put_workers(fcinfo, whisperer::pg::put_worker);
}

PGDLLEXPORT Datum whisperer_worker_turns(PG_FUNCTION_ARGS) {
    return whisperer::pg::put_workers(fcinfo, whisperer::pg::put_turn);
}

PGDLLEXPORT Datum whisperer_worker_wire(PG_FUNCTION_ARGS) {
    return whisperer::pg::put_workers(fcinfo, whisperer::pg::put_wire);
}

// 0: no worker is there that could do it; ask again.
PGDLLEXPORT Datum whisperer_idle_ticket(PG_FUNCTION_ARGS) {
    whisperer::pg::require_usage();
    PG_RETURN_INT64((int64)whisperer::pg::take_ticket(whisperer::pg::require_shared_state()));
}

PGDLLEXPORT Datum whisperer_idle_ticket_done(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(whisperer::pg::ticket_is_done(whisperer::pg::require_shared_state(),
                                                 (uint64)PG_GETARG_INT64(0)));
}

PGDLLEXPORT Datum whisperer_in_transaction_block(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(IsTransactionBlock());
}
}
