// Who writes to a table calls its trigger's serializer: who may do the one and not the other meets
// an error at each row.  Somebody is told when a statement makes it so; it is let through, because
// a GRANT may follow, and the order of the two is as people like it.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// After CREATE TRIGGER, GRANT on a table, and REVOKE on functions.
void warn_of_stopped_writers(Node* statement);

}  // namespace whisperer::pg
