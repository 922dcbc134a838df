// Taking over what a restore or copy carried here.
//
// resume() makes carried hooks this database's own.  Their pending deliveries came along in the
// ledger and are then due like any other.  What their own database had committed but not yet handed
// out is in the outbox beyond that database's bookmark; it is entered into the ledger as pending,
// in one scan of the outbox, a page a time.  Until the scan has ended and hook_run says so, a
// process that starts anew begins it again and skips what the ledger has.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

struct TakeOver {
    bool is_running;
    bool at_end;  // everything was read; what is in the ledger's batch is the last
    uint64 xid;   // the place reached
    pg_uuid_t id;
    uint64 end_xid;             // what was recorded here from then on is not looked at
    uint64 last_xid_elsewhere;  // nor what another database recorded after that one of its own
    int64 entered;
};

TakeOver* create_take_over(MemoryContext context);

bool has_to_take_over(const Worker* worker);

// One transaction: reads a page and adds what hooks still have to get to the ledger's batch, which
// must be empty.
void read_carried(Worker* worker);

// In the writing transaction of the last batch; and after its commit.
void mark_taken_over(Worker* worker);
void end_take_over(Worker* worker);

}  // namespace whisperer::pg
