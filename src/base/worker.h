// One delivery worker: a process that reads the log of one database, hands deliveries to the engine
// and writes what came of them.  This is all that it holds; the steps are in worker_main.cpp.  Who
// uses a part includes the part's header: here they have names and nothing else.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

struct WhispererEngine;

namespace whisperer::pg {

struct Bookmark;
struct HandOver;
struct Helper;
struct HookSet;
struct Ledger;
struct Reader;
struct Requests;
struct PayloadRetention;
struct Retention;
struct TakeOver;
struct Tracker;
struct UnregisteredTypes;
struct WorkerEntry;

struct Worker {
    MemoryContext context;  // for the life of the process
    MemoryContext step;     // emptied at every turn of the loop
    WorkerEntry* entry;
    WhispererEngine* engine;
    HookSet* hooks;
    Tracker* tracker;
    Ledger* ledger;
    Helper* helper;
    Reader* reader;
    Bookmark* bookmark;
    UnregisteredTypes* unregistered;
    TakeOver* take_over;
    Requests* requests;
    Retention* retention;
    PayloadRetention* payload_retention;
    HandOver* hand_over;
    SteadyTime names_at;  // the names of roles are not refreshed before, after a failure
    int64 failed_deliveries;
    int64 invalid_events;  // that did not fit the schemas of their types
};

}  // namespace whisperer::pg
