// The list of requests and the statement of each kind; see requests.h.
#include "src/again/requests.h"

#include "src/again/once_more.h"
#include "src/again/replay.h"
#include "src/base/delivery.h"
#include "src/base/event_id.h"
#include "src/base/identity.h"
#include "src/base/injection.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/expunge.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"

namespace whisperer::pg {

namespace {

// Rows that a batch looks at; it changes fewer.
constexpr int64 ledger_rows_max = 5000;
constexpr int single_requests_max = 100;
constexpr int64 in_flight_retry_us = 100 * 1000;

#define LIST_COLUMNS "id, xid, kind, hook_id, event_id, force, since, until, created_at, event_xid"

enum ListColumn {
    ListId = 1,
    ListXid,
    ListKind,
    ListHookId,
    ListEventId,
    ListForce,
    ListSince,
    ListUntil,
    ListCreatedAt,
    ListEventXid,
};

RequestKind kind_from(const char* name) {
    if (strcmp(name, "retry") == 0)
        return RequestKind::Retry;
    if (strcmp(name, "cancel") == 0)
        return RequestKind::Cancel;
    if (strcmp(name, "expunge") == 0)
        return RequestKind::Expunge;
    if (strcmp(name, "recover") == 0)
        return RequestKind::Recover;
    if (strcmp(name, "catch_up") == 0)
        return RequestKind::CatchUp;
    return RequestKind::Replay;
}

Request request_from(int row) {
    Request request = {};
    request.id = int64_column(row, ListId);
    request.xid = xid_column(row, ListXid);
    request.kind = kind_from(text_column(row, ListKind));
    request.hook_id = int64_column(row, ListHookId);
    request.event_id = uuid_column(row, ListEventId);
    request.force = bool_column(row, ListForce);
    request.since = timestamp_column(row, ListSince);
    request.until = timestamp_column(row, ListUntil);
    request.created_at = timestamp_column(row, ListCreatedAt);
    request.event_xid = xid_column(row, ListEventXid);
    if (request.kind == RequestKind::Recover) {
        request.place_id = event_id_bound(request.since);
        request.place_hook = PG_INT64_MIN;
    }
    return request;
}

// Those that have come since the list was read last, by the snapshot rule of the log: entries of
// requests that are done stay in the indexes for as long as somebody holds an old snapshot, and are
// not walked each time.
void query_list(const XidSnapshot* seen, const XidSnapshot* now) {
    static SPIPlanPtr plan;
    Datum* finished = (Datum*)palloc(sizeof(Datum) * Max(seen->running_count, 1));
    int count = 0;
    for (int i = 0; i < seen->running_count; i++)
        if (visible_in(seen->running[i], now))
            finished[count++] = UInt64GetDatum(seen->running[i]);
    const Oid types[] = {INT8OID, XID8ARRAYOID, XID8OID, XID8OID, PG_SNAPSHOTOID};
    Datum values[] = {Int64GetDatum(my_incarnation()),
                      make_array(finished, nullptr, count, XID8OID), UInt64GetDatum(seen->xmax),
                      UInt64GetDatum(now->xmax), now->datum};
    run_plan(kept_plan(&plan,
                       "SELECT " LIST_COLUMNS " FROM whisperer.request WHERE xid = ANY ($2) "
                       "AND kind <> 'hooks' AND incarnation = $1 UNION ALL "
                       "SELECT " LIST_COLUMNS " FROM whisperer.request WHERE xid >= $3 "
                       "AND xid < $4 AND pg_visible_in_snapshot(xid, $5) AND kind <> 'hooks' AND "
                       "incarnation = $1 ORDER BY id",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

void query_whole_list() {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(my_incarnation())};
    run_plan(kept_plan(&plan,
                       "SELECT " LIST_COLUMNS " FROM whisperer.request "
                       "WHERE kind <> 'hooks' AND incarnation = $1 ORDER BY id",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
}

void read_list(Worker* worker) {
    Requests* requests = worker->requests;
    XidSnapshot* now = current_snapshot(CurrentMemoryContext);
    if (requests->seen)
        query_list(requests->seen, now);
    else
        query_whole_list();
    Size wanted = (Size)requests->count + SPI_processed;
    if (wanted > (Size)requests->capacity) {
        requests->capacity = (int)Max(wanted, 2 * (Size)requests->capacity);
        requests->list =
            (Request*)repalloc_huge(requests->list, sizeof(Request) * (Size)requests->capacity);
    }
    for (uint64 row = 0; row < SPI_processed; row++) {
        Request request = request_from((int)row);
        if (!serves(worker->hooks, request.hook_id))
            continue;
        requests->list[requests->count++] = request;
        requests->expunges += request.kind == RequestKind::Expunge;
    }
    if (requests->seen)
        free_snapshot(requests->seen);
    requests->seen = parse_snapshot(now->text, requests->context);
    requests->look_at = 0;
    worker->hooks->requests_arrived = false;
}

Progress retry(const Request& request) {
    static SPIPlanPtr plan;
    const Oid types[] = {UUIDARRAYOID, INT8OID, BOOLOID};
    Datum event_id = UUIDPGetDatum(&request.event_id);
    Datum values[] = {make_array(&event_id, nullptr, 1, UUIDOID), Int64GetDatum(request.hook_id),
                      BoolGetDatum(request.force)};
    run_plan(kept_plan(&plan,
                       KEEP_SUCCESS "UPDATE whisperer.delivery d " BECOMES_PENDING
                                    "WHERE event_id = ANY ($1) AND hook_id = $2 "
                                    "AND ($3 OR state IN ('failed', 'cancelled'))",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_UPDATE);
    return Progress::Done;
}

Progress cancel(const Request& request) {
    static SPIPlanPtr plan;
    const Oid types[] = {UUIDOID, INT8OID};
    Datum values[] = {UUIDPGetDatum(&request.event_id), Int64GetDatum(request.hook_id)};
    run_plan(kept_plan(&plan,
                       "UPDATE whisperer.delivery SET state = 'cancelled', next_attempt_at = NULL, "
                       "error = CASE error_code WHEN " CODE_SCHEMA_REFUSED
                       " THEN error ELSE 'cancelled by request' END, error_code = CASE error_code "
                       "WHEN " CODE_SCHEMA_REFUSED " THEN error_code ELSE " CODE_CANCELLED
                       " END, modified_at = now() "
                       "WHERE event_id = $1 AND hook_id = $2 AND state = 'pending'",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_UPDATE);
    return Progress::Done;
}

// The last event that the ledger has, but before until.
pg_uuid_t last_event(TimestampTz until) {
    static SPIPlanPtr plan;
    pg_uuid_t bound = event_id_bound(until);
    const Oid types[] = {UUIDOID};
    Datum values[] = {UUIDPGetDatum(&bound)};
    run_plan(kept_plan(&plan,
                       "SELECT event_id FROM whisperer.delivery WHERE event_id < $1 "
                       "ORDER BY event_id DESC LIMIT 1",
                       lengthof(types), types),
             values, nullptr, true, 1, SPI_OK_SELECT);
    return SPI_processed == 0 ? pg_uuid_t{} : uuid_column(0, 1);
}

// A page of the ledger in the order of its key; those of the hook that failed before the request.
Progress recover(Request* request) {
    static SPIPlanPtr plan;
    if (!request->is_begun)
        request->end_id = last_event(request->until);
    request->is_begun = true;
    const Oid types[] = {INT8OID, UUIDOID, INT8OID, UUIDOID, TIMESTAMPTZOID, INT8OID};
    Datum values[] = {Int64GetDatum(request->hook_id),          UUIDPGetDatum(&request->place_id),
                      Int64GetDatum(request->place_hook),       UUIDPGetDatum(&request->end_id),
                      TimestampTzGetDatum(request->created_at), Int64GetDatum(ledger_rows_max)};
    run_plan(kept_plan(&plan,
                       "WITH page AS MATERIALIZED (SELECT event_id, hook_id, slot, state, "
                       "modified_at FROM whisperer.delivery WHERE (event_id, hook_id) > ($2, $3) "
                       "AND event_id <= $4 ORDER BY event_id, hook_id LIMIT $6), "
                       "changed AS (UPDATE whisperer.delivery d " BECOMES_PENDING
                       "FROM page p WHERE p.hook_id = $1 AND p.state = 'failed' "
                       "AND p.modified_at < $5 AND NOT whisperer_internal.is_gone(d) "
                       "AND d.event_id = p.event_id "
                       "AND d.hook_id = p.hook_id AND d.slot = p.slot) "
                       "SELECT event_id, hook_id, (SELECT count(*) FROM page) FROM page "
                       "ORDER BY event_id DESC, hook_id DESC LIMIT 1",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_SELECT);
    if (SPI_processed == 0)
        return Progress::Done;
    request->place_id = uuid_column(0, 1);
    request->place_hook = int64_column(0, 2);
    return int64_column(0, 3) < ledger_rows_max ? Progress::Done : Progress::More;
}

Progress carry_out(Worker* worker, Request* request) {
    if (request->kind == RequestKind::Expunge)
        return expunge_delivery(worker, request->event_id, request->hook_id) ? Progress::Done
                                                                             : Progress::InFlight;
    // Who is to forget need not deliver for it.
    if (worker->hooks->delivery_paused)
        return Progress::InFlight;
    Hook* hook = find_hook(worker->hooks, request->hook_id);
    // It was made by the request's transaction and will be loaded with the next page.
    if (hook == nullptr && !visible_in(request->xid, worker->hooks->requests_seen))
        return Progress::InFlight;
    if (hook == nullptr || hook->is_deleted)
        return Progress::Done;
    // What its own database had not delivered comes first.
    if (request->kind == RequestKind::CatchUp && hook->carried)
        return Progress::InFlight;
    Progress progress = Progress::Done;
    switch (request->kind) {
        case RequestKind::Retry:
        case RequestKind::Cancel:
            // Its row, if it has one yet, says what is being done: that would undo what is written.
            if ((request->event_xid != 0 && !is_settled(worker->tracker, request->event_xid)) ||
                row_is_in_flight(worker->tracker, request->event_id, request->hook_id))
                return Progress::InFlight;
            progress = request->kind == RequestKind::Retry ? retry(*request) : cancel(*request);
            hook->run->wants_probe |= request->kind == RequestKind::Retry;
            break;
        case RequestKind::Recover:
            progress = recover(request);
            break;
        case RequestKind::Expunge:
            break;
        case RequestKind::Replay:
        case RequestKind::CatchUp:
            progress = replay(worker, request, hook);
            break;
    }
    note_due(worker->hooks, hook, GetCurrentTransactionStartTimestamp());
    if (hook->run->lines) {
        note_lines_changed(hook->run->lines);
        note_lines_due(worker->hooks, hook);
    }
    return progress;
}

void delete_request(const Request& request) {
    static SPIPlanPtr plan;
    const Oid types[] = {XID8OID, INT8OID};
    Datum values[] = {UInt64GetDatum(request.xid), Int64GetDatum(request.id)};
    run_plan(kept_plan(&plan, "DELETE FROM whisperer.request WHERE xid = $1 AND id = $2",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_DELETE);
}

// Once a batch, for the list may be long.
void forget_done(Requests* requests) {
    int kept = 0, next = 0;
    for (int i = 0; i < requests->count; i++) {
        if (i == requests->next)
            next = kept;
        if (!requests->list[i].is_done)
            requests->list[kept++] = requests->list[i];
    }
    requests->count = kept;
    requests->next = next;
}

// One row, and none that another request might be about to change is in the batch.
bool leaves_time(const Worker* worker, const Request& request) {
    return request.kind < RequestKind::Recover && worker->ledger->count == 0;
}

// The next in turn, as far as nobody has to wait.  True: there may be time for another.
bool carry_out_next(Worker* worker) {
    Requests* requests = worker->requests;
    for (int tried = 0; tried < requests->count; tried++) {
        if (requests->next >= requests->count)
            requests->next = 0;
        Request* request = &requests->list[requests->next++];
        if (request->is_done)
            continue;
        Progress progress = carry_out(worker, request);
        if (progress == Progress::InFlight)
            continue;
        if (progress == Progress::More)
            return false;
        delete_request(*request);
        request->is_done = true;
        requests->expunges -= request->kind == RequestKind::Expunge;
        return leaves_time(worker, *request);
    }
    requests->look_at = steady_now() + in_flight_retry_us;
    return false;
}

}  // namespace

Requests* create_requests(MemoryContext context) {
    Requests* requests = (Requests*)MemoryContextAllocZero(context, sizeof(Requests));
    requests->context = context;
    requests->capacity = single_requests_max;
    requests->list =
        (Request*)MemoryContextAlloc(context, sizeof(Request) * (Size)requests->capacity);
    return requests;
}

bool requests_are_due(const Worker* worker, SteadyTime now) {
    const Requests* requests = worker->requests;
    if (worker->hooks->requests_arrived)
        return true;
    return (worker->hooks->delivery_paused ? requests->expunges : requests->count) > 0 &&
           requests->look_at <= now;
}

static bool has_requests_from(const Worker* worker, int64 hook_id, RequestKind first) {
    if (worker->hooks->requests_arrived)
        return true;
    const Requests* requests = worker->requests;
    for (int i = 0; i < requests->count; i++)
        if (requests->list[i].hook_id == hook_id && requests->list[i].kind >= first)
            return true;
    return false;
}

bool is_being_replayed(const Worker* worker, int64 hook_id) {
    return has_requests_from(worker, hook_id, RequestKind::Recover);
}

bool has_requests(const Worker* worker, int64 hook_id) {
    return has_requests_from(worker, hook_id, RequestKind::Retry);
}

// An ERROR ends the process, so the list need not wait for the commit.
void carry_out_requests(Worker* worker) {
    begin_reading("carrying out requests", Tables::LogLedgerAndKeys);
    if (worker->hooks->requests_arrived)
        read_list(worker);
    for (int done = 1; carry_out_next(worker) && done < single_requests_max; done++)
        continue;
    forget_done(worker->requests);
    if (worker->ledger->count > 0)
        write_batch(worker->ledger);
    commit_transaction();
    note_written(worker->ledger, worker->hooks);
    forget_batch(worker->ledger, worker->tracker);
    hold_at("after-requests");
}

}  // namespace whisperer::pg
