// What the gateway is told: by options, or by environment variables of the same names.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "addresses.h"

namespace whisperer::gateway {

struct Options {
    // Connection strings of libpq; one that is empty is its environment's.
    std::vector<std::string> databases{""};
    std::string address = "127.0.0.1";
    std::uint16_t port = 8080;  // 0: any that is free
    std::size_t pool = 8;
    std::size_t threads = 64;
    Networks trusted_proxies;
    std::string embed_origins;  // with spaces between
};

// What is printed in place of serving: for --help and --version (status 0), or a wrong option (2).
struct Instead {
    std::string text;
    int status;
};

// Throws Instead.
Options read_options(int count, char** arguments);

}  // namespace whisperer::gateway
