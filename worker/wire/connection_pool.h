// Which connections a request may use: those of its owner to its origin, and of these the current
// pool's.
//
// libcurl takes any connection to the same origin for a request, whoever it was opened for, and
// keeps one for as long as it looks alive.  So connections are kept apart by hand, in libcurl's
// share objects: one pool for each owner and origin at a time.  A pool that is retired gets no
// more requests; those that run on it end by themselves, and with the last its connections are
// closed.  That is how connections end by age, after a silence, and after bytes that nobody asked
// for, multiplexed and never idle ones included.
//
// Owned by CurlTransport (Pools), requests (Origin, ConnectionPool).  Invariant: a pool's
// connections are those that were opened through it, and each socket of ours is one of them.
#pragma once
#include <curl/curl.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/base/clock.h"
#include "worker/rules/address_guard.h"
#include "worker/wire/epoll_set.h"

namespace whisperer::engine {

// Or a receiver's fail-over in DNS is never seen.
inline constexpr seconds pool_age_max{300};
// A receiver that sends more than its answers gets one request a connection for so long: on a kept
// one the next answer could be taken for another's.
inline constexpr seconds untidy_for{3600};
// Connections of a pool without requests are closed after this long.
inline constexpr seconds pool_unused_max{120};
inline constexpr int failures_in_a_row_max = 2;
// For so long a look at all connections counts for each of them.
inline constexpr milliseconds look_lasts{1};

class Origin;
class Pools;

struct Connection {
    int socket = -1;
    std::uint16_t local_port = 0;
    std::optional<Address> peer;  // null: not known to be connected
    std::uint64_t number = 0;     // in the order of opening, from 1
    int http_major = 0;           // 0: nothing was answered yet
    bool is_idle = false;         // its last answer was complete, and no request came since
};

class ConnectionPool {
  public:
    ConnectionPool(Origin& origin, microseconds now);  // throws std::bad_alloc
    ~ConnectionPool();                                 // no request uses it
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;

    CURLSH* share() const { return share_; }
    // How many connections were opened so far.
    std::uint64_t opened_total() const { return opened_total_; }
    // The two ends of a connection; a host's addresses may be reached from one local port.  Null:
    // unknown.
    Connection* find_ends(std::uint16_t local_port, const Address& peer) noexcept;
    Connection* find_number(std::uint64_t number) noexcept;

  private:
    friend class Origin;
    friend class Pools;

    template <typename Is>
    Connection* find(std::size_t& last, Is is) noexcept;

    Origin& origin_;  // outlives it: who uses a pool holds its origin
    CURLSH* share_;
    microseconds made_at_;
    std::uint64_t opened_total_ = 0;
    std::vector<Connection> connections_;
    std::size_t last_used_ = 0;  // places of those that a request and an answer went by last
    std::size_t last_answered_ = 0;
    int failures_in_a_row_ = 0;
};

// What came of a request, as far as its connection is concerned.
enum class Heard {
    Answer,
    Nothing,  // it failed, without an answer
    Silence,  // no byte came within its time
    NotSent
};

// One owner's requests to one scheme, host and port.
class Origin {
  public:
    Origin(Pools& pools, std::string key);
    ~Origin();
    Origin(const Origin&) = delete;
    Origin& operator=(const Origin&) = delete;

    Pools& pools() const { return pools_; }
    // A request begins, and is to use this pool.
    std::shared_ptr<ConnectionPool> enter(microseconds now);
    // It has ended, and has let go of the share.
    void leave(std::shared_ptr<ConnectionPool> pool, Heard heard, microseconds now);
    // No more requests for this pool.
    void retire(const std::shared_ptr<ConnectionPool>& pool) noexcept;
    // Of this receiver no connection is used twice for a while.
    void note_untidy(microseconds now) noexcept;
    bool is_untidy(microseconds now) const { return now < untidy_until_; }

  private:
    friend class Pools;

    void drop_pool() noexcept;

    Pools& pools_;
    std::string key_;
    microseconds untidy_until_{0};
    int running_ = 0;
    microseconds left_at_{0};
    std::list<Origin*>::iterator unused_;   // the end: it has no pool, or the pool has requests
    std::shared_ptr<ConnectionPool> pool_;  // the current one; null: none
};

class Pools {
  public:
    // Clock and set are borrowed and outlive it.
    Pools(const Clock& clock, EpollSet& sockets, int descriptors_max)
        : clock_(clock), sockets_(sockets), descriptors_max_(descriptors_max) {}

    std::shared_ptr<Origin> origin(std::int64_t owner, const std::string& url, bool https);
    // What was opened by other rules gets no more requests.
    void retire_all() noexcept;
    // There are as many connections as this process can afford: none is to be kept.
    bool is_crowded() const { return open_ >= descriptors_max_; }
    // Throws std::bad_alloc, and has then not taken it.
    void opened(int socket, ConnectionPool& pool);
    // Its pool is gone, and libcurl has not closed it yet.
    void abandon(int socket) noexcept { by_socket_[static_cast<std::size_t>(socket)] = nullptr; }
    // libcurl closes it.
    void closed(int socket) noexcept;
    // Something has happened on a socket that libcurl does not watch.
    void stirred(int socket) noexcept;
    // While requests go out: when the set was asked for all that it watches.
    std::optional<microseconds> looked_at;
    // It was idle, and nothing had come on it by then, which was just now.
    bool is_quiet(const Connection& connection) const noexcept {
        return looked_at && connection.is_idle && sockets_.reports_input(connection.socket) &&
               clock_.steady() < *looked_at + look_lasts;
    }
    // There is TLS on all connections, of http://, too.
    bool is_proxy_encrypted = false;
    // Pools that had no request for some time; and the one that had none for longest while there
    // are too many connections.
    void close_unused(microseconds now) noexcept;

  private:
    friend class Origin;

    const Clock& clock_;
    EpollSet& sockets_;
    int descriptors_max_;
    int open_ = 0;
    std::vector<ConnectionPool*> by_socket_;
    std::map<std::string, std::weak_ptr<Origin>> origins_;
    std::list<Origin*> unused_;  // those with a pool and no request; first who was left first
};

// What lies on a connection that should be quiet.  Plain: it is not encrypted.
enum class Leftover {
    None,
    Ended,  // closed, broken, or what a server may say before it closes
    Bytes   // it has sent more than its answer
};
Leftover look_for_leftover(int socket, bool plain) noexcept;

}  // namespace whisperer::engine
