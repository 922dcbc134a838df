// Counting and keeping, within the bounds.
#include "worker/wire/response_capture.h"

#include <algorithm>

#include "worker/rules/settings.h"

namespace whisperer::engine {

void ResponseCapture::restart(std::size_t keep_bytes_max) {
    kept_.clear();
    keep_bytes_max_ = keep_bytes_max;
    header_bytes_ = 0;
    header_lines_ = 0;
    body_bytes_ = 0;
}

bool ResponseCapture::add_header_line(std::size_t bytes) noexcept {
    header_bytes_ += bytes;
    ++header_lines_;
    return !headers_too_long() && !headers_too_many();
}

bool ResponseCapture::add_body(std::string_view bytes) noexcept {
    body_bytes_ += bytes.size();
    const std::size_t room = keep_bytes_max_ - std::min(keep_bytes_max_, kept_.size());
    try {
        kept_.append(bytes.substr(0, room));
    } catch (...) {
        keep_bytes_max_ = kept_.size();
    }
    return body_bytes_ <= response_body_bytes_max;
}

}  // namespace whisperer::engine
