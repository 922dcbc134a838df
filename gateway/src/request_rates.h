// How many requests the roles make that have a limit (whisperer.max_requests_per_second): as many
// as a second allows at once, and one more whenever its time has come.  All tokens of a role count
// together.  Thread-safe; remembers a bounded number of roles.
#pragma once
#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>

#include "authentication.h"

namespace whisperer::gateway {

class RequestRates {
  public:
    using Time = std::chrono::steady_clock::time_point;

    // Counts a request.  Throws Problem 429: it is one too many, and does not count.
    void admit(const Caller& caller, Time now);

  private:
    struct Left {
        double requests;
        Time at;
    };

    bool take(const Caller& caller, Time now);
    void make_room(Time now);

    std::mutex mutex_;
    std::unordered_map<std::string, Left> left_;  // by role; guarded by mutex_
};

}  // namespace whisperer::gateway
