// Tells the workers of this database that there is something to read, once per committing
// transaction, after its commit is visible.
#pragma once

namespace whisperer::pg {

// The current transaction recorded an event or a request.  Cheap; call it as often as you like.
void wake_workers_at_commit();

// The current transaction created the extension: the launcher is to look at this database.
void announce_at_commit();

}  // namespace whisperer::pg
