// Retry-After: whatever a receiver writes is a wait within bounds or none; only digits are seconds.
#include "worker/wire/retry_after.h"

#include "tests/fuzz/property.h"

using namespace whisperer::engine;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::time_t now = 1'792'000'000;
    const std::string value(text_of(data, size));
    const auto wait = parse_retry_after(value, now);
    HOLDS(!wait || (wait->count() > 0 && *wait <= retry_after_read_max));
    const bool digits =
        !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    if (digits) {
        const std::size_t first = value.find_first_not_of('0');
        HOLDS(wait.has_value() == (first != std::string::npos));
        HOLDS(!wait || value.size() - first > 18 ||
              wait->count() == std::min(std::stoll(value), 1LL << 32));
    } else if (wait && *wait < retry_after_read_max) {
        // A date: seen from a second later it is a second nearer.
        const auto later = parse_retry_after(value, now + 1);
        HOLDS(later.value_or(seconds(0)) == *wait - seconds(1));
    }
    return 0;
}
