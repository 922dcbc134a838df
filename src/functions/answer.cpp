// Making calls, and what becomes of them.
#include "src/functions/answer.h"

#include "src/base/delivery.h"
#include "src/base/encoding.h"
#include "src/base/steady_clock.h"
#include "src/base/unix_time.h"
#include "src/base/worker.h"
#include "src/hooks/hook_set.h"
#include "src/ledger/hook_health.h"
#include "src/ledger/ledger.h"
#include "src/ledger/submit.h"
#include "src/ledger/tracker.h"

namespace whisperer::pg {

namespace {

constexpr int outcomes_max = 256;

constexpr DeliveryError hook_deleted = {"hook deleted", WhispererErrorHookDeleted};

HelperCall* new_call(Worker* worker, CallKind kind, const Hook& hook, const Inflight& delivery,
                     const WhispererSpan (&texts)[CallTextCount]) {
    Size bytes = sizeof(CallHeader);
    for (const WhispererSpan& text : texts)
        bytes += text.size;
    HelperCall* call = make_call(worker->helper->queue, bytes);
    call->kind = kind;
    call->hook_id = hook.id;
    call->queued_at = steady_now();
    CallHeader* header = (CallHeader*)call->message;
    memset(header, 0, sizeof *header);
    header->kind = kind;
    header->owner = hook.owner;
    header->event_id = delivery.event_id;
    header->hook_id = hook.id;
    char* end = call->message + sizeof(CallHeader);
    for (int i = 0; i < CallTextCount; i++) {
        header->text_bytes[i] = texts[i].data ? (int32)texts[i].size : -1;
        if (texts[i].size > 0)
            memcpy(end, texts[i].data, texts[i].size);
        end += texts[i].size;
    }
    return call;
}

WhispererSpan span(const char* text) {
    return {text, text ? strlen(text) : 0};
}

WhispererSpan span(Datum datum) {
    if (datum == (Datum)0)
        return {};
    text* value = DatumGetTextPP(datum);
    return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

const CallHeader* header_of(const HelperCall* call) {
    return (const CallHeader*)call->message;
}

WhispererSpan call_text(const HelperCall* call, CallText number) {
    const char* start = call->message + sizeof(CallHeader);
    for (int i = 0; i < number; i++)
        start += Max(header_of(call)->text_bytes[i], 0);
    return {start, (size_t)Max(header_of(call)->text_bytes[number], 0)};
}

// "transform: division by zero (SQLSTATE 22012)", in the ledger's context.
WhispererSpan told_error(const Worker* worker, const HelperCall* call, const CallEnd& end) {
    constexpr const char* names[] = {"transform: ", "callback: ", "countdown: "};
    const char* name = names[(int)call->kind];
    size_t name_bytes = strlen(name);
    char* text = (char*)MemoryContextAlloc(worker->ledger->context, name_bytes + end.text.size + 1);
    memcpy(text, name, name_bytes);
    memcpy(text + name_bytes, end.text.data, end.text.size);
    text[name_bytes + end.text.size] = '\0';
    return {text, name_bytes + end.text.size};
}

void ask_countdown(Worker* worker, const Hook& hook, const Inflight& delivery,
                   const WhispererOutcome& outcome) {
    if (!has_room_for_countdown(worker->helper->queue, hook.id))
        return;
    WhispererSpan texts[CallTextCount] = {};
    texts[TextFunction] = span(hook.countdown);
    texts[TextArgument] = span(hook.countdown_kwargs);
    HelperCall* call = new_call(worker, CallKind::Countdown, hook, delivery, texts);
    call->slot = delivery.slot;
    call->line = delivery.line;
    call->row_retry_count = delivery.retry_count + 1;
    call->ended_at = GetCurrentTimestamp();
    call->asked_after_ms = outcome.asked_after_ms;
    ((CallHeader*)call->message)->retry_count = call->row_retry_count - delivery.round_start;
    add_call(worker->helper->queue, call);
}

// Enters what the engine says of a delivery, and asks the hook's own countdown when there is to be
// another attempt.
void take_outcome(Worker* worker, const WhispererOutcome& outcome) {
    Inflight delivery = *tracked(worker->tracker, outcome.token);
    add_outcome(worker->ledger, worker->tracker, worker->hooks, outcome);
    const Hook* hook = find_hook(worker->hooks, outcome.hook_id);
    if (outcome.kind == WhispererRetry && !delivery.once && delivery.probes_before == 0 && hook &&
        hook->runnable && hook->countdown)
        ask_countdown(worker, *hook, delivery, outcome);
    worker->failed_deliveries += outcome.kind == WhispererFailed;
}

// An attempt that ended before there was anything to send.
void fail_attempt(Worker* worker, const HelperCall* call, WhispererSpan error) {
    const Inflight* delivery = tracked(worker->tracker, call->token);
    WhispererOutcome outcome = {};
    outcome.token = call->token;
    outcome.hook_id = call->hook_id;
    outcome.attempted = true;
    outcome.response_time_us = steady_now() - call->started_at;
    outcome.started_at_us = unix_from_timestamp(GetCurrentTimestamp() - outcome.response_time_us);
    outcome.error = error;
    outcome.error_code = WhispererErrorTransform;
    outcome.format = call_text(call, TextFormat);
    bool goes_on = whisperer_engine_next_attempt(worker->engine, call->hook_id,
                                                 delivery->retry_count - delivery->round_start + 1,
                                                 &outcome.next_after_ms);
    outcome.kind = goes_on ? WhispererRetry : WhispererFailed;
    take_outcome(worker, outcome);
}

// Of a line with batches: it is sent with others when their bodies are made, too.  Also if the hook
// has none by now: those beside it would overtake each other.
bool waits_for_batch(const Worker* worker, const Inflight& delivery) {
    if (delivery.for_run)
        return true;
    WhispererBatch batch;
    whisperer_engine_batch(worker->engine, delivery.hook_id, &batch);
    return delivery.line != 0 && batch.size > 1;
}

// In the ledger, where the next look at its line finds it.
void keep_body(Worker* worker, uint64 token, const WhispererEvent& event) {
    Inflight delivery = *tracked(worker->tracker, token);
    untrack(worker->tracker, token);
    WhispererError error = {};
    size_t bytes = event.body.size;
    WhispererCode code =
        bytes > 0 ? WhispererOk : whisperer_body(&event, nullptr, 0, &bytes, &error);
    char* body = (char*)MemoryContextAllocHuge(worker->ledger->context, bytes + 1);
    if (event.body.size > 0)
        memcpy(body, event.body.data, bytes);
    else if (code == WhispererOk)
        code = whisperer_body(&event, body, bytes, &bytes, &error);
    if (code == WhispererOk)
        add_body(worker->ledger, delivery, {body, bytes}, event.format);
    else if (code == WhispererInvalid)
        add_unsent(worker->ledger, worker->hooks, delivery, DeliveryState::Failed,
                   {error.message, WhispererErrorNone});
    else
        ereport(ERROR, errmsg("whisperer: the delivery engine made no body: %s", error.message));
}

void send_body(Worker* worker, const HelperCall* call, WhispererSpan body) {
    const Inflight* delivery = tracked(worker->tracker, call->token);
    char event_type[event_type_bytes_max + 1] = {};
    WhispererSpan type = call_text(call, TextEventType);
    memcpy(event_type, type.data, Min(type.size, sizeof event_type - 1));
    WhispererEvent event = {};
    memcpy(event.id, delivery->event_id.data, sizeof event.id);
    event.type = span(event_type);
    event.format = call_text(call, TextFormat);
    event.recorded_at_us = header_of(call)->recorded_at_us;
    event.source = call_text(call, TextSource);
    event.object_id = call_text(call, TextObjectId);
    event.meta = call_text(call, TextMeta);
    (event.format.size == 0 ? event.body : event.data) = body;
    event.keep_body = 1;
    event.alone = delivery->once;
    if (waits_for_batch(worker, *delivery)) {
        keep_body(worker, call->token, event);
        return;
    }
    WhispererDelivery submitted = {call->token, call->hook_id,
                                   delivery->retry_count - delivery->round_start,
                                   delivery->retry_count};
    submit(worker, event, &submitted, 1);
}

void end_transform(Worker* worker, HelperCall* call, const CallEnd& end, WhispererSpan error) {
    if (end.kind == AnswerKind::Body) {
        send_body(worker, call, end.text);
    } else if (end.kind == AnswerKind::Nothing) {
        Inflight delivery = *tracked(worker->tracker, call->token);
        untrack(worker->tracker, call->token);
        add_unsent(worker->ledger, worker->hooks, delivery, DeliveryState::Cancelled,
                   {"transform returned null", WhispererErrorTransformNull});
    } else {
        fail_attempt(worker, call, error);
    }
}

void end_callback(Worker* worker, const HelperCall* call) {
    Inflight delivery = *tracked(worker->tracker, call->token);
    untrack(worker->tracker, call->token);
    add_callback_end(worker->ledger, delivery);
}

void end_countdown(Worker* worker, const HelperCall* call, const CallEnd& end) {
    if (end.kind != AnswerKind::Interval)
        return;
    Inflight delivery = {};
    delivery.has_row = true;
    delivery.event_id = header_of(call)->event_id;
    delivery.hook_id = call->hook_id;
    delivery.slot = call->slot;
    delivery.line = call->line;
    delivery.retry_count = call->row_retry_count;
    delivery.page = -1;
    add_countdown(worker->ledger, worker->hooks, delivery,
                  call->ended_at + Max(end.wait_us, call->asked_after_ms * 1000));
}

}  // namespace

void transform_delivery(Worker* worker, const Hook& hook, const Inflight& delivery,
                        const char* event_type, Datum data, const EventFacts& facts) {
    if (!has_room(worker->helper->queue, hook.id)) {
        add_unsent(worker->ledger, worker->hooks, delivery, DeliveryState::Pending);
        return;
    }
    WhispererSpan texts[CallTextCount] = {};
    texts[TextFunction] = span(hook.transform);
    texts[TextEventType] = utf8_of_name(event_type);
    texts[TextData] = span(data);
    texts[TextFormat] = span(facts.format);
    texts[TextSource] = facts.source;
    texts[TextObjectId] = facts.object_id;
    texts[TextMeta] = facts.meta;
    HelperCall* call = new_call(worker, CallKind::Transform, hook, delivery, texts);
    ((CallHeader*)call->message)->recorded_at_us = facts.recorded_at_us;
    ((CallHeader*)call->message)->takes_meta = hook.transform_takes_meta;
    call->token = track(worker->tracker, delivery);
    add_call(worker->helper->queue, call);
}

void call_back(Worker* worker, const Hook& hook, const Inflight& delivery, const Ended& ended) {
    WhispererSpan texts[CallTextCount] = {};
    texts[TextFunction] = span(hook.callback);
    if (ended.event_type)
        texts[TextEventType] = utf8_of_name(ended.event_type);
    texts[TextData] = span(ended.data);
    texts[TextArgument] = span(ended.response);
    texts[TextBody] = span(ended.body);
    HelperCall* call = new_call(worker, CallKind::Callback, hook, delivery, texts);
    ((CallHeader*)call->message)->sent_envelope =
        ended.body == (Datum)0 && !ended.has_format && (hook.transform == nullptr || delivery.once);
    call->token = track(worker->tracker, delivery);
    add_call(worker->helper->queue, call);
}

void end_call(Worker* worker, HelperCall* call, const CallEnd& end) {
    Hook* hook = find_hook(worker->hooks, call->hook_id);
    WhispererSpan error = {};
    if (end.kind == AnswerKind::Error)
        error = told_error(worker, call, end);
    if (hook)
        note_function(worker->ledger->news, hook, error.data, end.timed_out);
    // Answers of a hook that is not served any more come too late, unless they are final.
    if (call->kind == CallKind::Transform && !is_wanted(worker, call))
        give_up_call(worker, call);
    else if (call->kind == CallKind::Transform)
        end_transform(worker, call, end, error);
    else if (call->kind == CallKind::Callback)
        end_callback(worker, call);
    else
        end_countdown(worker, call, end);
    // Not at the first free place, or each call would cost a look at the backlog.
    if (hook && hook->run->waits_for_room && has_half_its_room(worker->helper->queue, hook->id))
        note_due(worker->hooks, hook, GetCurrentTimestamp());
}

void take_outcomes(Worker* worker, bool stopping) {
    WhispererOutcome outcomes[outcomes_max];
    size_t count;
    do {
        count = whisperer_engine_outcomes(worker->engine, outcomes, lengthof(outcomes));
        for (size_t i = 0; i < count; i++) {
            const WhispererOutcome& outcome = outcomes[i];
            if (outcome.kind == WhispererUnsent)
                take_back(worker, outcome);
            else if (stopping && outcome.kind == WhispererReturned)
                untrack(worker->tracker, outcome.token);
            else
                take_outcome(worker, outcome);
        }
    } while (count == lengthof(outcomes));
}

bool is_wanted(const Worker* worker, const HelperCall* call) {
    const Hook* hook = find_hook(worker->hooks, call->hook_id);
    return hook && hook->runnable;
}

void give_up_call(Worker* worker, HelperCall* call) {
    Hook* hook = find_hook(worker->hooks, call->hook_id);
    bool is_gone = hook == nullptr || hook->is_deleted;
    if (call->token != 0) {
        Inflight delivery = *tracked(worker->tracker, call->token);
        untrack(worker->tracker, call->token);
        if (call->kind == CallKind::Transform && (is_gone || !delivery.has_row))
            add_unsent(worker->ledger, worker->hooks, delivery,
                       is_gone ? DeliveryState::Cancelled : DeliveryState::Pending,
                       is_gone ? hook_deleted : DeliveryError{});
        else if (hook && hook->run->lines && delivery.line != 0)
            put_back(hook->run->lines, delivery.line, delivery.event_id);
    }
    // Rows that were read already are to be read again.
    if (hook)
        hook->run->low_at = hook->run->next_due_at = DT_NOBEGIN;
}

}  // namespace whisperer::pg
