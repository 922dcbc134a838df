// Reading heads; see head.h.
#include "head.h"

#include <algorithm>
#include <charconv>

#include "problem.h"
#include "random_id.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

constexpr int headers_max = 100;

Problem bad_head(std::string what) {
    return {400, "bad_request", std::move(what)};
}

// Whether a comma-separated list has the word, in whatever case.
bool lists(std::string_view list, std::string_view word) {
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        if (to_lower(trimmed(list.substr(0, comma))) == word)
            return true;
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return false;
}

class HeadReader {
  public:
    // text: all of the head but its empty line.
    explicit HeadReader(std::string_view text) {
        for (const char c : text)
            if ((static_cast<unsigned char>(c) < 0x20 && c != '\r' && c != '\n' && c != '\t') ||
                c == 0x7f)
                throw bad_head("the head of the request holds a control character");
        head_.request_line = next_line(text);
        for (int count = 0; !text.empty(); count++) {
            if (count == headers_max)
                throw Problem{431, "head_too_large", "the request has too many headers"};
            read_header(next_line(text));
        }
        finish();
    }

    Head take() { return std::move(head_); }

  private:
    static std::string_view next_line(std::string_view& text) {
        const std::size_t end = text.find("\r\n");
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
        if (line.find_first_of("\r\n") != std::string_view::npos)
            throw bad_head("a line of the head does not end with CR LF");
        return line;
    }

    void read_header(std::string_view line) {
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
            throw bad_head("a header of the request is malformed");
        const std::string name = to_lower(line.substr(0, colon));
        const std::string_view value = trimmed(line.substr(colon + 1));
        if (name == "content-length")
            read_length(value);
        else if (name == "transfer-encoding")
            throw Problem{411, "length_required",
                          "a body must come with its Content-Length, not in chunks"};
        else if (name == "content-encoding") {
            if (!value.empty() && to_lower(value) != "identity")
                throw Problem{415, "unsupported_media_type", "the body must not be compressed",
                              "Send it without Content-Encoding."};
        } else if (name == "connection")
            append(connection_, value);
        else if (name == "expect")
            head_.expects_continue = to_lower(value) == "100-continue";
        else if (name == "host")
            hosts_++;
        else if (name == "accept-encoding")
            append(head_.accept_encoding, value);
        else if (name == "accept")
            append(head_.request.accept, value);
        else if (name == "x-forwarded-for")
            append(head_.request.forwarded_for, value);
        else
            read_once(name, value);
    }

    // A list may come in several headers.
    static void append(std::string& list, std::string_view value) {
        list.append(list.empty() ? "" : ",").append(value);
    }

    // Headers of which a second one would leave open which counts.
    void read_once(const std::string& name, std::string_view value) {
        std::string* const target = name == "authorization"     ? &head_.request.authorization
                                    : name == "content-type"    ? &head_.request.content_type
                                    : name == "if-none-match"   ? &head_.request.if_none_match
                                    : name == "x-request-id"    ? &head_.request.id
                                    : name == "idempotency-key" ? &head_.request.idempotency_key
                                                                : nullptr;
        if (target == nullptr)
            return;
        if (!target->empty())
            throw bad_head("header " + name + " is given twice");
        *target = value;
    }

    void read_length(std::string_view value) {
        const auto [end, error] =
            std::from_chars(value.data(), value.data() + value.size(), head_.body_bytes);
        // from_chars takes a minus sign only for signed types, and no plus sign.
        if (lengths_++ > 0 || value.empty() || end != value.data() + value.size() ||
            (error != std::errc{} && error != std::errc::result_out_of_range))
            throw bad_head("Content-Length is not one number");
        if (error == std::errc::result_out_of_range || head_.body_bytes > body_bytes_max)
            throw Problem{413, "body_too_large", "the body is longer than 1 MB"};
    }

    void finish() {
        const std::string_view line = head_.request_line;
        const bool is_old = line.size() >= 9 && line.substr(line.size() - 9) == " HTTP/1.0";
        if (hosts_ != 1 && !(is_old && hosts_ == 0))
            throw bad_head("the request needs one Host header");
        head_.closes = lists(connection_, "close") || (is_old && !lists(connection_, "keep-alive"));
        if (is_old)
            head_.expects_continue = false;
        if (!is_request_id(head_.request.id))
            head_.request.id = random_id();
    }

    // An id of the client's is shown in logs and sent back.
    static bool is_request_id(std::string_view id) {
        return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
            return is_letter_or_digit(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                   c == '.';
        });
    }

    Head head_;
    std::string connection_;
    int lengths_ = 0;
    int hosts_ = 0;
};

}  // namespace

std::optional<Head> read_head(std::string_view received) {
    // RFC 9112, 2.2: an empty line before a request is passed over.
    const std::size_t skipped = received.starts_with("\r\n") ? 2 : 0;
    const std::size_t end = received.find("\r\n\r\n", skipped);
    if (end > head_bytes_max && received.size() > head_bytes_max)
        throw Problem{431, "head_too_large", "the head of the request is longer than 16 kB"};
    if (end == std::string_view::npos)
        return std::nullopt;
    Head head = HeadReader(received.substr(skipped, end - skipped)).take();
    head.bytes = end + 4;
    return head;
}

}  // namespace whisperer::gateway
