// PostgreSQL counts microseconds from 2000 on, everybody else from 1970.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

constexpr int64 epoch_shift_us = (int64)(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

inline TimestampTz timestamp_from_unix(int64 microseconds) {
    return microseconds - epoch_shift_us;
}

inline int64 unix_from_timestamp(TimestampTz at) {
    return at + epoch_shift_us;
}

}  // namespace whisperer::pg
