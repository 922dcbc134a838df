// Validates additional headers and writes the constant lines of a hook.
#include "worker/rules/headers.h"

#include <algorithm>
#include <array>

#include "worker/base/clean_text.h"
#include "worker/base/encoding.h"
#include "worker/base/invalid.h"
#include "worker/base/json_texts.h"

namespace whisperer::engine {
namespace {

constexpr std::array<std::string_view, 12> reserved_names = {
    "content-type",      "content-length", "content-encoding", "host",
    "connection",        "keep-alive",     "expect",           "te",
    "transfer-encoding", "trailer",        "http2-settings",   "upgrade"};
constexpr std::array<std::string_view, 3> reserved_prefixes = {"proxy-", "webhook-",
                                                               "x-whisperer-"};

bool is_token(std::string_view name) {
    constexpr std::string_view others = "!#$%&'*+-.^_`|~";
    return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               others.find(c) != std::string_view::npos;
    });
}

bool is_reserved(std::string_view lower_name) {
    return std::find(reserved_names.begin(), reserved_names.end(), lower_name) !=
               reserved_names.end() ||
           std::any_of(reserved_prefixes.begin(), reserved_prefixes.end(),
                       [&](std::string_view prefix) { return lower_name.starts_with(prefix); });
}

std::string_view trimmed(std::string_view value) {
    const std::size_t begin = value.find_first_not_of(" \t");
    if (begin == std::string_view::npos)
        return {};
    return value.substr(begin, value.find_last_not_of(" \t") - begin + 1);
}

std::string header_line(std::string_view name, std::string_view value) {
    std::string line(name);
    line += value.empty() ? ";" : ": ";
    line += value;
    return line;
}

std::string lower_name_of(std::string_view line) {
    return to_lower(line.substr(0, line.find_first_of(":;")));
}

// The name in an error text: whatever a person wrote, but short and on one line.
std::string shown(std::string_view name) {
    return '"' + to_clean_line(name, 64) + '"';
}

std::string checked_line(const JsonText& header) {
    check_header_name(header.key);
    if (!header.text)
        throw Invalid("value of header " + shown(header.key) + " is not a string");
    if (!is_field_value(*header.text))
        throw Invalid("value of header " + shown(header.key) + " contains a control character");
    return header_line(header.key, trimmed(*header.text));
}

}  // namespace

void check_header_name(std::string_view name) {
    if (!is_token(name))
        throw Invalid("header name " + shown(name) + " is not valid",
                      "A header name has letters, digits and - only (RFC 9110: a token).");
    if (is_reserved(to_lower(name)))
        throw Invalid(
            "header " + shown(name) + " is reserved",
            "Content-Type, the headers of the connection, webhook-* and x-whisperer-* are "
            "whisperer's own.");
}

HeaderLines parse_additional_headers(std::string_view json) {
    HeaderLines lines;
    if (json.empty())
        return lines;
    // A JSON text is at most six times as long as what it says (\u0041).
    if (json.size() > 6 * additional_header_bytes_max)
        throw Invalid("additional headers are longer than 8192 bytes");
    const auto headers = read_json_texts(json);
    if (!headers)
        throw Invalid("additional headers are not a JSON object of strings");
    if (headers->size() > additional_headers_max)
        throw Invalid("there are more than 32 additional headers");
    std::vector<std::string> names;
    std::size_t bytes = 0;
    for (const JsonText& header : *headers) {
        lines.push_back(checked_line(header));
        bytes += lines.back().size();
        const std::string lower = to_lower(header.key);
        if (std::find(names.begin(), names.end(), lower) != names.end())
            throw Invalid("header " + shown(header.key) + " is given twice");
        names.push_back(lower);
    }
    if (bytes > additional_header_bytes_max)
        throw Invalid("additional headers are longer than 8192 bytes");
    return lines;
}

HeaderLines hook_header_lines(HeaderLines additional_headers, std::string_view hook_id,
                              std::string_view user_agent) {
    HeaderLines lines = std::move(additional_headers);
    const bool has_user_agent = sets_header(lines, "user-agent");
    // Without this libcurl asks for permission first when a body is large, and waits a second.
    lines.push_back("Expect:");
    if (!has_user_agent)
        lines.push_back(header_line("User-Agent", user_agent));
    lines.push_back(header_line("X-Whisperer-Hook", hook_id));
    return lines;
}

std::string encoded_line(const char* name, std::string_view value) {
    return std::string(name) + ": " + percent_encoded(value, [](char c) {
               return c > ' ' && c < 0x7f && c != '"' && c != '%';
           });
}

bool sets_header(const HeaderLines& lines, std::string_view lower_name) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return lower_name_of(line) == lower_name; });
}

void add_apart(const HeaderLines& lines, std::initializer_list<const HeaderLines*> others,
               HeaderLines& to) {
    for (const std::string& line : lines) {
        const std::string name = lower_name_of(line);
        if (std::none_of(others.begin(), others.end(),
                         [&](const HeaderLines* other) { return sets_header(*other, name); }))
            to.push_back(line);
    }
}

bool is_field_value(std::string_view value) {
    return std::all_of(value.begin(), value.end(), [](char c) {
        return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    });
}

}  // namespace whisperer::engine
