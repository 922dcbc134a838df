// What all fuzz targets share: a property that stops the fuzzer when it does not hold, and the two
// things that text must be before a database takes it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "worker/base/invalid.h"

// The input is kept by libFuzzer, which prints where the trap is.
#define HOLDS(property)                                                                       \
    do {                                                                                      \
        if (!(property)) {                                                                    \
            std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #property); \
            __builtin_trap();                                                                 \
        }                                                                                     \
    } while (false)

namespace whisperer::engine {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return size == 0 ? std::string_view()
                     : std::string_view(reinterpret_cast<const char*>(data), size);
}

// By way of code points, unlike the decoder under test.
inline bool is_utf8(std::string_view text) {
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    for (std::size_t i = 0; i < text.size();) {
        const auto first = static_cast<std::uint8_t>(text[i]);
        const std::size_t bytes = first < 0x80           ? 1
                                  : (first >> 5) == 0x06 ? 2
                                  : (first >> 4) == 0x0E ? 3
                                  : (first >> 3) == 0x1E ? 4
                                                         : 0;
        if (bytes == 0 || i + bytes > text.size())
            return false;
        std::uint32_t point = bytes == 1 ? first : first & (0x7FU >> bytes);
        for (std::size_t j = 1; j < bytes; ++j) {
            const auto next = static_cast<std::uint8_t>(text[i + j]);
            if ((next & 0xC0) != 0x80)
                return false;
            point = point << 6 | (next & 0x3FU);
        }
        if (point < smallest[bytes] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
            return false;
        i += bytes;
    }
    return true;
}

inline bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// What an error shows to people: one line, and text that every client can read.
inline void check_message(const Invalid& invalid) {
    const std::string message = invalid.what();
    HOLDS(!message.empty() && !has_control(message));
    HOLDS(is_utf8(message));
}

}  // namespace whisperer::engine

extern "C" __attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(
    const std::uint8_t* data, std::size_t size);
