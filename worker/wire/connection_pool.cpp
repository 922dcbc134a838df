// Pools of connections: made, retired, and looked into.
#include "worker/wire/connection_pool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <string_view>

namespace whisperer::engine {
namespace {

using AskForName = int (*)(int socket, sockaddr* address, socklen_t* size);

// Of one end of a connection: getsockname for ours, getpeername for the other.
std::optional<Address> end_of(int socket, AskForName ask, std::uint16_t* port) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (ask(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return {};
    return Address::from(reinterpret_cast<const sockaddr*>(&address), port);
}

// A socket has no peer before it is connected, so they are asked for when a request is about to go.
void note_ends(Connection& connection) {
    std::uint16_t ignored = 0;
    end_of(connection.socket, getsockname, &connection.local_port);
    connection.peer = end_of(connection.socket, getpeername, &ignored);
}

// "HTTP/1.1 408": some servers say that they were tired of waiting, and close.
bool is_timeout_answer(std::string_view bytes) {
    return bytes.size() == 12 && bytes.starts_with("HTTP/1.") && bytes.substr(8) == " 408";
}

// A TLS record begins with its type, a version of two bytes and a length of two. Since TLS 1.3 the
// type of all is that of data (RFC 8446, 5.2); an alert is then two bytes, its type and a tag
// of 16.
bool is_alert(std::string_view record) {
    constexpr char alert = 21;
    constexpr char data = 23;
    constexpr std::string_view alert_bytes("\0\x13", 2);
    return record.size() < 5 || record[0] == alert ||
           (record[0] == data && record.substr(3, 2) == alert_bytes);
}

// What is encrypted cannot be told apart, but who says goodbye closes.
bool has_left(int socket) {
    pollfd fd{socket, POLLRDHUP, 0};
    return poll(&fd, 1, 0) == 1;
}

}  // namespace

Leftover look_for_leftover(int socket, bool plain) noexcept {
    std::array<char, 12> bytes;
    const ssize_t size = recv(socket, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return Leftover::None;
    if (size <= 0)
        return Leftover::Ended;
    const std::string_view begin(bytes.data(), static_cast<std::size_t>(size));
    const bool is_goodbye = plain ? is_timeout_answer(begin) : is_alert(begin) || has_left(socket);
    return is_goodbye ? Leftover::Ended : Leftover::Bytes;
}

ConnectionPool::ConnectionPool(Origin& origin, microseconds now)
    : origin_(origin), share_(curl_share_init()), made_at_(now) {
    if (share_ == nullptr)
        throw std::bad_alloc();
    curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
}

// Newer versions of libcurl take their time to close: what is left is then nobody's.
ConnectionPool::~ConnectionPool() {
    curl_share_cleanup(share_);
    for (const Connection& connection : connections_)
        origin_.pools().abandon(connection.socket);
}

// Begins with the one that was found last: requests and answers go round.
template <typename Is>
Connection* ConnectionPool::find(std::size_t& last, Is is) noexcept {
    const std::size_t count = connections_.size();
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t place = (last + i) % count;
        if (is(connections_[place])) {
            last = place;
            return &connections_[place];
        }
    }
    return nullptr;
}

Connection* ConnectionPool::find_ends(std::uint16_t local_port, const Address& peer) noexcept {
    return find(last_used_, [&](Connection& connection) {
        if (!connection.peer)
            note_ends(connection);
        return connection.local_port == local_port && connection.peer == peer;
    });
}

Connection* ConnectionPool::find_number(std::uint64_t number) noexcept {
    return find(last_answered_,
                [=](const Connection& connection) { return connection.number == number; });
}

Origin::Origin(Pools& pools, std::string key)
    : pools_(pools), key_(std::move(key)), unused_(pools_.unused_.end()) {}

Origin::~Origin() {
    drop_pool();
    pools_.origins_.erase(key_);
}

void Origin::drop_pool() noexcept {
    if (unused_ != pools_.unused_.end())
        pools_.unused_.erase(unused_);
    unused_ = pools_.unused_.end();
    pool_.reset();
}

std::shared_ptr<ConnectionPool> Origin::enter(microseconds now) {
    if (pool_ != nullptr && pool_->made_at_ + pool_age_max <= now)
        drop_pool();
    if (pool_ == nullptr)
        pool_ = std::make_shared<ConnectionPool>(*this, now);
    if (unused_ != pools_.unused_.end())
        pools_.unused_.erase(unused_);
    unused_ = pools_.unused_.end();
    ++running_;
    return pool_;
}

void Origin::leave(std::shared_ptr<ConnectionPool> pool, Heard heard, microseconds now) {
    left_at_ = now;
    if (heard == Heard::Answer)
        pool->failures_in_a_row_ = 0;
    else if (heard == Heard::Silence ||
             (heard == Heard::Nothing && ++pool->failures_in_a_row_ >= failures_in_a_row_max))
        retire(pool);
    if (--running_ == 0 && pool_ != nullptr)
        unused_ = pools_.unused_.insert(pools_.unused_.end(), this);
}

void Origin::retire(const std::shared_ptr<ConnectionPool>& pool) noexcept {
    if (pool_ == pool)
        drop_pool();
}

void Origin::note_untidy(microseconds now) noexcept {
    untidy_until_ = now + untidy_for;
    drop_pool();
}

std::shared_ptr<Origin> Pools::origin(std::int64_t owner, const std::string& url, bool https) {
    // "https://host:port/path?query" without what is behind the port.
    const std::size_t host = https ? 8 : 7;
    std::string key = std::to_string(owner) + ' ' + url.substr(0, url.find_first_of("/?#", host));
    std::weak_ptr<Origin>& known = origins_[key];
    std::shared_ptr<Origin> origin = known.lock();
    if (origin == nullptr)
        known = origin = std::make_shared<Origin>(*this, std::move(key));
    return origin;
}

void Pools::retire_all() noexcept {
    for (const auto& [key, origin] : origins_)
        if (const std::shared_ptr<Origin> alive = origin.lock())
            alive->drop_pool();
}

void Pools::opened(int socket, ConnectionPool& pool) {
    const auto index = static_cast<std::size_t>(socket);
    if (index >= by_socket_.size())
        by_socket_.resize(index + 1);
    pool.connections_.reserve(pool.connections_.size() + 1);
    sockets_.opened(socket);
    by_socket_[index] = &pool;
    Connection connection;
    connection.socket = socket;
    connection.number = ++pool.opened_total_;
    pool.connections_.push_back(connection);
    ++open_;
}

void Pools::closed(int socket) noexcept {
    sockets_.closed(socket);
    ConnectionPool* pool = by_socket_[static_cast<std::size_t>(socket)];
    by_socket_[static_cast<std::size_t>(socket)] = nullptr;
    --open_;
    if (pool == nullptr)
        return;
    const auto found =
        std::find_if(pool->connections_.begin(), pool->connections_.end(),
                     [=](const Connection& connection) { return connection.socket == socket; });
    *found = pool->connections_.back();
    pool->connections_.pop_back();
}

void Pools::stirred(int socket) noexcept {
    const auto index = static_cast<std::size_t>(socket);
    ConnectionPool* pool = index < by_socket_.size() ? by_socket_[index] : nullptr;
    if (pool == nullptr)
        return;
    const auto found =
        std::find_if(pool->connections_.begin(), pool->connections_.end(),
                     [=](const Connection& connection) { return connection.socket == socket; });
    const bool plain =
        !is_proxy_encrypted && pool->origin_.key_.find(" http:") != std::string::npos;
    if (found->is_idle && look_for_leftover(socket, plain) == Leftover::Bytes)
        pool->origin_.note_untidy(clock_.steady());
}

void Pools::close_unused(microseconds now) noexcept {
    const int comfortable = descriptors_max_ - descriptors_max_ / 4;
    while (!unused_.empty() &&
           (unused_.front()->left_at_ + pool_unused_max <= now || open_ > comfortable))
        unused_.front()->drop_pool();
}

}  // namespace whisperer::engine
