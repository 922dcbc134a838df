// Making event ids; see event_id.h.
#include "src/base/event_id.h"

#include <time.h>

#include "src/base/unix_time.h"

namespace whisperer::pg {

namespace {

// Milliseconds since the Unix epoch, with 12 bits of fraction.
uint64 clock_ticks() {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64 milliseconds = (uint64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    uint64 fraction = ((uint64)(now.tv_nsec % 1000000) << 12) / 1000000;
    return milliseconds << 12 | fraction;
}

// Asking for a few bytes costs as much as asking for many.
void random_bytes(uint8* target, size_t count) {
    static uint8 pool[512];
    static size_t left = 0;
    if (left < count) {
        if (!pg_strong_random(pool, sizeof pool))
            ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("could not generate random values"));
        left = sizeof pool;
    }
    left -= count;
    memcpy(target, pool + left, count);
}

}  // namespace

pg_uuid_t make_event_id() {
    static uint64 last_ticks = 0;
    uint64 ticks = Max(clock_ticks(), last_ticks + 1);
    last_ticks = ticks;

    pg_uuid_t id;
    random_bytes(id.data + 8, 8);
    for (int i = 0; i < 6; i++)
        id.data[i] = (uint8)(ticks >> (52 - 8 * i));
    id.data[6] = (uint8)(0x70 | ((ticks >> 8) & 0x0f));
    id.data[7] = (uint8)ticks;
    id.data[8] = (uint8)(0x80 | (id.data[8] & 0x3f));
    return id;
}

pg_uuid_t event_id_bound(TimestampTz moment) {
    constexpr int64 last = ((int64)1 << 48) - 1;
    int64 milliseconds = TIMESTAMP_NOT_FINITE(moment) ? (TIMESTAMP_IS_NOBEGIN(moment) ? 0 : last)
                                                      : unix_from_timestamp(moment) / 1000;
    milliseconds = Min(Max(milliseconds, 0), last);
    pg_uuid_t id = {};
    for (int i = 0; i < 6; i++)
        id.data[i] = (uint8)(milliseconds >> (40 - 8 * i));
    return id;
}

}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_new_event_id);
PG_FUNCTION_INFO_V1(whisperer_event_id_bound);

PGDLLEXPORT Datum whisperer_new_event_id(PG_FUNCTION_ARGS) {
    pg_uuid_t* id = (pg_uuid_t*)palloc(sizeof(pg_uuid_t));
    *id = whisperer::pg::make_event_id();
    PG_RETURN_UUID_P(id);
}

PGDLLEXPORT Datum whisperer_event_id_bound(PG_FUNCTION_ARGS) {
    pg_uuid_t* id = (pg_uuid_t*)palloc(sizeof(pg_uuid_t));
    *id = whisperer::pg::event_id_bound(PG_GETARG_TIMESTAMPTZ(0));
    PG_RETURN_UUID_P(id);
}
}
