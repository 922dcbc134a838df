// Small things done to texts, without a locale.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace whisperer::gateway {

inline bool is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

inline bool is_letter_or_digit(unsigned char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Of RFC 9110: a name of a method or a header.
inline bool is_token(std::string_view text) {
    for (const char c : text)
        if (!is_letter_or_digit(static_cast<unsigned char>(c)) &&
            std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos)
            return false;
    return !text.empty();
}

inline std::string to_lower(std::string_view text) {
    std::string lower(text);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

// Without spaces and tabs around it.
inline std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

// A text with each <name> in it replaced.
inline std::string filled(
    std::string text, std::initializer_list<std::pair<std::string_view, std::string_view>> places) {
    for (const auto& [name, value] : places)
        for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;
             at += value.size())
            text.replace(at, name.size(), value);
    return text;
}

}  // namespace whisperer::gateway
