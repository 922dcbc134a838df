// What a container is given of the machine's memory.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

// By Linux's control groups of this process, versions 1 and 2; PG_INT64_MAX: no limit is known.
int64 cgroup_memory_bytes();

}  // namespace whisperer::pg
