// What is kept of an answer: the first bytes, within bounds, as text that a database takes.
//
// Invariant: memory is bounded whatever the receiver sends.  Filled by the transport's callbacks.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "worker/base/clean_text.h"

namespace whisperer::engine {

// Reading stops here, and at response_body_bytes_max: header bytes of all answers to one request,
// 1xx included.  libcurl keeps every header line for as long as the handle is not used again, at
// some 100 bytes each besides the text, so lines are counted, too.
inline constexpr std::size_t response_header_bytes_max = 64 * 1024;
inline constexpr std::size_t response_header_lines_max = 1000;

class ResponseCapture {
  public:
    // Forgets the last answer; keeps memory for the next.
    void restart(std::size_t keep_bytes_max);
    // False: the limit is passed, stop reading.  Never throws: on a lack of memory it keeps less.
    bool add_header_line(std::size_t bytes) noexcept;
    bool add_body(std::string_view bytes) noexcept;

    // Nothing has come, not even an interim answer.
    bool is_empty() const { return header_bytes_ + body_bytes_ == 0; }
    bool has_body() const { return body_bytes_ > 0; }
    bool has_all() const { return kept_.size() == body_bytes_; }
    bool headers_too_long() const { return header_bytes_ > response_header_bytes_max; }
    bool headers_too_many() const { return header_lines_ > response_header_lines_max; }
    std::string text(std::size_t bytes_max) const { return to_clean_text(kept_, bytes_max); }

  private:
    std::string kept_;
    std::size_t keep_bytes_max_ = 0;
    std::size_t header_bytes_ = 0;
    std::size_t header_lines_ = 0;
    std::size_t body_bytes_ = 0;
};

}  // namespace whisperer::engine
