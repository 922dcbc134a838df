// See end_pending.h.
#include "src/ledger/end_pending.h"

#include "src/base/delivery.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/hooks/lines.h"
#include "src/ledger/ledger.h"

namespace whisperer::pg {

void end_pending(Worker* worker, int row, int16 slot, const DeliveryError& error) {
    Inflight delivery = {};
    delivery.has_row = true;
    delivery.event_id = uuid_column(row, EndedEventId);
    delivery.hook_id = int64_column(row, EndedHookId);
    delivery.xid = xid_column(row, EndedXid);
    delivery.slot = slot;
    delivery.retry_count = int32_column(row, EndedRetryCount);
    delivery.is_operator_event = bool_column(row, EndedOperatorEvent);
    delivery.page = -1;
    add_unsent(worker->ledger, worker->hooks, delivery, DeliveryState::Failed, error);
    Hook* hook = find_hook(worker->hooks, delivery.hook_id);
    if (hook && hook->run->lines) {
        note_lines_changed(hook->run->lines);
        note_lines_due(worker->hooks, hook);
    }
}

}  // namespace whisperer::pg
