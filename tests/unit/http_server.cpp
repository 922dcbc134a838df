// The tests' own HTTP server.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "tests/unit/http_server.h"
#include "worker/base/encoding.h"

namespace whisperer::engine {
namespace {

// One whole request off the front of the bytes, if there is one.
std::optional<HttpRequest> take_request(std::string& in) {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos)
        return std::nullopt;
    HttpRequest request;
    std::size_t at = in.find("\r\n");
    request.request_line = in.substr(0, at);
    while (at < end) {
        const std::size_t begin = at + 2;
        at = in.find("\r\n", begin);
        const std::string line = in.substr(begin, at - begin);
        const std::size_t colon = line.find(':');
        std::string value = line.substr(std::min(colon + 1, line.size()));
        value.erase(0, value.find_first_not_of(' '));
        request.headers[to_lower(line.substr(0, colon))] = value;
    }
    const auto length = request.headers.find("content-length");
    const std::size_t body = length == request.headers.end() ? 0 : std::stoul(length->second);
    if (in.size() < end + 4 + body)
        return std::nullopt;
    request.body = in.substr(end + 4, body);
    in.erase(0, end + 4 + body);
    return request;
}

}  // namespace

HttpReply HttpReply::status(int status, const std::string& body, const std::string& headers) {
    HttpReply reply;
    reply.bytes = "HTTP/1.1 " + std::to_string(status) + " Status\r\n" + headers +
                  "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return reply;
}

HttpServer::HttpServer(Handler handler)
    : handler_(std::move(handler)),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 1024) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("test server cannot listen");
    port_ = ntohs(address.sin_port);
}

HttpServer::~HttpServer() {
    close_connections();
    close(listener_);
}

std::string HttpServer::url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
}

void HttpServer::close_connections() {
    for (auto& connection : open_)
        close(connection->fd);
    open_.clear();
}

void HttpServer::send_unasked(const std::string& bytes) {
    for (auto& connection : open_) {
        if (send(connection->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
            throw std::runtime_error("test server cannot send");
        for (int unacknowledged = 1; unacknowledged > 0;)
            if (ioctl(connection->fd, SIOCOUTQ, &unacknowledged) != 0)
                throw std::runtime_error("test server cannot see what has arrived");
    }
}

std::vector<int> HttpServer::fds() const {
    std::vector<int> fds{listener_};
    for (const auto& connection : open_)
        fds.push_back(connection->fd);
    return fds;
}

void HttpServer::read_from(Connection& connection) {
    char buffer[65536];
    for (ssize_t size; (size = read(connection.fd, buffer, sizeof buffer)) > 0;)
        connection.in.append(buffer, static_cast<std::size_t>(size));
}

bool HttpServer::serve(Connection& connection) {
    read_from(connection);
    if (close_after_bytes > 0 && connection.in.size() >= close_after_bytes) {
        close_after_bytes = 0;
        return false;
    }
    if (!connection.reply) {
        auto request = take_request(connection.in);
        if (request) {
            request->connection = connection.number;
            requests.push_back(*request);
            connection.reply = handler_(*request);
            connection.reply_at = std::chrono::steady_clock::now() + connection.reply->delay;
        }
    }
    if (!connection.reply || connection.reply->hang ||
        std::chrono::steady_clock::now() < connection.reply_at) {
        char byte;
        return recv(connection.fd, &byte, 1, MSG_PEEK) != 0;
    }
    if (connection.reply->reset) {
        const linger at_once{1, 0};
        setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return false;
    }
    std::string& bytes = connection.reply->bytes;
    const ssize_t sent = send(connection.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN;
    bytes.erase(0, static_cast<std::size_t>(sent));
    if (!bytes.empty())
        return true;
    const bool stays = !connection.reply->close;
    connection.reply.reset();
    return stays;
}

void HttpServer::step() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
        open_.push_back(
            std::unique_ptr<Connection>(new Connection{fd, ++connections, {}, {}, {}, {}}));
    for (std::size_t i = 0; i < open_.size();) {
        if (serve(*open_[i])) {
            ++i;
            continue;
        }
        close(open_[i]->fd);
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

}  // namespace whisperer::engine
