// Processes, segments and queues; see process.h.
#include "src/functions/process.h"

#include "src/base/background.h"

namespace whisperer::pg {

namespace {

constexpr Size queue_bytes = 64 * 1024;
// A process that is not connected by then does not count any more.
constexpr int64 startup_max_us = 30 * USECS_PER_SEC;
constexpr int64 no_room_retry_us = 5 * USECS_PER_SEC;
constexpr int64 stuck_told_after_us = 5 * USECS_PER_SEC;
constexpr int64 end_wait_us = 3 * USECS_PER_SEC;
constexpr int end_step_ms = 10;

bool has_stopped(BackgroundWorkerHandle* handle) {
    pid_t pid;
    return GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
}

// The place for another that leaves; null: all are taken.
BackgroundWorkerHandle** free_place(HelperProcess* process) {
    BackgroundWorkerHandle** place = nullptr;
    for (BackgroundWorkerHandle*& handle : process->leaving) {
        if (handle && has_stopped(handle)) {
            pfree(handle);
            handle = nullptr;
        }
        if (handle == nullptr)
            place = &handle;
    }
    return place;
}

bool open_queues(HelperProcess* process) {
    Size header_bytes = MAXALIGN(sizeof(HelperSegment));
    process->segment = dsm_create(header_bytes + 2 * queue_bytes, DSM_CREATE_NULL_IF_MAXSEGMENTS);
    if (process->segment == nullptr)
        return false;
    dsm_pin_mapping(process->segment);
    char* start = (char*)dsm_segment_address(process->segment);
    HelperSegment* header = (HelperSegment*)start;
    header->calls_offset = header_bytes;
    header->answers_offset = header_bytes + queue_bytes;
    shm_mq* calls = shm_mq_create(start + header->calls_offset, queue_bytes);
    shm_mq* answers = shm_mq_create(start + header->answers_offset, queue_bytes);
    shm_mq_set_sender(calls, MyProc);
    shm_mq_set_receiver(answers, MyProc);
    process->calls = shm_mq_attach(calls, process->segment, nullptr);
    process->answers = shm_mq_attach(answers, process->segment, nullptr);
    return true;
}

void close_queues(HelperProcess* process) {
    if (process->segment == nullptr)
        return;
    shm_mq_detach(process->calls);
    shm_mq_detach(process->answers);
    dsm_detach(process->segment);
    process->segment = nullptr;
}

bool register_process(HelperProcess* process) {
    HelperOrder order = {MyDatabaseId, dsm_segment_handle(process->segment)};
    BackgroundProcess described = {};
    described.entry_point = "whisperer_helper_main";
    described.type = described.name = "whisperer helper";
    described.order = &order;
    described.order_bytes = sizeof order;
    return start_background(described, &process->handle);
}

// Processes that end for another owner's are gone in a moment; a function in C that never looks
// for interrupts may not be.
void note_stuck(HelperProcess* process, SteadyTime now) {
    if (process->stuck_since == 0)
        process->stuck_since = now;
    if (process->stuck_told || now - process->stuck_since < stuck_told_after_us)
        return;
    process->stuck_told = true;
    ereport(LOG,
            errmsg("whisperer: hooks' functions wait: %d processes that were told to end have not",
                   helpers_leaving_max),
            errhint("A function in C may not look for interrupts; pg_stat_activity shows them as "
                    "\"whisperer helper\"."));
}

void start_later(HelperProcess* process, SteadyTime now) {
    process->failed_starts++;
    process->start_at = now + backoff_us(process->failed_starts);
}

bool move_message(HelperProcess* process) {
    if (process->message == nullptr)
        return true;
    shm_mq_result sent =
        shm_mq_send(process->calls, process->message_bytes, process->message, true, true);
    if (sent == SHM_MQ_SUCCESS)
        process->message = nullptr;
    return sent != SHM_MQ_DETACHED;
}

}  // namespace

bool start_helper(HelperProcess* process, Oid owner, SteadyTime now) {
    if (process->start_at > now)
        return false;
    if (free_place(process) == nullptr) {
        note_stuck(process, now);
        return false;
    }
    process->stuck_since = 0;
    process->stuck_told = false;
    MemoryContext caller = MemoryContextSwitchTo(process->context);
    bool is_registered = open_queues(process) && register_process(process);
    MemoryContextSwitchTo(caller);
    if (!is_registered) {
        close_queues(process);
        // One line for one shortage.
        if (process->failed_starts++ == 0)
            ereport(LOG, errmsg("whisperer: no room for the process that runs hooks' functions"),
                    errhint("Raise max_worker_processes and restart the server."));
        process->start_at = now + no_room_retry_us;
        return false;
    }
    process->state = HelperState::Starting;
    process->owner = owner;
    process->started_at = now;
    return true;
}

void send_call(HelperProcess* process, const char* message, Size bytes) {
    process->message = message;
    process->message_bytes = bytes;
    process->state = HelperState::Busy;
    (void)move_message(process);
}

Heard listen(HelperProcess* process, const AnswerHeader** answer, Size* bytes, SteadyTime now) {
    if (process->state == HelperState::None)
        return Heard::Nothing;
    bool reachable = move_message(process);
    void* data;
    shm_mq_result received = shm_mq_receive(process->answers, bytes, &data, true);
    if (received == SHM_MQ_SUCCESS) {
        *answer = (const AnswerHeader*)data;
        bool was_starting = process->state == HelperState::Starting;
        process->state = HelperState::Idle;
        if (was_starting)
            process->failed_starts = 0;
        return was_starting ? Heard::Nothing : Heard::Answer;
    }
    bool is_starting = process->state == HelperState::Starting;
    bool is_late = is_starting && now - process->started_at > startup_max_us;
    // Only a process that never came to its queues ends without detaching from them.
    bool never_came = is_starting && has_stopped(process->handle);
    if (received != SHM_MQ_DETACHED && reachable && !is_late && !never_came)
        return Heard::Nothing;
    if (is_starting)
        start_later(process, now);
    let_go(process, is_late);
    return Heard::Ended;
}

void let_go(HelperProcess* process, bool forced) {
    if (process->state == HelperState::None)
        return;
    if (forced)
        TerminateBackgroundWorker(process->handle);
    close_queues(process);
    *free_place(process) = process->handle;
    process->handle = nullptr;
    process->message = nullptr;
    process->state = HelperState::None;
}

void abandon_helpers(HelperProcess* process) {
    if (process->handle)
        TerminateBackgroundWorker(process->handle);
    for (BackgroundWorkerHandle* handle : process->leaving)
        if (handle)
            TerminateBackgroundWorker(handle);
}

void end_helpers(HelperProcess* process) {
    abandon_helpers(process);
    SteadyTime deadline = steady_now() + end_wait_us;
    auto is_there = [](BackgroundWorkerHandle* handle) { return handle && !has_stopped(handle); };
    auto any_is_there = [&] {
        bool any = is_there(process->handle);
        for (BackgroundWorkerHandle* handle : process->leaving)
            any |= is_there(handle);
        return any;
    };
    while (any_is_there() && steady_now() < deadline) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, end_step_ms,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
}

}  // namespace whisperer::pg
