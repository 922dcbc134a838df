// Slows down who tries tokens: after five failures within a minute an address waits 1 s, and after
// each further one twice as long, up to 60 s.  A minute without a failure forgives.  Thread-safe;
// remembers a bounded number of addresses.
#pragma once
#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

namespace whisperer::gateway {

class Throttle {
  public:
    using Time = std::chrono::steady_clock::time_point;

    // Seconds that the client has to wait before it may try; 0: none.
    int wait_s(const std::string& client, Time now);
    void note_failure(const std::string& client, Time now);

  private:
    struct Tries {
        int failures = 0;
        Time last{};
        Time blocked_until{};
    };

    void make_room(Time now);

    std::mutex mutex_;
    std::unordered_map<std::string, Tries> tries_;  // guarded by mutex_
};

}  // namespace whisperer::gateway
