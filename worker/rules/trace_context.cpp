// The grammar of Trace Context, read by hand: there is little of it.
#include "worker/rules/trace_context.h"

#include <algorithm>
#include <vector>

namespace whisperer::engine {
namespace {

// version-traceid-parentid-flags
constexpr std::size_t traceparent_bytes = 55;
constexpr std::size_t list_members_max = 32;
constexpr std::size_t member_part_bytes_max = 256;

bool is_hex_text(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) {
    return text.find_first_not_of('0') == std::string_view::npos;
}

bool is_key_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_key(std::string_view key) {
    return !key.empty() && key.size() <= member_part_bytes_max && is_key_start(key.front()) &&
           std::all_of(key.begin(), key.end(), [](char c) {
               return is_key_start(c) ||
                      std::string_view("_-*/@").find(c) != std::string_view::npos;
           });
}

bool is_value(std::string_view value) {
    return !value.empty() && value.size() <= member_part_bytes_max && value.back() != ' ' &&
           std::all_of(value.begin(), value.end(),
                       [](char c) { return c >= ' ' && c < 0x7f && c != ',' && c != '='; });
}

std::string_view without_blanks(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos)
        return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

bool is_traceparent(std::string_view text) {
    if (text.size() < traceparent_bytes || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return false;
    const std::string_view version = text.substr(0, 2);
    const std::string_view trace_id = text.substr(3, 32);
    const std::string_view parent_id = text.substr(36, 16);
    const std::string_view rest = text.substr(traceparent_bytes);
    if (!is_hex_text(version) || version == "ff" || !is_hex_text(trace_id) || is_zero(trace_id) ||
        !is_hex_text(parent_id) || is_zero(parent_id) || !is_hex_text(text.substr(53, 2)))
        return false;
    if (version == "00")
        return rest.empty();
    return (rest.empty() || rest.front() == '-') &&
           std::all_of(rest.begin(), rest.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool is_tracestate(std::string_view text) {
    std::vector<std::string_view> keys;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        const std::string_view member = without_blanks(text.substr(begin, end - begin));
        begin = end + 1;
        if (member.empty())
            continue;
        const std::size_t equals = member.find('=');
        if (equals == std::string_view::npos || !is_key(member.substr(0, equals)) ||
            !is_value(member.substr(equals + 1)))
            return false;
        keys.push_back(member.substr(0, equals));
    }
    if (keys.empty() || keys.size() > list_members_max)
        return false;
    std::sort(keys.begin(), keys.end());
    return std::adjacent_find(keys.begin(), keys.end()) == keys.end();
}

}  // namespace whisperer::engine
