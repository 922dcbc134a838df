// The clock that nobody sets: for whatever is waited for, measured or tried again later.  The wall
// clock is for what is stored or shown.
#pragma once

#include <time.h>

#include "src/pg.h"

namespace whisperer::pg {

// Microseconds since an arbitrary start, the same in all processes of the server.
using SteadyTime = int64;

inline SteadyTime steady_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (SteadyTime)now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

}  // namespace whisperer::pg
