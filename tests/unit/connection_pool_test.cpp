// When connections end that would go on looking alive: by age, after a silence, after failures, and
// when nobody needs them.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/dispatcher_fixture.h"
#include "tests/unit/engine_driver.h"
#include "tests/unit/shifted_clock.h"
#include "worker/wire/curl_transport.h"

namespace whisperer::engine {
namespace {

class ConnectionPoolTest : public testing::Test {
  protected:
    void SetUp() override {
        WhispererSettings settings = small_settings();
        settings.allowed_networks = span("127.0.0.0/8");
        curl_global_init(CURL_GLOBAL_DEFAULT);
        transport = std::make_unique<CurlTransport>(clock, descriptors);
        transport->configure(std::make_shared<const Settings>(settings));
    }
    void TearDown() override {
        lanes.clear();
        transport.reset();
        curl_global_cleanup();
    }

    void start(void* cookie, std::int64_t owner = 1) {
        WireRequest request;
        request.cookie = cookie;
        request.owner = owner;
        request.target = std::make_shared<const Target>(parse_url(server.url(), false));
        request.hook_headers = std::make_shared<const HeaderLines>();
        request.body = std::make_shared<const std::string>("{}");
        std::unique_ptr<WireLane>& lane = lanes[owner];
        if (lane == nullptr)
            lane = transport->open_lane();
        transport->start(*lane, std::move(request));
    }

    void step() {
        transport->push_started();
        transport->step();
        server.step();
        pollfd fd{transport->fd(), POLLIN, 0};
        poll(&fd, 1, 1);
    }

    // The connection that the request went out on.
    int send(std::int64_t owner = 1) {
        char cookie = 0;
        start(&cookie, owner);
        std::vector<WireResult> results;
        const auto end = std::chrono::steady_clock::now() + seconds(20);
        int http_status = 0;
        while (http_status == 0 && std::chrono::steady_clock::now() < end) {
            step();
            results.clear();
            transport->take_results(results);
            // Others may end meanwhile.
            for (const WireResult& result : results)
                if (result.cookie == &cookie)
                    http_status = result.http_status;
        }
        EXPECT_EQ(http_status, 200);
        return server.requests.back().connection;
    }

    static constexpr int descriptors = 16;
    ShiftedClock clock;
    HttpServer server;
    std::unique_ptr<CurlTransport> transport;
    std::map<std::int64_t, std::unique_ptr<WireLane>> lanes;  // by owner
};

TEST_F(ConnectionPoolTest, ItsConnectionsEndByAgeAlthoughTheyAreUsed) {
    EXPECT_EQ(send(), 1);
    for (int n = 0; n < 4; ++n) {
        clock.shift += pool_age_max / 5;
        EXPECT_EQ(send(), 1);
    }
    clock.shift += pool_age_max / 5;
    EXPECT_EQ(send(), 2);
}

TEST_F(ConnectionPoolTest, WhatRunsOnAnOldOneEndsByItself) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.delay = milliseconds(50);
        return reply;
    });
    char cookie = 0;
    start(&cookie);
    while (server.requests.empty())
        step();
    clock.shift += pool_age_max;
    EXPECT_EQ(send(), 2);
    EXPECT_EQ(server.requests.size(), 2U) << "nothing is sent again";
}

TEST_F(ConnectionPoolTest, WhatNobodyUsesIsClosed) {
    EXPECT_EQ(send(), 1);
    clock.shift += pool_unused_max;
    step();
    EXPECT_EQ(send(), 2);
}

TEST_F(ConnectionPoolTest, ManyOwnersLeaveNoMoreConnectionsThanThereIsRoomFor) {
    for (int owner = 1; owner <= 4 * descriptors; ++owner)
        send(owner);
    for (int n = 0; n < 10; ++n)
        step();
    EXPECT_LE(server.fds().size(), std::size_t{descriptors});
    EXPECT_EQ(send(4 * descriptors), 4 * descriptors) << "the one that was used last is kept";
}

// libcurl may end one request and begin the next in one call. What lies behind the first one's
// answer, of which it has read no more than its length, is no answer to the second.
TEST_F(ConnectionPoolTest, NothingBehindAnAnswerIsTakenForTheNext) {
    constexpr std::size_t read_at_once = 16384;
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 16000\r\nX-Fill: ";
    const std::string answer = head + std::string(read_at_once - 16000 - head.size() - 4, 'f') +
                               "\r\n\r\n" + std::string(16000, 'b');
    ASSERT_EQ(answer.size(), read_at_once);
    server.set_handler([&](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = answer + "HTTP/1.1 500 Stale\r\nContent-Length: 0\r\n\r\n";
        return reply;
    });
    char first = 0;
    start(&first);
    transport->push_started();
    while (server.requests.empty()) {
        server.step();
        transport->step();
    }
    server.set_handler([](const HttpRequest&) { return HttpReply(); });
    char second = 0;
    start(&second);
    std::vector<WireResult> results;
    std::map<const void*, int> statuses;
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (statuses.size() < 2 && std::chrono::steady_clock::now() < end) {
        transport->step();
        server.step();
        results.clear();
        transport->take_results(results);
        for (const WireResult& result : results)
            statuses[result.cookie] = result.http_status;
    }
    EXPECT_EQ(statuses[&first], 200);
    EXPECT_EQ(statuses[&second], 200);
    EXPECT_EQ(server.connections, 2);
}

// The last look at a connection is right before its next request goes.
TEST_F(ConnectionPoolTest, NothingThatComesBeforeTheRequestIsItsAnswer) {
    EXPECT_EQ(send(), 1);
    char cookie = 0;
    start(&cookie);
    server.send_unasked("HTTP/1.1 500 Stale\r\nContent-Length: 0\r\n\r\n");
    std::vector<WireResult> results;
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (results.empty() && std::chrono::steady_clock::now() < end) {
        step();
        transport->take_results(results);
    }
    ASSERT_EQ(results.size(), 1U);
    EXPECT_EQ(results[0].http_status, 200);
    EXPECT_EQ(server.connections, 2);
}

class SuspiciousTest : public testing::Test {
  protected:
    void SetUp() override {
        driver.settings.request_timeout_ms = 400;
        driver.settings.park_after_ms = 5000;
        driver.create();
        server.set_handler([](const HttpRequest&) {
            HttpReply reply;
            reply.delay = milliseconds(50);
            return reply;
        });
        for (int hook = 1; hook <= kept; ++hook) {
            EXPECT_EQ(driver.put_hook(hook, server.url()), WhispererOk);
            EXPECT_EQ(driver.submit(7, hook), WhispererOk);
        }
        EXPECT_TRUE(driver.run_for(&server, kept));
        EXPECT_EQ(server.connections, kept);
    }

    WhispererOutcomeKind deliver() {
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, 1), WhispererOk);
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.back().kind;
    }

    static constexpr int kept = 4;
    HttpServer server;
    EngineDriver driver;
};

// A router that has forgotten one connection has forgotten the others, too.
TEST_F(SuspiciousTest, AfterASilenceNoneOfThemIsUsed) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.hang = true;
        return reply;
    });
    EXPECT_EQ(deliver(), WhispererRetry);
    server.set_handler([](const HttpRequest&) { return HttpReply(); });
    EXPECT_EQ(deliver(), WhispererDelivered);
    EXPECT_EQ(server.connections, kept + 1);
}

TEST_F(SuspiciousTest, AfterTwoFailuresInARowNoneOfThemIsUsed) {
    const auto broken = [](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2";
        reply.close = true;
        return reply;
    };
    server.set_handler(broken);
    EXPECT_EQ(deliver(), WhispererRetry);
    server.set_handler([](const HttpRequest&) { return HttpReply(); });
    EXPECT_EQ(deliver(), WhispererDelivered);
    EXPECT_EQ(server.connections, kept) << "one failure is none in a row";
    server.set_handler(broken);
    EXPECT_EQ(deliver(), WhispererRetry);
    EXPECT_EQ(deliver(), WhispererRetry);
    server.set_handler([](const HttpRequest&) { return HttpReply(); });
    EXPECT_EQ(deliver(), WhispererDelivered);
    EXPECT_EQ(server.connections, kept + 1);
}

sockaddr_in loopback(const char* address, std::uint16_t port) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    inet_pton(AF_INET, address, &name.sin_addr);
    return name;
}

// A socket, bound where the system or the test says; -1: it could not be.
int bound_socket(const sockaddr_in& name) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(socket, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0)
        return socket;
    close(socket);
    return -1;
}

std::uint16_t port_of(int socket) {
    sockaddr_in name{};
    socklen_t size = sizeof name;
    getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size);
    return ntohs(name.sin_port);
}

// A host may have several addresses, and the system takes one local port for each of them.
TEST(ConnectionEnds, OneLocalPortMayLeadToTwoAddresses) {
    SystemClock clock;
    EpollSet sockets;
    Pools pools(clock, sockets, 100);
    const auto origin = pools.origin(1, "http://two.example/", false);
    const auto pool = origin->enter(clock.steady());
    std::vector<int> open;
    std::uint16_t port = 0;
    for (const char* address : {"127.0.0.1", "127.0.0.2"}) {
        const int listener = bound_socket(loopback(address, 0));
        ASSERT_EQ(listen(listener, 1), 0);
        const int socket = bound_socket(loopback("127.0.0.1", port));
        ASSERT_GE(socket, 0);
        port = port_of(socket);
        const sockaddr_in peer = loopback(address, port_of(listener));
        ASSERT_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&peer), sizeof peer), 0);
        pools.opened(socket, *pool);
        open.insert(open.end(), {socket, listener});
    }
    const auto found = [&](const char* address) {
        return pool->find_ends(port, *Address::parse(address));
    };
    ASSERT_NE(found("127.0.0.1"), nullptr);
    EXPECT_EQ(found("127.0.0.1")->socket, open[0]);
    ASSERT_NE(found("127.0.0.2"), nullptr);
    EXPECT_EQ(found("127.0.0.2")->socket, open[2]);
    EXPECT_EQ(found("127.0.0.3"), nullptr);
    for (const int socket : {open[0], open[2]})
        pools.closed(socket);
    origin->leave(pool, Heard::Answer, clock.steady());
    for (const int socket : open)
        close(socket);
}

}  // namespace
}  // namespace whisperer::engine
