// How long a receiver asks to be left alone.  Read by the transport from the headers of an answer
// that may ask for it.
#pragma once
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "worker/base/clock.h"

namespace whisperer::engine {

// The longest wait that is told apart; a longer one becomes it.
inline constexpr seconds retry_after_read_max{1LL << 32};

// RFC 9110, 10.2.3: digits are seconds, anything else is a date, seen from now.  Beyond it: seconds
// may have a fraction, be listed, and, when they are too many for a wait, be a moment since the
// Unix epoch (in milliseconds, too); a date may have the form of RFC 3339.  nullopt: none of it,
// not in the future, or a moment that is years away.
std::optional<seconds> parse_retry_after(const std::string& value, std::time_t now);

// All lines of a header field, in order; none: it is not there.
using FieldLines = std::function<std::vector<std::string>(const char* name)>;

// What Retry-After says, the longest of its lines; where there is none, what the fields about rate
// limits say (RateLimit of draft-ietf-httpapi-ratelimit-headers and its older forms,
// X-RateLimit-*), unless they say that something is left.
std::optional<seconds> asked_wait(const FieldLines& lines, std::time_t now);

}  // namespace whisperer::engine
