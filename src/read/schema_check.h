// Whether an event's data fits the schema of its type.
#pragma once

#include "src/base/error_code.h"
#include "src/pg.h"
#include "worker/engine.h"

namespace whisperer::pg {

struct Worker;

// Why the event is not to be sent, in the current context; none: it fits, or its type has what does
// not fit sent all the same.  Either way what does not fit is counted.
DeliveryError schema_refusal(Worker* worker, const char* event_type, WhispererSpan data);

}  // namespace whisperer::pg
