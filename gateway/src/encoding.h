// In which form an answer is wanted: in gzip, by Accept-Encoding (RFC 9110, 12.5.3), or as a
// dj-whisperer gave it, by Accept.
#pragma once
#include <string_view>

namespace whisperer::gateway {

// It is named, or all others are, and nothing speaks for sending the answer as it is.  What is
// malformed counts as not said.
bool takes_gzip(std::string_view accept_encoding);

// A media type has the parameter profile=dj-whisperer.  Nobody names this profile who does not want
// it, so weights are not looked at.
bool wants_dj_whisperer(std::string_view accept);

}  // namespace whisperer::gateway
