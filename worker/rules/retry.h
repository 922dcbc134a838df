// When to try again: retry_countdown_config, and the rules that stand above it.
//
// Invariant: every plan ends; after its last retry there is no next wait.  Made by Hook (and by
// whisperer_check_retry_config), asked by verdict when an attempt has failed.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "worker/base/clock.h"

namespace whisperer::engine {

inline constexpr seconds retry_wait_max = std::chrono::hours(24 * 30);
inline constexpr seconds retry_after_max = std::chrono::hours(24);
// Where a choice has no end of its own: as many retries as the default schedule has.
inline constexpr int retries_default = 9;
inline constexpr int retries_max = 1000;
// What give_up and only_if may name: whatever an answer may say that is no success.
inline constexpr int failure_status_min = 300;
inline constexpr int failure_status_max = 999;
inline constexpr std::size_t retry_config_bytes_max = 8192;

enum class RetryChoice {
    Fixed,
    Linear,
    Exponential,
    Random,
    Schedule,
    Custom,  // the host computes it; here it waits as the default does
};

// Immutable.  Waits are in seconds, as people write them.
class RetryPlan {
  public:
    // 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h with +-20 % jitter.
    RetryPlan();
    // Empty or JSON null: the default.  Throws Invalid, naming the key.
    static RetryPlan parse(std::string_view config_json);

    // attempts_made >= 1, the one that just failed included.  nullopt: that was the last.
    std::optional<milliseconds> wait_after(int attempts_made, Clock& clock) const;
    // Whether an answer with this status, other than 2xx, may be followed by another attempt.
    bool tries_again_after(int http_status) const;

  private:
    friend class RetryConfigReader;
    double plain_wait_s(int attempts_made, Clock& clock) const;

    RetryChoice choice_ = RetryChoice::Schedule;
    double first_ = 0;   // fixed: seconds; linear, exponential: base; random: min_value
    double second_ = 0;  // exponential: factor; random: max_value
    double limit_s_ = 0;
    std::vector<double> schedule_s_;
    double jitter_ = 0;
    int max_retries_ = retries_default;
    std::vector<int> give_up_;
    std::optional<std::vector<int>> only_if_;  // nullopt: whatever is not in give_up_
};

}  // namespace whisperer::engine
