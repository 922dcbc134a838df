// Reading from and writing to one client without ever waiting; see connection.h.
#include "connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace whisperer::gateway {

namespace {

constexpr std::chrono::seconds request_time{10};  // for head and body together
constexpr std::chrono::seconds idle_time{15};
constexpr std::chrono::seconds answer_time{60};
constexpr std::chrono::seconds drain_time{2};
constexpr std::size_t drained_bytes_max = 16 * body_bytes_max;

// Receives once.  Positive: so many bytes; 0: none now; -1: the client went.
ssize_t receive_some(int socket, char* target, std::size_t size) {
    const ssize_t got = recv(socket, target, size, 0);
    if (got > 0)
        return got;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    return -1;
}

}  // namespace

Connection::Connection(int socket, const Address& peer) : socket_(socket), peer_(peer) {
    set_deadline(request_time);
}

Connection::~Connection() {
    close(socket_);
}

Connection::Progress Connection::receive() {
    char buffer[16 * 1024];
    const ssize_t got = receive_some(socket_, buffer, sizeof buffer);
    if (got < 0)
        return Progress::Ended;
    if (got == 0)
        return Progress::Blocked;
    // One deadline for the whole request: it is not moved by what comes later.
    if (is_idle())
        set_deadline(request_time);
    in_.append(buffer, static_cast<std::size_t>(got));
    return Progress::Done;
}

void Connection::acknowledge() {
    // Many clients send head and body apart, and the body only after the head was acknowledged;
    // which the kernel would put off for 40 ms.
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void Connection::announce_continue() {
    constexpr std::string_view text = "HTTP/1.1 100 Continue\r\n\r\n";
    // A client that waits for this has an empty socket; one for which it does not fit goes without.
    [[maybe_unused]] const ssize_t sent =
        ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Connection::start_work(std::shared_ptr<Errand> errand) {
    errand_ = std::move(errand);
    state_ = State::Working;
}

void Connection::start_reply(Reply reply) {
    reply_ = std::move(reply);
    sent_ = 0;
    state_ = State::Writing;
    set_deadline(answer_time);
}

Connection::Progress Connection::send() {
    const std::size_t size = reply_.bytes.size() + reply_.fixed.size();
    while (sent_ < size) {
        const bool is_fixed = sent_ >= reply_.bytes.size();
        const std::string_view left = is_fixed ? reply_.fixed.substr(sent_ - reply_.bytes.size())
                                               : std::string_view(reply_.bytes).substr(sent_);
        const bool is_last = is_fixed || reply_.fixed.empty();
        const ssize_t sent =
            ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL | (is_last ? 0 : MSG_MORE));
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? Progress::Blocked : Progress::Ended;
        sent_ += static_cast<std::size_t>(sent);
    }
    reply_.bytes = {};
    reply_.fixed = {};
    body_bytes_ = 0;
    return Progress::Done;
}

void Connection::start_reading() {
    errand_.reset();
    state_ = State::Reading;
    set_deadline(in_.empty() ? idle_time : request_time);
}

void Connection::start_draining() {
    // Closed with bytes unread, the socket would be reset, and the answer lost with it.
    shutdown(socket_, SHUT_WR);
    errand_.reset();
    state_ = State::Draining;
    set_deadline(drain_time);
}

Connection::Progress Connection::drain() {
    char buffer[16 * 1024];
    const ssize_t got = receive_some(socket_, buffer, sizeof buffer);
    if (got > 0)
        drained_ += static_cast<std::size_t>(got);
    return got < 0 || drained_ > drained_bytes_max ? Progress::Ended : Progress::Blocked;
}

}  // namespace whisperer::gateway
