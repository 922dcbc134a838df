// Carrying out what people asked for: retry, recover, replay, cancel, expunge; and what a new hook
// needs.
//
// A hook gets what was not committed when it was made, but the worker knows it only once its own
// transaction is committed.  What was committed and read in between is looked for once: the request
// comes with the hook.
//
// A request is a row that stays until it is done, so a process that starts anew finds it again.  It
// is done in batches, one transaction each, between the pages of the log.  What an earlier process
// did already of a request is known by modified_at: later than the request.  How far a range goes
// is settled when it is begun, or it would never end beside a steady load.
#pragma once

#include "src/base/snapshot.h"
#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

enum class RequestKind {
    Retry,
    Cancel,
    Expunge,
    // Page by page:
    Recover,
    Replay,
    CatchUp,
};

// What became of a batch of a request.
enum class Progress {
    Done,
    More,
    InFlight,  // to be tried again when an attempt has ended
};

struct Request {
    int64 id;
    uint64 xid;
    RequestKind kind;
    int64 hook_id;
    pg_uuid_t event_id;
    uint64 event_xid;  // 0: the ledger had the event when this was asked
    bool force;
    TimestampTz since, until;
    TimestampTz created_at;
    bool is_done;
    // The place reached: in the ledger by (event_id, hook_id), in the outbox by (xid, id).
    pg_uuid_t place_id;
    int64 place_hook;
    uint64 place_xid;
    // Where it ends: in the ledger at this event, in the outbox before this transaction, and of
    // what another database recorded with this one.
    bool is_begun;
    pg_uuid_t end_id;
    uint64 end_xid;
    uint64 last_xid_elsewhere;
};

struct Requests {
    MemoryContext context;  // of the list, which grows, and of seen
    XidSnapshot* seen;      // what the list was read up to; null: it was not read yet
    Request* list;
    int count;
    int capacity;
    int expunges;        // of them; carried out although delivery is paused
    int next;            // round and round: a long one does not hold up the others
    SteadyTime look_at;  // not before: what is asked to be cancelled is in flight
};

// What this worker has been asked to do.
Requests* create_requests(MemoryContext context);
bool requests_are_due(const Worker* worker, SteadyTime now);

// Whether the hook's backlog is being added to, page by page, or may be about to.
bool is_being_replayed(const Worker* worker, int64 hook_id);
// Whether something is to be done for the hook yet: what it is about must be found in the ledger.
bool has_requests(const Worker* worker, int64 hook_id);

// One transaction: reads what has arrived, if something has, and does a batch of one request.  The
// ledger's batch must be empty.
void carry_out_requests(Worker* worker);

}  // namespace whisperer::pg
