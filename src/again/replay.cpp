// Pages of the outbox for a request; see replay.h.
#include "src/again/replay.h"

#include "src/again/once_more.h"
#include "src/base/delivery.h"
#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"
#include "src/read/outbox_reader.h"
#include "src/read/page_match.h"

namespace whisperer::pg {

namespace {

// Rows that a batch looks at; it changes fewer.
constexpr int64 outbox_rows_max = 1000;

// What the hook had before becomes pending again, unless it is.
void replay_known(const Request& request, Datum* ids, int count) {
    static SPIPlanPtr plan;
    const Oid types[] = {UUIDARRAYOID, INT8OID, TIMESTAMPTZOID};
    Datum values[] = {make_array(ids, nullptr, count, UUIDOID), Int64GetDatum(request.hook_id),
                      TimestampTzGetDatum(request.created_at)};
    run_plan(kept_plan(&plan,
                       KEEP_SUCCESS
                       "UPDATE whisperer.delivery d " BECOMES_PENDING
                       "WHERE d.hook_id = $2 AND d.event_id = ANY ($1) AND d.state <> 'pending' "
                       "AND d.modified_at < $3",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_UPDATE);
}

constexpr int OutboxIncarnation = PageMeta + 1;

void query_outbox(const Request* request) {
    static SPIPlanPtr plan;
    const Oid types[] = {XID8OID, UUIDOID, INT8OID, INT8OID, XID8OID, XID8OID};
    Datum values[] = {
        UInt64GetDatum(request->place_xid), UUIDPGetDatum(&request->place_id),
        Int64GetDatum(outbox_rows_max),     Int64GetDatum(my_incarnation()),
        UInt64GetDatum(request->end_xid),   UInt64GetDatum(request->last_xid_elsewhere)};
    run_plan(kept_plan(&plan,
                       "SELECT " PAGE_COLUMNS ", incarnation FROM whisperer.outbox "
                       "WHERE (xid, id) > ($1, $2) "
                       "AND (xid < $5 OR (incarnation <> $4 AND xid <= $6)) "
                       "ORDER BY xid, id LIMIT $3",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

// The first rows of a page that are in the ledger or will never be.  An event that has just been
// handed to the engine has no row yet and is about to get one.
uint64 settled_rows(const Worker* worker, const SPITupleTable* rows, uint64 count) {
    uint64 row = 0;
    while (row < count &&
           (DatumGetInt64(rows_column(rows, row, OutboxIncarnation)) != my_incarnation() ||
            is_settled(worker->tracker, DatumGetUInt64(rows_column(rows, row, PageXid)))))
        row++;
    return row;
}

bool is_asked_for(const Request& request, const Hook* hook, const SPITupleTable* rows, uint64 row) {
    uint64 xid = DatumGetUInt64(rows_column(rows, row, PageXid));
    if (request.kind == RequestKind::CatchUp)
        return DatumGetInt64(rows_column(rows, row, OutboxIncarnation)) == my_incarnation() &&
               xid >= request.event_xid &&
               (hook->since == nullptr || !visible_in(xid, hook->since)) && has_turn(*hook, xid);
    TimestampTz at = DatumGetTimestampTz(rows_column(rows, row, PageCreatedAt));
    return at >= request.since && at < request.until;
}

void replay_rows(Worker* worker, const Request& request, const Hook* hook, SPITupleTable* rows,
                 uint64 count) {
    Datum* ids = (Datum*)palloc(sizeof(Datum) * Max(count, 1));
    uint64* numbers = (uint64*)palloc(sizeof(uint64) * Max(count, 1));
    int in_range = 0, again = 0;
    for (uint64 row = 0; row < count; row++) {
        if (!is_asked_for(request, hook, rows, row))
            continue;
        numbers[in_range] = row;
        ids[in_range++] = rows_column(rows, row, PageId);
    }
    if (in_range == 0)
        return;
    HTAB* known = rows_of_events(ids, in_range);
    // Where the reader has been it is decided; what another database had not read is not.
    HTAB* duplicates = find_duplicates(worker->reader->undecided, rows, count, nullptr);
    forget(worker->reader->undecided);
    for (int i = 0; i < in_range; i++) {
        bool is_known = find_delivery_key(known, *DatumGetUUIDP(ids[i]), hook->id);
        int64 incarnation = DatumGetInt64(rows_column(rows, numbers[i], OutboxIncarnation));
        if (!is_duplicate(duplicates, *DatumGetUUIDP(ids[i])) &&
            enter_replayed(worker, rows, numbers[i], incarnation, hook, is_known) && is_known)
            ids[again++] = ids[i];
    }
    if (again > 0 && request.kind == RequestKind::Replay)
        replay_known(request, ids, again);
}

// Of what the hook is to catch up with: since it was made, or with force since this database's turn
// at it began.
const XidSnapshot* news_since(const Request* request, const Hook* hook) {
    if (hook->since == nullptr || !request->force || hook->turn_count % 2 == 0)
        return hook->since;
    const XidSnapshot* turn = hook->turns[hook->turn_count - 1];
    return turn->xmax > hook->since->xmax ? turn : hook->since;
}

// What was committed since then is of the transactions that were running, which may be far
// between, and of those that began later.
bool is_among_running(const Request* request, const Hook* hook) {
    return request->kind == RequestKind::CatchUp && hook->since &&
           request->place_xid < news_since(request, hook)->xmax - 1;
}

void query_running(const Request* request, const XidSnapshot* since) {
    static SPIPlanPtr plan;
    Datum* running = (Datum*)palloc(sizeof(Datum) * Max(since->running_count, 1));
    for (int i = 0; i < since->running_count; i++)
        running[i] = UInt64GetDatum(since->running[i]);
    const Oid types[] = {XID8OID, UUIDOID, INT8OID, XID8ARRAYOID};
    Datum values[] = {UInt64GetDatum(request->place_xid), UUIDPGetDatum(&request->place_id),
                      Int64GetDatum(outbox_rows_max),
                      make_array(running, nullptr, since->running_count, XID8OID)};
    run_plan(kept_plan(&plan,
                       "SELECT " PAGE_COLUMNS ", incarnation FROM whisperer.outbox "
                       "WHERE xid = ANY ($4) AND (xid, id) > ($1, $2) ORDER BY xid, id LIMIT $3",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

// The last page of a range was read.
Progress end_range(Request* request, const Hook* hook) {
    if (!is_among_running(request, hook))
        return Progress::Done;
    request->place_xid = news_since(request, hook)->xmax - 1;
    memset(&request->place_id, 0xff, UUID_LEN);
    return Progress::More;
}

}  // namespace

Progress replay(Worker* worker, Request* request, const Hook* hook) {
    if (!request->is_begun) {
        request->end_xid = U64FromFullTransactionId(ReadNextFullTransactionId());
        request->last_xid_elsewhere = last_xid_of_log();
    }
    // What the hook had before its owner's role was missing stays as it was.
    if (!request->is_begun && request->kind == RequestKind::CatchUp && request->event_xid > 0)
        request->place_xid = request->event_xid - 1;
    request->is_begun = true;
    if (is_among_running(request, hook))
        query_running(request, news_since(request, hook));
    else
        query_outbox(request);
    SPITupleTable* rows = SPI_tuptable;
    uint64 count = SPI_processed;
    uint64 settled = settled_rows(worker, rows, count);
    replay_rows(worker, *request, hook, rows, settled);
    if (settled > 0) {
        request->place_xid = DatumGetUInt64(rows_column(rows, settled - 1, PageXid));
        request->place_id = *DatumGetUUIDP(rows_column(rows, settled - 1, PageId));
    }
    if (settled < count)
        return settled == 0 ? Progress::InFlight : Progress::More;
    return count < (uint64)outbox_rows_max ? end_range(request, hook) : Progress::More;
}

}  // namespace whisperer::pg
