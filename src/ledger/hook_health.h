// What the worker finds out about hooks: circuits that open and close, failures that go on for
// days, 410.  Gathered with the ledger's batch and written with it to hook_run; each change of
// state is one log line, and an operator event to whoever subscribed to that.
#pragma once

#include "src/base/delivery.h"
#include "src/hooks/hook_set.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

enum class News : int {
    Disabled,       // nothing is sent until resume_hook
    CircuitOpened,  // nothing is sent until the time of the next probe
    CircuitClosed,
    Failing,    // no success since a time
    Recovered,  // a success after Failing
    FunctionFailed,
    FunctionWorks,     // it ended in time again
    FunctionSurvived,  // a call that was marked has ended
};

struct HookNews {
    News news;
    int64 hook_id;
    TimestampTz at;      // CircuitOpened: of the next probe; Failing: since when
    const char* reason;  // in the list's context; null: none
    bool is_silent;      // known to the log already
    int timeouts;        // FunctionFailed: in a row
    // In the list's context: it is over if the hook has another by now; null: not about an address.
    const char* target_url;
    int64 failing_us = 0;  // Failing: for how long
};

// What has not been written yet, in the order in which it is.
struct HookNewsList {
    MemoryContext context;  // of texts: the batch's, emptied when it is written
    HookNews* list;
    int count;
    int capacity;
};

HookNewsList* create_news_list(MemoryContext context, MemoryContext texts);

// Outside of a transaction.
void note_outcome(HookNewsList* all, Hook* hook, const WhispererOutcome& outcome);
void note_circuit(HookNewsList* all, Hook* hook, const WhispererCircuit& circuit);
// A call of one of its functions has ended; error null: well.
void note_function(HookNewsList* all, Hook* hook, const char* error, bool timed_out);
// One has not, the server crashed first: before the next is made.
void note_cut_call(HookNewsList* all, Hook* hook);
// Before the first call of the hook's: notes durably, in a transaction of its own, that it begins.
void mark_call(Hook* hook);
// hook_run may still say of the hook what an earlier engine knew, or of an earlier address.
void note_fresh(HookNewsList* all, Hook* hook);

// In the batch's transaction.
void write_news(const HookNewsList* all);

// In the batch's transaction: tells subscribers of whisperer-delivery-failed.  Operator events are
// rows of the outbox, each for one hook; of deliveries of operator events nobody is told.
void tell_of_failure(const LedgerEntry& entry);

}  // namespace whisperer::pg
