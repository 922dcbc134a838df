// See deleted.h.
#include "src/again/deleted.h"

#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/functions/helper.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"

namespace whisperer::pg {

namespace {

constexpr int cancel_rows_max = 1000;

void cancel(Hook* hook, TimestampTz now) {
    HookRun* run = hook->run;
    DuePlace place = {run->low_at, run->low_id};
    int64 cancelled = cancel_pending(hook->id, &place, cancel_rows_max);
    run->low_at = place.at;
    run->low_id = place.event_id;
    run->next_due_at = cancelled == cancel_rows_max ? now : DT_NOEND;
}

void note_use(HookSet* hooks, int64 hook_id) {
    Hook* hook = find_hook(hooks, hook_id);
    if (hook)
        hook->run->is_in_use = true;
}

void note_call(HelperCall* call, void* hooks) {
    note_use((HookSet*)hooks, call->hook_id);
}

// An attempt, a function's call and an entry that is not written yet find their hook when they end,
// and what comes of them may be pending.
void note_uses(Worker* worker) {
    HookSet* hooks = worker->hooks;
    for (int i = 0; i < hooks->count; i++)
        hooks->hooks[i]->run->is_in_use = false;
    const Tracker* tracker = worker->tracker;
    for (int i = 0; i < tracker->used; i++)
        if (tracker->entries[i].used)
            note_use(hooks, tracker->entries[i].hook_id);
    for (int i = 0; i < worker->ledger->count; i++)
        note_use(hooks, worker->ledger->entries[i].hook_id);
    for_each_call(worker->helper->queue, note_call, hooks);
    if (worker->helper->current)
        note_use(hooks, worker->helper->current->hook_id);
}

// One that is in use has something due afterwards, or goes with the next that is deleted.
void forget_ended(Worker* worker) {
    HookSet* hooks = worker->hooks;
    note_uses(worker);
    for (int i = hooks->count - 1; i >= 0; i--) {
        Hook* hook = hooks->hooks[i];
        if (hook->is_deleted && hook->run->next_due_at == DT_NOEND && !hook->run->is_in_use)
            forget_hook(hooks, hook, worker->engine);
    }
}

}  // namespace

void cancel_deleted(Worker* worker, TimestampTz now) {
    HookSet* hooks = worker->hooks;
    begin_reading("cancelling deliveries of deleted hooks", Tables::LogAndLedger);
    for (int i = 0; i < hooks->count; i++)
        if (hooks->hooks[i]->is_deleted && hooks->hooks[i]->run->next_due_at <= now)
            cancel(hooks->hooks[i], now);
    commit_transaction();
    forget_ended(worker);
}

}  // namespace whisperer::pg
