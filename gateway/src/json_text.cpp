// JSON through nlohmann/json; see json_text.h.
#include "json_text.h"

#include <nlohmann/json.hpp>

namespace whisperer::gateway {

using nlohmann::json;

std::string json_string(std::string_view text) {
    return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

namespace {

JsonMember member_of(const json& value) {
    if (value.is_string())
        return {JsonType::String, value.get<std::string>()};
    if (value.is_number())
        return {JsonType::Number, {}, value.get<double>(), false, value.is_number_integer()};
    if (value.is_boolean())
        return {JsonType::Boolean, {}, 0, value.get<bool>()};
    if (value.is_array())
        return {JsonType::Array, {}};
    return {value.is_object() ? JsonType::Object : JsonType::Null, {}};
}

}  // namespace

JsonObject read_json_object(std::string_view text) {
    bool too_deep = false;
    // What is refused here is dropped while it is read, so that depth costs no stack and no memory.
    const auto keep = [&](int depth, json::parse_event_t event, json&) {
        const bool opens =
            event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
        if (opens && depth >= static_cast<int>(json_depth_max))
            too_deep = true;
        return !too_deep;
    };
    json value(json::value_t::discarded);
    std::string fault = "the body is not JSON in UTF-8";
    try {
        value = json::parse(text.begin(), text.end(), keep);
    } catch (const json::out_of_range&) {
        fault = "the body holds a number that is too large";
    } catch (const json::exception&) {
        // Said already.
    }
    // Which nlohmann/json passes over, and PostgreSQL does not.
    const bool has_mark = text.starts_with("\xef\xbb\xbf");
    if (too_deep)
        return {{}, "the body is nested deeper than " + std::to_string(json_depth_max) + " levels"};
    if (value.is_discarded() || has_mark)
        return {{}, fault};
    if (!value.is_object())
        return {{}, "the body is not a JSON object"};
    JsonObject object;
    for (const auto& [name, member] : value.items())
        object.members.emplace(name, member_of(member));
    return object;
}

bool is_utf8(std::string_view text) {
    // Strict: no overlong forms, no surrogates, nothing beyond U+10FFFF.
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i++]);
        if (lead < 0x80)
            continue;
        const int more = lead >= 0xc2 && lead <= 0xdf   ? 1
                         : lead >= 0xe0 && lead <= 0xef ? 2
                         : lead >= 0xf0 && lead <= 0xf4 ? 3
                                                        : 0;
        if (more == 0 || text.size() - i < static_cast<std::size_t>(more))
            return false;
        const auto second = static_cast<unsigned char>(text[i]);
        if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
            (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f))
            return false;
        for (int k = 0; k < more; k++)
            if ((static_cast<unsigned char>(text[i++]) & 0xc0) != 0x80)
                return false;
    }
    return true;
}

}  // namespace whisperer::gateway
