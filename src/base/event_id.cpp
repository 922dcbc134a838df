// Making event ids; see event_id.h.
#include "src/base/event_id.h"

#include <time.h>

#include "src/base/identity.h"
#include "src/base/owner_context.h"
#include "src/base/transaction.h"
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

constexpr uint64 ticks_ahead_max = (uint64)3600 * 1000 << 12;

EventIds own = {};
EventIds* ids = &own;

uint64 ticks_of(const pg_uuid_t& id) {
    uint64 ticks = 0;
    for (int i = 0; i < 6; i++)
        ticks = ticks << 8 | id.data[i];
    return ticks << 12 | (uint64)(id.data[6] & 0x0f) << 8 | id.data[7];
}

void follow(uint64 ticks) {
    uint64 newest = pg_atomic_read_u64(&ids->newest);
    while (newest < ticks && !pg_atomic_compare_exchange_u64(&ids->newest, &newest, ticks))
        continue;
}

// The newest id that the database has, but one that was made by a clock that was wrong.  The ledger
// has those that were handed out; of the log, where nothing is indexed but the transaction, the
// last are looked at.
void query_newest(const pg_uuid_t* bound) {
    const Oid types[] = {UUIDOID};
    Datum values[] = {UUIDPGetDatum(bound)};
    if (run_query(
            "SELECT n.id FROM ((SELECT d.event_id AS id FROM whisperer.delivery d "
            "WHERE d.event_id OPERATOR(pg_catalog.<) $1 ORDER BY d.event_id DESC LIMIT 1) "
            "UNION ALL SELECT o.id FROM (SELECT id FROM whisperer.outbox "
            "ORDER BY xid DESC, id DESC LIMIT 1000) o WHERE o.id OPERATOR(pg_catalog.<) $1) n "
            "ORDER BY n.id DESC LIMIT 1",
            lengthof(types), types, values, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not look for the newest event");
}

// After a start or a promotion the clock may be behind what the log has.
void follow_log() {
    constexpr int64 ahead_max_us = (int64)(ticks_ahead_max >> 12) * 1000;
    pg_uuid_t bound = event_id_bound(GetCurrentTimestamp() + ahead_max_us);
    UserContext saved = enter_owner(extension_owner());
    PushActiveSnapshot(GetLatestSnapshot());
    SPI_connect();
    query_newest(&bound);
    if (SPI_processed == 1)
        follow(ticks_of(uuid_column(0, 1)));
    SPI_finish();
    PopActiveSnapshot();
    leave_owner(saved);
}

// Once for each database since the server started; where there are more than fit, in each backend.
// Not on a standby: the log goes on there, and backends and shared memory outlast the promotion.
void follow_log_once() {
    static bool is_done = false;
    if (is_done || RecoveryInProgress())
        return;
    for (pg_atomic_uint32& entry : ids->followed)
        is_done |= pg_atomic_read_u32(&entry) == (uint32)MyDatabaseId;
    if (is_done)
        return;
    follow_log();
    is_done = true;
    for (pg_atomic_uint32& entry : ids->followed) {
        uint32 nobody = 0;
        if (pg_atomic_compare_exchange_u32(&entry, &nobody, (uint32)MyDatabaseId))
            return;
    }
}

uint64 next_ticks() {
    uint64 now = clock_ticks();
    uint64 newest = pg_atomic_read_u64(&ids->newest);
    uint64 next;
    bool is_astray;
    do {
        is_astray = newest > now + ticks_ahead_max;
        next = newest < now || is_astray ? now : newest + 1;
    } while (!pg_atomic_compare_exchange_u64(&ids->newest, &newest, next));
    if (is_astray)
        ereport(LOG,
                errmsg("whisperer: event ids follow the clock again, which was more than an "
                       "hour ahead"),
                errdetail("Ordered hooks take what was recorded meanwhile for the newest."));
    return next;
}

}  // namespace

void share_event_ids(EventIds* shared) {
    pg_atomic_init_u64(&shared->newest, 0);
    for (pg_atomic_uint32& database : shared->followed)
        pg_atomic_init_u32(&database, 0);
    ids = shared;
}

pg_uuid_t make_event_id() {
    follow_log_once();
    uint64 ticks = next_ticks();

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
