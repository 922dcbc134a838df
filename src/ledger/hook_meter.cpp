// See hook_meter.h.
#include "src/ledger/hook_meter.h"

#include "src/base/encoding.h"
#include "src/base/id_table.h"
#include "src/base/transaction.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// A step writes so many rows, the longest noted first, and delivers nothing meanwhile.
constexpr int rows_per_step = 20;
constexpr int64 interval_us = 2 * USECS_PER_SEC;
constexpr int64 interval_of_steps_us = 500 * 1000;
constexpr int64 kept_us = USECS_PER_DAY;

int bucket_of(int64 response_us) {
    double number = 2 * log2(Max((double)response_us, 100.0) / 100.0);
    return Min((int)number, response_buckets - 1);
}

Meter* meter_of(Meters* meters, int64 hook_id) {
    bool found;
    Meter* meter = (Meter*)hash_search(meters->by_hook, &hook_id, HASH_ENTER, &found);
    if (!found) {
        *meter = {};
        meter->hook_id = hook_id;
    }
    if (meter->is_noted)
        return meter;
    if (meters->noted_count == meters->noted_capacity) {
        meters->noted_capacity *= 2;
        meters->noted =
            (Meter**)repalloc_huge(meters->noted, sizeof(Meter*) * meters->noted_capacity);
    }
    meters->noted[meters->noted_count++] = meter;
    meter->is_noted = true;
    return meter;
}

void keep_error(Meter* meter, WhispererSpan error) {
    size_t size = Min(error.size, sizeof meter->error - 1);
    // Not within a character.
    while (size > 0 && size < error.size && (error.data[size] & 0xC0) == 0x80)
        size--;
    if (size > 0)
        memcpy(meter->error, error.data, size);
    meter->error[size] = '\0';
}

void add(MeterCounts* sum, const MeterCounts& counts) {
    sum->delivered += counts.delivered;
    sum->failed_attempts += counts.failed_attempts;
    sum->failed += counts.failed;
    sum->without_key += counts.without_key;
    for (int i = 0; i < response_buckets; i++)
        sum->response_times[i] += counts.response_times[i];
}

enum RowColumn {
    RowMinute = 1,
    RowDelivered,
    RowFailedAttempts,
    RowFailed,
    RowResponseTimes,
    RowDeliveredTotal,
    RowFailedAttemptsTotal,
    RowFailedTotal,
    RowResponseTotal,
    RowWithoutKey,
};

void read_response_times(int32* counts) {
    Datum* values;
    int count;
    deconstruct_array(DatumGetArrayTypeP(datum_column(0, RowResponseTimes)), INT4OID, sizeof(int32),
                      true, TYPALIGN_INT, &values, nullptr, &count);
    for (int i = 0; i < Min(count, response_buckets); i++)
        counts[i] = DatumGetInt32(values[i]);
}

// What an earlier process wrote of the hook goes on.
void add_known(Meter* meter) {
    static SPIPlanPtr plan;
    meter->is_known = true;
    const Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(meter->hook_id)};
    run_plan(kept_plan(&plan,
                       "SELECT minute, delivered, failed_attempts, failed, response_times, "
                       "delivered_total, failed_attempts_total, failed_total, response_us_total, "
                       "without_key FROM whisperer.hook_minute WHERE hook_id = $1 ORDER BY minute "
                       "DESC LIMIT 1",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_SELECT);
    if (SPI_processed == 0)
        return;
    meter->minute = timestamp_column(0, RowMinute);
    meter->row.delivered = int32_column(0, RowDelivered);
    meter->row.failed_attempts = int32_column(0, RowFailedAttempts);
    meter->row.failed = int32_column(0, RowFailed);
    meter->row.without_key = int32_column(0, RowWithoutKey);
    read_response_times(meter->row.response_times);
    meter->delivered_total += int64_column(0, RowDeliveredTotal);
    meter->failed_attempts_total += int64_column(0, RowFailedAttemptsTotal);
    meter->failed_total += int64_column(0, RowFailedTotal);
    meter->response_us_total += int64_column(0, RowResponseTotal);
}

// As short as it can be: the buckets behind the last count are left out.
Datum response_times_array(const MeterCounts& counts) {
    Datum values[response_buckets];
    int size = 0;
    for (int i = 0; i < response_buckets; i++) {
        values[i] = Int32GetDatum(counts.response_times[i]);
        if (counts.response_times[i] > 0)
            size = i + 1;
    }
    return make_array(values, nullptr, size, INT4OID);
}

void write_row(const Meter& meter) {
    static SPIPlanPtr plan;
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID, INT4ARRAYOID,
                         INT8OID, INT8OID,        INT8OID, INT8OID, TEXTOID, INT4OID};
    bool has_error = meter.error[0] != '\0';
    Datum error =
        has_error ? PointerGetDatum(server_from_utf8({meter.error, strlen(meter.error)})) : 0;
    Datum values[] = {Int64GetDatum(meter.hook_id),
                      TimestampTzGetDatum(meter.minute),
                      Int32GetDatum(meter.row.delivered),
                      Int32GetDatum(meter.row.failed_attempts),
                      Int32GetDatum(meter.row.failed),
                      response_times_array(meter.row),
                      Int64GetDatum(meter.delivered_total),
                      Int64GetDatum(meter.failed_attempts_total),
                      Int64GetDatum(meter.failed_total),
                      Int64GetDatum(meter.response_us_total),
                      error,
                      Int32GetDatum(meter.row.without_key)};
    run_plan(kept_plan(&plan,
                       "INSERT INTO whisperer.hook_minute AS m (hook_id, minute, delivered, "
                       "failed_attempts, failed, response_times, delivered_total, "
                       "failed_attempts_total, failed_total, response_us_total, last_error, "
                       "without_key) "
                       "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
                       "ON CONFLICT (hook_id, minute) DO UPDATE SET delivered = $3, "
                       "failed_attempts = $4, failed = $5, response_times = $6, "
                       "delivered_total = $7, failed_attempts_total = $8, failed_total = $9, "
                       "response_us_total = $10, last_error = coalesce($11, m.last_error), "
                       "without_key = $12",
                       lengthof(types), types),
             values, has_error ? nullptr : "          n ", false, 0, SPI_OK_INSERT);
}

// From where it was deleted before, so that what is dead and held for somebody's snapshot is not
// walked again.
void delete_old_rows(Meter* meter) {
    static SPIPlanPtr plan;
    TimestampTz until = meter->minute - kept_us;
    const Oid types[] = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
    Datum values[] = {Int64GetDatum(meter->hook_id), TimestampTzGetDatum(meter->kept_from),
                      TimestampTzGetDatum(until)};
    run_plan(kept_plan(&plan,
                       "DELETE FROM whisperer.hook_minute WHERE hook_id = $1 AND minute >= $2 "
                       "AND minute < $3",
                       lengthof(types), types),
             values, nullptr, false, 0, SPI_OK_DELETE);
    meter->kept_from = until;
}

void write_meter(Meter* meter, TimestampTz now) {
    if (!meter->is_known)
        add_known(meter);
    // A clock that went back does not open an earlier minute again.
    TimestampTz minute = Max(now - now % USECS_PER_MINUTE, meter->minute);
    bool is_new = minute != meter->minute;
    if (is_new) {
        meter->minute = minute;
        meter->row = {};
    }
    add(&meter->row, meter->news);
    write_row(*meter);
    if (is_new)
        delete_old_rows(meter);
    meter->news = {};
    meter->error[0] = '\0';
    meter->is_noted = false;
}

}  // namespace

Meters* create_meters(MemoryContext context) {
    Meters* meters = (Meters*)MemoryContextAllocZero(context, sizeof(Meters));
    meters->by_hook = create_id_table(context, "whisperer hook meters", sizeof(Meter), 64);
    meters->noted_capacity = 64;
    meters->noted = (Meter**)MemoryContextAlloc(context, sizeof(Meter*) * meters->noted_capacity);
    return meters;
}

void count_entry(Meters* meters, const LedgerEntry& entry) {
    bool was_attempt = entry.requested_at != 0;
    bool has_failed = entry.state == DeliveryState::Failed;
    bool lacks_key = entry.lacks_key && !entry.is_update;
    if (!settings.track_hooks || entry.kind != EntryKind::Delivery ||
        (!was_attempt && !has_failed && !lacks_key))
        return;
    Meter* meter = meter_of(meters, entry.hook_id);
    meter->news.without_key += lacks_key;
    if (!was_attempt && !has_failed)
        return;
    if (entry.state == DeliveryState::Delivered) {
        meter->news.delivered++;
        meter->news.response_times[bucket_of(entry.response_time_us)]++;
        meter->delivered_total++;
        meter->response_us_total += entry.response_time_us;
        return;
    }
    meter->news.failed_attempts += was_attempt;
    meter->failed_attempts_total += was_attempt;
    meter->news.failed += has_failed;
    meter->failed_total += has_failed;
    keep_error(meter, entry.error);
}

SteadyTime meters_due_at(const Meters* meters) {
    if (meters->noted_count == 0)
        return DT_NOEND;
    bool has_rest = meters->noted_count > rows_per_step;
    return meters->written_at + (has_rest ? interval_of_steps_us : interval_us);
}

void write_meters(Meters* meters) {
    meters->written_at = steady_now();
    TimestampTz now = GetCurrentTimestamp();
    int count = Min(meters->noted_count, rows_per_step);
    for (int i = 0; i < count; i++)
        write_meter(meters->noted[i], now);
    meters->noted_count -= count;
    memmove(meters->noted, meters->noted + count, sizeof(Meter*) * meters->noted_count);
}

}  // namespace whisperer::pg
