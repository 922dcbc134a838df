// Event types that were recorded without being registered; the worker registers them.
#pragma once

#include "src/base/delivery.h"
#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

struct UnregisteredType {
    char name[event_type_bytes_max + 1];
    Oid recorder;     // the owner of the table
    bool is_refused;  // now; somebody may have been quicker
};

struct UnregisteredTypes {
    UnregisteredType list[16];
    int count;
    SteadyTime register_at;  // not before, after a failure
};

UnregisteredTypes* create_unregistered_types(MemoryContext context);

void note_unregistered(Worker* worker, const char* event_type, Oid recorder);

bool types_are_due(const Worker* worker, SteadyTime now);

// In a writing transaction.
void register_types(Worker* worker);

}  // namespace whisperer::pg
