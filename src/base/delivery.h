// A set of deliveries, each named by its event and hook.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

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
