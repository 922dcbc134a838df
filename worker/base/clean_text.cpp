// The cleaning of text; see clean_text.h.
#include "worker/base/clean_text.h"

#include <algorithm>

namespace whisperer::engine {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

struct Sequence {
    std::size_t size = 0;  // bytes to step over
    bool valid = false;
    bool cut = false;  // valid so far, but the text ends within
};

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Sequence next_sequence(std::string_view bytes) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80)
        return {1, first != 0, false};
    const std::size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                             : first >= 0xE0 && first <= 0xEF ? 3
                             : first >= 0xF0 && first <= 0xF4 ? 4
                                                              : 0;
    if (size == 0)
        return {1, false, false};
    for (std::size_t i = 1; i < size; ++i) {
        if (i >= bytes.size())
            return {i, false, true};
        unsigned char low = 0x80;
        unsigned char high = 0xBF;
        if (i == 1) {
            low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : low;
            high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : high;
        }
        if (byte(i) < low || byte(i) > high)
            return {i, false, false};
    }
    return {size, true, false};
}

// Bytes that are ASCII and not NUL.
std::size_t plain_prefix(std::string_view bytes) {
    const auto end =
        std::ranges::find_if(bytes, [](char byte) { return static_cast<signed char>(byte) <= 0; });
    return static_cast<std::size_t>(end - bytes.begin());
}

}  // namespace

std::string to_clean_text(std::string_view bytes, std::size_t bytes_max) {
    std::string text;
    text.reserve(std::min(bytes.size(), bytes_max));
    while (!bytes.empty()) {
        // Most of most answers is ASCII.
        const std::size_t plain = std::min(plain_prefix(bytes), bytes_max - text.size());
        text += bytes.substr(0, plain);
        bytes.remove_prefix(plain);
        if (bytes.empty())
            break;
        const Sequence sequence = next_sequence(bytes);
        if (sequence.cut)
            break;
        const std::string_view piece =
            sequence.valid ? bytes.substr(0, sequence.size) : replacement;
        if (text.size() + piece.size() > bytes_max)
            break;
        text += piece;
        bytes.remove_prefix(sequence.size);
    }
    return text;
}

std::string to_clean_line(std::string_view bytes, std::size_t bytes_max) {
    std::string text = to_clean_text(bytes, bytes_max);
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = ' ';
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

}  // namespace whisperer::engine
