// The pages, and the statement that takes data out of the log; see payload_retention.h.
#include "src/retention/payload_retention.h"

#include "src/base/identity.h"
#include "src/base/ring.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/expunge.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int page_rows = 500;
constexpr int64 look_interval_min_us = 200 * 1000;
constexpr int64 look_interval_max_us = 60 * USECS_PER_SEC;
// For what is locked or in flight.
constexpr int64 again_us = USECS_PER_SEC;
// Of the worker's time, delivery keeps three quarters.
constexpr int64 pause_factor = 3;

enum PayloadColumn {
    PayloadXid = 1,
    PayloadId,
    PayloadSlot,
    PayloadCreatedAt,
    PayloadHasData,
    PayloadIsRead,
};

// Of this database's own events, whose transactions have all ended: none can appear behind the
// place.  That they are read is asked of each: a bookmark says so, however long ago it was written.
void query_page(const PayloadRetention& place) {
    static SPIPlanPtr plan;
    pg_uuid_t id = place.id;
    const Oid types[] = {XID8OID, UUIDOID, INT8OID, INT8OID};
    Datum values[] = {UInt64GetDatum(place.xid), UUIDPGetDatum(&id),
                      Int64GetDatum(my_incarnation()), Int64GetDatum(page_rows)};
    run_plan(kept_plan(&plan,
                       "WITH marks AS MATERIALIZED (SELECT * FROM whisperer.bookmark "
                       "WHERE incarnation = $3) SELECT o.xid, o.id, o.slot, o.created_at, "
                       "o.data IS NOT NULL, NOT " UNDONE_BY_SOME " FROM whisperer.outbox o "
                       "WHERE (o.xid, o.id) > ($1, $2) "
                       "AND o.xid < pg_snapshot_xmin(pg_current_snapshot()) "
                       "AND o.incarnation = $3 ORDER BY o.xid, o.id LIMIT $4",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

// The rows from the first on that every worker has read, that are past their time, and of one slot;
// for a worker that strips none, up to the first that has its data.
uint64 ripe_rows(const SPITupleTable* rows, uint64 count, bool strips) {
    TimestampTz horizon = GetCurrentTimestamp() - payload_kept_s() * USECS_PER_SEC;
    uint64 row = 0;
    while (row < count && DatumGetBool(rows_column(rows, row, PayloadIsRead)) &&
           DatumGetTimestampTz(rows_column(rows, row, PayloadCreatedAt)) < horizon &&
           DatumGetInt16(rows_column(rows, row, PayloadSlot)) ==
               DatumGetInt16(rows_column(rows, 0, PayloadSlot)) &&
           (strips || !DatumGetBool(rows_column(rows, row, PayloadHasData))))
        row++;
    return row;
}

// The process that empties a slot lets nobody write there for as long as it reads it, and is not
// waited for.
bool lock_slot(int16 slot) {
    Oid table =
        get_relname_relid(psprintf("outbox_%d", slot), get_namespace_oid("whisperer", false));
    return OidIsValid(table) && ConditionalLockRelationOid(table, RowExclusiveLock);
}

// A person's transaction that has expunged one of them and does not end is not waited for, either.
int64 strip(int16 slot, Datum* xids, Datum* ids, int count) {
    static SPIPlanPtr plans[slot_count];
    const Oid types[] = {XID8ARRAYOID, UUIDARRAYOID, INT2OID};
    Datum values[] = {make_array(xids, nullptr, count, XID8OID),
                      make_array(ids, nullptr, count, UUIDOID), Int16GetDatum(slot)};
    const char* query = psprintf(
        "WITH page AS MATERIALIZED (SELECT o.xid, o.id FROM unnest($1, $2) AS u (xid, id) "
        "JOIN whisperer.outbox_%1$d o ON o.xid = u.xid AND o.id = u.id AND o.slot = $3 "
        "WHERE o.data IS NOT NULL FOR UPDATE OF o SKIP LOCKED) "
        "UPDATE whisperer.outbox_%1$d o SET data = NULL, config_filter = NULL, "
        "meta = json_build_object('expunged_at', now()) FROM page p "
        "WHERE o.xid = p.xid AND o.id = p.id AND o.slot = $3",
        slot);
    run_plan(kept_plan(&plans[slot], query, lengthof(types), types), values, nullptr, false, 0,
             SPI_OK_UPDATE);
    return (int64)SPI_processed;
}

// False: to be done again.
bool strip_rows(const SPITupleTable* rows, uint64 count, int16 slot) {
    Datum* xids = (Datum*)palloc(sizeof(Datum) * count);
    Datum* ids = (Datum*)palloc(sizeof(Datum) * count);
    int with_data = 0;
    for (uint64 row = 0; row < count; row++) {
        if (!DatumGetBool(rows_column(rows, row, PayloadHasData)))
            continue;
        xids[with_data] = rows_column(rows, row, PayloadXid);
        ids[with_data++] = rows_column(rows, row, PayloadId);
    }
    return with_data == 0 || (lock_slot(slot) && strip(slot, xids, ids, with_data) == with_data);
}

enum class PageResult { Done, More, Again };

PageResult expunge_page(Worker* worker) {
    PayloadRetention* place = worker->payload_retention;
    bool strips = worker->bookmark->worker == 0;
    query_page(*place);
    const SPITupleTable* rows = SPI_tuptable;
    uint64 found = SPI_processed;
    uint64 count = ripe_rows(rows, found, strips);
    if (count == 0)
        return PageResult::Done;
    int16 slot = DatumGetInt16(rows_column(rows, 0, PayloadSlot));
    if (strips && !strip_rows(rows, count, slot))
        return PageResult::Again;
    Datum* ids = (Datum*)palloc(sizeof(Datum) * count);
    for (uint64 row = 0; row < count; row++)
        ids[row] = rows_column(rows, row, PayloadId);
    // With its data gone no new attempt begins, so what is in flight comes to its end.
    if (!expunge_rows(worker, slot, ids, (int)count))
        return PageResult::Again;
    place->xid = DatumGetUInt64(rows_column(rows, count - 1, PayloadXid));
    place->id = *DatumGetUUIDP(rows_column(rows, count - 1, PayloadId));
    return PageResult::More;
}

int64 look_interval_us() {
    return Min(Max(payload_kept_s() * USECS_PER_SEC / 16, look_interval_min_us),
               look_interval_max_us);
}

}  // namespace

PayloadRetention* create_payload_retention(MemoryContext context) {
    return (PayloadRetention*)MemoryContextAllocZero(context, sizeof(PayloadRetention));
}

bool payload_retention_is_due(const Worker* worker, SteadyTime now) {
    return payload_kept_s() < settings.retention_s && worker->payload_retention->look_at <= now;
}

void look_after_payloads(Worker* worker) {
    SteadyTime began = steady_now();
    begin_reading("expunging old payloads", Tables::LogAndLedger);
    PageResult result = expunge_page(worker);
    commit_transaction();
    SteadyTime now = steady_now();
    worker->payload_retention->look_at =
        now + (result == PageResult::More    ? (now - began) * pause_factor
               : result == PageResult::Again ? again_us
                                             : look_interval_us());
}

}  // namespace whisperer::pg
