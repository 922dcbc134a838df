// Slowing down who tries tokens; see throttle.h.
#include "throttle.h"

#include <algorithm>

namespace whisperer::gateway {

namespace {

constexpr std::size_t clients_max = 10'000;
constexpr int failures_free = 5;
constexpr int penalty_max_s = 60;
constexpr std::chrono::seconds forgiven_after{60};

}  // namespace

int Throttle::wait_s(const std::string& client, Time now) {
    const std::lock_guard lock(mutex_);
    const auto found = tries_.find(client);
    if (found == tries_.end() || found->second.blocked_until <= now)
        return 0;
    const auto left =
        std::chrono::ceil<std::chrono::seconds>(found->second.blocked_until - now).count();
    return static_cast<int>(left);
}

void Throttle::note_failure(const std::string& client, Time now) {
    const std::lock_guard lock(mutex_);
    if (tries_.size() >= clients_max && !tries_.contains(client))
        make_room(now);
    Tries& tries = tries_[client];
    // Counted from the end of the wait: who comes back at once after it has not been quiet.
    if (now - std::max(tries.last, tries.blocked_until) > forgiven_after)
        tries.failures = 0;
    tries.last = now;
    if (++tries.failures < failures_free)
        return;
    const int doublings = std::min(tries.failures - failures_free, 6);
    tries.blocked_until = now + std::chrono::seconds(std::min(1 << doublings, penalty_max_s));
}

void Throttle::make_room(Time now) {
    std::erase_if(tries_, [now](const auto& entry) {
        return now - std::max(entry.second.last, entry.second.blocked_until) > forgiven_after;
    });
    // So many at once are one attacker with many addresses; whom it forgets gets five more tries.
    if (tries_.size() >= clients_max)
        tries_.erase(tries_.begin());
}

}  // namespace whisperer::gateway
