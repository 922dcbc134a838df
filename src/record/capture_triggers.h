// The rows of pg_trigger that call whisperer.capture.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// Whether it is whisperer.capture.
bool is_capture_function(Oid function);

// arguments: the event type first; there is at least that.
using VisitTrigger = void (*)(Form_pg_trigger trigger, char** arguments, int count, void* argument);

// Of one table, or of all (InvalidOid).  Only pg_trigger is read: no table is opened or locked.
void visit_capture_triggers(Oid table, VisitTrigger action, void* argument);

}  // namespace whisperer::pg
