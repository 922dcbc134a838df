// Hex, base64 and ASCII case.
#include "worker/base/encoding.h"

#include <cstdint>

#include "worker/base/sink.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

void append_hex(std::string& text, std::string_view bytes) {
    const std::size_t before = text.size();
    text.resize(before + bytes.size() * 2);
    char* out = text.data() + before;
    for (char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        *out++ = hex_digits[byte >> 4];
        *out++ = hex_digits[byte & 15];
    }
}

std::string to_hex(std::string_view bytes) {
    std::string text;
    append_hex(text, bytes);
    return text;
}

std::optional<std::string> from_hex(std::string_view text) {
    std::string bytes;
    if (text.size() % 2 != 0)
        return std::nullopt;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = hex_value(text[i]);
        const int low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return std::nullopt;
        bytes += static_cast<char>(high << 4 | low);
    }
    return bytes;
}

void append_base64(std::string& text, std::string_view bytes) {
    const std::size_t before = text.size();
    text.resize(before + (bytes.size() + 2) / 3 * 4, '=');
    char* out = text.data() + before;
    for (std::size_t i = 0; i < bytes.size(); i += 3, out += 4) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j <= count; ++j)
            out[j] = base64_alphabet[group >> (18 - 6 * j) & 63];
    }
}

std::string to_base64(std::string_view bytes) {
    std::string text;
    append_base64(text, bytes);
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0)
        return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
        ++padding;
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    std::uint32_t bits = 0;
    int bit_count = 0;
    for (char c : text.substr(0, text.size() - padding)) {
        const int value = base64_value(c);
        if (value < 0)
            return std::nullopt;
        bits = (bits << 6 | static_cast<std::uint32_t>(value)) & 0xffffff;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            bytes += static_cast<char>(bits >> bit_count & 255);
        }
    }
    // Left-over bits must be zero, or two texts would mean the same key.
    if ((bits & ((1U << bit_count) - 1)) != 0)
        return std::nullopt;
    return bytes;
}

std::string to_lower(std::string_view text) {
    std::string lower(text);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

}  // namespace whisperer::engine
