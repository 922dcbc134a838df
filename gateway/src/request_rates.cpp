// Limits of roles; see request_rates.h.
#include "request_rates.h"

#include <algorithm>

#include "problem.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t roles_max = 10'000;
constexpr std::chrono::seconds full_after{1};

}  // namespace

void RequestRates::admit(const Caller& caller, Time now) {
    if (caller.requests_per_second_max == 0 || take(caller, now))
        return;
    Problem problem{429, "too_many_requests",
                    "role " + caller.role + " may make " +
                        std::to_string(caller.requests_per_second_max) + " requests per second"};
    problem.hint =
        "Wait as Retry-After says, or ask a superuser to raise the limit: " + caller.raise;
    problem.retry_after_s = 1;  // at the slowest, one a second
    throw problem;
}

bool RequestRates::take(const Caller& caller, Time now) {
    const double per_second = caller.requests_per_second_max;
    const std::lock_guard lock(mutex_);
    if (left_.size() >= roles_max && !left_.contains(caller.role))
        make_room(now);
    Left& left = left_.try_emplace(caller.role, Left{per_second, now}).first->second;
    const std::chrono::duration<double> passed = std::max(now, left.at) - left.at;
    left = {std::min(per_second, left.requests + passed.count() * per_second),
            std::max(now, left.at)};
    if (left.requests < 1)
        return false;
    left.requests--;
    return true;
}

void RequestRates::make_room(Time now) {
    // Whoever made none for a second has all of them again.
    std::erase_if(left_, [now](const auto& entry) { return now - entry.second.at >= full_after; });
    if (left_.size() >= roles_max)
        left_.erase(left_.begin());
}

}  // namespace whisperer::gateway
