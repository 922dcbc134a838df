// retry_countdown_config: one that is accepted has waits within bounds and an end; one that is not
// is refused with a message that can be shown.
#include "worker/rules/retry.h"
#include "tests/fuzz/property.h"

using namespace whisperer::engine;

namespace {

class LoadedDice final : public Clock {
  public:
    explicit LoadedDice(double value) : value_(value) {}
    microseconds steady() const override { return microseconds(0); }
    microseconds unix_time() const override { return microseconds(0); }
    double random() override { return value_; }

  private:
    double value_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const RetryPlan plan = RetryPlan::parse(text_of(data, size));
        for (double chance : {0.0, 0.5, 0.999999}) {
            LoadedDice dice(chance);
            int retries = 0;
            while (const auto wait = plan.wait_after(retries + 1, dice)) {
                HOLDS(wait->count() >= 0 && *wait <= milliseconds(retry_wait_max));
                HOLDS(++retries <= retries_max);
            }
            HOLDS(!plan.wait_after(2147483647, dice).has_value());
            HOLDS(plan.wait_after(-1, dice).has_value() == (retries > 0));
        }
    } catch (const Invalid& invalid) {
        check_message(invalid);
    }
    return 0;
}
