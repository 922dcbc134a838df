// gzip, at the level that costs the least: for what is made anew for each request.  Files are
// compressed when the gateway is built.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace whisperer::gateway {

// What is shorter fits into a packet as it is.
constexpr std::size_t compressed_bytes_min = 1400;

std::string gzipped(std::string_view text);

}  // namespace whisperer::gateway
