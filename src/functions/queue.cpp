// Rings of calls and the order of turns; see queue.h.
#include "src/functions/queue.h"

#include "src/base/id_table.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr int ring_size = calls_per_hook_max + countdowns_per_hook_max;

HookCalls* find_calls(const HelperQueue* queue, int64 hook_id) {
    return (HookCalls*)hash_search(queue->hooks, &hook_id, HASH_FIND, nullptr);
}

void append(HelperQueue* queue, HookCalls* hook) {
    hook->previous = queue->tail;
    hook->next = nullptr;
    (queue->tail ? queue->tail->next : queue->head) = hook;
    queue->tail = hook;
}

void take_out(HelperQueue* queue, HookCalls* hook) {
    (hook->previous ? hook->previous->next : queue->head) = hook->next;
    (hook->next ? hook->next->previous : queue->tail) = hook->previous;
}

HelperCall* first_call(const HookCalls* hook) {
    return hook->calls[hook->first];
}

Oid owner_of(const HelperCall* call) {
    return ((const CallHeader*)call->message)->owner;
}

// The hook whose turn it is.  While the owner's turn lasts, others are passed over.
HookCalls* next_hook(HelperQueue* queue, Oid owner, SteadyTime now) {
    if (!OidIsValid(owner) || queue->owner_until <= now)
        return queue->head;
    for (HookCalls* hook = queue->head; hook; hook = hook->next)
        if (owner_of(first_call(hook)) == owner)
            return hook;
    return queue->head;
}

}  // namespace

HelperQueue* create_helper_queue(MemoryContext context) {
    HelperQueue* queue = (HelperQueue*)MemoryContextAllocZero(context, sizeof(HelperQueue));
    queue->context = context;
    queue->hooks = create_id_table(context, "whisperer calls", sizeof(HookCalls), 64);
    return queue;
}

bool has_room(const HelperQueue* queue, int64 hook_id) {
    if (queue->held_bytes > settings.max_queued_bytes / 2)
        return false;
    const HookCalls* hook = find_calls(queue, hook_id);
    return hook == nullptr || hook->count - hook->countdowns < calls_per_hook_max;
}

bool has_half_its_room(const HelperQueue* queue, int64 hook_id) {
    const HookCalls* hook = find_calls(queue, hook_id);
    return hook == nullptr || hook->count - hook->countdowns <= calls_per_hook_max / 2;
}

bool has_room_for_countdown(const HelperQueue* queue, int64 hook_id) {
    const HookCalls* hook = find_calls(queue, hook_id);
    return hook == nullptr || hook->countdowns < countdowns_per_hook_max;
}

HelperCall* make_call(HelperQueue* queue, Size message_bytes) {
    Size bytes = offsetof(HelperCall, message) + message_bytes;
    HelperCall* call = (HelperCall*)MemoryContextAllocHuge(queue->context, bytes);
    memset(call, 0, offsetof(HelperCall, message));
    call->message_bytes = message_bytes;
    return call;
}

void add_call(HelperQueue* queue, HelperCall* call) {
    bool found;
    HookCalls* hook = (HookCalls*)hash_search(queue->hooks, &call->hook_id, HASH_ENTER, &found);
    if (!found) {
        hook->calls = (HelperCall**)MemoryContextAlloc(queue->context, sizeof(void*) * ring_size);
        hook->first = hook->count = hook->countdowns = 0;
    }
    if (hook->count == 0)
        append(queue, hook);
    hook->calls[(hook->first + hook->count++) % ring_size] = call;
    hook->countdowns += call->kind == CallKind::Countdown;
    queue->held_bytes += (int64)call->message_bytes;
    queue->count++;
}

HelperCall* take_call(HelperQueue* queue, Oid owner, SteadyTime now) {
    if (queue->head == nullptr)
        return nullptr;
    HookCalls* hook = next_hook(queue, owner, now);
    HelperCall* call = first_call(hook);
    hook->first = (hook->first + 1) % ring_size;
    hook->count--;
    hook->countdowns -= call->kind == CallKind::Countdown;
    queue->count--;
    if (owner_of(call) != owner)
        queue->owner_until = now + owner_turn_us;
    take_out(queue, hook);
    if (hook->count > 0) {
        append(queue, hook);
    } else {
        pfree(hook->calls);
        hash_search(queue->hooks, &call->hook_id, HASH_REMOVE, nullptr);
    }
    return call;
}

void free_call(HelperQueue* queue, HelperCall* call) {
    queue->held_bytes -= (int64)call->message_bytes;
    pfree(call);
}

void for_each_call(HelperQueue* queue, void (*visit)(HelperCall*, void*), void* argument) {
    for (HookCalls* hook = queue->head; hook; hook = hook->next)
        for (int i = 0; i < hook->count; i++)
            visit(hook->calls[(hook->first + i) % ring_size], argument);
}

}  // namespace whisperer::pg
