// What is said when a receiver that should speak TLS does not.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/engine_driver.h"

namespace whisperer::engine {
namespace {

// Answers the first bytes of each connection with bytes of its own, and closes it.
class NoTls {
  public:
    explicit NoTls(std::string answer)
        : answer_(std::move(answer)),
          listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
        listen(listener_, 8);
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    ~NoTls() {
        close(listener_);
        if (connection_ >= 0)
            close(connection_);
    }
    NoTls(const NoTls&) = delete;
    NoTls& operator=(const NoTls&) = delete;

    std::string url() const { return "https://127.0.0.1:" + std::to_string(port_) + "/"; }

    void step() {
        if (connection_ < 0)
            connection_ = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        char hello[4096];
        if (connection_ < 0 || recv(connection_, hello, sizeof hello, 0) <= 0)
            return;
        send(connection_, answer_.data(), answer_.size(), MSG_NOSIGNAL);
        close(connection_);
        connection_ = -1;
    }

  private:
    std::string answer_;
    int listener_;
    int connection_ = -1;
    int port_ = 0;
};

std::string error_of(const std::string& answer) {
    NoTls server(answer);
    EngineDriver driver;
    driver.create();
    EXPECT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(driver.submit(1, 1), WhispererOk);
    EXPECT_TRUE(driver.run_until(nullptr, [&] {
        server.step();
        return !driver.got.empty();
    }));
    if (driver.got.empty())
        return "no outcome";
    EXPECT_EQ(driver.got[0].kind, WhispererRetry);
    return driver.got[0].error;
}

TEST(Handshake, SaysWhatWentWrongWithoutCodes) {
    EXPECT_EQ(error_of(""), "TLS failure: connection closed during the handshake");
    EXPECT_EQ(error_of("HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS failure: wrong version number");
}

}  // namespace
}  // namespace whisperer::engine
