// gzip by zlib; see gzipped.h.
#include "worker/rules/gzipped.h"

#include <zlib.h>

#include <new>
#include <stdexcept>

namespace whisperer::engine {

std::string gzip(std::string_view body) {
    constexpr int with_gzip_header = 16 + MAX_WBITS;
    constexpr int usual_memory = 8;
    z_stream stream{};
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, with_gzip_header, usual_memory,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::bad_alloc();
    struct End {
        z_stream& stream;
        ~End() { deflateEnd(&stream); }
    } end{stream};
    std::string bytes(deflateBound(&stream, static_cast<uLong>(body.size())), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
    stream.avail_in = static_cast<uInt>(body.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_out = static_cast<uInt>(bytes.size());
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        throw std::runtime_error("zlib cannot compress a body");
    bytes.resize(stream.total_out);
    bytes.shrink_to_fit();
    return bytes;
}

const std::string& Gzipped::of(const std::string& body) {
    if (text_.empty()) {
        text_ = gzip(body);
        *held_bytes_ += static_cast<std::int64_t>(text_.size());
    }
    return text_;
}

}  // namespace whisperer::engine
