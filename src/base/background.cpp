// Registering with the postmaster; see background.h.
#include "src/base/background.h"

namespace whisperer::pg {

namespace {

constexpr int backoff_max_s = 60;
constexpr int backoff_doublings_max = 6;

}  // namespace

bool start_background(const BackgroundProcess& process, BackgroundWorkerHandle** handle) {
    BackgroundWorker described = {};
    described.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    described.bgw_start_time = BgWorkerStart_RecoveryFinished;
    described.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(described.bgw_library_name, "whisperer", sizeof described.bgw_library_name);
    strlcpy(described.bgw_function_name, process.entry_point, sizeof described.bgw_function_name);
    strlcpy(described.bgw_name, process.name, sizeof described.bgw_name);
    strlcpy(described.bgw_type, process.type, sizeof described.bgw_type);
    described.bgw_main_arg = process.argument;
    if (process.order)
        memcpy(described.bgw_extra, process.order, process.order_bytes);
    described.bgw_notify_pid = MyProcPid;
    if (*handle)
        pfree(*handle);
    *handle = nullptr;
    return RegisterDynamicBackgroundWorker(&described, handle);
}

bool is_running(BackgroundWorkerHandle* process) {
    pid_t pid;
    return process && GetBackgroundWorkerPid(process, &pid) != BGWH_STOPPED;
}

void stop_background(BackgroundWorkerHandle* process) {
    if (!is_running(process))
        return;
    TerminateBackgroundWorker(process);
    (void)WaitForBackgroundWorkerShutdown(process);
}

int64 backoff_us(int failures) {
    int64 seconds = (int64)1 << Min(Max(failures - 1, 0), backoff_doublings_max);
    return Min(seconds, backoff_max_s) * USECS_PER_SEC;
}

bool server_is_stopping() {
    FILE* file = AllocateFile("postmaster.pid", "r");
    if (file == nullptr)
        return true;
    char line[MAXPGPATH] = "";
    int number = 0;
    while (number < LOCK_FILE_LINE_PM_STATUS && fgets(line, sizeof line, file))
        number++;
    FreeFile(file);
    return number == LOCK_FILE_LINE_PM_STATUS &&
           strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

}  // namespace whisperer::pg
