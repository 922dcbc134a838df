// Where to: what a target URL must look like.  Used by Hook, Settings (divert_to) and
// whisperer_check_url; parsed by the same parser that libcurl sends with, so that the two never
// disagree about the host.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace whisperer::engine {

inline constexpr std::size_t url_bytes_max = 2048;

struct Target {
    std::string url;
    std::string host;  // lower case, without brackets
    std::uint16_t port = 0;
    bool https = false;
    bool host_is_address = false;  // a literal: nothing to look up
};

// An absolute http(s) URL with a host in ASCII; no user info, no fragment, no space or control
// character, at most 2,048 bytes.  Target::url is what is sent: a request line holds ASCII alone,
// so other bytes of path and query are percent-encoded in it.  URLs that differ in the case of
// their host alone, or in a port that is the scheme's, are sent as one.  Throws Invalid, saying
// what is wrong.
Target parse_url(std::string_view url, bool require_https);

}  // namespace whisperer::engine
