// Idempotency keys of events that are recorded by hand: who records with one gets the event that
// has it already, if there is one.
//
// Invariant: nobody waits here, for another writer or for retention.  What a look misses (another
// transaction runs at once, a partition is locked) is recorded twice, and the worker delivers one
// of the two (read/key_decisions.h).
#pragma once

#include "src/base/identity.h"
#include "src/record/context.h"
#include "src/record/record.h"

namespace whisperer::pg {

// What an event is recorded with, to be compared with one that has its key.
struct Content {
    Datum data;
    text* object_id;       // null: none
    Jsonb* config_filter;  // the same
    Jsonb* headers;        // the same
};

// Refuses (22023) what is no key.  Until when one that is recorded now holds.
void check_idempotency_key(text* key);
TimestampTz key_until();

// The event that has the key now, as far as this transaction's snapshot shows it.  Refuses (23505)
// if it was recorded with other content.  False: there is none.
bool find_event_of_key(const char* event_type, text* key, const Content& content, pg_uuid_t* id);

// Notes the key of an event that is recorded into slot.
void note_event_key(const Identity& identity, int16 slot, Datum event_type, const Said& said,
                    const pg_uuid_t& id);

}  // namespace whisperer::pg
