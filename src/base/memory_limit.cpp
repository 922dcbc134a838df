// See memory_limit.h.
#include "src/base/memory_limit.h"

#include <sys/resource.h>

#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int64 megabyte = 1024 * 1024;
// What the process itself and the libraries take.
constexpr int64 base_megabytes = 128;
// A body is in several places while it is matched and handed over.
constexpr int64 body_copies = 4;

}  // namespace

void limit_memory(int megabytes) {
    // What the server was started with: as soon as it is known it is kept.
    static struct rlimit inherited = {};
    static bool is_known = false;
    if (!is_known && getrlimit(RLIMIT_DATA, &inherited) != 0)
        return;
    is_known = true;
    struct rlimit limit = inherited;
    if (megabytes >= 0)
        limit.rlim_cur = Min(limit.rlim_cur, (rlim_t)(megabytes * megabyte));
    if (setrlimit(RLIMIT_DATA, &limit) != 0)
        ereport(LOG, errmsg("whisperer: the memory of a process could not be limited: %m"));
}

long least_worker_memory_mb() {
    int64 held = ((int64)settings.max_queued_bytes + settings.max_payload_bytes) / megabyte;
    return base_megabytes + body_copies * held;
}

void limit_worker_memory() {
    limit_memory(settings.worker_memory_mb < 0
                     ? -1
                     : (int)Max((long)settings.worker_memory_mb, least_worker_memory_mb()));
}

}  // namespace whisperer::pg
