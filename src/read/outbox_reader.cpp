// Pages of the log; see outbox_reader.h.  What is done with a row is in page_match.cpp.
#include "src/read/outbox_reader.h"

#include "src/base/identity.h"
#include "src/base/injection.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/formats.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/tracker.h"
#include "src/processes/shared_state.h"
#include "src/read/page_match.h"

namespace whisperer::pg {

namespace {

constexpr int page_rows_max = 512;
// Transactions that were running at the window's start and have ended since, looked up at a time.
constexpr int finished_max = 100;

void open_window(Worker* worker, uint64 ticket) {
    Reader* reader = worker->reader;
    Window* before = reader->window;
    Window* window = (Window*)MemoryContextAllocZero(worker->context, sizeof(Window));
    window->seen = parse_snapshot(before->until->text, worker->context);
    window->until = current_snapshot(worker->context);
    window->ticket = ticket;
    window->references = 1;
    release(before);
    reader->window = window;
    reader->has_begun = true;
    reader->is_open = true;
    reader->xid = 0;
    memset(&reader->id, 0, UUID_LEN);
}

// The xids that the window's start saw running and its end sees ended, beyond the place.  True:
// there are more than fit.
bool collect_finished(const Reader* reader, Datum* finished, int* count) {
    const Window* window = reader->window;
    *count = 0;
    for (int i = 0; i < window->seen->running_count; i++) {
        uint64 xid = window->seen->running[i];
        if (xid <= reader->xid || !visible_in(xid, window->until))
            continue;
        if (*count == finished_max)
            return true;
        finished[(*count)++] = UInt64GetDatum(xid);
    }
    return false;
}

// Three ranges with one lower bound each.  As one OR the partitions are merged from the oldest xid
// on and everything in between is read again.
#define RANGE(condition)                                              \
    "(SELECT " PAGE_COLUMNS " FROM whisperer.outbox WHERE " condition \
    " AND incarnation = $3 ORDER BY xid, id LIMIT $4)"
#define REST_OF_TRANSACTION RANGE("xid = $1 AND id > $2")
#define FINISHED RANGE("xid = ANY ($5)")
#define NEWER RANGE("xid >= $6 AND xid < $7 AND pg_visible_in_snapshot(xid, $8)")

// Without those that cannot have a row: a range looks into every partition, and setting that up is
// a third of what a page of a few events costs.  By whether the place is within a transaction, and
// whether transactions of the window's start have finished.
constexpr const char* page_query[2][2] = {
    {NEWER, FINISHED " UNION ALL " NEWER " LIMIT $4"},
    {REST_OF_TRANSACTION " UNION ALL " NEWER " LIMIT $4",
     REST_OF_TRANSACTION " UNION ALL " FINISHED " UNION ALL " NEWER " LIMIT $4"}};

// Fills the SPI result with up to limit rows after the place.  True: a chunk of finished xids was
// read to its end, but there are more of them; *chunk_end is its last.
bool query_page(const Reader* reader, int limit, uint64* chunk_end) {
    static SPIPlanPtr plans[2][2];
    const Window* window = reader->window;
    Datum finished[finished_max];
    int finished_count;
    bool more_finished = collect_finished(reader, finished, &finished_count);
    uint64 from = Max(window->seen->xmax, reader->xid + 1);
    pg_uuid_t id = reader->id;
    const Oid types[] = {XID8OID,      UUIDOID, INT8OID, INT8OID,
                         XID8ARRAYOID, XID8OID, XID8OID, PG_SNAPSHOTOID};
    Datum values[] = {UInt64GetDatum(reader->xid), UUIDPGetDatum(&id),
                      Int64GetDatum(my_incarnation()), Int64GetDatum(limit),
                      make_array(finished, nullptr, finished_count, XID8OID), UInt64GetDatum(from),
                      // While finished xids are left the newer ones must wait: the place is one.
                      UInt64GetDatum(more_finished ? from : window->until->xmax),
                      window->until->datum};
    bool is_within = reader->xid != 0, has_finished = finished_count > 0;
    run_plan(kept_plan(&plans[is_within][has_finished], page_query[is_within][has_finished],
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
    *chunk_end = more_finished ? DatumGetUInt64(finished[finished_count - 1]) : 0;
    return more_finished;
}

int page_limit(const Worker* worker) {
    WhispererCredit credit;
    whisperer_engine_credit(worker->engine, &credit);
    double events = Min((double)credit.deliveries / Max(worker->reader->deliveries_per_event, 1.0),
                        Min((double)credit.bytes, (double)page_bytes_max) /
                            Max(worker->reader->bytes_per_event, 1.0));
    // What was not there when the page was held is not covered by its position.
    int rows_max = worker->reader->held_rows > 0 ? worker->reader->held_rows : page_rows_max;
    return (int)Max(1.0, Min(events, (double)rows_max));
}

bool is_safe(Reader* reader, const SPITupleTable* rows, uint64 count) {
    uint64 previous = 0;
    for (uint64 row = 0; row < count; row++) {
        uint64 xid = DatumGetUInt64(rows_column(rows, row, PageXid));
        if (xid != previous)
            add_transaction(&reader->safe, xid);
        previous = xid;
    }
    if (count == 0)
        reader->safe.is_held = false;
    return count == 0 || make_safe(&reader->safe);
}

// Most pages are younger than the process, and need nothing of the ledger.
Tables tables_of_page(const Reader& reader) {
    const Window* window = reader.window;
    uint64 oldest = reader.is_open ? window->seen->xmin : window->until->xmin;
    return oldest < reader.ledger_may_have ? Tables::LogAndLedger : Tables::Log;
}

Place place_reached(const Reader* reader, bool at_end) {
    Place place = {};
    place.window = reader->window;
    place.at_end = at_end;
    if (!at_end) {
        place.xid = reader->xid;
        place.id = reader->id;
    }
    return place;
}

// The page was read to its last row: what does that say of the window?
bool is_window_end(Reader* reader, uint64 rows, int limit, bool more_finished, uint64 chunk_end) {
    if (rows >= (uint64)limit)
        return false;
    if (!more_finished)
        return true;
    reader->xid = chunk_end;
    memset(&reader->id, 0xff, UUID_LEN);
    return false;
}

PageEnd read_open_window(Worker* worker) {
    Reader* reader = worker->reader;
    int limit = page_limit(worker);
    uint64 chunk_end;
    bool more_finished = query_page(reader, limit, &chunk_end);
    SPITupleTable* rows = SPI_tuptable;
    uint64 row_count = SPI_processed;
    HTAB* duplicates = find_duplicates(reader->undecided, rows, row_count, &reader->safe);
    if (has_undecided(reader->undecided)) {
        reader->held_rows = (int)row_count;
        return PageEnd::More;
    }
    if (!is_safe(reader, rows, row_count)) {
        reader->held_rows = (int)row_count;
        return PageEnd::Held;
    }
    reader->held_rows = 0;

    int64 page = open_page(worker->tracker);
    uint64 handled = match_page(worker, page, rows, row_count, duplicates);
    bool at_end =
        handled == row_count && is_window_end(reader, row_count, limit, more_finished, chunk_end);
    reader->is_open = !at_end;
    reader->windows_read += at_end;
    close_page(worker->tracker, page, place_reached(reader, at_end), (int64)handled);
    if (reader->awaits_resume)
        return PageEnd::Paused;
    return at_end ? PageEnd::Caught : PageEnd::More;
}

bool extension_is_here() {
    Oid schema = get_namespace_oid("whisperer", true);
    return OidIsValid(schema) && OidIsValid(get_relname_relid("bookmark", schema));
}

bool is_published() {
    return OidIsValid(get_publication_oid("whisperer_events", true)) ||
           OidIsValid(get_publication_oid("whisperer_hooks", true));
}

// A database whose events only delivery nodes deliver goes on reading while it is paused, so that
// what is old can be removed.
bool only_records(const HookSet* hooks) {
    for (int i = 0; i < hooks->count; i++) {
        const Hook* hook = hooks->hooks[i];
        bool has_turn_now = !hook->is_shared || hook->turn_count % 2 == 1;
        if (!hook->is_deleted && (has_turn_now || hook->is_unadopted))
            return false;
    }
    return is_published();
}

PageEnd read_next(Worker* worker, uint64 ticket) {
    if (!extension_is_here())
        return PageEnd::Gone;
    const Reader* reader = worker->reader;
    bool is_cut_off = reader->cut_off && !reader->has_begun;
    refresh_hooks(worker->hooks, worker->engine,
                  is_cut_off ? reader->cut_off : reader->window->until);
    hold_at("after-hooks-loaded");
    // Nothing is sent in a format before that is noted; then the page is read again.
    if (worker->hooks->has_new_formats)
        return PageEnd::More;
    if (worker->hooks->delivery_paused && !only_records(worker->hooks))
        return PageEnd::Paused;
    if (!worker->reader->is_open)
        open_window(worker, ticket);
    return read_open_window(worker);
}

}  // namespace

Reader* create_reader(MemoryContext context, const Bookmark& bookmark) {
    Reader* reader = (Reader*)MemoryContextAllocZero(context, sizeof(Reader));
    const Place& start = bookmark.written;
    reader->ahead = bookmark.ahead;
    reader->cut_off = bookmark.was_drained ? nullptr : current_snapshot(context);
    reader->window = start.window;
    retain(start.window);
    reader->is_open = strcmp(start.window->seen->text, start.window->until->text) != 0;
    reader->xid = start.xid;
    reader->id = start.id;
    reader->ledger_may_have = U64FromFullTransactionId(ReadNextFullTransactionId());
    reader->deliveries_per_event = 1;
    reader->row_context =
        AllocSetContextCreate(context, "whisperer outbox row", ALLOCSET_DEFAULT_SIZES);
    reader->undecided = create_undecided(context);
    return reader;
}

bool reads_again(const Reader* reader) {
    const Window* window = reader->window;
    const XidSnapshot* seen = reader->is_open ? window->seen : window->until;
    return reader->ahead && seen->xmax < reader->ahead->xmax;
}

bool knows_what_was_sent(const Reader* reader, const Tracker* tracker) {
    return reader->cut_off == nullptr || covers(seen_at(tracker->done), reader->cut_off);
}

uint64 last_xid_of_log() {
    static SPIPlanPtr plan;
    run_plan(
        kept_plan(&plan, "SELECT xid FROM whisperer.outbox ORDER BY xid DESC LIMIT 1", 0, nullptr),
        nullptr, nullptr, true, 1, SPI_OK_SELECT);
    return SPI_processed == 0 ? 0 : xid_column(0, 1);
}

PageEnd read_page(Worker* worker) {
    hold_at("before-page-snapshot");
    // What is asked for from here on may be missing from the snapshot.
    uint64 ticket = pg_atomic_read_u64(&worker->entry->ticket);
    begin_reading("reading the outbox", tables_of_page(*worker->reader));
    hold_at("after-page-snapshot");
    PageEnd end = read_next(worker, ticket);
    commit_transaction();
    note_new_formats(worker->hooks);
    // Then the page is read again.
    if (has_undecided(worker->reader->undecided))
        decide(worker->reader->undecided);
    return end;
}

}  // namespace whisperer::pg
