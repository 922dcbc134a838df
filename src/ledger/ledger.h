// The ledger (whisperer.delivery): results, gathered and written in batches.  New rows go
// straight into the table; updates, past attempts, ends of callbacks and countdowns are a statement
// each.
//
// The worker is its only writer.  A delivery that ends at its first attempt costs one insert; one
// that was parked or failed is inserted as pending and updated when it goes on.
#pragma once

#include "src/base/delivery.h"
#include "src/base/steady_clock.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/hook_health.h"
#include "src/ledger/hook_meter.h"
#include "src/ledger/tracker.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Ledger {
    MemoryContext context;  // texts of the batch; emptied when it is written
    LedgerEntry* entries;
    int count;
    int capacity;
    HookNewsList* news;    // written with the batch
    int line_arrivals;     // entries that come into a line
    bool has_operators;    // failures are told of
    SteadyTime oldest_at;  // when the first entry of the batch came
    Meters* meters;
};

Ledger* create_ledger(MemoryContext context);

// Adds an entry; texts must be in ledger->context.
void add_entry(Ledger* ledger, const LedgerEntry& entry);

// An entry for a delivery that never reached the engine: pending now, or failed for a reason.
void add_unsent(Ledger* ledger, HookSet* hooks, const Inflight& delivery, DeliveryState state,
                const DeliveryError& error = {});

// The body of one that stands in line has been made, and is in ledger->context.
void add_body(Ledger* ledger, const Inflight& delivery, WhispererSpan body, WhispererSpan format);

// The callback of a delivery has ended, somehow.
void add_callback_end(Ledger* ledger, const Inflight& delivery);

// The next attempt of a pending delivery, of which retry_count were made, is due then.
void add_countdown(Ledger* ledger, HookSet* hooks, const Inflight& delivery, TimestampTz at);

// Turns what the engine says of a delivery into an entry, and lets go of it if that was the end.
// hook: as it is now; null or deleted: nothing goes on.
void add_outcome(Ledger* ledger, Tracker* tracker, HookSet* hooks, const WhispererOutcome& outcome);

// In a writing transaction.  The batch stays until forget_batch, which the caller calls after
// commit.
void write_batch(const Ledger* ledger);
// After the commit: counts, and what is due may have been looked for when these were not to be seen
// yet.
void note_written(Ledger* ledger, HookSet* hooks);
void forget_batch(Ledger* ledger, Tracker* tracker);

// In a writing transaction: cancels up to limit pending deliveries of a deleted hook beyond the
// place, and callbacks that were due; moves the place.  Returns how many there were.
int64 cancel_pending(int64 hook_id, DuePlace* place, int limit);

// In a transaction: makes up to limit deliveries due that are beyond the place and wait for nothing
// but what they are freed from, FreedFrom; moves the place.  Returns how many there were.
int64 free_waiting(int64 hook_id, int freed_from, DuePlace* place, int limit);

// The deliveries of these events that the ledger has already; see delivery.h.
HTAB* rows_of_events(const Datum* event_ids, int count);

}  // namespace whisperer::pg
