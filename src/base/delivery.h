// A delivery (an event for a hook): what the ledger says of it, and sets of deliveries.
#pragma once

#include "src/base/error_code.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

constexpr int event_type_characters_max = 128;
constexpr int event_type_bytes_max = 4 * event_type_characters_max;  // in any server encoding

enum class DeliveryState : int {
    Pending,    // waits for an attempt, or is in flight -> any
    Delivered,  // 2xx
    Failed,     // no attempt left, or refused for good -> Pending by retry
    Cancelled,  // its hook was deleted -> Pending by retry
};

enum class EntryKind : int {
    Delivery,   // a result, or that it waits
    Callback,   // its callback has ended
    Countdown,  // the hook's own countdown says when the next attempt is
};

struct LedgerEntry {
    EntryKind kind;
    bool is_update;  // a row is there already
    bool is_failed_attempt;
    bool is_operator_event;  // nobody is told if it fails
    bool lacks_key;          // its hook is ordered by the key that its event has not
    DeliveryState state;
    pg_uuid_t event_id;
    int64 hook_id;
    uint64 xid;
    int16 slot;
    int64 line;  // that it stands in; 0: none
    int64 page;  // settled when the entry is committed; -1: none
    int32 retry_count;
    int32 round_start;            // attempts that the countdown does not count; 0: as it was
    TimestampTz next_attempt_at;  // 0: none; of one that has ended: its callback is due
    TimestampTz requested_at;     // 0: no attempt was made
    int32 http_status;            // 0: none
    int64 response_time_us;
    WhispererSpan response;  // UTF-8; empty: none
    WhispererSpan error;     // UTF-8; empty: none
    WhispererErrorCode error_code;
    WhispererSpan body;    // UTF-8; empty: its format makes it, or what the row has
    WhispererSpan format;  // of what is sent; empty: whisperer, or what the row has
};

struct DeliveryKey {
    pg_uuid_t event_id;
    int64 hook_id;
};
static_assert(sizeof(DeliveryKey) == UUID_LEN + sizeof(int64), "hashed as bytes: no padding");

inline HTAB* create_delivery_keys(MemoryContext context, const char* name) {
    HASHCTL control = {};
    control.keysize = sizeof(DeliveryKey);
    control.entrysize = sizeof(DeliveryKey);
    control.hcxt = context;
    return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

inline bool find_delivery_key(HTAB* keys, const pg_uuid_t& event_id, int64 hook_id,
                              HASHACTION action = HASH_FIND) {
    DeliveryKey key = {event_id, hook_id};
    return hash_search(keys, &key, action, nullptr) != nullptr;
}

}  // namespace whisperer::pg
