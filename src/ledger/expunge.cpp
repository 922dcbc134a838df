// The statements; see expunge.h.
//
// Other workers' rows are left to them: each knows what of its own is in flight, and no row is
// written by two.
#include "src/ledger/expunge.h"

#include "src/base/error_code.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/end_pending.h"
#include "src/ledger/tracker.h"

namespace whisperer::pg {

namespace {

constexpr int row_is_pending = EndedColumnCount + 1;

// What a function says of its failure may be what it was given, and what does not fit a schema is
// said by the names of the data's members.  What is left says which it was, and the SQLSTATE.
#define MAY_QUOTE(table) table ".error_code IN (" CODE_TRANSFORM_FAILED ", " CODE_SCHEMA_REFUSED ")"
#define WITHOUT_QUOTE(table)                                    \
    "regexp_replace(" table                                     \
    ".error, '^([a-z]+): .*?( \\(SQLSTATE [0-9A-Z]{5}\\))?$', " \
    "'\\1: expunged\\2')"
#define IS_QUOTING(table) "(" MAY_QUOTE(table) " AND " table ".error <> " WITHOUT_QUOTE(table) ")"
#define UNQUOTED(table) \
    "CASE WHEN " MAY_QUOTE(table) " THEN " WITHOUT_QUOTE(table) " ELSE " table ".error END"

// A delivery that succeeded at once has no other attempts.
constexpr const char* rows_query =
    "SELECT " ENDED_COLUMNS ", d.state = 'pending' "
    "FROM whisperer.delivery d WHERE d.event_id = ANY ($1) AND d.slot = $2 "
    "AND (d.state = 'pending' OR d.response_content IS NOT NULL OR d.body IS NOT NULL "
    "OR " IS_QUOTING("d") " OR (d.retry_count > CASE d.state WHEN 'delivered' THEN 1 ELSE 0 END "
    "AND EXISTS (SELECT FROM whisperer.past_attempt p WHERE p.event_id = d.event_id "
    "AND p.hook_id = d.hook_id AND p.slot = $2 "
    "AND (p.response_content IS NOT NULL OR " IS_QUOTING("p") "))))";

#define OF_THESE(table)                                         \
    "FROM unnest($1, $3) AS u (event_id, hook_id) WHERE " table \
    ".event_id = u.event_id AND " table ".hook_id = u.hook_id AND " table ".slot = $2"

constexpr const char* delivery_query =
    "UPDATE whisperer.delivery d SET response_content = NULL, body = NULL, "
    "error = " UNQUOTED("d") " " OF_THESE("d");

constexpr const char* attempt_query =
    "UPDATE whisperer.past_attempt a SET response_content = NULL, "
    "error = " UNQUOTED("a") " " OF_THESE(
        "a") " AND (a.response_content IS NOT NULL OR " IS_QUOTING("a") ")";

struct Keys {
    Datum* event_ids;
    Datum* hook_ids;
    int count;
};

void clean(int16 slot, const Keys& keys) {
    static SPIPlanPtr delivery_plan, attempt_plan;
    const Oid types[] = {UUIDARRAYOID, INT2OID, INT8ARRAYOID};
    Datum values[] = {make_array(keys.event_ids, nullptr, keys.count, UUIDOID), Int16GetDatum(slot),
                      make_array(keys.hook_ids, nullptr, keys.count, INT8OID)};
    run_plan(kept_plan(&delivery_plan, delivery_query, lengthof(types), types), values, nullptr,
             false, 0, SPI_OK_UPDATE);
    run_plan(kept_plan(&attempt_plan, attempt_query, lengthof(types), types), values, nullptr,
             false, 0, SPI_OK_UPDATE);
}

}  // namespace

bool expunge_rows(Worker* worker, int16 slot, const Datum* event_ids, int count, int64 only_hook) {
    static SPIPlanPtr plan;
    const Oid types[] = {UUIDARRAYOID, INT2OID};
    Datum values[] = {make_array(event_ids, nullptr, count, UUIDOID), Int16GetDatum(slot)};
    run_plan(kept_plan(&plan, rows_query, lengthof(types), types), values, nullptr, false, 0,
             SPI_OK_SELECT);
    Keys keys = {};
    keys.event_ids = (Datum*)palloc(sizeof(Datum) * Max(SPI_processed, 1));
    keys.hook_ids = (Datum*)palloc(sizeof(Datum) * Max(SPI_processed, 1));
    bool is_done = true;
    for (uint64 i = 0; i < SPI_processed; i++) {
        int row = (int)i;
        pg_uuid_t event_id = uuid_column(row, EndedEventId);
        int64 hook_id = int64_column(row, EndedHookId);
        if (!serves(worker->hooks, hook_id) || (only_hook != 0 && hook_id != only_hook))
            continue;
        if (row_is_in_flight(worker->tracker, event_id, hook_id)) {
            is_done = false;
            continue;
        }
        if (bool_column(row, row_is_pending))
            end_pending(worker, row, slot, expunged);
        keys.event_ids[keys.count] = datum_column(row, EndedEventId);
        keys.hook_ids[keys.count++] = Int64GetDatum(hook_id);
    }
    if (keys.count > 0)
        clean(slot, keys);
    return is_done;
}

bool expunge_delivery(Worker* worker, const pg_uuid_t& event_id, int64 hook_id) {
    static SPIPlanPtr plan;
    // Its answer is about to be entered.
    if (is_in_flight(worker->tracker, event_id, hook_id))
        return false;
    const Oid types[] = {UUIDOID, INT8OID};
    Datum id = UUIDPGetDatum(&event_id);
    Datum values[] = {id, Int64GetDatum(hook_id)};
    run_plan(
        kept_plan(&plan, "SELECT slot FROM whisperer.delivery WHERE event_id = $1 AND hook_id = $2",
                  lengthof(types), types),
        values, nullptr, true, 1, SPI_OK_SELECT);
    if (SPI_processed == 1)
        (void)expunge_rows(worker, DatumGetInt16(datum_column(0, 1)), &id, 1, hook_id);
    return true;
}

}  // namespace whisperer::pg
