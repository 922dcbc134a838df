// See balance.h.
#include "src/loop/balance.h"

#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"
#include "src/ledger/dealing.h"
#include "src/processes/deal_anew.h"
#include "src/processes/shared_state.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

// Of whisperer.poll_interval, from one look to the next.
constexpr int64 polls_per_look = 60;
constexpr int looks_in_a_row = 3;
constexpr double behind_s = 1;
// A worker that leaves drains its requests, and hooks that move read the log again: that is not
// done for less, nor often.
constexpr int gain_min_percent = 20;
constexpr int64 dealing_interval_us = 60 * 60 * USECS_PER_SEC;

SteadyTime look_at = 0;
int looks_behind = 0;

bool some_worker_is_behind() {
    SharedState* shared = shared_state();
    bool is_behind = false;
    LWLockAcquire(shared->lock, LW_SHARED);
    for (int i = 0; i < shared->entry_count; i++)
        is_behind |= shared->entries[i].database == MyDatabaseId &&
                     shared->entries[i].state == WorkerState::Running &&
                     shared->entries[i].lag_seconds > behind_s;
    LWLockRelease(shared->lock);
    return is_behind;
}

// 0: hooks were dealt not long ago.
int gain_now(const Worker* worker) {
    begin_transaction("comparing the loads of workers");
    TimestampTz now = GetCurrentTransactionStartTimestamp();
    TimestampTz dealt_at = read_dealt_at();
    int gain = 0;
    // Also where a clock that was ahead wrote it.
    if (dealt_at > now || now - dealt_at >= dealing_interval_us)
        gain = gain_of_dealing(worker->hooks->places, read_loads());
    commit_transaction();
    return gain;
}

}  // namespace

void look_after_balance(Worker* worker, SteadyTime now) {
    const HookPlaces* places = worker->hooks->places;
    if (places->worker != 0 || places->workers < 2 || now < look_at)
        return;
    look_at = now + polls_per_look * settings.poll_interval_ms * 1000;
    looks_behind = some_worker_is_behind() ? looks_behind + 1 : 0;
    if (looks_behind < looks_in_a_row)
        return;
    looks_behind = 0;
    int gain = gain_now(worker);
    if (gain < gain_min_percent)
        return;
    ereport(LOG, errmsg("whisperer: the hooks of database \"%s\" are dealt to its workers anew: "
                        "the busiest of them would have %d %% less to do",
                        worker->entry->database_name, gain));
    deal_anew(MyDatabaseId);
}

void leave_to_be_dealt(Worker* worker) {
    if (!worker->entry->leaves_to_deal)
        return;
    begin_transaction("leaving the bookmark");
    have_shared_out_again(worker->bookmark);
    commit_transaction();
}

}  // namespace whisperer::pg
