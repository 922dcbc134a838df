// One delivery worker: a process that reads the log of one database, hands deliveries to the engine
// and writes what came of them.  This is all that it holds; the steps are in worker_main.cpp.
#pragma once

#include "src/again/requests.h"
#include "src/again/take_over.h"
#include "src/functions/helper.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"
#include "src/pg.h"
#include "src/processes/shared_state.h"
#include "src/read/outbox_reader.h"
#include "src/retention/retention.h"
#include "worker/engine.h"

namespace whisperer::pg {

// Event types that were recorded without being registered; the worker registers them.
struct UnregisteredType {
    char name[132];
    char* source;
    bool is_refused;  // now; somebody may have been quicker
};

struct Worker {
    MemoryContext context;  // for the life of the process
    MemoryContext step;     // emptied at every turn of the loop
    WorkerSlot* slot;
    WhispererEngine* engine;
    HookSet* hooks;
    Tracker* tracker;
    Ledger* ledger;
    Helper* helper;
    Reader reader;
    Bookmark bookmark;
    int unregistered_count;
    UnregisteredType unregistered[16];
    TimestampTz register_at;  // not before, after a failure
    TimestampTz names_at;     // the same, for the names of roles
    TakeOver take_over;
    Requests requests;
    Retention retention;
    int64 failed_deliveries;
};

// Whether the engine takes more.
bool has_credit(const Worker* worker);

// Hands one event to the given hooks.  The engine copies everything.  What it refuses for good ends
// as a failed delivery, with its reason: an event that can never be sent must not stop the log.
void submit(Worker* worker, const WhispererEvent& event, const WhispererDelivery* deliveries,
            int count);

// Hands out what is due again, or cancels what waits for a deleted hook.
void read_due(Worker* worker);

// In a writing transaction.
void register_types(Worker* worker);
void note_unregistered(Worker* worker, const char* event_type, const char* source);

// In a writing transaction: owner_name and role_name follow a rename.
bool names_are_due(const Worker* worker, TimestampTz now);
void refresh_role_names(Worker* worker);

}  // namespace whisperer::pg
