// Hash tables by a number that the database gives: a hook's id, a line's number.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Its entries begin with the number, and live in the context.
inline HTAB* create_id_table(MemoryContext context, const char* name, Size entry_bytes,
                             long expected) {
    HASHCTL control = {};
    control.keysize = sizeof(int64);
    control.entrysize = entry_bytes;
    control.hcxt = context;
    return hash_create(name, expected, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

}  // namespace whisperer::pg
