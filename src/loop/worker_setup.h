// Start of a worker's process: connection, settings, engine, and what undoes them.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Worker;

// Connects to the entry's database and makes the worker.  Null: there is nothing to do here (no
// extension, or told to stop), and the entry says so.
Worker* set_up_worker(int entry_number);

// The extension was dropped: the launcher need not start a worker here again.
void report_absent(Worker* worker);

// Hands the settings to the engine; a bad one is logged and the old ones stay.
void configure_engine(WhispererEngine* engine);

// After a SIGHUP.  True: secrets may be readable that were not, so hooks are to be looked at again.
bool reload_settings(Worker* worker);

// Latch, postmaster and the engine's descriptor, in one set for the life of the process.
WaitEventSet* create_wait_events(const WhispererEngine* engine);

}  // namespace whisperer::pg
