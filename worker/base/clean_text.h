// Bytes of anybody's as text that a database and a log take.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace whisperer::engine {

// Valid UTF-8 without NUL, at most bytes_max long: what is not becomes U+FFFD.  A character that
// the limit cut in two is left out.
std::string to_clean_text(std::string_view bytes, std::size_t bytes_max);

// The same on one line, for error texts: control characters become spaces.
std::string to_clean_line(std::string_view bytes, std::size_t bytes_max);

}  // namespace whisperer::engine
