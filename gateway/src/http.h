// A request as the gateway sees it and an answer as it gives it, without a word of how either is
// written on the wire (head.h, codec.h).
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace whisperer::gateway {

struct Request {
    std::string id;  // of this request: the client's X-Request-Id if it is harmless, else made
    std::string method;
    std::string path;                                // decoded; may hold any byte
    std::multimap<std::string, std::string> params;  // of the query, decoded; may hold any byte
    std::string body;
    std::string address;  // of the client: the peer's, or what a trusted proxy says
    // Headers that are read, empty if absent.
    std::string accept;
    std::string authorization;
    std::string content_type;
    std::string forwarded_for;
    std::string if_none_match;
    std::string idempotency_key;
};

struct Answer {
    int status = 200;
    std::string body = {};
    // In place of the body: a file of the executable, as it is and, if that is shorter, compressed.
    std::string_view file = {};
    std::string_view file_gzipped = {};
    // Of the body, if more of it follows.
    std::optional<std::size_t> length = {};
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers = {};
};

}  // namespace whisperer::gateway
