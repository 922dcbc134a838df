// What a receiver's Retry-After says.  Read by the transport from an answer's headers.
#pragma once
#include <ctime>
#include <optional>
#include <string>

#include "worker/base/clock.h"

namespace whisperer::engine {

// The longest wait that is told apart; a longer one becomes it.
inline constexpr seconds retry_after_read_max{1LL << 32};

// RFC 9110, 10.2.3: digits are seconds, anything else is a date, seen from now.  nullopt: neither,
// or not in the future.
std::optional<seconds> parse_retry_after(const std::string& value, std::time_t now);

}  // namespace whisperer::engine
