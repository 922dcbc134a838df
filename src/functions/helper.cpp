// The helper's turns; see helper.h.  What is done with an answer is in answer.cpp.
#include "src/functions/helper.h"

#include "src/base/background.h"
#include "src/base/worker.h"
#include "src/functions/answer.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/hook_health.h"
#include "src/ledger/ledger.h"
#include "src/ledger/tracker.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int64 idle_max_us = 60 * USECS_PER_SEC;
constexpr int64 park_interval_us = 100 * 1000;
// Answers taken in one turn of the worker's loop.
constexpr int answers_max = 16;

// Only while it waits or runs before its first row: later ones are in the ledger already.
void park_if_old(HelperCall* call, void* argument) {
    Worker* worker = (Worker*)argument;
    if (call->kind != CallKind::Transform ||
        steady_now() - call->queued_at < settings.park_after_ms * (int64)1000)
        return;
    Inflight* delivery = tracked(worker->tracker, call->token);
    if (delivery->has_row)
        return;
    Hook* hook = find_hook(worker->hooks, call->hook_id);
    if (hook == nullptr || hook->is_deleted)
        return;
    add_unsent(worker->ledger, worker->hooks, *delivery, DeliveryState::Pending);
    delivery->page = -1;
    mark_row(worker->tracker, delivery);
}

void park_old(Worker* worker, SteadyTime now) {
    Helper* helper = worker->helper;
    if (helper->parks_at > now)
        return;
    helper->parks_at = now + park_interval_us;
    for_each_call(helper->queue, park_if_old, worker);
    if (helper->current)
        park_if_old(helper->current, worker);
}

bool is_with_process(const HelperCall* call) {
    return call && call->started_at != 0;
}

void finish_call(Worker* worker, const CallEnd& end) {
    Helper* helper = worker->helper;
    HelperCall* call = helper->current;
    helper->current = nullptr;
    helper->idle_since = steady_now();
    end_call(worker, call, end);
    free_call(helper->queue, call);
}

CallEnd failure(const char* error, bool timed_out) {
    CallEnd end = {};
    end.kind = AnswerKind::Error;
    end.text = {error, strlen(error)};
    end.timed_out = timed_out;
    return end;
}

// False: there is nothing more to hear for now.
bool hear(Worker* worker, SteadyTime now) {
    Helper* helper = worker->helper;
    const AnswerHeader* answer;
    Size bytes;
    switch (listen(&helper->process, &answer, &bytes, now)) {
        case Heard::Nothing:
            return false;
        case Heard::Answer: {
            CallEnd end = {};
            end.kind = answer->kind;
            end.wait_us = answer->wait_us;
            end.text = {(const char*)(answer + 1), bytes - sizeof(AnswerHeader)};
            finish_call(worker, end);
            return true;
        }
        case Heard::Ended:
            // A shutdown ends the helper, and us in a moment.  That is not the hook's fault: the
            // call stays unanswered, as when the worker alone ends.
            if (is_with_process(helper->current) && !server_is_stopping())
                finish_call(worker, failure("the helper process ended", false));
            return false;
    }
    pg_unreachable();
}

void cut_off(Worker* worker, SteadyTime now) {
    Helper* helper = worker->helper;
    int64 limit_us = settings.callback_timeout_ms * (int64)1000;
    if (helper->process.state != HelperState::Busy || now - helper->current->started_at < limit_us)
        return;
    let_go(&helper->process, true);
    char error[64];
    snprintf(error, sizeof error, "timed out after %d ms", settings.callback_timeout_ms);
    finish_call(worker, failure(error, true));
}

// A call is wanted, and its hook is not one that is just being disabled.
bool may_begin(Worker* worker, const HelperCall* call) {
    return is_wanted(worker, call) &&
           find_hook(worker->hooks, call->hook_id)->run->function_timeouts < function_timeouts_max;
}

// The next call that is still wanted.
void choose_call(Worker* worker, SteadyTime now) {
    Helper* helper = worker->helper;
    HelperProcess* process = &helper->process;
    // It may have waited for long, where no process can be started.
    if (helper->current && !may_begin(worker, helper->current)) {
        give_up_call(worker, helper->current);
        free_call(helper->queue, helper->current);
        helper->current = nullptr;
    }
    while (helper->current == nullptr && helper->queue->count > 0) {
        Oid owner = process->state == HelperState::None ? InvalidOid : process->owner;
        HelperCall* call = take_call(helper->queue, owner, now);
        if (may_begin(worker, call)) {
            helper->current = call;
        } else {
            give_up_call(worker, call);
            free_call(helper->queue, call);
        }
    }
}

// True: a call was given to the process.
bool start_next(Worker* worker, SteadyTime now) {
    Helper* helper = worker->helper;
    HelperProcess* process = &helper->process;
    if (is_with_process(helper->current))
        return false;
    choose_call(worker, now);
    HelperCall* call = helper->current;
    if (call == nullptr) {
        if (process->state == HelperState::Idle && now - helper->idle_since > idle_max_us)
            let_go(process, false);
        return false;
    }
    Oid owner = ((const CallHeader*)call->message)->owner;
    if (process->state == HelperState::Idle && process->owner != owner)
        let_go(process, false);
    if (process->state == HelperState::None)
        (void)start_helper(process, owner, now);
    if (process->state != HelperState::Idle || process->owner != owner)
        return false;
    Hook* hook = find_hook(worker->hooks, call->hook_id);
    // A hook's first call is the moment to count one that the server did not survive: the mark of
    // that one goes with it, and the count is in the new mark.
    if (hook->run->call_was_cut) {
        note_cut_call(worker->ledger->news, hook);
        return start_next(worker, now);
    }
    if (!hook->run->is_survived && !hook->run->call_is_marked)
        mark_call(hook);
    call->started_at = now;
    send_call(process, call->message, call->message_bytes);
    return true;
}

}  // namespace

Helper* create_helper(MemoryContext context) {
    Helper* helper = (Helper*)MemoryContextAllocZero(context, sizeof(Helper));
    helper->process.context = context;
    helper->queue = create_helper_queue(context);
    return helper;
}

void run_helper(Worker* worker, SteadyTime now) {
    Helper* helper = worker->helper;
    if (helper->process.state == HelperState::None && helper->current == nullptr &&
        helper->queue->count == 0)
        return;
    for (int taken = 0; taken < answers_max; taken++) {
        bool heard = hear(worker, now);
        bool started = start_next(worker, now);
        if (!heard && !started)
            break;
    }
    cut_off(worker, now);
    park_old(worker, now);
}

int64 helper_wait_ms(const Worker* worker, SteadyTime now) {
    const Helper* helper = worker->helper;
    if (helper->current == nullptr && helper->queue->count == 0)
        return -1;
    SteadyTime at = helper->parks_at;
    if (is_with_process(helper->current))
        at = Min(at, helper->current->started_at + settings.callback_timeout_ms * (int64)1000);
    else if (helper->process.state == HelperState::Idle)
        return 0;
    return Max(at - now, 0) / 1000 + 1;
}

void stop_helper(Worker* worker) {
    end_helpers(&worker->helper->process);
}

}  // namespace whisperer::pg
