// The scan of the outbox for carried events; see take_over.h.
#include "src/again/take_over.h"

#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/ledger.h"
#include "src/read/outbox_reader.h"
#include "src/read/page_match.h"

namespace whisperer::pg {

namespace {

constexpr int64 rows_max = 1000;
// Entries of a batch, about: a page of many hooks is cut short.
constexpr int entries_max = 2000;

enum CarriedColumn {
    CarriedIncarnation = PageMeta + 1,
    CarriedUndone,
};

// All rows are read, because nothing but (xid, id) is indexed; once in the life of a restored
// database.  What some worker had not done is undone: the ledger has what the others did.
constexpr const char* carried_query =
    "WITH marks AS MATERIALIZED (SELECT * FROM whisperer.bookmark WHERE incarnation <> $3) "
    "SELECT " PAGE_COLUMNS ", o.incarnation, o.incarnation <> $3 AND " UNDONE_BY_SOME
    " FROM (SELECT " PAGE_COLUMNS
    ", incarnation FROM whisperer.outbox WHERE (xid, id) > ($1, $2) "
    "AND (xid < $5 OR (incarnation <> $3 AND xid <= $6)) ORDER BY xid, id LIMIT $4) "
    "AS o ORDER BY o.xid, o.id";

void begin_scan(Worker* worker) {
    HookSet* hooks = worker->hooks;
    for (int i = 0; i < hooks->count; i++)
        if (hooks->hooks[i]->carried)
            hooks->hooks[i]->run->in_scan = true;
    *worker->take_over = {};
    worker->take_over->is_running = true;
    worker->take_over->end_xid = U64FromFullTransactionId(ReadNextFullTransactionId());
    worker->take_over->last_xid_elsewhere = last_xid_of_log();
    ereport(LOG, errmsg("whisperer: taking over what was carried here for adopted hooks: %d",
                        hooks->carried_count));
}

void query_carried(const TakeOver& place) {
    static SPIPlanPtr plan;
    pg_uuid_t id = place.id;
    const Oid types[] = {XID8OID, UUIDOID, INT8OID, INT8OID, XID8OID, XID8OID};
    Datum values[] = {UInt64GetDatum(place.xid),       UUIDPGetDatum(&id),
                      Int64GetDatum(my_incarnation()), Int64GetDatum(rows_max),
                      UInt64GetDatum(place.end_xid),   UInt64GetDatum(place.last_xid_elsewhere)};
    run_plan(kept_plan(&plan, carried_query, lengthof(types), types), values, nullptr, true, 0,
             SPI_OK_SELECT);
}

// Returns how many rows were handled.
uint64 enter_rows(Worker* worker, SPITupleTable* rows, uint64 count) {
    Datum* ids = (Datum*)palloc(sizeof(Datum) * Max(count, 1));
    int undone = 0;
    for (uint64 row = 0; row < count; row++)
        if (DatumGetBool(rows_column(rows, row, CarriedUndone)))
            ids[undone++] = rows_column(rows, row, PageId);
    if (undone == 0)
        return count;
    HTAB* duplicates = find_duplicates(worker->reader->undecided, rows, count, nullptr);
    if (has_undecided(worker->reader->undecided))
        return 0;
    HTAB* known = rows_of_events(ids, undone);
    uint64 handled = 0;
    for (; handled < count && worker->ledger->count < entries_max; handled++)
        if (DatumGetBool(rows_column(rows, handled, CarriedUndone)) &&
            !is_duplicate(duplicates, *DatumGetUUIDP(rows_column(rows, handled, PageId))))
            enter_carried(worker, rows, handled,
                          DatumGetInt64(rows_column(rows, handled, CarriedIncarnation)), known);
    return handled;
}

}  // namespace

TakeOver* create_take_over(MemoryContext context) {
    return (TakeOver*)MemoryContextAllocZero(context, sizeof(TakeOver));
}

bool has_to_take_over(const Worker* worker) {
    return (worker->take_over->is_running || worker->hooks->carried_count > 0) &&
           !worker->hooks->delivery_paused;
}

void read_carried(Worker* worker) {
    TakeOver* place = worker->take_over;
    begin_reading("taking over carried events", Tables::LogAndLedger);
    if (!place->is_running)
        begin_scan(worker);
    query_carried(*place);
    SPITupleTable* rows = SPI_tuptable;
    uint64 count = SPI_processed;
    uint64 handled = enter_rows(worker, rows, count);
    place->entered += worker->ledger->count;
    place->at_end = handled == count && count < (uint64)rows_max;
    if (handled > 0) {
        place->xid = DatumGetUInt64(rows_column(rows, handled - 1, PageXid));
        place->id = *DatumGetUUIDP(rows_column(rows, handled - 1, PageId));
    }
    commit_transaction();
    // Then the rows are read again.
    if (has_undecided(worker->reader->undecided))
        decide(worker->reader->undecided);
}

void mark_taken_over(Worker* worker) {
    static SPIPlanPtr plan;
    const HookSet* hooks = worker->hooks;
    Datum* ids = (Datum*)palloc(sizeof(Datum) * Max(hooks->count, 1));
    int count = 0;
    for (int i = 0; i < hooks->count; i++)
        if (hooks->hooks[i]->run->in_scan)
            ids[count++] = Int64GetDatum(hooks->hooks[i]->id);
    const Oid types[] = {INT8ARRAYOID, INT8OID};
    Datum values[] = {make_array(ids, nullptr, count, INT8OID), Int64GetDatum(my_incarnation())};
    run_plan(kept_plan(&plan,
                       "INSERT INTO whisperer.hook_run (hook_id, taken_over) "
                       "SELECT unnest($1), $2 ON CONFLICT (hook_id) DO UPDATE "
                       "SET taken_over = excluded.taken_over",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_INSERT);
}

void end_take_over(Worker* worker) {
    ereport(LOG,
            errmsg("whisperer: deliveries taken over: " INT64_FORMAT, worker->take_over->entered));
    *worker->take_over = {};
    HookSet* hooks = worker->hooks;
    for (int i = 0; i < hooks->count; i++)
        if (hooks->hooks[i]->run->in_scan) {
            hooks->hooks[i]->run->in_scan = false;
            hooks->hooks[i]->carried = nullptr;  // as its row says by now
            hooks->carried_count--;
        }
}

}  // namespace whisperer::pg
