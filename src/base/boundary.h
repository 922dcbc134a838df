// The only place of the project that catches PostgreSQL errors (PG_TRY, tests/tidy checks), in the
// one shape that it needs.  What is called is plain C in spirit: no object with a destructor.
#pragma once

struct ErrorData;

namespace whisperer::pg {

// Runs action in a subtransaction.  False: it raised an ERROR, which was logged as what and undone.
bool try_in_subtransaction(void (*action)(void*), void* argument, const char* what);

// The same, told to nobody: the ERROR, in the context that was current; null: there was none.  What
// a transaction must not go on after (a cancel, a serialization failure, a deadlock) is raised
// anew.
ErrorData* error_in_subtransaction(void (*action)(void*), void* argument);

// Runs action in a transaction and commits it.  False: it, or the commit, raised an ERROR; the
// transaction is gone and *error says which, in the context that was current.
bool try_in_transaction(void (*action)(void*), void* argument, const char* activity,
                        ErrorData** error);

// Runs action. An ERROR in it goes on without those lines of its CONTEXT that are the extension's
// own: the first that names ours, and all that are further out. The caller's own stay.
void call_without_context(void (*action)(void*), void* argument, const char* ours);

}  // namespace whisperer::pg
