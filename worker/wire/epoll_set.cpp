// Keeps the kernel's set in step with libcurl's wishes, lazily where that is safe.
#include "worker/wire/epoll_set.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace whisperer::engine {

EpollSet::EpollSet() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0)
        throw std::system_error(errno, std::generic_category(), "could not make an epoll set");
}

EpollSet::~EpollSet() {
    close(fd_);
}

EpollSet::Socket& EpollSet::entry(int socket) {
    const auto index = static_cast<std::size_t>(socket);
    if (index >= sockets_.size())
        sockets_.resize(index + 1);
    return sockets_[index];
}

void EpollSet::opened(int socket) {
    entry(socket) = Socket{0, 0, true};
}

void EpollSet::closed(int socket) {
    entry(socket) = Socket{};
}

void EpollSet::want(int socket, std::uint32_t events) {
    Socket& known = entry(socket);
    known.wanted = events;
    if (events == 0 && known.ours)
        return;
    if (known.registered != events)
        tell_kernel(socket, known, events);
    if (events == 0)
        known = Socket{};
}

void EpollSet::tell_kernel(int socket, Socket& known, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = socket;
    if (events == 0) {
        epoll_ctl(fd_, EPOLL_CTL_DEL, socket, nullptr);
    } else if (known.registered == 0 || epoll_ctl(fd_, EPOLL_CTL_MOD, socket, &event) != 0) {
        // A descriptor that was closed and opened again behind our back is no longer in the set;
        // one that we forgot still is.
        if (epoll_ctl(fd_, EPOLL_CTL_ADD, socket, &event) != 0)
            epoll_ctl(fd_, EPOLL_CTL_MOD, socket, &event);
    }
    known.registered = events;
}

bool EpollSet::is_wanted(int socket) {
    Socket& known = entry(socket);
    if (known.wanted == 0 && known.registered != 0)
        tell_kernel(socket, known, 0);
    return known.wanted != 0;
}

int EpollSet::poll_kernel() {
    return epoll_wait(fd_, ready_.data(), static_cast<int>(ready_.size()), 0);
}

}  // namespace whisperer::engine
