// PG_TRY; see boundary.h.  No return, break or exception leaves a PG_TRY block.
#include "src/base/boundary.h"

#include "src/base/transaction.h"
#include "src/pg.h"

namespace whisperer::pg {

static ErrorData* subtransaction_error(void (*action)(void*), void* argument) {
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    ErrorData* volatile error = nullptr;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        action(argument);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    return error;
}

bool try_in_subtransaction(void (*action)(void*), void* argument, const char* what) {
    ErrorData* error = subtransaction_error(action, argument);
    if (error == nullptr)
        return true;
    ereport(LOG, errcode(error->sqlerrcode), errmsg("whisperer: %s: %s", what, error->message));
    FreeErrorData(error);
    return false;
}

ErrorData* error_in_subtransaction(void (*action)(void*), void* argument) {
    ErrorData* error = subtransaction_error(action, argument);
    if (error && (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
                  ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK))
        ReThrowError(error);
    return error;
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

// Whether the text names ours here: whisperer.retry, not my_whisperer_check.
static bool names_ours(const char* lines, const char* at, const char* ours) {
    char before = at > lines ? at[-1] : ' ';
    bool is_begun = !isalnum((unsigned char)before) && strchr("_$.\"", before) == nullptr;
    const char* after = at + strlen(ours);
    return is_begun && (*after == '.' || strncmp(after, "_internal.", 10) == 0);
}

// The lines before the first that names ours: of functions that ours called.  Null: there is none.
static char* lines_before(char* lines, const char* ours) {
    char* found = lines;
    while (found && (found = strstr(found, ours)) && !names_ours(lines, found, ours))
        found++;
    if (found == nullptr)
        return lines;
    while (found > lines && found[-1] != '\n')
        found--;
    if (found == lines)
        return nullptr;
    found[-1] = '\0';
    return lines;
}

void call_without_context(void (*action)(void*), void* argument, const char* ours) {
    MemoryContext context = CurrentMemoryContext;
    ErrorContextCallback* outer = error_context_stack;
    PG_TRY();
    {
        // What is further out adds its lines below, when the error is thrown once more.
        error_context_stack = nullptr;
        action(argument);
        error_context_stack = outer;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData* error = CopyErrorData();
        FlushErrorState();
        error->context = lines_before(error->context, ours);
        ThrowErrorData(error);
    }
    PG_END_TRY();
}

}  // namespace whisperer::pg
