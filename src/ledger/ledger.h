// The ledger (whisperer.delivery): results, gathered and written in batches by two statements.
//
// The worker is its only writer.  A delivery that ends at its first attempt costs one insert; one
// that was parked or failed is inserted as pending and updated when it goes on.
#pragma once

#include "src/hooks/hook_set.h"
#include "src/ledger/hook_health.h"
#include "src/ledger/hook_meter.h"
#include "src/ledger/tracker.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

enum class DeliveryState : int {
    Pending,    // waits for an attempt, or is in flight -> any
    Delivered,  // 2xx
    Failed,     // no attempt left, or refused for good -> Pending by retry
    Cancelled,  // its hook was deleted -> Pending by retry
};

enum class EntryKind : int {
    Delivery,   // a result, or that it waits
    Callback,   // its callback has ended
    Countdown,  // the hook's own countdown says when the next attempt is
};

struct LedgerEntry {
    EntryKind kind;
    bool is_update;  // a row is there already
    bool is_failed_attempt;
    bool is_operator_event;  // nobody is told if it fails
    DeliveryState state;
    pg_uuid_t event_id;
    int64 hook_id;
    uint64 xid;
    int16 slot;
    int64 line;  // that it stands in; 0: none
    int64 page;  // settled when the entry is committed; -1: none
    int32 retry_count;
    TimestampTz next_attempt_at;  // 0: none; of one that has ended: its callback is due
    TimestampTz requested_at;     // 0: no attempt was made
    int32 http_status;            // 0: none
    int64 response_time_us;
    WhispererSpan response;  // UTF-8; empty: none
    WhispererSpan error;     // UTF-8; empty: none
    WhispererSpan body;      // UTF-8; empty: the envelope, or what the row has
};

struct Ledger {
    MemoryContext context;  // texts of the batch; emptied when it is written
    LedgerEntry* entries;
    int count;
    int capacity;
    HookNews* news;  // written with the batch
    int news_count;
    int news_capacity;
    int line_arrivals;      // entries that come into a line
    bool has_operators;     // failures are told of
    TimestampTz oldest_at;  // when the first entry of the batch came
    Meters* meters;
};

Ledger* create_ledger(MemoryContext context);

// Adds an entry; texts must be in ledger->context.
void add_entry(Ledger* ledger, const LedgerEntry& entry);

// An entry for a delivery that never reached the engine: pending now, or failed for a reason.
void add_unsent(Ledger* ledger, HookSet* hooks, const Inflight& delivery, DeliveryState state,
                const char* error);

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

// In a writing transaction: cancels up to limit pending deliveries of a deleted hook, and callbacks
// that were due.  Returns how many there were.
int64 cancel_pending(int64 hook_id, int limit);

// In a transaction: makes up to limit deliveries due that wait for nothing but the hook's rate.
// Returns how many there were.
int64 free_from_rate(int64 hook_id, int limit);

// The deliveries of these events that the ledger has already; see delivery.h.
HTAB* rows_of_events(const Datum* event_ids, int count);

}  // namespace whisperer::pg
