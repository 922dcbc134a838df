// A body as it travels to hooks that have it compressed.
//
// Invariant: what is signed, kept and named by a webhook-id is the body before.  So a hook may
// begin or cease to compress between two attempts: the receiver has the same bytes once it has
// undone it. Held by Event and Batch, which requests share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace whisperer::engine {

// What is shorter fits into a packet or two as it is.
inline constexpr std::size_t gzipped_bytes_min = 1025;
// What is longer would hold up everybody: the engine has one thread.
inline constexpr std::size_t gzipped_bytes_max = 1024 * 1024;

// Whether a body of this size is compressed, if its hook wants that.
constexpr bool is_gzipped(std::size_t body_bytes) {
    return body_bytes >= gzipped_bytes_min && body_bytes <= gzipped_bytes_max;
}

// At the level that costs the least.
std::string gzip(std::string_view body);

// Made for the first request that needs it, and kept for others as long as its body is.  Its bytes
// count among *held_bytes as well.
class Gzipped {
  public:
    explicit Gzipped(std::int64_t* held_bytes) : held_bytes_(held_bytes) {}
    ~Gzipped() { *held_bytes_ -= static_cast<std::int64_t>(text_.size()); }
    Gzipped(const Gzipped&) = delete;
    Gzipped& operator=(const Gzipped&) = delete;

    // Always of the same body.
    const std::string& of(const std::string& body);

  private:
    std::string text_;
    std::int64_t* held_bytes_;
};

}  // namespace whisperer::engine
