// What a worker has to do with it that hooks are dealt anew.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct Worker;

// At a worker's end, where it leaves for that; see src/processes/deal_anew.h.
void leave_to_be_dealt(Worker* worker);

}  // namespace whisperer::pg
