// See json_texts.h.
#include "worker/base/json_texts.h"

#include <nlohmann/json.hpp>

namespace whisperer::engine {

std::optional<std::vector<JsonText>> read_json_texts(std::string_view json) {
    const auto object = nlohmann::json::parse(json.begin(), json.end(), nullptr, false);
    if (!object.is_object())
        return std::nullopt;
    std::vector<JsonText> texts;
    for (const auto& [key, value] : object.items()) {
        texts.push_back({key, std::nullopt, value.is_null()});
        if (value.is_string())
            texts.back().text = value.get<std::string>();
    }
    return texts;
}

}  // namespace whisperer::engine
