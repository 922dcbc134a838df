// What whisperer.payload_retention asks for: the data of events goes before their results do.
//
// Each worker goes through the log in the order of (xid, id), a page at a time, up to the first
// event that is younger, and takes out what the ledger has of it for its hooks.  Worker 0 takes the
// data out of the log, and the others keep behind it.  The place is in memory: a worker that starts
// goes through what is done already once more, and finds nothing to do.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

struct PayloadRetention {
    SteadyTime look_at;
    uint64 xid;  // the place: up to here all is done
    pg_uuid_t id;
};

PayloadRetention* create_payload_retention(MemoryContext context);

bool payload_retention_is_due(const Worker* worker, SteadyTime now);

// One transaction: a page.  What is still pending ends as failed, by entries of the ledger's batch,
// which must be empty.
void look_after_payloads(Worker* worker);

}  // namespace whisperer::pg
