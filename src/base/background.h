// Starting processes of ours: all are dynamic background workers with a database connection, which
// PostgreSQL does not start again by itself.
#pragma once

#include "src/pg.h"

namespace whisperer::pg {

struct BackgroundProcess {
    const char* entry_point;  // a symbol of this library
    const char* type;         // in pg_stat_activity
    const char* name;
    Datum argument;
    const void* order;  // travels in bgw_extra; null: none
    Size order_bytes;
};

// False: there is no room.  *handle, in the current memory context, takes the place of the one of
// an earlier process, which is freed; we are told when the process starts and ends.
bool start_background(const BackgroundProcess& process, BackgroundWorkerHandle** handle);

// Null: none was started.
bool is_running(BackgroundWorkerHandle* process);

// Returns when it has ended.
void stop_background(BackgroundWorkerHandle* process);

// How long to wait after so many failures in a row: 1, 2, 4 ... 60 s.
int64 backoff_us(int failures);

// Whether the server is being shut down.  The postmaster says so in its file before it tells its
// processes, so whoever sees another of them end by that finds it there.
bool server_is_stopping();

}  // namespace whisperer::pg
