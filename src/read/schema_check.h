// Whether an event's data fits the schema of its type.
#pragma once

#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Worker;

// What the error of a delivery begins with that ended for this; why() and due.cpp know it by that.
#define SCHEMA_REFUSAL "schema: "

// Why the event is not to be sent, in the current context; null: it fits, or its type has what does
// not fit sent all the same.  Either way what does not fit is counted.
const char* schema_refusal(Worker* worker, const char* event_type, WhispererSpan data);

}  // namespace whisperer::pg
