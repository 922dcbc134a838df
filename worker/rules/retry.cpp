// The arithmetic of waiting.  What a config may say is in retry_config.cpp.
#include "worker/rules/retry.h"

#include <algorithm>
#include <cmath>

namespace whisperer::engine {

RetryPlan::RetryPlan()
    : limit_s_(static_cast<double>(retry_wait_max.count())),
      schedule_s_{5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400},
      jitter_(0.2) {}

double RetryPlan::plain_wait_s(int attempts_made, Clock& clock) const {
    switch (choice_) {
        case RetryChoice::Fixed:
            return first_;
        case RetryChoice::Linear:
            return std::min(first_ * attempts_made, limit_s_);
        case RetryChoice::Exponential:
            return std::min(second_ * std::pow(first_, attempts_made), limit_s_);
        case RetryChoice::Random:
            return first_ + (second_ - first_) * clock.random();
        case RetryChoice::Schedule:
        case RetryChoice::Custom:
            break;
    }
    // More retries than entries: the last entry repeats.
    const auto index = static_cast<std::size_t>(attempts_made - 1);
    return schedule_s_[std::min(index, schedule_s_.size() - 1)];
}

bool RetryPlan::tries_again_after(int http_status) const {
    const auto names = [http_status](const std::vector<int>& list) {
        return std::find(list.begin(), list.end(), http_status) != list.end();
    };
    return !names(give_up_) && (!only_if_ || names(*only_if_));
}

std::optional<milliseconds> RetryPlan::wait_after(int attempts_made, Clock& clock) const {
    attempts_made = std::max(attempts_made, 1);
    if (attempts_made > max_retries_)
        return std::nullopt;
    double wait_s = plain_wait_s(attempts_made, clock);
    if (jitter_ > 0)
        wait_s *= 1 + jitter_ * (2 * clock.random() - 1);
    // std::min with the value second, so that a NaN (0 x infinity) becomes the limit.
    const double bounded_s = std::min(static_cast<double>(retry_wait_max.count()), wait_s);
    return milliseconds(std::llround(std::max(bounded_s, 0.0) * 1000));
}

}  // namespace whisperer::engine
