// A JSON object of strings, as people write headers and templates.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace whisperer::engine {

struct JsonText {
    std::string key;
    std::optional<std::string> text;  // nullopt: the value is no string
    bool is_null = false;
};

// In the order of the keys, each once; nullopt: not an object.
std::optional<std::vector<JsonText>> read_json_texts(std::string_view json);

}  // namespace whisperer::engine
