// Connections that do not come about, through the engine's door.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tests/unit/engine_driver.h"
#include "worker/wire/failure_words.h"

namespace whisperer::engine {
namespace {

using testing::StartsWith;

class ConnectTest : public testing::Test {
  protected:
    void SetUp() override { driver.create(); }

    Got deliver() {
        EXPECT_EQ(driver.submit(7, 1), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(nullptr, 1));
        return driver.got.empty() ? Got{} : driver.got[0];
    }

    EngineDriver driver;
};

TEST_F(ConnectTest, ConnectionRefused) {
    std::string url;
    {
        HttpServer closed;
        url = closed.url();
    }
    ASSERT_EQ(driver.put_hook(1, url), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.http_status, 0);
    EXPECT_TRUE(got.attempted);
    EXPECT_EQ(got.error, "could not connect: connection refused");
    EXPECT_GE(got.next_after_ms, 4000);
    EXPECT_LE(got.next_after_ms, 6000);
}

TEST(FailureWords, SayWhyWhereTheSystemDoes) {
    EXPECT_EQ(with_errno("connection lost", EPERM), "connection lost: operation not permitted");
    EXPECT_EQ(with_errno("connection lost", EPIPE), "connection lost: broken pipe");
    EXPECT_EQ(with_errno("connection lost", 0), "connection lost");
}

// A queue of connections that nobody accepts, and that is full: what else comes is not answered.
class FullListener {
  public:
    FullListener() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(listen(listener_, 0), 0);
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        port = ntohs(address.sin_port);
        for (int& waiting : waiting_) {
            waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            connect(waiting, reinterpret_cast<sockaddr*>(&address), size);
        }
    }
    ~FullListener() {
        for (const int waiting : waiting_)
            close(waiting);
        close(listener_);
    }
    int port = 0;

  private:
    int listener_;
    std::array<int, 4> waiting_{};
};

TEST_F(ConnectTest, AConnectionThatNobodyTakesEndsByItsOwnLimit) {
    const FullListener full;
    driver.settings.connect_timeout_ms = 200;
    driver.settings.request_timeout_ms = 3600 * 1000;
    driver.settings.park_after_ms = 3600 * 1000;
    ASSERT_EQ(driver.configure(), WhispererOk) << driver.error.message;
    ASSERT_EQ(driver.put_hook(1, "http://127.0.0.1:" + std::to_string(full.port) + "/"),
              WhispererOk);
    EXPECT_EQ(deliver().error, "could not connect within 200 ms");
}

TEST_F(ConnectTest, UnknownHost) {
    ASSERT_EQ(driver.put_hook(1, "http://nothing.invalid/"), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry) << got.error;
    EXPECT_THAT(got.error, StartsWith("could not resolve host"));
}

}  // namespace
}  // namespace whisperer::engine
