// What libcurl asks and tells in the middle of a request.
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "worker/wire/curl_request.h"

namespace whisperer::engine {
namespace {

// Also one that has closed its end.
bool has_peer(int socket) {
    sockaddr_storage peer;
    socklen_t size = sizeof peer;
    return getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
}

// libcurl reads no more than the answer's length, so what came in the same TLS record stays there.
bool has_decrypted_more(CURL* easy) {
    const curl_tlssessioninfo* info = nullptr;
    return curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info != nullptr &&
           info->backend == CURLSSLBACKEND_OPENSSL && info->internals != nullptr &&
           SSL_has_pending(static_cast<const SSL*>(info->internals)) == 1;
}

// "HTTP/1.1 200", as RFC 9112 has it, or "HTTP/2 200" of libcurl's own.  libcurl takes any other
// line that begins so for a 200.
bool is_status_line(std::string_view line) {
    const auto digit = [&](std::size_t at) {
        return at < line.size() && line[at] >= '0' && line[at] <= '9';
    };
    std::size_t at = sizeof "HTTP/" - 1;
    if (!digit(at++))
        return false;
    if (at < line.size() && line[at] == '.') {
        if (!digit(at + 1))
            return false;
        at += 2;
    }
    if (at >= line.size() || line[at] != ' ')
        return false;
    at = line.find_first_not_of(' ', at);
    return at != std::string_view::npos && digit(at) && digit(at + 1) && digit(at + 2) &&
           !digit(at + 3);
}

}  // namespace

std::size_t CurlRequest::on_header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& request = *static_cast<CurlRequest*>(self);
    const std::size_t bytes = size * count;
    if (!request.capture_.add_header_line(bytes)) {
        request.cut_ = true;
        return bytes + 1;
    }
    const std::string_view line(data, bytes);
    // libcurl may show what it then refuses to take for one.
    if (line.starts_with("HTTP/")) {
        request.status_line_came_ = true;
        if (!is_status_line(line)) {
            request.bad_status_line_ = true;
            return bytes + 1;
        }
    }
    if (line == "\r\n" || line == "\n") {
        long status = 0;
        curl_easy_getinfo(request.easy_, CURLINFO_RESPONSE_CODE, &status);
        request.headers_complete_ = status >= 200;
        // Others follow an interim answer, but for 101, which libcurl takes for the last one.
        request.in_header_ = status / 100 == 1 && status != 101;
        // Before its end: libcurl may give the connection to another request at once.
        if (request.headers_complete_)
            request.note_version();
    }
    return bytes;
}

std::size_t CurlRequest::on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& request = *static_cast<CurlRequest*>(self);
    const std::size_t bytes = size * count;
    if (request.in_header_)
        return request.may_store({data, bytes}) ? bytes : bytes + 1;
    // What has been read of it will do.
    return request.capture_.add_body({data, bytes}) ? bytes : bytes + 1;
}

// Of a libcurl that shows header lines as if they were of the body, too.  The status line is not
// stored, nor is the empty one at the end.
bool CurlRequest::may_store(std::string_view line) noexcept {
    if (header_line_came_ || line == "\r\n" || line == "\n" || line.starts_with("HTTP/"))
        return true;
    header_line_came_ = true;
    // Whatever RFC 9112 says of a name, it has no blank and no control character in front.
    bad_header_line_ = static_cast<unsigned char>(line.front()) <= ' ';
    return !bad_header_line_;
}

// Runs before every request, on new, reused and multiplexed connections alike: the guard's
// decision.
int CurlRequest::on_request(void* self, char* remote_ip, char*, int remote_port, int local_port) {
    auto& request = *static_cast<CurlRequest*>(self);
    request.set_resolved();
    request.shared_.connecting.forget(request.number_);
    try {
        const auto address = Address::parse(remote_ip);
        if (address && request.allows(*address, static_cast<std::uint16_t>(remote_port)))
            return request.may_use(static_cast<std::uint16_t>(local_port), *address)
                       ? CURL_PREREQFUNC_OK
                       : CURL_PREREQFUNC_ABORT;
    } catch (...) {
        // No memory to look at the address: refuse.
    }
    std::snprintf(request.refused_address_.data(), request.refused_address_.size(), "%s",
                  remote_ip);
    return CURL_PREREQFUNC_ABORT;
}

// The last moment before the request goes: whether what comes next on this connection can only be
// its answer.
bool CurlRequest::may_use(std::uint16_t local_port, const Address& peer) noexcept {
    Connection* connection = pool_->find_ends(local_port, peer);
    const bool is_new = connection == nullptr || connection->number > opened_before_;
    const bool has_answered = connection != nullptr && connection->http_major != 0;
    const int sent = requests_sent_ + (was_sent_ ? 1 : 0);
    const bool is_used = has_answered && connection->http_major == 1;
    is_unfit_ = sent > 1 || (sent == 1 && (!is_new || is_used));
    // A multiplexed one may have something to say at any time.
    if (!is_unfit_ && is_used) {
        const bool plain = !request_.target->https && !shared_.pools.is_proxy_encrypted;
        Leftover leftover = Leftover::None;
        if (!shared_.pools.is_quiet(*connection))
            leftover = look_for_leftover(connection->socket, plain);
        if (!plain && has_decrypted_more(easy_))
            leftover = Leftover::Bytes;
        is_unfit_ = leftover != Leftover::None;
        if (leftover == Leftover::Bytes)
            origin_->note_untidy(shared_.clock.steady());
    }
    if (is_unfit_)
        return false;
    ++requests_sent_;
    is_reused_ = !is_new || has_answered;
    is_multiplexed_ = is_reused_ && connection->http_major != 1;
    opened_before_ = pool_->opened_total();
    if (connection != nullptr) {
        connection->is_idle = false;
        connection_ = connection->number;
    }
    return true;
}

// Runs before a look-up, unless libcurl remembers the name.
int CurlRequest::on_look_up(void*, void*, void* self) {
    static_cast<CurlRequest*>(self)->looks_up_ = true;
    return 0;
}

// Runs once per connection attempt: the early check, before a packet leaves.
curl_socket_t CurlRequest::on_open(void* self, curlsocktype, curl_sockaddr* target) {
    auto& request = *static_cast<CurlRequest*>(self);
    request.set_resolved();
    request.opened_ = true;
    std::uint16_t port = 0;
    const auto address = Address::from(&target->addr, &port);
    if (!address || !request.allows(*address, port)) {
        if (address)
            address->print(request.refused_address_.data(), request.refused_address_.size());
        return CURL_SOCKET_BAD;
    }
    request.tried_ = true;
    const int fd = socket(target->family, target->socktype | SOCK_CLOEXEC, target->protocol);
    if (fd < 0) {
        // No IPv6 on this machine is a fact about the address, not a lack of something.
        if (errno != EAFNOSUPPORT)
            request.our_errno_ = errno;
        return CURL_SOCKET_BAD;
    }
    try {
        request.shared_.connecting.opened(fd, request.number_, &request);
        request.shared_.pools.opened(fd, *request.pool_);
    } catch (...) {
        request.our_errno_ = ENOMEM;
        close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

int CurlRequest::on_close(void* shared, curl_socket_t socket) {
    auto& all = *static_cast<CurlShared*>(shared);
    all.pools.closed(socket);
    all.connecting.closed(socket,
                          [&](CurlRequest& request) { request.had_peer_ |= has_peer(socket); });
    return close(socket);
}

}  // namespace whisperer::engine
