// The clock of production: the kernel's, and a generator seeded once per engine.
#include "worker/base/clock.h"

namespace whisperer::engine {

SystemClock::SystemClock() {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    random_.seed(seed);
}

microseconds SystemClock::steady() const {
    return std::chrono::duration_cast<microseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
}

microseconds SystemClock::unix_time() const {
    return std::chrono::duration_cast<microseconds>(
        std::chrono::system_clock::now().time_since_epoch());
}

double SystemClock::random() {
    return std::generate_canonical<double, 53>(random_);
}

}  // namespace whisperer::engine
