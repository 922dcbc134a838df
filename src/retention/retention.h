// Making room: the worker's part of retention.
//
// Now and then it looks at the oldest slot of the ring.  What is still pending there and past
// retention ends as failed; only the worker may write that.  When the slot looks as if it could be
// emptied, a short-lived process of its own reads and empties it (retention_main.cpp); delivery
// waits only while the files are unlinked.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

// Up to where pending deliveries of the slot have been looked at.
struct ExpiredPlace {
    int64 hook_id;
    TimestampTz at;
    pg_uuid_t event_id;
};

struct Retention {
    SteadyTime look_at;
    int slot;      // the slot looked at last
    bool is_done;  // it is empty
    ExpiredPlace expired;
    int attempts;  // processes started for it
    BackgroundWorkerHandle* process;
};

// What the process is told.
struct RetentionOrder {
    Oid database;
    int16 slot;
};
static_assert(sizeof(RetentionOrder) <= BGW_EXTRALEN, "it travels in bgw_extra");

Retention* create_retention(MemoryContext context);

bool retention_is_due(const Worker* worker, SteadyTime now);

// One transaction: adds what has expired to the ledger's batch, which must be empty; starts the
// process when there is room to make.
void look_after_retention(Worker* worker);

// The worker leaves: nobody of ours stays connected to the database.
void stop_retention(Worker* worker);

}  // namespace whisperer::pg
