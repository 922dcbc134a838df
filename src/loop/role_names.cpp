// Keeping the names of owners up to date for the next dump.  A role is renamed in any database of
// the cluster; the workers of all of them hear of it through the catalog caches.
#include "src/loop/role_names.h"

#include "src/base/boundary.h"
#include "src/base/transaction.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/bookmark.h"

namespace whisperer::pg {

namespace {

constexpr int64 retry_us = 5 * USECS_PER_SEC;

// Hooks are people's rows: somebody may hold a lock on one, and the worker waits for nobody.
void refresh(void*) {
    (void)set_config_option("lock_timeout", "100ms", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
                            true, 0, false);
    if (run_query("SELECT whisperer_internal.refresh_role_names()", false, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not call whisperer_internal.refresh_role_names");
}

}  // namespace

bool names_are_due(const Worker* worker, SteadyTime now) {
    return worker->hooks->names_stale && worker->bookmark->worker == 0 && worker->names_at <= now;
}

void refresh_role_names(Worker* worker) {
    worker->hooks->names_stale = false;
    if (try_in_subtransaction(refresh, nullptr, "could not refresh the names of roles"))
        return;
    worker->hooks->names_stale = true;
    worker->names_at = steady_now() + retry_us;
}

}  // namespace whisperer::pg
