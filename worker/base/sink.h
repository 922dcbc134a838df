// Text of which the size is wanted first and the bytes afterwards, written by the same code.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace whisperer::engine {

inline constexpr std::string_view hex_digits = "0123456789abcdef";

// Counts what is put, and writes it too when it has somewhere to write.
class Sink {
  public:
    explicit Sink(char* out) : out_(out) {}
    // Appends to it, which costs less than to fill a text that was cleared first.
    explicit Sink(std::string& text) : text_(&text) {}

    void put(std::string_view text) {
        if (text_ != nullptr)
            text_->append(text);
        else if (out_ != nullptr && !text.empty())
            std::memcpy(out_ + size_, text.data(), text.size());
        size_ += text.size();
    }

    void put(char c) { put(std::string_view(&c, 1)); }

    void put_hex(const std::uint8_t (&id)[16]) {
        std::array<char, 32> text;
        char* out = text.data();
        for (std::uint8_t byte : id) {
            *out++ = hex_digits[byte >> 4];
            *out++ = hex_digits[byte & 15];
        }
        put({text.data(), text.size()});
    }

    // What stands between the quotes of a JSON string.
    void put_json_text(std::string_view text) {
        std::size_t begin = 0;  // of what may stand as it is
        for (std::size_t at = 0; at < text.size(); ++at) {
            const char c = text[at];
            const auto byte = static_cast<unsigned char>(c);
            if (byte >= 0x20 && c != '"' && c != '\\')
                continue;
            put(text.substr(begin, at - begin));
            begin = at + 1;
            if (byte < 0x20) {
                put("\\u00");
                put(hex_digits[byte >> 4]);
                put(hex_digits[byte & 15]);
            } else {
                put('\\');
                put(c);
            }
        }
        put(text.substr(begin));
    }

    std::size_t size() const { return size_; }

  private:
    char* out_ = nullptr;
    std::string* text_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace whisperer::engine
