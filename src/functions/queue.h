// Calls that wait for the helper: a queue per hook, served in turn.
//
// A hook has at most one call per turn, so one with slow functions costs the others a call's time
// and no more.  Hooks of the owner whom the process serves go first for a short while
// (owner_turn_us), because another owner needs another process.  Bounded: calls_per_hook_max of
// what the log and the ledger can hand out again, and half of whisperer.max_queued_bytes.
#pragma once

#include "src/base/steady_clock.h"
#include "src/functions/message.h"
#include "src/pg.h"

namespace whisperer::pg {

constexpr int calls_per_hook_max = 16;
// Small, and forgotten when there are more: the countdown's default stands.
constexpr int countdowns_per_hook_max = 256;
constexpr int64 owner_turn_us = 100 * 1000;

struct HelperCall {
    CallKind kind;
    int64 hook_id;
    uint64 token;  // of the tracker; Countdown: 0
    SteadyTime queued_at;
    SteadyTime started_at;  // 0: it waits
    // Countdown: the row that is meant, and what it counts from.
    int16 slot;
    int64 line;
    int32 row_retry_count;
    TimestampTz ended_at;
    int64 asked_after_ms;
    Size message_bytes;
    char message[FLEXIBLE_ARRAY_MEMBER];  // CallHeader and texts
};
static_assert(offsetof(HelperCall, message) % alignof(CallHeader) == 0, "it is read in place");

struct HookCalls {
    int64 hook_id;        // key
    HookCalls* previous;  // in the order of turns; only with calls
    HookCalls* next;
    HelperCall** calls;  // a ring
    int first;
    int count;
    int countdowns;
};

struct HelperQueue {
    MemoryContext context;
    HTAB* hooks;
    HookCalls* head;  // whose turn it is; null: there are no calls
    HookCalls* tail;
    int64 held_bytes;
    int count;
    SteadyTime owner_until;  // the owner's turn ends
};

HelperQueue* create_helper_queue(MemoryContext context);

// Whether there is room for another transform or callback of the hook.
bool has_room(const HelperQueue* queue, int64 hook_id);
bool has_half_its_room(const HelperQueue* queue, int64 hook_id);
bool has_room_for_countdown(const HelperQueue* queue, int64 hook_id);

// An empty call with room for the message, which add_call takes over.
HelperCall* make_call(HelperQueue* queue, Size message_bytes);
void add_call(HelperQueue* queue, HelperCall* call);

// The next in turn; null: there is none.  owner: whose process is there; invalid: nobody's.
HelperCall* take_call(HelperQueue* queue, Oid owner, SteadyTime now);
void free_call(HelperQueue* queue, HelperCall* call);

// Each call that waits, in any order.
void for_each_call(HelperQueue* queue, void (*visit)(HelperCall*, void*), void* argument);

}  // namespace whisperer::pg
