// What is found out otherwise only when it is missing: requests that wait for a descriptor, helpers
// that are not started, a worker that the kernel ends.  Nothing is refused, for the settings may be
// meant for a larger server.
#include "src/processes/resources.h"

#include <sys/resource.h>
#include <unistd.h>

#include "src/base/cgroup.h"
#include "src/base/memory_limit.h"
#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int text_bytes_max = 1024;

struct Shortages {
    char detail[text_bytes_max];
    char hint[text_bytes_max];
};

void add_line(char* text, const char* format, ...) pg_attribute_printf(2, 3);

void add_line(char* text, const char* format, ...) {
    size_t used = strlen(text);
    if (used > 0)
        used = strlcat(text, "\n", text_bytes_max);
    va_list values;
    va_start(values, format);
    if (used < text_bytes_max)
        vsnprintf(text + used, text_bytes_max - used, format, values);
    va_end(values);
}

// The engine takes half of the descriptors; the rest is PostgreSQL's.
void look_at_descriptors(Shortages* found) {
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur / 2 >= (rlim_t)settings.max_in_flight)
        return;
    add_line(found->detail,
             "whisperer.max_in_flight is %d, and of %d file descriptors of a process %d are for "
             "requests.",
             settings.max_in_flight, (int)limit.rlim_cur, (int)(limit.rlim_cur / 2));
    add_line(
        found->hint,
        "Give the server %d file descriptors (LimitNOFILE of its service, ulimit -n), or lower "
        "whisperer.max_in_flight.",
        2 * settings.max_in_flight);
}

// The launcher, a process for old events, and for each worker one beside it for hooks' functions;
// PostgreSQL has a launcher of its own.
int processes_needed(int databases) {
    int of_replication = max_logical_replication_workers > 0 ? 1 : 0;
    return 2 + 2 * settings.workers * databases + of_replication;
}

void add_hint_of_processes(Shortages* found, int databases) {
    add_line(
        found->hint,
        "Raise max_worker_processes to %d at least: 2 + 2 * whisperer.workers * databases with "
        "the extension%s, and more for parallel queries and logical replication%s.",
        processes_needed(databases),
        max_logical_replication_workers > 0 ? " + the launcher of logical replication" : "",
        settings.workers > 1 ? "; or lower whisperer.workers" : "");
}

void look_at_processes(Shortages* found, int databases) {
    if (max_worker_processes >= processes_needed(databases))
        return;
    add_line(found->detail, "max_worker_processes is %d, and %d are needed.", max_worker_processes,
             processes_needed(databases));
    add_hint_of_processes(found, databases);
}

// Of the machine, of the container, or of a process.
int64 memory_given_mb() {
    rlimit limit;
    int64 bytes = (int64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64 of_container = cgroup_memory_bytes();
    bytes = Min(bytes, of_container);
    if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        bytes = Min(bytes, (int64)limit.rlim_cur);
    return bytes / (1024 * 1024);
}

void look_at_memory(Shortages* found, int databases) {
    int64 least_mb = least_worker_memory_mb();
    int64 all_mb = least_mb * settings.workers * databases;
    int64 given_mb = memory_given_mb();
    if (settings.worker_memory_mb >= 0 && settings.worker_memory_mb < least_mb) {
        add_line(found->detail,
                 "whisperer.worker_memory is %d MB, and a worker may take %d MB all the same.",
                 settings.worker_memory_mb, (int)least_mb);
        add_line(found->hint,
                 "Raise whisperer.worker_memory, or lower whisperer.max_queued_bytes or "
                 "whisperer.max_payload.");
    }
    if (all_mb > given_mb) {
        add_line(found->detail, "Workers may take " INT64_FORMAT " MB, of " INT64_FORMAT " MB.",
                 all_mb, given_mb);
        add_line(found->hint,
                 "Lower whisperer.max_queued_bytes, whisperer.max_payload or whisperer.workers.");
    }
}

}  // namespace

void warn_of_no_launcher() {
    Shortages found = {};
    add_hint_of_processes(&found, 1);
    ereport(
        WARNING, errmsg("whisperer: the launcher has no place, so nothing will be delivered"),
        errdetail("max_worker_processes is %d, and none of them is left.", max_worker_processes),
        errhint("%s", found.hint));
}

void warn_of_shortages(int databases) {
    static char told[text_bytes_max];
    Shortages found = {};
    databases = Max(databases, 1);
    look_at_descriptors(&found);
    look_at_processes(&found, databases);
    look_at_memory(&found, databases);
    if (strcmp(found.detail, told) == 0)
        return;
    strlcpy(told, found.detail, sizeof told);
    if (told[0] != '\0')
        ereport(WARNING, errmsg("whisperer: the server has less than the settings ask for"),
                errdetail("%s", found.detail), errhint("%s", found.hint));
}

}  // namespace whisperer::pg
