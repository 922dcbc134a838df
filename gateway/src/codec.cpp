// The wire format; see codec.h.
#include "codec.h"

#include <algorithm>
#include <optional>

#include "compression.h"
#include "encoding.h"
#include "text.h"

namespace whisperer::gateway {

namespace {

constexpr std::size_t method_bytes_max = 32;
constexpr std::size_t target_bytes_max = 8192;

Problem bad_line() {
    return {400, "bad_request", "the request line is malformed"};
}

std::optional<int> hex_digit(char c) {
    if (is_digit(static_cast<unsigned char>(c)))
        return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? std::optional(lower - 'a' + 10) : std::nullopt;
}

// What is no escape stays as it is.
std::string decoded(std::string_view text, bool is_of_query) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); i++) {
        const auto high =
            text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : std::optional<int>();
        const auto low = high ? hex_digit(text[i + 2]) : high;
        if (low) {
            plain += static_cast<char>(*high * 16 + *low);
            i += 2;
        } else {
            plain += is_of_query && text[i] == '+' ? ' ' : text[i];
        }
    }
    return plain;
}

// RFC 9112, 3.2.2: http://host/path is what a proxy is asked for, and means /path here.
std::string origin_form(std::string_view target) {
    const std::string start = to_lower(target.substr(0, 8));
    const std::size_t scheme = start.starts_with("http://") ? 7 : start == "https://" ? 8 : 0;
    const std::size_t end = std::min(target.find_first_of("/?#", scheme), target.size());
    if (scheme == 0 || end == scheme)  // without a host it is no URL
        return std::string(target);
    return (target.substr(end).starts_with('/') ? "" : "/") + std::string(target.substr(end));
}

void read_query(std::string_view query, Request& request) {
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view part = query.substr(0, end);
        const std::size_t equals = std::min(part.find('='), part.size());
        if (!part.empty())
            request.params.emplace(decoded(part.substr(0, equals), true),
                                   decoded(part.substr(std::min(equals + 1, part.size())), true));
        query.remove_prefix(std::min(end + 1, query.size()));
    }
}

const char* reason_of(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 204:
            return "No Content";
        case 301:
            return "Moved Permanently";
        case 304:
            return "Not Modified";
        case 503:
            return "Service Unavailable";
        default:
            return status < 500 ? "Refused" : "Failed";
    }
}

}  // namespace

void read_request_line(Head& head) {
    const std::string_view line = head.request_line;
    const std::size_t method_end = line.find(' ');
    const std::size_t target_end = line.rfind(' ');
    const std::string_view method = line.substr(0, method_end);
    if (method_end == std::string_view::npos || method_end == target_end || !is_token(method) ||
        method.size() > method_bytes_max)
        throw bad_line();
    head.request.method = method;
    const std::string_view version = line.substr(target_end + 1);
    const std::string_view given = line.substr(method_end + 1, target_end - method_end - 1);
    if ((version != "HTTP/1.1" && version != "HTTP/1.0") || given.empty() ||
        given.find(' ') != std::string_view::npos)
        throw bad_line();
    if (given.size() > target_bytes_max)
        throw Problem{414, "uri_too_long", "the URL is longer than 8 kB"};
    const std::string whole = origin_form(given);
    const std::string_view target = std::string_view(whole).substr(0, whole.find('#'));
    const std::size_t path_end = std::min(target.find('?'), target.size());
    head.request.path = decoded(target.substr(0, path_end), false);
    read_query(target.substr(std::min(path_end + 1, target.size())), head.request);
}

Reply written(Answer answer, const Head& head, bool closes) {
    const bool has_body = answer.status != 204 && answer.status != 304;
    std::string_view fixed = answer.file;
    const bool is_worth_it = answer.file_gzipped.empty()
                                 ? answer.body.size() >= compressed_bytes_min && !answer.length
                                 : true;
    const bool is_compressed = is_worth_it && takes_gzip(head.accept_encoding);
    if (is_compressed && answer.file_gzipped.empty())
        answer.body = gzipped(answer.body);
    else if (is_compressed)
        fixed = answer.file_gzipped;
    const std::size_t length = answer.length.value_or(answer.body.size() + fixed.size());
    std::string bytes =
        "HTTP/1.1 " + std::to_string(answer.status) + " " + reason_of(answer.status) + "\r\n";
    for (const auto& [name, value] : answer.headers)
        bytes.append(name).append(": ").append(value).append("\r\n");
    if (length > 0 && has_body)
        bytes.append("Content-Type: ").append(answer.content_type).append("\r\n");
    if (has_body)
        bytes.append("Content-Length: ").append(std::to_string(length)).append("\r\n");
    if (is_compressed && has_body)
        bytes += "Content-Encoding: gzip\r\n";
    // A cache must not give one client what was made for another.
    if (length > 0 || answer.status == 304)
        bytes += "Vary: Accept-Encoding\r\n";
    bytes += closes ? "Connection: close\r\n\r\n" : "Keep-Alive: timeout=15, max=1000\r\n\r\n";
    if (!has_body || head.request.method == "HEAD")
        return {std::move(bytes), {}, closes};
    bytes += answer.body;
    return {std::move(bytes), fixed, closes, answer.length > answer.body.size()};
}

}  // namespace whisperer::gateway
