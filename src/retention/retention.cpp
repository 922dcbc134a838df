// When a slot is to be emptied, and what expires before; see retention.h.
#include "src/retention/retention.h"

#include "src/base/background.h"
#include "src/base/event_id.h"
#include "src/base/ring.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/end_pending.h"
#include "src/ledger/tracker.h"

namespace whisperer::pg {

namespace {

constexpr int expired_rows_max = 1000;
constexpr int64 look_interval_min_us = 200 * 1000;
constexpr int64 look_interval_max_us = 60 * USECS_PER_SEC;
// A process that could not empty the slot is followed by another later and later.
constexpr int backoff_doublings_max = 6;

constexpr int expired_next_attempt_at = EndedColumnCount + 1;

int64 look_interval_us() {
    return Min(Max(slot_period_us() / 16, look_interval_min_us), look_interval_max_us);
}

void expire_row(Worker* worker, int row, int16 slot) {
    int64 hook_id = int64_column(row, EndedHookId);
    if (serves(worker->hooks, hook_id) &&
        !row_is_in_flight(worker->tracker, uuid_column(row, EndedEventId), hook_id))
        end_pending(worker, row, slot,
                    {"expired: still pending after whisperer.retention", WhispererErrorExpired});
}

// What was read late, after a pause for one, has the same time for its first attempt as what was
// read at once.  True: there may be more.
bool expire(Worker* worker, int16 slot) {
    static SPIPlanPtr plan;
    TimestampTz horizon = retention_horizon(GetCurrentTimestamp());
    pg_uuid_t bound = event_id_bound(horizon);
    ExpiredPlace* place = &worker->retention->expired;
    const Oid types[] = {INT2OID,        UUIDOID, INT8OID,       INT8OID,
                         TIMESTAMPTZOID, UUIDOID, TIMESTAMPTZOID};
    Datum values[] = {Int16GetDatum(slot),
                      UUIDPGetDatum(&bound),
                      Int64GetDatum(expired_rows_max),
                      Int64GetDatum(place->hook_id),
                      TimestampTzGetDatum(place->at),
                      UUIDPGetDatum(&place->event_id),
                      TimestampTzGetDatum(horizon)};
    run_plan(kept_plan(&plan,
                       "SELECT " ENDED_COLUMNS ", next_attempt_at "
                       "FROM whisperer.delivery d WHERE slot = $1 AND state = 'pending' "
                       "AND next_attempt_at IS NOT NULL AND event_id < $2 "
                       "AND (retry_count > round_start OR modified_at < $7) "
                       "AND (hook_id, next_attempt_at, event_id) > ($4, $5, $6) "
                       "ORDER BY hook_id, next_attempt_at, event_id LIMIT $3",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
    for (uint64 row = 0; row < SPI_processed; row++)
        expire_row(worker, (int)row, slot);
    // What is left, in flight for now, is looked at from the start next time.
    bool more = SPI_processed == expired_rows_max;
    int last = (int)SPI_processed - 1;
    *place = more ? ExpiredPlace{int64_column(last, EndedHookId),
                                 timestamp_column(last, expired_next_attempt_at),
                                 uuid_column(last, EndedEventId)}
                  : ExpiredPlace{PG_INT64_MIN, DT_NOBEGIN, {}};
    return more;
}

enum class Slot { Empty, Kept, Ripe };

// What can be said cheaply: the last transaction's rows stand for all.
Slot look_at_slot(int16 slot) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT2OID, TIMESTAMPTZOID};
    Datum values[] = {Int16GetDatum(slot),
                      TimestampTzGetDatum(retention_horizon(GetCurrentTimestamp()))};
    run_plan(kept_plan(&plan,
                       // In the order of the index that has these rows alone.
                       "SELECT created_at < $2 AND (SELECT true FROM whisperer.delivery "
                       "WHERE slot = $1 AND state = 'pending' AND next_attempt_at IS NOT NULL "
                       "ORDER BY hook_id, next_attempt_at, event_id LIMIT 1) IS NULL "
                       "FROM whisperer.outbox "
                       "WHERE slot = $1 ORDER BY xid DESC, id DESC LIMIT 1",
                       lengthof(types), types),
             values, nullptr, true, 1, SPI_OK_SELECT);
    if (SPI_processed == 0)
        return Slot::Empty;
    return bool_column(0, 1) ? Slot::Ripe : Slot::Kept;
}

void start_process(Retention* retention) {
    RetentionOrder order = {MyDatabaseId, (int16)retention->slot};
    BackgroundProcess process = {};
    process.entry_point = "whisperer_retention_main";
    process.type = process.name = "whisperer retention";
    process.order = &order;
    process.order_bytes = sizeof order;
    if (!start_background(process, &retention->process))
        ereport(LOG, errmsg("whisperer: no room for the process that removes old events"),
                errhint("Raise max_worker_processes and restart the server."));
    retention->attempts++;
}

}  // namespace

Retention* create_retention(MemoryContext context) {
    Retention* retention = (Retention*)MemoryContextAllocZero(context, sizeof(Retention));
    retention->slot = -1;
    return retention;
}

bool retention_is_due(const Worker* worker, SteadyTime now) {
    const Retention* retention = worker->retention;
    return retention->look_at <= now && !(retention->is_done && retention->slot == oldest_slot());
}

void look_after_retention(Worker* worker) {
    Retention* retention = worker->retention;
    int16 slot = oldest_slot();
    if (slot != retention->slot) {
        retention->slot = slot;
        retention->is_done = false;
        retention->attempts = 0;
        retention->expired = {PG_INT64_MIN, DT_NOBEGIN, {}};
    }
    begin_reading("looking for expired events", Tables::LogAndLedger);
    bool more = expire(worker, slot);
    // Before what is pending has gone through there is no need to look, past what has gone already.
    Slot found = more ? Slot::Kept : look_at_slot(slot);
    commit_transaction();
    retention->is_done = found == Slot::Empty;
    int64 wait_us = look_interval_us();
    if (found == Slot::Ripe && worker->bookmark->worker == 0 && !is_running(retention->process)) {
        // The handle outlives the step.
        MemoryContext caller = MemoryContextSwitchTo(worker->context);
        start_process(retention);
        MemoryContextSwitchTo(caller);
        wait_us <<= Min(retention->attempts - 1, backoff_doublings_max);
    }
    retention->look_at = more ? 0 : steady_now() + wait_us;
}

void stop_retention(Worker* worker) {
    stop_background(worker->retention->process);
}

}  // namespace whisperer::pg
