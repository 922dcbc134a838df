// See balance.h.
#include "src/loop/balance.h"

#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/ledger/bookmark.h"
#include "src/processes/shared_state.h"

namespace whisperer::pg {

void leave_to_be_dealt(Worker* worker) {
    if (!worker->entry->leaves_to_deal)
        return;
    begin_transaction("leaving the bookmark");
    have_shared_out_again(worker->bookmark);
    commit_transaction();
}

}  // namespace whisperer::pg
