// A rate limit: a bucket that holds one second's worth of tokens and is refilled continuously.
//
// Kept as one moment, that at which the bucket will be full again: a token taken moves it on by one
// spacing, time passing needs no work.  Each lane owns one; moments are passed in.
#pragma once
#include <algorithm>

#include "worker/base/clock.h"

namespace whisperer::engine {

class TokenBucket {
  public:
    // Requests per second, from 0 (no limit) to rate_limit_max.
    explicit TokenBucket(double rate) : rate_(rate) {}

    double rate() const { return rate_; }
    bool limits() const { return rate_ > 0; }
    // From when a token is there.
    microseconds token_at() const {
        if (!limits())
            return microseconds::min();
        const Micros usable_debt = (std::max(rate_, 1.0) - 1.0) * exact_spacing();
        return std::chrono::ceil<microseconds>(full_at_ - usable_debt);
    }
    void take(microseconds now) {
        if (limits())
            full_at_ = std::max(full_at_, Micros(now)) + exact_spacing();
    }
    // Between two tokens; 0: no limit.
    microseconds spacing() const {
        return limits() ? std::chrono::ceil<microseconds>(exact_spacing()) : microseconds(0);
    }

  private:
    // At a million a second a whole microsecond would be too coarse.
    using Micros = std::chrono::duration<double, std::micro>;

    // A rate of almost nothing must not overflow moments.
    Micros exact_spacing() const {
        return std::min<Micros>(Micros(1e6 / rate_), std::chrono::hours(24 * 365));
    }

    double rate_;
    Micros full_at_{0};
};

}  // namespace whisperer::engine
