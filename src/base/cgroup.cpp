// See cgroup.h.  sysconf knows of the machine alone, and a process that takes more than its group
// is given is ended by the kernel.
#include "src/base/cgroup.h"

namespace whisperer::pg {

namespace {

// Of a file that is not there, or that says "max": PG_INT64_MAX.
int64 number_in(const char* path) {
    FILE* file = AllocateFile(path, "r");
    if (!file)
        return PG_INT64_MAX;
    long long number;
    int64 bytes = fscanf(file, "%lld", &number) == 1 ? (int64)number : PG_INT64_MAX;
    FreeFile(file);
    return bytes;
}

// Of the group and of those that it is in, for each may have a limit.  A container that sees its
// own part of the tree alone has itself at the top of it, whatever its name is outside.
int64 least_on_the_way(const char* top, char* group, const char* file) {
    int64 least = PG_INT64_MAX;
    while (true) {
        char path[MAXPGPATH];
        snprintf(path, sizeof path, "%s%s/%s", top, group, file);
        int64 limit = number_in(path);
        least = Min(least, limit);
        char* last = strrchr(group, '/');
        if (!last)
            return least;
        *last = '\0';
    }
}

// A line is NUMBER:CONTROLLERS:GROUP; version 2 names no controllers.  It is taken apart.
int64 limit_of_line(char* line) {
    char* controllers = strchr(line, ':');
    char* group = controllers ? strchr(controllers + 1, ':') : nullptr;
    if (!group)
        return PG_INT64_MAX;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (controllers[1] == '\0')
        return least_on_the_way("/sys/fs/cgroup", group, "memory.max");
    for (char* name = strtok(controllers + 1, ","); name; name = strtok(nullptr, ","))
        if (strcmp(name, "memory") == 0)
            return least_on_the_way("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    return PG_INT64_MAX;
}

}  // namespace

int64 cgroup_memory_bytes() {
    FILE* file = AllocateFile("/proc/self/cgroup", "r");
    if (!file)
        return PG_INT64_MAX;
    int64 least = PG_INT64_MAX;
    char line[MAXPGPATH];
    while (fgets(line, sizeof line, file)) {
        int64 limit = limit_of_line(line);
        least = Min(least, limit);
    }
    FreeFile(file);
    return least;
}

}  // namespace whisperer::pg
