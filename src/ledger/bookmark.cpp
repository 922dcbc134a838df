// Reading and writing whisperer.bookmark.  The row is updated by ctid: a row updated a hundred
// times a minute is walked version by version when somebody holds back vacuum, and a TID is not.
#include "src/ledger/bookmark.h"

#include "src/base/identity.h"
#include "src/base/transaction.h"
#include "src/ledger/dealing.h"

namespace whisperer::pg {

namespace {

constexpr int64 interval_us = USECS_PER_SEC;
// After this many transactions of others the bookmark is worth writing for its distance alone.
constexpr uint64 distance_max = 1000;
// The number of workers in a bookmark whose worker has left so that hooks are dealt anew.
constexpr int16 none_workers = 0;

Place start_place(MemoryContext context, const char* seen, const char* reading) {
    Place place = {};
    place.window = (Window*)MemoryContextAllocZero(context, sizeof(Window));
    place.window->seen = parse_snapshot(seen, context);
    place.window->until = parse_snapshot(reading, context);
    place.window->references = 1;
    return place;
}

void remember_row(Bookmark* bookmark) {
    bookmark->row = *(ItemPointer)DatumGetPointer(datum_column(0, 1));
}

// True if the row was found; the place is then the result's columns from `first` on.
Place place_from_row(MemoryContext context, int first) {
    Place place = start_place(context, text_column(0, first), text_column(0, first + 1));
    place.xid = xid_column(0, first + 2);
    place.id = uuid_column(0, first + 3);
    return place;
}

bool find_own_row(Bookmark* bookmark, MemoryContext context) {
    const Oid types[] = {INT2OID, INT8OID, INT2OID};
    Datum values[] = {Int16GetDatum(bookmark->worker), Int64GetDatum(my_incarnation()),
                      Int16GetDatum(bookmark->workers)};
    // Not one row of another number of workers may be left, or it would be behind ours; nor one of
    // a worker that left so that all are shared out again.
    int result = run_query(
        "SELECT b.ctid, b.seen::text, b.reading::text, b.place_xid, b.place_id, b.ahead::text, "
        "b.is_drained "
        "FROM whisperer.bookmark b WHERE b.worker = $1 AND b.incarnation = $2 AND NOT EXISTS "
        "(SELECT 1 FROM whisperer.bookmark o WHERE o.incarnation = $2 AND o.workers <> $3)",
        lengthof(types), types, values, nullptr, false, 1);
    if (result != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.bookmark");
    if (SPI_processed == 0)
        return false;
    remember_row(bookmark);
    bookmark->written = place_from_row(context, 2);
    if (const char* ahead = text_column(0, 6))
        bookmark->ahead = parse_snapshot(ahead, context);
    bookmark->was_drained = bool_column(0, 7);
    return true;
}

// From now on something may be sent that the ledger does not know of.
void mark_undrained(Bookmark* bookmark) {
    const Oid types[] = {INT2OID, INT8OID};
    Datum values[] = {Int16GetDatum(bookmark->worker), Int64GetDatum(my_incarnation())};
    if (run_query("UPDATE whisperer.bookmark SET is_drained = false WHERE worker = $1 "
                  "AND incarnation = $2 RETURNING ctid",
                  lengthof(types), types, values, nullptr, false, 0) != SPI_OK_UPDATE_RETURNING)
        elog(ERROR, "could not write whisperer.bookmark");
    remember_row(bookmark);
}

// One transaction gives every worker of the new number its row, from the one furthest behind, and
// tells it where the one furthest ahead was.  Of two snapshots with the same end the one with more
// running transactions is the earlier.
void share_out_again(const Bookmark* bookmark) {
    Moves moves = deal_by_load(bookmark->workers);
    const Oid types[] = {INT2OID, INT8OID, INT8ARRAYOID, INT2ARRAYOID};
    Datum values[] = {Int16GetDatum(bookmark->workers), Int64GetDatum(my_incarnation()),
                      moves.hook_ids, moves.workers};
    int result = run_query(
        "WITH old AS (DELETE FROM whisperer.bookmark WHERE incarnation = $2 RETURNING *), "
        "sorted AS (SELECT seen, row_number() OVER (ORDER BY pg_snapshot_xmax(seen), "
        "(SELECT count(*) FROM pg_snapshot_xip(seen)) DESC) AS number, count(*) OVER () AS count "
        "FROM old), "
        "behind AS (SELECT seen FROM sorted WHERE number = 1 UNION ALL "
        "SELECT '1:1:' WHERE NOT EXISTS (SELECT FROM old)) "
        "INSERT INTO whisperer.bookmark (worker, incarnation, workers, seen, reading, ahead, "
        "is_drained, moved_hook_ids) SELECT w, $2, $1, b.seen, b.seen, "
        "(SELECT seen FROM sorted WHERE number = count AND count > 1), "
        "(SELECT coalesce(bool_and(is_drained), true) FROM old), ARRAY("
        "SELECT m.hook_id FROM unnest($3, $4) AS m (hook_id, worker) WHERE m.worker = w "
        "ORDER BY m.hook_id) FROM behind b, generate_series(0, $1 - 1) AS w",
        lengthof(types), types, values, nullptr, false, 0);
    if (result != SPI_OK_INSERT)
        elog(ERROR, "could not write whisperer.bookmark");
}

void read_moved(HookPlaces* places) {
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(my_incarnation())};
    if (run_query("SELECT m.hook_id, b.worker::integer FROM whisperer.bookmark b, "
                  "unnest(b.moved_hook_ids) AS m (hook_id) WHERE b.incarnation = $1",
                  lengthof(types), types, values, nullptr, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.bookmark");
    for (uint64 row = 0; row < SPI_processed; row++)
        note_moved(places, int64_column((int)row, 1), int32_column((int)row, 2));
}

bool update_row(const Bookmark* bookmark, const Place& done, bool by_ctid) {
    static SPIPlanPtr ctid_plan, key_plan;
    const Oid types[] = {INT2OID, INT8OID, PG_SNAPSHOTOID, PG_SNAPSHOTOID,
                         XID8OID, UUIDOID, TIDOID,         BOOLOID};
    pg_uuid_t id = done.id;
    ItemPointerData row = bookmark->row;
    Datum values[] = {
        Int16GetDatum(bookmark->worker), Int64GetDatum(my_incarnation()),   seen_at(done)->datum,
        done.window->until->datum,       UInt64GetDatum(done.xid),          UUIDPGetDatum(&id),
        PointerGetDatum(&row),           BoolGetDatum(bookmark->is_drained)};
    run_plan(
        by_ctid
            ? kept_plan(&ctid_plan,
                        "UPDATE whisperer.bookmark SET seen = $3, reading = $4, place_xid = $5, "
                        "place_id = $6, is_drained = $8, modified_at = now() "
                        "WHERE ctid = $7 AND worker = $1 "
                        "AND incarnation = $2 RETURNING ctid",
                        lengthof(types), types)
            : kept_plan(&key_plan,
                        "UPDATE whisperer.bookmark SET seen = $3, reading = $4, place_xid = $5, "
                        "place_id = $6, is_drained = $8, modified_at = now() WHERE worker = $1 "
                        "AND incarnation = $2 AND $7 IS NOT NULL RETURNING ctid",
                        lengthof(types), types),
        values, nullptr, false, 0, SPI_OK_UPDATE_RETURNING);
    return SPI_processed == 1;
}

}  // namespace

Bookmark* create_bookmark(MemoryContext context, HookPlaces* places) {
    Bookmark* bookmark = (Bookmark*)MemoryContextAllocZero(context, sizeof(Bookmark));
    bookmark->worker = places->worker;
    bookmark->workers = places->workers;
    // Two workers that start at once must not both share out.
    if (run_query("LOCK TABLE whisperer.bookmark IN SHARE ROW EXCLUSIVE MODE", false, 0) !=
        SPI_OK_UTILITY)
        elog(ERROR, "could not lock whisperer.bookmark");
    if (!find_own_row(bookmark, context)) {
        share_out_again(bookmark);
        if (!find_own_row(bookmark, context))
            elog(ERROR, "whisperer.bookmark has no row for worker %d", places->worker);
    }
    mark_undrained(bookmark);
    read_moved(places);
    return bookmark;
}

void have_shared_out_again(const Bookmark* bookmark) {
    const Oid types[] = {INT2OID, INT8OID, INT2OID};
    Datum values[] = {Int16GetDatum(bookmark->worker), Int64GetDatum(my_incarnation()),
                      Int16GetDatum(none_workers)};
    if (run_query("UPDATE whisperer.bookmark SET workers = $3 WHERE worker = $1 "
                  "AND incarnation = $2",
                  lengthof(types), types, values, nullptr, false, 0) != SPI_OK_UPDATE)
        elog(ERROR, "could not write whisperer.bookmark");
}

TimestampTz read_dealt_at() {
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(my_incarnation())};
    if (run_query("SELECT max(dealt_at) FROM whisperer.bookmark WHERE incarnation = $1",
                  lengthof(types), types, values, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read whisperer.bookmark");
    return timestamp_column(0, 1);
}

bool bookmark_is_behind(const Bookmark* bookmark, const Tracker* tracker) {
    return tracker->rows_done != bookmark->rows_written;
}

bool bookmark_is_due(const Bookmark* bookmark, const Tracker* tracker, SteadyTime now) {
    if (now - bookmark->written_at < interval_us)
        return false;
    return bookmark_is_behind(bookmark, tracker) ||
           tracker->done.window->until->xmax > bookmark->written.window->until->xmax + distance_max;
}

void write_bookmark(Bookmark* bookmark, const Tracker* tracker) {
    const Place& done = tracker->done;
    if (!update_row(bookmark, done, true) && !update_row(bookmark, done, false))
        ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
                errmsg("whisperer.bookmark has lost the row of worker %d", bookmark->worker),
                errhint("The worker makes a new one when it starts again and skips what the ledger "
                        "has."));
    remember_row(bookmark);
    retain(done.window);
    release(bookmark->written.window);
    bookmark->written = done;
    bookmark->rows_written = tracker->rows_done;
    bookmark->written_at = steady_now();
}

}  // namespace whisperer::pg
