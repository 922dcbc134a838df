// The one descriptor that the host sleeps on: an epoll set that mirrors what libcurl wants.
//
// libcurl says "remove" after each request, also when the connection stays open for the next.  For
// sockets whose life we see from open to close the kernel is then left alone until an unwanted
// event comes: a request on a kept-alive connection costs no epoll_ctl.  Owned by CurlTransport.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <vector>

namespace whisperer::engine {

class EpollSet {
  public:
    EpollSet();  // throws std::system_error
    ~EpollSet();
    EpollSet(const EpollSet&) = delete;
    EpollSet& operator=(const EpollSet&) = delete;

    int fd() const { return fd_; }
    // A socket that we opened (and will say closed of).
    void opened(int socket);
    void closed(int socket);
    // events: EPOLLIN | EPOLLOUT, or 0: none.
    void want(int socket, std::uint32_t events);

    struct Event {
        int socket;
        std::uint32_t events;
    };
    // Calls on(event) for what is ready now, a bounded number, and on_unwanted(socket) once for
    // what nobody waits for; never waits.  Readiness is looked up before each call, because the
    // call before may have closed the socket.
    template <typename Callback, typename UnwantedCallback>
    void poll(Callback on, UnwantedCallback on_unwanted) {
        const int count = poll_kernel();
        for (int i = 0; i < count; ++i) {
            const Event event{ready_[static_cast<std::size_t>(i)].data.fd,
                              ready_[static_cast<std::size_t>(i)].events};
            if (is_wanted(event.socket))
                on(event);
            else
                on_unwanted(event.socket);
        }
    }

    // Calls on_unwanted(socket) as poll does, and leaves what is waited for to it.  False: there
    // may be more.
    template <typename UnwantedCallback>
    bool poll_unwanted(UnwantedCallback on_unwanted) {
        const int count = poll_kernel();
        for (int i = 0; i < count; ++i) {
            const int socket = ready_[static_cast<std::size_t>(i)].data.fd;
            if (!is_wanted(socket))
                on_unwanted(socket);
        }
        return count >= 0 && static_cast<std::size_t>(count) < ready_.size();
    }
    // Whether poll would tell of bytes that come there: not after it was told of as unwanted, nor
    // before libcurl has waited for an answer on it.
    bool reports_input(int socket) const noexcept {
        const auto index = static_cast<std::size_t>(socket);
        return index < sockets_.size() && (sockets_[index].registered & EPOLLIN) != 0;
    }

  private:
    struct Socket {
        std::uint32_t wanted = 0;
        std::uint32_t registered = 0;  // with the kernel
        bool ours = false;
    };

    Socket& entry(int socket);
    bool is_wanted(int socket);
    int poll_kernel();
    void tell_kernel(int socket, Socket& entry, std::uint32_t events);

    int fd_;
    std::vector<Socket> sockets_;  // by descriptor
    std::array<epoll_event, 256> ready_;
};

}  // namespace whisperer::engine
