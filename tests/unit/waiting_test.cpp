// Requests that may wait for a connection which another request opens.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/dispatcher_fixture.h"
#include "tests/unit/names.h"
#include "worker/wire/curl_transport.h"
#include "worker/wire/http_versions.h"

namespace whisperer::engine {
namespace {

// Takes a connection, and never says a word.
class Mute {
  public:
    Mute() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
        listen(listener_, 64);
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        port = ntohs(address.sin_port);
    }
    ~Mute() {
        close(listener_);
        if (connection_ >= 0)
            close(connection_);
    }
    Mute(const Mute&) = delete;
    Mute& operator=(const Mute&) = delete;

    // Somebody has begun a handshake.
    bool has_heard() {
        if (connection_ < 0)
            connection_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        char byte;
        return connection_ >= 0 && recv(connection_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    }

    int port = 0;

  private:
    int listener_;
    int connection_ = -1;
};

class WaitingTest : public testing::Test {
  protected:
    void SetUp() override {
        WhispererSettings settings = small_settings();
        settings.allowed_networks = span("127.0.0.0/8");
        settings.connect_timeout_ms = settings.request_timeout_ms = 60 * 1000;
        curl_global_init(CURL_GLOBAL_DEFAULT);
        transport = std::make_unique<CurlTransport>(clock, 1000);
        transport->configure(std::make_shared<const Settings>(settings));
        lane = transport->open_lane();
        names.put("mute.example", {"127.0.0.1"});
    }
    void TearDown() override {
        lane.reset();
        transport.reset();
        curl_global_cleanup();
    }

    void start(void* cookie) {
        WireRequest request;
        request.cookie = cookie;
        request.target = std::make_shared<const Target>(
            parse_url("https://mute.example:" + std::to_string(mute.port) + "/", false));
        request.hook_headers = std::make_shared<const HeaderLines>();
        request.body = std::make_shared<const std::string>("{}");
        transport->start(*lane, std::move(request));
    }

    bool step_until_heard() {
        const auto end = std::chrono::steady_clock::now() + seconds(20);
        while (!mute.has_heard() && std::chrono::steady_clock::now() < end) {
            transport->push_started();
            transport->step();
            pollfd fd{transport->fd(), POLLIN, 0};
            poll(&fd, 1, 5);
        }
        return mute.has_heard();
    }

    SystemClock clock;
    Names names;
    Mute mute;
    std::unique_ptr<CurlTransport> transport;
    std::unique_ptr<WireLane> lane;
};

// Its name is no silent one: nobody was asked for it.
TEST_F(WaitingTest, WhoGivesUpLeavesNoLookUpBehind) {
    if (!speaks_http2())
        GTEST_SKIP()
            << "where a connection takes one request at a time, nobody waits for another's";
    char first = 0;
    start(&first);
    ASSERT_TRUE(step_until_heard());
    const int before = Names::asked("mute.example");
    char cookies[lookup_places_of_one_silent + 1];
    for (char& cookie : cookies)
        start(&cookie);
    for (int n = 0; n < 20; ++n) {
        transport->push_started();
        transport->step();
    }
    for (char& cookie : cookies)
        transport->cancel(*lane, &cookie);
    EXPECT_EQ(Names::asked("mute.example"), before);
    EXPECT_TRUE(transport->may_look_up("mute.example"));
    EXPECT_EQ(transport->lookups(), 0);
}

}  // namespace
}  // namespace whisperer::engine
