// Whether an answer may be sent in gzip, by Accept-Encoding (RFC 9110, 12.5.3).
#pragma once
#include <string_view>

namespace whisperer::gateway {

// It is named, or all others are, and nothing speaks for sending the answer as it is.  What is
// malformed counts as not said.
bool takes_gzip(std::string_view accept_encoding);

}  // namespace whisperer::gateway
