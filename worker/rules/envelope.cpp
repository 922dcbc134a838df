// Writes the envelope, first counting, then for real.
#include "worker/rules/envelope.h"

#include <cstring>

#include "worker/base/encoding.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

// Counts what is put, and writes it too when it has somewhere to write.
class Sink {
  public:
    explicit Sink(char* out) : out_(out) {}

    void put(std::string_view text) {
        if (out_ != nullptr && !text.empty())
            std::memcpy(out_ + size_, text.data(), text.size());
        size_ += text.size();
    }

    void put(char c) { put(std::string_view(&c, 1)); }

    std::size_t size() const { return size_; }

  private:
    char* out_;
    std::size_t size_ = 0;
};

void put_json_text(Sink& sink, std::string_view text) {
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            sink.put('\\');
            sink.put(c);
        } else if (byte < 0x20) {
            sink.put("\\u00");
            sink.put(hex_digits[byte >> 4]);
            sink.put(hex_digits[byte & 15]);
        } else {
            sink.put(c);
        }
    }
}

std::size_t put_envelope(Sink sink, const std::uint8_t (&id)[16], std::string_view type,
                         std::string_view data) {
    sink.put(R"({"event":{"type":")");
    put_json_text(sink, type);
    sink.put(R"(","uuid":")");
    for (std::uint8_t byte : id) {
        sink.put(hex_digits[byte >> 4]);
        sink.put(hex_digits[byte & 15]);
    }
    sink.put(R"("},"data":)");
    sink.put(data);
    sink.put('}');
    return sink.size();
}

}  // namespace

std::size_t write_envelope(const std::uint8_t (&id)[16], std::string_view type,
                           std::string_view data, char* body, std::size_t capacity) noexcept {
    const std::size_t size = put_envelope(Sink(nullptr), id, type, data);
    if (body != nullptr && size <= capacity)
        put_envelope(Sink(body), id, type, data);
    return size;
}

Event::Event(const std::uint8_t (&id)[16], std::string_view type, std::string_view data,
             std::string_view body, std::int64_t* held_bytes)
    : id_(to_hex(std::string_view(reinterpret_cast<const char*>(id), sizeof id))),
      type_(type),
      body_(body),
      has_own_body_(!body.empty()),
      held_bytes_(held_bytes) {
    if (type.empty() || type.size() > event_type_bytes_max)
        throw Invalid("event type must have 1 to 256 bytes");
    for (char c : type)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            throw Invalid("event type must not contain control characters");
    if (!has_own_body_) {
        body_.resize(write_envelope(id, type, data, nullptr, 0));
        write_envelope(id, type, data, body_.data(), body_.size());
    }
    *held_bytes_ += static_cast<std::int64_t>(body_.size());
}

Event::~Event() {
    *held_bytes_ -= static_cast<std::int64_t>(body_.size());
}

}  // namespace whisperer::engine
