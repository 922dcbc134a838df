// An ordered hook that has moved to another delivery node begins there when this database has
// delivered what came before: the worker's part in saying so.
//
// Now and then it asks the ledger whether the line of an awaited hook has come to its end. A
// short-lived process tells the primary (hand_over_main.cpp): it may have to wait for the network.
#pragma once

#include "src/base/steady_clock.h"
#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

struct HandOver {
    SteadyTime look_at;
    int attempts;  // processes started since nothing was awaited
    BackgroundWorkerHandle* process;
};

// What the process is told.
struct HandOverOrder {
    Oid database;
    bool is_first;  // a failure is told once, until nothing is awaited any more
};
static_assert(sizeof(HandOverOrder) <= BGW_EXTRALEN, "it travels in bgw_extra");

HandOver* create_hand_over(MemoryContext context);

// Does nothing where no hook is awaited or it was looked at lately.
void hand_lines_over(Worker* worker, SteadyTime now);

// The worker leaves: nobody of ours stays connected to the database.
void stop_hand_over(Worker* worker);

// In a transaction: the awaited hooks whose lines have come to their end, as rows of the last SPI
// result: id, whether the hook comes from a primary, the name that is awaited.
void find_ended_lines();

}  // namespace whisperer::pg
