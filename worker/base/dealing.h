// Which of several workers serves a hook.
//
// By its id alone: rendezvous hashing, so that a worker more takes its part from all others, and no
// hook moves between those.  Where ids and loads do not agree, a few hooks are dealt to others by
// their loads; the host writes down which.  The same question has the same answer on every machine.
#pragma once
#include <cstdint>
#include <span>

#include "worker/engine.h"

namespace whisperer::engine {

// Of workers 0 to workers - 1; workers: 1 to WHISPERER_WORKERS_MAX.
int place_of_hook(std::int64_t hook_id, int workers);

// Sets the worker of each hook: where its id puts it, unless its load is better elsewhere.  A hook
// without load stays.  The order of the hooks makes no difference.
void deal_hooks(std::span<WhispererHookLoad> hooks, int workers);

// Of the worker that has most.
std::int64_t largest_load(std::span<const WhispererHookLoad> hooks, int workers);

}  // namespace whisperer::engine
