// The loop over all connections; see connections.h.
#include "connections.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace whisperer::gateway {

namespace {

constexpr std::uint64_t listener_number = 0;
constexpr std::uint64_t wake_number = 1;
constexpr std::chrono::milliseconds look_every{250};
constexpr std::chrono::seconds stop_time{10};
constexpr std::size_t requests_max = 1000;  // on one connection

int checked(int result, const char* what) {
    if (result < 0)
        throw std::system_error(errno, std::generic_category(), what);
    return result;
}

void watch(int epoll, int operation, int socket, std::uint64_t number, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    checked(epoll_ctl(epoll, operation, socket, &event), "epoll_ctl");
}

}  // namespace

Connections::Connections(Descriptor listener, Workers& workers, Limits limits, Callbacks callbacks)
    : listener_(std::move(listener)),
      workers_(workers),
      limits_(limits),
      callbacks_(std::move(callbacks)),
      epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      looked_at_(Clock::now()),
      last_number_(wake_number) {
    watch(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), listener_number, EPOLLIN);
    watch(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), wake_number, EPOLLIN);
}

Connections::~Connections() = default;

void Connections::stop() {
    is_stopping_ = true;
    eventfd_write(wake_.get(), 1);
}

bool Connections::is_finished() const {
    return has_stopped_accepting_ && (connections_.empty() || Clock::now() >= stop_deadline_);
}

bool Connections::run() {
    while (!is_finished()) {
        epoll_event events[64];
        const int count = epoll_wait(epoll_.get(), events, 64, look_every.count());
        if (count < 0 && errno != EINTR)
            checked(count, "epoll_wait");
        for (int i = 0; i < count; i++) {
            const Number number = events[i].data.u64;
            if (number == listener_number)
                accept_some();
            else if (number == wake_number)
                take_replies();
            else
                serve(number);
        }
        if (is_stopping_ && !has_stopped_accepting_)
            start_stopping();
        if (Clock::now() - looked_at_ >= look_every)
            end_late();
    }
    return connections_.empty();
}

void Connections::accept_some() {
    while (!has_stopped_accepting_) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        const int socket = accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            admit(socket, Address::of(peer));
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        const bool lacks =
            errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        // Anything else is one client's misfortune.
        if (!lacks || make_room())
            continue;
        watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), listener_number, 0);
        is_accepting_ = false;
        return;
    }
}

void Connections::admit(int socket, const Address& peer) {
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const Number number = ++last_number_;
    auto connection = std::make_unique<Connection>(socket, peer);
    if (connections_.size() >= limits_.connections && !make_room())
        return;
    std::size_t& of_client = by_client_[peer.client()];
    const bool is_too_many =
        of_client >= limits_.per_client && !limits_.not_per_client.contains(peer);
    if (is_too_many) {
        Problem problem{429, "too_many_connections", "too many connections from your address"};
        problem.retry_after_s = 1;
        // Said once, and if it does not fit, not at all.
        connection->start_reply(callbacks_.refuse(problem, peer));
        connection->send();
        return;
    }
    of_client++;
    watch(epoll_.get(), EPOLL_CTL_ADD, socket, number, EPOLLIN);
    connections_.emplace(number, std::move(connection));
    count_ = connections_.size();
}

// Ends the connection that has kept us waiting for its request the longest.
bool Connections::make_room() {
    auto longest = connections_.end();
    for (auto it = connections_.begin(); it != connections_.end(); ++it) {
        const Connection::State state = it->second->state();
        if (state != Connection::State::Reading && state != Connection::State::Draining)
            continue;
        if (longest == connections_.end() || it->second->deadline() < longest->second->deadline())
            longest = it;
    }
    if (longest == connections_.end())
        return false;
    end(longest->first);
    return true;
}

void Connections::serve(Number number) {
    const auto found = connections_.find(number);
    if (found == connections_.end())
        return;
    Connection& connection = *found->second;
    switch (connection.state()) {
        case Connection::State::Reading: {
            const Connection::Progress progress = connection.receive();
            if (progress == Connection::Progress::Ended)
                end(number);
            else if (progress == Connection::Progress::Done)
                serve_reading(number, connection);
            break;
        }
        case Connection::State::Writing:
            serve_writing(number, connection);
            break;
        case Connection::State::Draining:
            if (connection.drain() == Connection::Progress::Ended)
                end(number);
            break;
        case Connection::State::Working:
            break;
    }
}

void Connections::serve_reading(Number number, Connection& connection) {
    try {
        auto request = connection.take_request([this](std::size_t body_bytes) {
            if (body_bytes_ + body_bytes > limits_.body_bytes)
                throw unavailable("too much is being received at once", 1);
            body_bytes_ += body_bytes;
        });
        if (!request)
            return;
        connection.start_work();
        // The socket is not watched meanwhile: a client that hangs up would be reported without
        // end.
        watch(epoll_.get(), EPOLL_CTL_DEL, connection.socket(), number, 0);
        const bool is_full = connection.requests() >= requests_max;
        workers_.submit([this, number, is_full, peer = connection.peer(),
                         head = std::make_shared<Head>(std::move(*request))] {
            Reply reply = callbacks_.answer(std::move(*head), peer, is_full || is_stopping_);
            // Nobody sees the reply before the lock is gone; after that this may be destroyed.
            const std::lock_guard lock(mutex_);
            replies_.emplace_back(number, std::move(reply));
            eventfd_write(wake_.get(), 1);
        });
    } catch (const Problem& problem) {
        refuse(number, connection, problem);
    }
}

void Connections::refuse(Number number, Connection& connection, const Problem& problem) {
    connection.start_reply(callbacks_.refuse(problem, connection.peer()));
    serve_writing(number, connection);
}

void Connections::take_replies() {
    eventfd_t ignored;
    eventfd_read(wake_.get(), &ignored);
    std::vector<std::pair<Number, Reply>> replies;
    {
        const std::lock_guard lock(mutex_);
        replies.swap(replies_);
    }
    for (auto& [number, reply] : replies) {
        Connection& connection = *connections_.at(number);
        connection.start_reply(std::move(reply));
        watch(epoll_.get(), EPOLL_CTL_ADD, connection.socket(), number, 0);
        serve_writing(number, connection);
    }
}

void Connections::serve_writing(Number number, Connection& connection) {
    const std::size_t held = connection.body_bytes();
    const Connection::Progress progress = connection.send();
    if (progress == Connection::Progress::Ended)
        return end(number);
    if (progress == Connection::Progress::Blocked)
        return wait_for(number, connection, true);
    body_bytes_ -= held;
    wait_for(number, connection, false);
    if (connection.closes() || has_stopped_accepting_)
        return connection.start_draining();
    connection.start_reading();
    // The next request may have come already.
    serve_reading(number, connection);
}

void Connections::wait_for(Number number, Connection& connection, bool to_write) {
    watch(epoll_.get(), EPOLL_CTL_MOD, connection.socket(), number, to_write ? EPOLLOUT : EPOLLIN);
}

void Connections::start_stopping() {
    has_stopped_accepting_ = true;
    stop_deadline_ = Clock::now() + stop_time;
    listener_.reset();
    std::vector<Number> waiting;
    for (const auto& [number, connection] : connections_)
        if (connection->state() == Connection::State::Reading)
            waiting.push_back(number);
    std::for_each(waiting.begin(), waiting.end(), [this](Number number) { end(number); });
}

void Connections::end_late() {
    looked_at_ = Clock::now();
    if (!is_accepting_ && !has_stopped_accepting_) {
        watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), listener_number, EPOLLIN);
        is_accepting_ = true;
    }
    std::vector<Number> late;
    for (const auto& [number, connection] : connections_)
        if (connection->state() != Connection::State::Working &&
            connection->deadline() <= looked_at_)
            late.push_back(number);
    for (const Number number : late) {
        Connection& connection = *connections_.at(number);
        if (connection.state() == Connection::State::Reading && !connection.is_idle())
            refuse(number, connection,
                   {408, "request_timeout", "the request did not come within 10 s"});
        else
            end(number);
    }
}

void Connections::end(Number number) {
    const auto found = connections_.find(number);
    body_bytes_ -= found->second->body_bytes();
    const auto client = by_client_.find(found->second->peer().client());
    if (client != by_client_.end() && --client->second == 0)
        by_client_.erase(client);
    connections_.erase(found);
    count_ = connections_.size();
}

}  // namespace whisperer::gateway
