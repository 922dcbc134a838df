// The door to dealing: which of several workers serves a hook.
#include "worker/base/dealing.h"

#include "worker/engine.h"

using namespace whisperer::engine;

int whisperer_place_of_hook(int64_t hook_id, int workers) noexcept {
    return place_of_hook(hook_id, workers);
}

void whisperer_deal_hooks(WhispererHookLoad* hooks, size_t count, int workers) noexcept {
    deal_hooks({hooks, count}, workers);
}

int64_t whisperer_largest_load(const WhispererHookLoad* hooks, size_t count, int workers) noexcept {
    return largest_load({hooks, count}, workers);
}
