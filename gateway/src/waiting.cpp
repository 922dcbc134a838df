// Bounds on those who wait; see waiting.h.
#include "waiting.h"

#include "problem.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t waiting_max = 128;
constexpr std::size_t of_owner_max = 16;

}  // namespace

Waiting::Place Waiting::enter(const std::string& client, const std::string& token) {
    const std::string owners[] = {"client " + client, "token " + token};
    const std::lock_guard lock(mutex_);
    if (count_ >= waiting_max)
        throw unavailable("too many requests wait for an outcome", 5);
    for (const std::string& owner : owners)
        if (const auto found = by_owner_.find(owner);
            found != by_owner_.end() && found->second >= of_owner_max) {
            Problem problem{429, "too_many_waiting",
                            "too many of your requests wait for an outcome"};
            problem.retry_after_s = 5;
            throw problem;
        }
    count_++;
    for (const std::string& owner : owners)
        by_owner_[owner]++;
    return {nullptr, [this, first = owners[0], second = owners[1]](void*) {
                const std::lock_guard inner(mutex_);
                count_--;
                for (const std::string& owner : {first, second})
                    if (--by_owner_[owner] == 0)
                        by_owner_.erase(owner);
            }};
}

}  // namespace whisperer::gateway
