// Putting finished rows into a partition of the outbox.
#pragma once

#include "record.h"

namespace whisperer::pg {

// What the rows of one call have in common.
struct OutboxRows {
    const char* event_type;
    text* source;          // null: none
    Jsonb* config_filter;  // null: none
    int64 incarnation;
    int16 slot;
};

// Inserts the events into the partition, at most 1,000 at a time.  Refuses (25006) in a read-only
// transaction.  Evaluates nothing of anybody: no default, no trigger, no check constraint; what the
// table demands (not null, its partition's slot) is so by what is inserted.
void insert_events(Oid partition, const OutboxRows& rows, const NewEvent* events, int count);

}  // namespace whisperer::pg
