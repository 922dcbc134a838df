// Retry-After and its kin: whatever a receiver writes is a wait within bounds or none.
#include "worker/wire/retry_after.h"

#include <algorithm>
#include <cctype>

#include "tests/fuzz/property.h"

using namespace whisperer::engine;

namespace {

bool has_letter(const std::string& value) {
    return std::any_of(value.begin(), value.end(),
                       [](unsigned char c) { return std::isalpha(c) != 0; });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::time_t now = 1'792'000'000;
    const std::string value(text_of(data, size));
    const auto wait = parse_retry_after(value, now);
    HOLDS(!wait || (wait->count() > 0 && *wait <= retry_after_read_max));
    const bool digits =
        !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    if (digits) {
        const std::size_t first = value.find_first_not_of('0');
        const bool is_wait = first != std::string::npos && value.size() - first < 10;
        HOLDS(!is_wait || (wait && wait->count() == std::stoll(value)));
        HOLDS(first != std::string::npos || !wait);
    } else if (wait && *wait < retry_after_read_max && has_letter(value)) {
        // A date: seen from a second later it is a second nearer.
        const auto later = parse_retry_after(value, now + 1);
        HOLDS(later.value_or(seconds(0)) == *wait - seconds(1));
    }
    for (const char* name : {"RateLimit", "X-RateLimit-Reset"}) {
        const auto asked = asked_wait(
            [&](const char* field) {
                return std::string(field) == name ? std::vector{value} : std::vector<std::string>();
            },
            now);
        HOLDS(!asked || (asked->count() > 0 && *asked <= retry_after_read_max));
    }
    return 0;
}
