// What each hook did, minute by minute: whisperer.hook_minute, so that no question about rates and
// response times reads the ledger.
//
// Counted when the ledger's batch is committed, written a few seconds later in small steps; what a
// process had counted and not yet written when it died is missing from the figures, not from the
// ledger.  The worker is the only writer, and each row is updated only within its minute.
#pragma once

#include "src/base/delivery.h"
#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

// Number n counts times from 100 us * 2^(n/2) on, the first also what is shorter, the last what is
// longer (20 minutes); whisperer.response_time_at knows the same.
constexpr int response_buckets = 48;
constexpr int meter_error_bytes_max = 200;

struct MeterCounts {
    int32 delivered;
    int32 failed_attempts;
    int32 failed;
    int32 without_key;
    int32 response_times[response_buckets];  // of what was delivered
};

struct Meter {
    int64 hook_id;          // key
    bool is_known;          // what earlier processes wrote is added
    bool is_noted;          // among those to be written
    TimestampTz minute;     // of its last row
    TimestampTz kept_from;  // rows before were deleted
    MeterCounts row;        // of that row
    MeterCounts news;       // since it was written
    // Since the hook was made.
    int64 delivered_total;
    int64 failed_attempts_total;
    int64 failed_total;
    int64 response_us_total;
    char error[meter_error_bytes_max];  // UTF-8; of the last attempt that failed since, or empty
};

struct Meters {
    HTAB* by_hook;
    Meter** noted;
    int noted_count;
    int noted_capacity;
    SteadyTime written_at;
};

Meters* create_meters(MemoryContext context);

// An entry of a batch that has been committed.
void count_entry(Meters* meters, const LedgerEntry& entry);

// When the next step of writing is due; DT_NOEND: there is nothing to write.
SteadyTime meters_due_at(const Meters* meters);

// In a writing transaction: a step.
void write_meters(Meters* meters);

}  // namespace whisperer::pg
