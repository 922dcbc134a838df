// The system's clock, which a test can put forward.
#pragma once
#include "worker/base/clock.h"

namespace whisperer::engine {

class ShiftedClock final : public Clock {
  public:
    microseconds steady() const override { return clock_.steady() + shift; }
    microseconds unix_time() const override { return clock_.unix_time(); }
    double random() override { return clock_.random(); }

    microseconds shift{0};

  private:
    SystemClock clock_;
};

}  // namespace whisperer::engine
