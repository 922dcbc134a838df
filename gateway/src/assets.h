// The files that were built into the executable: the console and openapi.json.  Their definition is
// written by cmake/embed.cmake; read-only, so any thread may read them.
#pragma once
#include <span>
#include <string_view>

namespace whisperer::gateway {

struct Asset {
    std::string_view name;  // relative to gateway/, as in "console/index.html"
    std::string_view content;
    std::string_view gzipped;  // empty: it would not be shorter
    std::string_view tag;      // an ETag, with its quotes
};

std::span<const Asset> assets();

}  // namespace whisperer::gateway
