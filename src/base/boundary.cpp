// PG_TRY; see boundary.h.  No return, break or exception leaves a PG_TRY block.
#include "src/base/boundary.h"

#include "src/base/transaction.h"
#include "src/pg.h"

namespace whisperer::pg {

bool try_in_subtransaction(void (*action)(void*), void* argument, const char* what) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    volatile bool succeeded = false;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        action(argument);
        ReleaseCurrentSubTransaction();
        succeeded = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData* error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        ereport(LOG, errcode(error->sqlerrcode), errmsg("whisperer: %s: %s", what, error->message));
        FreeErrorData(error);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    return succeeded;
}

bool try_in_transaction(void (*action)(void*), void* argument, const char* activity,
                        ErrorData** error) {
    MemoryContext context = CurrentMemoryContext;
    volatile bool succeeded = false;
    PG_TRY();
    {
        begin_transaction(activity);
        action(argument);
        commit_transaction();
        succeeded = true;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        *error = CopyErrorData();
        FlushErrorState();
        AbortCurrentTransaction();
        pgstat_report_activity(STATE_IDLE, nullptr);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    return succeeded;
}

}  // namespace whisperer::pg
