// Times as clients write them: ISO 8601, a date or a date and a time, with Z, an offset, or neither
// (UTC).  PostgreSQL would take more ("yesterday", "infinity", other orders of day and month).
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace whisperer::gateway {

// The time for PostgreSQL's timestamptz, or nothing if it is none.
std::optional<std::string> time_of(std::string_view text);

}  // namespace whisperer::gateway
