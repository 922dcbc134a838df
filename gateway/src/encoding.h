// Which coding an answer may be sent in, by Accept-Encoding (RFC 9110, 12.5.3).
#pragma once
#include <string_view>

namespace whisperer::gateway {

// "br", "gzip" or "identity": the one with the highest weight; of the same weight, the one that is
// shortest on the wire.  What is malformed counts as not said, and what nothing is said of is sent
// as it is.
std::string_view encoding_for(std::string_view accept_encoding, bool has_brotli, bool has_gzip);

}  // namespace whisperer::gateway
