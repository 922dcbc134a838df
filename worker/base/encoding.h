// Small text codecs: hex, base64, percent-encoding, ASCII case.  Pure functions, used by signature,
// headers, envelope.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace whisperer::engine {

std::string to_hex(std::string_view bytes);
void append_hex(std::string& text, std::string_view bytes);
// Either case; nullopt if it is not pairs of hex digits.
std::optional<std::string> from_hex(std::string_view text);
std::string to_base64(std::string_view bytes);
void append_base64(std::string& text, std::string_view bytes);
// The canonical alphabet with padding, nothing else; nullopt if it is not that.
std::optional<std::string> from_base64(std::string_view text);
// ASCII only: header names and host names, whatever the locale.
std::string to_lower(std::string_view text);

// What is_kept says no to becomes %XX.
template <typename IsKept>
std::string percent_encoded(std::string_view text, IsKept is_kept) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string encoded;
    encoded.reserve(text.size());
    for (char c : text) {
        if (is_kept(c)) {
            encoded += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        encoded += '%';
        encoded += digits[byte >> 4];
        encoded += digits[byte & 15];
    }
    return encoded;
}

}  // namespace whisperer::engine
