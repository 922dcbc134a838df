// The head of a request: where it ends, how long the body is, and the few headers that are read.
//
// Strict, because what two parsers read differently smuggles requests past a proxy: lines end with
// CRLF, names are tokens, values hold no control character, one Content-Length, no other framing.
// The request line is read later, by codec.h.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "http.h"

namespace whisperer::gateway {

constexpr std::size_t head_bytes_max = 16 * 1024;
constexpr std::size_t body_bytes_max = 1024 * 1024;

struct Head {
    std::size_t bytes = 0;       // of the head, with its empty line
    std::size_t body_bytes = 0;  // that follow it
    std::string request_line;    // without its CRLF
    std::string accept_encoding;
    bool expects_continue = false;
    bool closes = false;  // the client wants no further answer on this connection
    Request request;      // its headers; the rest is filled in later
};

// Nothing: the head has not all come yet.  Throws Problem for one that is no good, or that is
// followed by more than body_bytes_max.
std::optional<Head> read_head(std::string_view received);

}  // namespace whisperer::gateway
