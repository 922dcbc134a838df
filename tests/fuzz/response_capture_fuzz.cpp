// What is kept of an answer: text that a database takes, within its limit, however the bytes
// arrive. The first byte is the limit, the second how many bytes arrive at once.
#include "worker/wire/response_capture.h"

#include "tests/fuzz/property.h"
#include "worker/base/clean_text.h"

using namespace whisperer::engine;

namespace {

void check_text(const std::string& text, std::size_t bytes_max) {
    HOLDS(text.size() <= bytes_max);
    HOLDS(text.find('\0') == std::string::npos);
    HOLDS(is_utf8(text));
    HOLDS(to_clean_text(text, bytes_max) == text);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2)
        return 0;
    const std::size_t limit = data[0];
    const std::size_t step = data[1] + 1U;
    const std::string_view bytes = text_of(data + 2, size - 2);
    ResponseCapture capture;
    capture.restart(limit);
    for (std::size_t at = 0; at < bytes.size(); at += step)
        HOLDS(capture.add_body(bytes.substr(at, step)));
    const std::string kept = capture.text(limit);
    check_text(kept, limit);
    HOLDS(kept == to_clean_text(bytes.substr(0, limit), limit));
    const std::string all = to_clean_text(bytes, 3 * bytes.size());
    check_text(all, 3 * bytes.size());
    HOLDS(all.starts_with(to_clean_text(bytes, limit)));
    const std::string line = to_clean_line(bytes, limit);
    check_text(line, limit);
    HOLDS(!has_control(line));
    capture.restart(limit);
    HOLDS(capture.text(limit).empty());
    return 0;
}
