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

Problem too_many_at_once() {
    return unavailable("too many requests at once", 2);
}

void watch(int epoll, int operation, int socket, std::uint64_t number, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    checked(epoll_ctl(epoll, operation, socket, &event), "epoll_ctl");
}

}  // namespace

Connections::Connections(Descriptor listener, Limits limits, Callbacks callbacks)
    : listener_(std::move(listener)),
      limits_(limits),
      callbacks_(std::move(callbacks)),
      epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      looked_at_(Clock::now()),
      last_number_(wake_number),
      workers_(limits.threads, [this](const Workers::Task& task) {
          Errand::Step step = task.errand->go_on(is_stopping_);
          // Nobody sees the step before the lock is gone; after that this may be destroyed.
          const std::lock_guard lock(mutex_);
          steps_.emplace_back(task.number, std::move(step));
          eventfd_write(wake_.get(), 1);
      }) {
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

// Until there is something to do even if nothing comes.
int Connections::pause_ms() const {
    if (timers_.empty())
        return static_cast<int>(look_every.count());
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
    return static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), look_every).count());
}

bool Connections::run() {
    while (!is_finished()) {
        epoll_event events[64];
        const int count = epoll_wait(epoll_.get(), events, 64, pause_ms());
        if (count < 0 && errno != EINTR)
            checked(count, "epoll_wait");
        for (int i = 0; i < count; i++) {
            const Number number = events[i].data.u64;
            if (number == listener_number)
                accept_some();
            else if (number == wake_number)
                take_steps();
            else
                serve(number);
        }
        if (is_stopping_ && !has_stopped_accepting_)
            start_stopping();
        submit_due();
        if (Clock::now() - looked_at_ >= look_every) {
            refuse_late();
            end_late();
        }
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
            if (write_out(number, connection))
                serve_reading(number, connection);
            break;
        case Connection::State::Draining:
            if (connection.drain() == Connection::Progress::Ended)
                end(number);
            break;
        case Connection::State::Working:
            break;
    }
}

// One request after the other, as long as they are there and answered at once.
void Connections::serve_reading(Number number, Connection& connection) {
    while (take_request(number, connection))
        if (!write_out(number, connection))
            return;
}

// True: there is a reply to write.
bool Connections::take_request(Number number, Connection& connection) {
    try {
        auto request = connection.take_request([this](std::size_t body_bytes) {
            if (body_bytes_ + body_bytes > limits_.body_bytes)
                throw unavailable("too much is being received at once", 1);
            body_bytes_ += body_bytes;
        });
        if (!request)
            return false;
        const bool is_full = connection.requests() >= requests_max;
        Begun begun = callbacks_.begin(std::move(*request), connection.peer(),
                                       is_full || has_stopped_accepting_);
        if (begun.reply) {
            begun.errand->note();
            connection.start_reply(std::move(*begun.reply));
            return true;
        }
        connection.start_work(std::move(begun.errand));
        // The socket is not watched meanwhile: a client that hangs up would be reported without
        // end.
        watch(epoll_.get(), EPOLL_CTL_DEL, connection.socket(), number, 0);
        submit(number, connection, true);
        return false;
    } catch (const Problem& problem) {
        connection.start_reply(callbacks_.refuse(problem, connection.peer()));
        return true;
    }
}

// True: all of it has gone, and the next request may come, or has come already.
bool Connections::write_out(Number number, Connection& connection) {
    const std::size_t held = connection.body_bytes();
    const Connection::Progress progress = connection.send();
    if (progress == Connection::Progress::Ended) {
        end(number);
        return false;
    }
    if (progress == Connection::Progress::Blocked) {
        wait_for(number, connection, true);
        return false;
    }
    body_bytes_ -= held;
    if (connection.has_more()) {
        connection.resume_work();
        watch(epoll_.get(), EPOLL_CTL_DEL, connection.socket(), number, 0);
        submit(number, connection, false);
        return false;
    }
    release(connection);
    wait_for(number, connection, false);
    if (connection.closes() || has_stopped_accepting_) {
        connection.start_draining();
        return false;
    }
    connection.start_reading();
    return true;
}

void Connections::refuse(Number number, Connection& connection, const Problem& problem) {
    connection.start_reply(callbacks_.refuse(problem, connection.peer()));
    if (write_out(number, connection))
        serve_reading(number, connection);
}

// --- errands ------------------------------------------------------------------------------------

void Connections::submit(Number number, Connection& connection, bool is_first) {
    if (!workers_.submit({number, connection.errand(), is_first}))
        deliver(number, connection.errand()->refuse(too_many_at_once()));
}

void Connections::take_steps() {
    eventfd_t ignored;
    eventfd_read(wake_.get(), &ignored);
    std::vector<std::pair<Number, Errand::Step>> steps;
    {
        const std::lock_guard lock(mutex_);
        steps.swap(steps_);
    }
    for (auto& [number, step] : steps)
        if (step.reply)
            deliver(number, std::move(*step.reply));
        else
            timers_.emplace(step.again_at, number);
}

// Who waits for something while the gateway stops hears what there is to say now.
void Connections::submit_due() {
    const auto now = Clock::now();
    while (!timers_.empty() && (timers_.begin()->first <= now || has_stopped_accepting_)) {
        const Number number = timers_.begin()->second;
        timers_.erase(timers_.begin());
        submit(number, *connections_.at(number), false);
    }
}

void Connections::refuse_late() {
    for (const Workers::Task& task : workers_.take_late())
        deliver(task.number, task.errand->refuse(too_many_at_once()));
}

void Connections::deliver(Number number, Reply reply) {
    Connection& connection = *connections_.at(number);
    if (reply.is_broken)
        return end(number);
    // Of a large answer, each piece takes the place of the last one.
    release(connection);
    const std::string& client = connection.errand()->client();
    if (!sending_.add(client, reply.size(), reply.is_rest)) {
        reply = connection.errand()->refuse(
            unavailable("too much waits for you to be read, or for all", 5));
        sending_.add(client, reply.size(), true);
    }
    if (!reply.is_rest)
        connection.errand()->note();
    connection.held_bytes = reply.size();
    connection.start_reply(std::move(reply));
    watch(epoll_.get(), EPOLL_CTL_ADD, connection.socket(), number, 0);
    if (write_out(number, connection))
        serve_reading(number, connection);
}

void Connections::release(Connection& connection) {
    if (connection.held_bytes > 0)
        sending_.remove(connection.errand()->client(), connection.held_bytes);
    connection.held_bytes = 0;
}

// --- ends ---------------------------------------------------------------------------------------

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
    release(*found->second);
    const auto client = by_client_.find(found->second->peer().client());
    if (client != by_client_.end() && --client->second == 0)
        by_client_.erase(client);
    connections_.erase(found);
    count_ = connections_.size();
}

}  // namespace whisperer::gateway
