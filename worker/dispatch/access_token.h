// The token that a lane has fetched for its requests, and when it may fetch one.
//
//     none --- fetched ---> held --- expired, refused by the target, other credentials ---> none
//      ^ |
//      | +--- the fetch failed ---> none, resting for token_rest ---+
//      +------------------------------------------------------------+
//
// Owned by the lane, driven by the dispatcher; knows neither clock nor wire.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "worker/base/clock.h"

namespace whisperer::engine {

// A token is fetched anew this long before it expires, or after half of a shorter life.
inline constexpr seconds token_margin{10};
// After a fetch that failed nothing is started for so long, or every delivery that comes would
// cost a request and fail at once.
inline constexpr milliseconds token_rest{1000};

class AccessToken {
  public:
    bool usable(microseconds now) const { return !line_.empty() && now < usable_until_; }
    // "Authorization: ..."; only if usable.
    const std::string& line() const { return line_; }
    // Of the one fetched last; each has its own, the first is 1.
    std::uint64_t number() const { return number_; }

    // Without a lifetime it is used until it is refused.
    void keep(std::string line, std::optional<seconds> lifetime, microseconds now) {
        line_ = std::move(line);
        ++number_;
        usable_until_ = microseconds::max();
        if (lifetime)
            usable_until_ =
                now + *lifetime - std::min<microseconds>(token_margin, microseconds(*lifetime) / 2);
    }
    // The target refused it; does nothing to a later one.
    void drop(std::uint64_t number) {
        if (number == number_)
            line_.clear();
    }
    void fetch_failed(microseconds now) { rests_until_ = now + token_rest; }
    // The credentials changed.
    void forget() {
        line_.clear();
        rests_until_ = microseconds(0);
    }

    bool rests(microseconds now) const { return now < rests_until_; }
    microseconds rests_until() const { return rests_until_; }

  private:
    std::string line_;  // empty: none is held
    std::uint64_t number_ = 0;
    microseconds usable_until_{0};
    microseconds rests_until_{0};
};

}  // namespace whisperer::engine
