// Time and chance as an interface, so that a day of retries is a unit test of a millisecond.
//
// All moments in the engine are microseconds: steady ones (since an arbitrary start, never going
// back) for whatever is waited for, Unix ones only for what is shown to people and receivers.
#pragma once
#include <chrono>
#include <random>

namespace whisperer::engine {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Clock {
  public:
    virtual ~Clock() = default;
    virtual microseconds steady() const = 0;
    virtual microseconds unix_time() const = 0;
    // Uniform in [0, 1).
    virtual double random() = 0;
};

// Seeds itself when made: make it after the fork, or every worker has the same jitter.
class SystemClock final : public Clock {
  public:
    SystemClock();
    microseconds steady() const override;
    microseconds unix_time() const override;
    double random() override;

  private:
    std::mt19937_64 random_;
};

}  // namespace whisperer::engine
