// Writing the ledger; see ledger.h.  New rows go straight into the table, the rest is one statement
// a batch, with array parameters.
#include "src/ledger/ledger.h"
#include "src/base/delivery.h"
#include "src/base/direct_insert.h"
#include "src/base/encoding.h"
#include "src/base/error_code.h"
#include "src/base/identity.h"
#include "src/base/ring.h"
#include "src/base/transaction.h"
#include "src/hooks/hook_set.h"

namespace whisperer::pg {

namespace {

const char* state_name(DeliveryState state) {
    switch (state) {
        case DeliveryState::Pending:
            return "pending";
        case DeliveryState::Delivered:
            return "delivered";
        case DeliveryState::Failed:
            return "failed";
        case DeliveryState::Cancelled:
            return "cancelled";
    }
    pg_unreachable();
}

enum EntryColumn {
    EventId,
    HookId,
    Slot,
    State,
    RetryCount,
    NextAttemptAt,
    RequestedAt,
    HttpStatus,
    ResponseTime,
    Response,
    Error,
    Body,
    RoundStart,
    Format,
    ErrorCode,
    ColumnCount
};

// Element and array types of the columns, in the order of EntryColumn.
constexpr Oid element_types[ColumnCount] = {
    UUIDOID, INT8OID, INT2OID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID,
    INT8OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID,        INT2OID};
constexpr Oid array_types[ColumnCount] = {
    UUIDARRAYOID,        INT8ARRAYOID,        INT2ARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
    TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
    TEXTARRAYOID,        TEXTARRAYOID,        INT4ARRAYOID, TEXTARRAYOID, INT2ARRAYOID};

#define ENTRY_ARRAYS "unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
#define ENTRY_NAMES                                                                             \
    "event_id, hook_id, slot, state, retry_count, next_attempt_at, requested_at, http_status, " \
    "response_us, response, error, body, round_start, format, error_code"
#define ENTRY_COLUMNS ENTRY_ARRAYS "AS u (" ENTRY_NAMES ") "
// A retry may be parked and end within one batch: the last word on a row is what counts.
#define LAST_ENTRIES                                               \
    "(SELECT DISTINCT ON (event_id, hook_id) * FROM " ENTRY_ARRAYS \
    "WITH ORDINALITY AS e (" ENTRY_NAMES ", number) ORDER BY event_id, hook_id, number DESC) AS u"

#define THIS_ROW " WHERE d.event_id = u.event_id AND d.hook_id = u.hook_id AND d.slot = u.slot "

// What only says why an attempt is put off does not hide what the last one met.  A rate limit does,
// for free_waiting finds by it what goes at once when the rate is changed.
#define KEEPS_LAST_ERROR                                                            \
    "(d.error IS NOT NULL AND d.error_code IS DISTINCT FROM " CODE_RATE_LIMIT       \
    " AND d.retry_count > 0 AND u.retry_count = d.retry_count AND u.error_code IN " \
    "(" CODE_CIRCUIT_OPEN ", " CODE_ENDPOINT_BUSY ", " CODE_AWAITS_TOKEN ", " CODE_OUTRANKED ")) "

// Who is put off grows no younger: retention goes by the age of a row.
constexpr const char* update_query =
    "UPDATE whisperer.delivery d SET state = u.state, retry_count = u.retry_count, "
    "round_start = coalesce(u.round_start, d.round_start), "
    "next_attempt_at = u.next_attempt_at, request_datetimes = CASE WHEN u.requested_at IS NULL "
    "THEN d.request_datetimes ELSE d.request_datetimes || u.requested_at END, "
    "response_http_status = coalesce(u.http_status, d.response_http_status), "
    "response_content = coalesce(u.response, d.response_content), "
    "response_time = coalesce(u.response_us * interval '1 microsecond', d.response_time), "
    "body = coalesce(u.body, d.body), "
    "format = coalesce(d.format, u.format), "
    "error = CASE WHEN " KEEPS_LAST_ERROR
    "THEN d.error ELSE u.error END, "
    "error_code = CASE WHEN " KEEPS_LAST_ERROR
    "THEN d.error_code ELSE u.error_code END, "
    "modified_at = CASE WHEN u.state = 'pending' AND u.requested_at IS NULL THEN d.modified_at "
    "ELSE now() END FROM " LAST_ENTRIES THIS_ROW;

constexpr const char* attempt_query =
    "INSERT INTO whisperer.past_attempt (event_id, hook_id, number, requested_at, "
    "response_http_status, response_content, response_time, error, slot, error_code) SELECT "
    "u.event_id, u.hook_id, u.retry_count, u.requested_at, u.http_status, u.response, "
    "u.response_us * interval '1 microsecond', u.error, u.slot, u.error_code FROM " ENTRY_COLUMNS
    "ON CONFLICT DO NOTHING";

constexpr const char* callback_query =
    "UPDATE whisperer.delivery d SET next_attempt_at = NULL FROM " ENTRY_COLUMNS THIS_ROW
    "AND d.state <> 'pending'";

// Unless another attempt has been made, or the delivery has ended.
constexpr const char* countdown_query =
    "UPDATE whisperer.delivery d SET next_attempt_at = u.next_attempt_at FROM " ENTRY_COLUMNS
        THIS_ROW "AND d.state = 'pending' AND d.retry_count = u.retry_count";

bool is_insert(const LedgerEntry& entry) {
    return entry.kind == EntryKind::Delivery && !entry.is_update;
}
bool is_update(const LedgerEntry& entry) {
    return entry.kind == EntryKind::Delivery && entry.is_update;
}
bool is_failed_attempt(const LedgerEntry& entry) {
    return entry.is_failed_attempt;
}
bool is_callback(const LedgerEntry& entry) {
    return entry.kind == EntryKind::Callback;
}
bool is_countdown(const LedgerEntry& entry) {
    return entry.kind == EntryKind::Countdown;
}

struct Columns {
    Datum* values[ColumnCount];
    bool* nulls[ColumnCount];
};

void put(Columns* columns, EntryColumn column, int row, Datum value, bool is_null) {
    columns->values[column][row] = value;
    columns->nulls[column][row] = is_null;
}

void put_text(Columns* columns, EntryColumn column, int row, WhispererSpan utf8) {
    Datum value = utf8.size > 0 ? PointerGetDatum(server_from_utf8(utf8)) : (Datum)0;
    put(columns, column, row, value, utf8.size == 0);
}

void put_row(Columns* columns, int row, const LedgerEntry& entry, bool with_body) {
    bool attempted = entry.requested_at != 0;
    put(columns, EventId, row, UUIDPGetDatum(&entry.event_id), false);
    put(columns, HookId, row, Int64GetDatum(entry.hook_id), false);
    put(columns, Slot, row, Int16GetDatum(entry.slot), false);
    put(columns, State, row, CStringGetTextDatum(state_name(entry.state)), false);
    put(columns, RetryCount, row, Int32GetDatum(entry.retry_count), false);
    put(columns, NextAttemptAt, row, TimestampTzGetDatum(entry.next_attempt_at),
        entry.next_attempt_at == 0);
    put(columns, RequestedAt, row, TimestampTzGetDatum(entry.requested_at), !attempted);
    put(columns, HttpStatus, row, Int32GetDatum(entry.http_status), entry.http_status == 0);
    put(columns, ResponseTime, row, Int64GetDatum(entry.response_time_us), !attempted);
    put_text(columns, Response, row, entry.response);
    put_text(columns, Error, row, entry.error);
    put_text(columns, Body, row, with_body ? entry.body : WhispererSpan{});
    put(columns, RoundStart, row, Int32GetDatum(entry.round_start), entry.round_start == 0);
    put_text(columns, Format, row, entry.format);
    put(columns, ErrorCode, row, Int16GetDatum((int16)entry.error_code),
        entry.error_code == WhispererErrorNone);
}

// Writes the entries that are chosen.
void write_entries(const Ledger* ledger, bool (*is_chosen)(const LedgerEntry&), SPIPlanPtr* plan,
                   const char* query, int expected) {
    Columns columns;
    for (int c = 0; c < ColumnCount; c++) {
        columns.values[c] = (Datum*)palloc(sizeof(Datum) * ledger->count);
        columns.nulls[c] = (bool*)palloc(sizeof(bool) * ledger->count);
    }
    int rows = 0;
    for (int i = 0; i < ledger->count; i++)
        if (is_chosen(ledger->entries[i]))
            put_row(&columns, rows++, ledger->entries[i], is_chosen == is_update);
    if (rows == 0)
        return;
    Datum values[ColumnCount];
    for (int c = 0; c < ColumnCount; c++)
        values[c] = make_array(columns.values[c], columns.nulls[c], rows, element_types[c]);
    run_plan(kept_plan(plan, query, ColumnCount, array_types), values, nullptr, false, 0, expected);
}

// As the install script creates the table.
enum DeliveryColumn {
    DeliveryEventId,
    DeliveryHookId,
    DeliveryXid,
    DeliveryIncarnation,
    DeliveryStateName,
    DeliveryRetryCount,
    DeliveryRoundStart,
    DeliveryNextAttemptAt,
    DeliveryRequestDatetimes,
    DeliveryHttpStatus,
    DeliveryResponseContent,
    DeliveryResponseTime,
    DeliveryError,
    DeliveryBody,
    DeliveryLine,
    DeliveryCreatedAt,
    DeliveryModifiedAt,
    DeliverySlot,
    DeliveryFormat,
    DeliveryErrorCode,
    DeliveryColumnCount
};

Datum attempts_of(const LedgerEntry& entry) {
    Datum requested_at = TimestampTzGetDatum(entry.requested_at);
    return make_array(&requested_at, nullptr, entry.requested_at == 0 ? 0 : 1, TIMESTAMPTZOID);
}

Datum interval_of(int64 us) {
    Interval* interval = (Interval*)palloc0(sizeof(Interval));
    interval->time = us;
    return IntervalPGetDatum(interval);
}

void set_text(TupleTableSlot* row, DeliveryColumn column, WhispererSpan utf8) {
    if (utf8.size > 0)
        set_column(row, column, PointerGetDatum(server_from_utf8(utf8)));
}

void fill_row(TupleTableSlot* row, const LedgerEntry& entry) {
    Datum now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
    set_column(row, DeliveryEventId, UUIDPGetDatum(&entry.event_id));
    set_column(row, DeliveryHookId, Int64GetDatum(entry.hook_id));
    set_column(row, DeliveryXid, UInt64GetDatum(entry.xid));
    set_column(row, DeliveryIncarnation, Int64GetDatum(my_incarnation()));
    set_column(row, DeliveryStateName, CStringGetTextDatum(state_name(entry.state)));
    set_column(row, DeliveryRetryCount, Int32GetDatum(entry.retry_count));
    set_column(row, DeliveryRoundStart, Int32GetDatum(0));
    set_column(row, DeliveryNextAttemptAt, TimestampTzGetDatum(entry.next_attempt_at),
               entry.next_attempt_at == 0);
    set_column(row, DeliveryRequestDatetimes, attempts_of(entry));
    set_column(row, DeliveryHttpStatus, Int32GetDatum(entry.http_status), entry.http_status == 0);
    set_text(row, DeliveryResponseContent, entry.response);
    if (entry.requested_at != 0)
        set_column(row, DeliveryResponseTime, interval_of(entry.response_time_us));
    set_text(row, DeliveryError, entry.error);
    set_text(row, DeliveryBody, entry.body);
    set_column(row, DeliveryLine, Int64GetDatum(entry.line), entry.line == 0);
    set_column(row, DeliveryCreatedAt, now);
    set_column(row, DeliveryModifiedAt, now);
    set_column(row, DeliverySlot, Int16GetDatum(entry.slot));
    set_text(row, DeliveryFormat, entry.format);
    set_column(row, DeliveryErrorCode, Int16GetDatum((int16)entry.error_code),
               entry.error_code == WhispererErrorNone);
}

// The batch's rows are nearly always of one slot.
void insert_slot(const Ledger* ledger, int16 slot, int count) {
    Oid table =
        get_relname_relid(psprintf("delivery_%d", slot), get_namespace_oid("whisperer", false));
    DirectInsert insert = begin_direct_insert(table, DeliveryColumnCount, count);
    for (int i = 0; i < ledger->count; i++)
        if (is_insert(ledger->entries[i]) && ledger->entries[i].slot == slot)
            fill_row(add_direct_row(&insert), ledger->entries[i]);
    end_direct_insert(&insert);
}

void insert_entries(const Ledger* ledger) {
    int counts[slot_count] = {};
    for (int i = 0; i < ledger->count; i++)
        if (is_insert(ledger->entries[i]))
            counts[ledger->entries[i].slot]++;
    for (int16 slot = 0; slot < slot_count; slot++)
        if (counts[slot] > 0)
            insert_slot(ledger, slot, counts[slot]);
}

void tell_of_failures(const Ledger* ledger) {
    for (int i = 0; i < ledger->count; i++)
        if (ledger->entries[i].kind == EntryKind::Delivery &&
            ledger->entries[i].state == DeliveryState::Failed &&
            !ledger->entries[i].is_operator_event)
            tell_of_failure(ledger->entries[i]);
}

// Rows of a hook beyond a place in the order in which they are due, and the place of the last of
// them.  What is before the place has been changed, and its entries in the index may have to stay.
#define DUE_ROWS(condition)                                                         \
    "WITH page AS MATERIALIZED (SELECT event_id, hook_id, slot, next_attempt_at "   \
    "FROM whisperer.delivery d WHERE hook_id = $1 AND next_attempt_at IS NOT NULL " \
    "AND (next_attempt_at, event_id) > ($2, $3) " condition                         \
    "ORDER BY hook_id, next_attempt_at, event_id LIMIT $4), changed AS (UPDATE "    \
    "whisperer.delivery d "
#define DUE_ROWS_PLACE                                                                          \
    "FROM page p WHERE d.event_id = p.event_id AND d.hook_id = p.hook_id AND d.slot = p.slot) " \
    "SELECT next_attempt_at, event_id, (SELECT count(*) FROM page) FROM page "                  \
    "ORDER BY next_attempt_at DESC, event_id DESC LIMIT 1"

int64 change_due_rows(SPIPlanPtr* plan, const char* query, int64 hook_id, DuePlace* place,
                      int limit, int freed_from) {
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, UUIDOID, INT8OID, INT4OID};
    Datum values[] = {Int64GetDatum(hook_id), TimestampTzGetDatum(place->at),
                      UUIDPGetDatum(&place->event_id), Int64GetDatum(limit),
                      Int32GetDatum(freed_from)};
    run_plan(kept_plan(plan, query, lengthof(types), types), values, nullptr, false, 0,
             SPI_OK_SELECT);
    if (SPI_processed == 0)
        return 0;
    *place = {timestamp_column(0, 1), uuid_column(0, 2)};
    return int64_column(0, 3);
}

}  // namespace

void write_batch(const Ledger* ledger) {
    static SPIPlanPtr update_plan, attempt_plan, callback_plan, countdown_plan;
    if (ledger->count > 0) {
        // A delivery that was parked and ended within one batch has an insert and an update.
        insert_entries(ledger);
        write_entries(ledger, is_update, &update_plan, update_query, SPI_OK_UPDATE);
        write_entries(ledger, is_failed_attempt, &attempt_plan, attempt_query, SPI_OK_INSERT);
        write_entries(ledger, is_callback, &callback_plan, callback_query, SPI_OK_UPDATE);
        write_entries(ledger, is_countdown, &countdown_plan, countdown_query, SPI_OK_UPDATE);
    }
    write_news(ledger->news);
    if (ledger->has_operators)
        tell_of_failures(ledger);
}

int64 cancel_pending(int64 hook_id, DuePlace* place, int limit) {
    static SPIPlanPtr plan;
    return change_due_rows(
        &plan,
        DUE_ROWS("")
        "SET next_attempt_at = NULL, "
        "state = CASE d.state WHEN 'pending' THEN 'cancelled' ELSE d.state END, "
        "error = CASE d.state WHEN 'pending' THEN 'hook deleted' ELSE d.error END, "
        "error_code = CASE d.state WHEN 'pending' THEN " CODE_HOOK_DELETED
        " ELSE d.error_code END, "
        "modified_at = CASE d.state WHEN 'pending' THEN now() ELSE d.modified_at "
        "END " DUE_ROWS_PLACE,
        hook_id, place, limit, 0);
}

static_assert(FreedFromRate == 1 && FreedFromCircuit == 2 && FreedFromAddress == 4 &&
                  FreedFromClock == 8,
              "as the statement below has them");

// Entered when the clock said what it does not say yet.  An event that is for later, and was
// neither tried nor put off yet, is for a time that somebody named, whatever the clock said.  What
// has ended waits for its callback.
#define BY_CLOCK_AHEAD                                           \
    "($5 & 8 <> 0 AND d.modified_at > now() + interval '1 s' "   \
    "AND (d.retry_count > d.round_start OR d.error IS NOT NULL " \
    "OR d.next_attempt_at <= d.modified_at + interval '1 s')) "

int64 free_waiting(int64 hook_id, int freed_from, DuePlace* place, int limit) {
    static SPIPlanPtr plan;
    return change_due_rows(
        &plan,
        DUE_ROWS("AND next_attempt_at > now() AND next_attempt_at < 'infinity' "
                 "AND (" BY_CLOCK_AHEAD "OR (state = 'pending' AND $5 & CASE error_code "
                 "WHEN " CODE_RATE_LIMIT " THEN 1 WHEN " CODE_CIRCUIT_OPEN " THEN 2 "
                 "WHEN " CODE_NOT_ALLOWED " THEN 4 ELSE 0 END <> 0)) ")
        // They wait for as long as they were to.
        "SET next_attempt_at = CASE WHEN " BY_CLOCK_AHEAD
        "THEN greatest(d.next_attempt_at - (d.modified_at - now()), now()) ELSE now() END, "
        "modified_at = least(d.modified_at, now()) " DUE_ROWS_PLACE,
        hook_id, place, limit, freed_from);
}

HTAB* rows_of_events(const Datum* event_ids, int count) {
    static SPIPlanPtr plan;
    HTAB* rows = create_delivery_keys(CurrentMemoryContext, "whisperer ledger rows");
    const Oid types[] = {UUIDARRAYOID};
    Datum values[] = {make_array(event_ids, nullptr, count, UUIDOID)};
    run_plan(kept_plan(&plan,
                       "SELECT event_id, hook_id FROM whisperer.delivery WHERE event_id = ANY ($1)",
                       lengthof(types), types),
             values, nullptr, true, 0, SPI_OK_SELECT);
    for (uint64 row = 0; row < SPI_processed; row++) {
        find_delivery_key(rows, uuid_column((int)row, 1), int64_column((int)row, 2), HASH_ENTER);
    }
    return rows;
}

}  // namespace whisperer::pg
