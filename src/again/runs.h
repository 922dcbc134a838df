// What ordered hooks are handed: runs of their lines, from the head on, as many as go into one
// request, or into a chain of requests of one line.
//
// Invariant: no event of a line is handed out while another of it is on its way, or before one that
// stands before it, unless both are in the same batch.  So a batch is a whole, in the engine, too:
// it is sent or comes back with all its members.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Hook;
struct Worker;

// In a transaction, for a hook with batches, or one whose receiver answers fast enough for chains.
void read_runs(Worker* worker, Hook* hook, const WhispererBatch& batch, TimestampTz now);

}  // namespace whisperer::pg
