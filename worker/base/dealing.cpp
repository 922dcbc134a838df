// Dealing hooks to workers; see dealing.h.
#include "worker/base/dealing.h"

#include <algorithm>
#include <array>

namespace whisperer::engine {

namespace {

// Nothing is moved from a worker that has no more than this of what each would have if all had the
// same.
constexpr std::int64_t enough_percent = 105;
// Nor is a hook that would lower what its worker has by less than this of it.
constexpr std::int64_t gain_min_percent = 1;

using Loads = std::array<std::int64_t, WHISPERER_WORKERS_MAX>;

// Every bit of the result depends on every bit of the value (the last step of MurmurHash3).
std::uint64_t mixed(std::uint64_t value) {
    value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdU;
    value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53U;
    return value ^ (value >> 33);
}

Loads loads_of(std::span<const WhispererHookLoad> hooks) {
    Loads loads{};
    for (const auto& hook : hooks)
        loads[static_cast<std::size_t>(hook.worker)] += hook.load;
    return loads;
}

std::span<std::int64_t> used(Loads& loads, int workers) {
    return std::span(loads).first(static_cast<std::size_t>(workers));
}

// Null: none is worth it.  gap: what the one who gives has more than the one who gets.
WhispererHookLoad* best_to_move(std::span<WhispererHookLoad> hooks, int from, std::int64_t gap,
                                std::int64_t gain_min) {
    WhispererHookLoad* best = nullptr;
    std::int64_t best_gain = gain_min - 1;
    for (auto& hook : hooks) {
        if (hook.worker != from || hook.load <= 0)
            continue;
        // By which the larger of the two loads gets smaller.
        const std::int64_t gain = std::min(hook.load, gap - hook.load);
        if (gain > best_gain ||
            (best != nullptr && gain == best_gain && hook.hook_id < best->hook_id)) {
            best = &hook;
            best_gain = gain;
        }
    }
    return best;
}

}  // namespace

int place_of_hook(std::int64_t hook_id, int workers) {
    int place = 0;
    std::uint64_t highest = 0;
    for (int worker = 0; worker < workers; ++worker) {
        const std::uint64_t score = mixed(static_cast<std::uint64_t>(hook_id) +
                                          mixed(static_cast<std::uint64_t>(worker) + 1));
        if (score > highest) {
            highest = score;
            place = worker;
        }
    }
    return place;
}

void deal_hooks(std::span<WhispererHookLoad> hooks, int workers) {
    for (auto& hook : hooks)
        hook.worker = place_of_hook(hook.hook_id, workers);
    Loads all_loads = loads_of(hooks);
    const auto loads = used(all_loads, workers);
    std::int64_t total = 0;
    for (const std::int64_t load : loads)
        total += load;
    const std::int64_t gain_min =
        std::max<std::int64_t>(total * gain_min_percent / 100 / workers, 1);
    for (;;) {
        const auto most = std::max_element(loads.begin(), loads.end());
        const auto least = std::min_element(loads.begin(), loads.end());
        if (*most * 100 * workers <= total * enough_percent)
            return;
        WhispererHookLoad* moved =
            best_to_move(hooks, static_cast<int>(most - loads.begin()), *most - *least, gain_min);
        if (moved == nullptr)
            return;
        moved->worker = static_cast<std::int32_t>(least - loads.begin());
        *most -= moved->load;
        *least += moved->load;
    }
}

std::int64_t largest_load(std::span<const WhispererHookLoad> hooks, int workers) {
    Loads loads = loads_of(hooks);
    return std::ranges::max(used(loads, workers));
}

}  // namespace whisperer::engine
