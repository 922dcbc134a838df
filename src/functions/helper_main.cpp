// The helper: the process that runs subscribers' functions, one call after the other.
//
// The delivery worker starts it, gives it calls over one queue and takes answers from another.  It
// serves functions of one owner only; for another's there is another process, because some of a
// session's state (variables of procedural languages, currval) cannot be undone.  It keeps no
// clock of its own: the worker ends it with SIGTERM when a call takes too long, which no function
// can catch, as it could a statement_timeout.  When the worker is gone, so is it, at the end of its
// call.
#include "src/base/memory_limit.h"
#include "src/base/session.h"
#include "src/functions/call.h"
#include "src/functions/message.h"
#include "src/pg.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

struct Channel {
    shm_mq_handle* calls;
    shm_mq_handle* answers;
};

Channel open_channel(dsm_segment* segment) {
    char* start = (char*)dsm_segment_address(segment);
    const HelperSegment* header = (const HelperSegment*)start;
    shm_mq* calls = (shm_mq*)(start + header->calls_offset);
    shm_mq* answers = (shm_mq*)(start + header->answers_offset);
    shm_mq_set_receiver(calls, MyProc);
    shm_mq_set_sender(answers, MyProc);
    return {shm_mq_attach(calls, segment, nullptr), shm_mq_attach(answers, segment, nullptr)};
}

planner_hook_type next_planner = nullptr;

// Parallel workers are processes of their own, which nobody has given a limit of memory.
PlannedStmt* plan_alone(PLANNER_ARGS) {
    options &= ~CURSOR_OPT_PARALLEL_OK;
    return next_planner ? next_planner(PLANNER_VALUES) : standard_planner(PLANNER_VALUES);
}

// The worker that is gone has no use for it.
void send_answer(const Channel& channel, const Answer& answer) {
    shm_mq_iovec parts[] = {{(const char*)&answer.header, sizeof answer.header},
                            {answer.text, answer.text_bytes}};
    int count = answer.text_bytes > 0 ? 2 : 1;
    if (shm_mq_sendv(channel.answers, parts, count, false, true) != SHM_MQ_SUCCESS)
        proc_exit(0);
}

// Null: the worker let go of us.
const char* await_call(const Channel& channel, Size* bytes) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            limit_memory(settings.helper_memory_mb);
        }
        void* message;
        shm_mq_result result = shm_mq_receive(channel.calls, bytes, &message, true);
        if (result == SHM_MQ_SUCCESS)
            return (const char*)message;
        if (result == SHM_MQ_DETACHED)
            return nullptr;
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    }
}

void serve(const Channel& channel) {
    MemoryContext context =
        AllocSetContextCreate(TopMemoryContext, "whisperer call", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(context);
    send_answer(channel, {{AnswerKind::Ready, 0}, nullptr, 0});
    Size bytes;
    while (const char* message = await_call(channel, &bytes)) {
        send_answer(channel, answer_call(message, bytes));
        MemoryContextReset(context);
        pgstat_report_stat(true);
    }
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PGDLLEXPORT void whisperer_helper_main(Datum);

void whisperer_helper_main(Datum) {
    using namespace whisperer::pg;
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    limit_memory(settings.helper_memory_mb);
    next_planner = planner_hook;
    planner_hook = plan_alone;
    HelperOrder order;
    memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof order);
    dsm_segment* segment = dsm_attach(order.segment);
    if (segment == nullptr)
        proc_exit(0);
    dsm_pin_mapping(segment);
    Channel channel = open_channel(segment);
    pin_session_of_functions();
    BackgroundWorkerInitializeConnectionByOid(order.database, InvalidOid, 0);
    serve(channel);
    proc_exit(0);
}
}
