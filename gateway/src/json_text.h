// Texts from outside as JSON, and JSON from outside looked at.  The only door to nlohmann/json,
// whose header costs seconds per file.
#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace whisperer::gateway {

// Quoted and escaped.  Any bytes: what is not UTF-8 becomes U+FFFD, control characters are escaped.
std::string json_string(std::string_view text);

enum class JsonType { Null, Boolean, Number, String, Array, Object };

struct JsonMember {
    JsonType type;
    std::string text;       // of a String: its value, decoded; else empty
    double number = 0;      // of a Number
    bool truth = false;     // of a Boolean
    bool is_whole = false;  // of a Number: written without a point and an exponent
};

// The members of an object, or why the text is none: not JSON, not UTF-8, not an object, or nested
// deeper than this.
constexpr std::size_t json_depth_max = 32;
struct JsonObject {
    std::map<std::string, JsonMember> members;
    std::optional<std::string> error;
};
JsonObject read_json_object(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace whisperer::gateway
