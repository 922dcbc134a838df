// Credit and submission; see submit.h.
#include "src/ledger/submit.h"

#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/hooks/lines.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"

namespace whisperer::pg {

bool has_credit(const Worker* worker) {
    WhispererCredit credit;
    whisperer_engine_credit(worker->engine, &credit);
    return credit.deliveries > 0 && credit.bytes > 0;
}

bool has_used_share(const Worker* worker, const Hook* hook) {
    return hook->priority != WhispererPriorityHigh &&
           (whisperer_engine_full_priorities(worker->engine) >> (hook->priority + 1) & 1) != 0;
}

void submit(Worker* worker, const WhispererEvent& event, const WhispererDelivery* deliveries,
            int count) {
    WhispererError error = {};
    WhispererCode code =
        whisperer_engine_submit(worker->engine, &event, deliveries, (size_t)count, &error);
    if (code == WhispererOk)
        return;
    if (code != WhispererInvalid)
        ereport(ERROR, errmsg("whisperer: the delivery engine took no event: %s", error.message));
    for (int i = 0; i < count; i++) {
        Inflight refused = *tracked(worker->tracker, deliveries[i].token);
        untrack(worker->tracker, deliveries[i].token);
        add_unsent(worker->ledger, worker->hooks, refused, DeliveryState::Failed,
                   {error.message, WhispererErrorNone});
    }
}

int submit_run(Worker* worker, const WhispererEvent* events, const Inflight* deliveries, int count,
               int requests_max) {
    WhispererDelivery* submitted = (WhispererDelivery*)palloc(sizeof(WhispererDelivery) * count);
    for (int i = 0; i < count; i++)
        submitted[i] = {track(worker->tracker, deliveries[i]), deliveries[i].hook_id,
                        deliveries[i].retry_count - deliveries[i].round_start,
                        deliveries[i].retry_count};
    WhispererError error = {};
    size_t taken;
    WhispererCode code = whisperer_engine_submit_run(
        worker->engine, events, submitted, (size_t)count, (size_t)requests_max, &taken, &error);
    if (code != WhispererOk && code != WhispererInvalid)
        ereport(ERROR, errmsg("whisperer: the delivery engine took no event: %s", error.message));
    for (int i = (int)taken; i < count; i++)
        untrack(worker->tracker, submitted[i].token);
    if (code == WhispererOk)
        return (int)taken;
    add_unsent(worker->ledger, worker->hooks, deliveries[0], DeliveryState::Failed,
               {error.message, WhispererErrorNone});
    return 1;
}

void take_back(Worker* worker, const WhispererOutcome& unsent) {
    const Inflight* delivery = tracked(worker->tracker, unsent.token);
    const Hook* hook = find_hook(worker->hooks, unsent.hook_id);
    if (hook && hook->run->lines)
        cut_short(hook->run->lines, delivery->line,
                  tracked(worker->tracker, unsent.front_first)->event_id,
                  tracked(worker->tracker, unsent.front_last)->event_id);
    untrack(worker->tracker, unsent.token);
}

}  // namespace whisperer::pg
