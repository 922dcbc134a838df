// Arithmetic of the ring; see ring.h.
#include "src/base/ring.h"

#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int periods_kept = slot_count - 2;

// Since the last multiple of the divisor, also for times before 2000, which are negative.
int64 beyond_multiple(int64 time, int64 divisor) {
    int64 rest = time % divisor;
    return rest < 0 ? rest + divisor : rest;
}

}  // namespace

int64 slot_period_us() {
    return settings.retention_s * USECS_PER_SEC / periods_kept;
}

int16 current_slot() {
    return (int16)(beyond_multiple(GetCurrentTimestamp(), slot_period_us() * slot_count) /
                   slot_period_us());
}

int16 oldest_slot() {
    return (int16)((current_slot() + 1) % slot_count);
}

int64 period_left_us() {
    return slot_period_us() - beyond_multiple(GetCurrentTimestamp(), slot_period_us());
}

TimestampTz retention_horizon(TimestampTz now) {
    return now - settings.retention_s * USECS_PER_SEC;
}

int payload_kept_s() {
    bool is_shorter =
        settings.payload_retention_s > 0 && settings.payload_retention_s < settings.retention_s;
    return is_shorter ? settings.payload_retention_s : settings.retention_s;
}

bool is_in_ring(Oid table) {
    if (get_rel_namespace(table) != get_namespace_oid("whisperer", true))
        return false;
    const char* name = get_rel_name(table);
    constexpr const char* logs[] = {"outbox", "delivery", "past_attempt", "event_key",
                                    "key_decision"};
    for (const char* log : logs) {
        size_t length = strlen(log);
        if (name && strncmp(name, log, length) == 0 &&
            (name[length] == '\0' || name[length] == '_'))
            return true;
    }
    return false;
}

}  // namespace whisperer::pg
