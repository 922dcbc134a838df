// Which connection a request goes out on: none that may hold another's answer, none of another
// owner's, and a fresh one, once, when the one that it went out on was left by its receiver.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/engine_driver.h"
#include "tests/unit/names.h"

namespace whisperer::engine {
namespace {

const std::string second_answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTALE";

HttpReply not_stored(const HttpRequest&) {
    return HttpReply::status(500, "not stored");
}

class ConnectionTest : public testing::Test {
  protected:
    void SetUp() override { driver.create(); }

    Got deliver(std::int64_t hook = 1) {
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, hook), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.size() > before ? driver.got[before] : Got{};
    }

    // One for each of these hooks, all at once.
    void deliver_to_all(int hooks) {
        const std::size_t before = driver.got.size();
        for (int hook = 1; hook <= hooks; ++hook)
            EXPECT_EQ(driver.submit(7, hook), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(&server, before + static_cast<std::size_t>(hooks)));
    }

    std::int64_t reposts() {
        WhispererCounts counts;
        whisperer_engine_counts(driver.engine, &counts);
        return counts.reposts_total;
    }

    HttpServer server;
    EngineDriver driver;
};

struct Unasked {
    const char* name;
    const char* answer;
    std::string later;
};

class UnaskedTest : public ConnectionTest, public testing::WithParamInterface<Unasked> {};

TEST_P(UnaskedTest, IsNoAnswerToTheNextRequest) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = GetParam().answer;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    if (!GetParam().later.empty())
        server.send_unasked(GetParam().later);
    server.set_handler(not_stored);
    for (std::size_t n = 2; n <= 4; ++n) {
        const Got got = deliver();
        EXPECT_EQ(got.http_status, 500) << got.error;
        EXPECT_EQ(got.response, "not stored");
        ASSERT_EQ(server.requests.size(), n) << "nothing is sent twice";
    }
    EXPECT_NE(server.requests[1].connection, server.requests[0].connection);
    EXPECT_EQ(reposts(), 0);
}

constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* chunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
constexpr const char* none = "HTTP/1.1 204 No Content\r\n\r\n";

INSTANTIATE_TEST_SUITE_P(
    All, UnaskedTest,
    testing::Values(Unasked{"ASecondAnswer", ok, second_answer},
                    Unasked{"ASecondAnswerToChunks", chunked, second_answer},
                    Unasked{"ABodyOf204", none, "{\"ok\":true}"}, Unasked{"ALine", ok, "\r\n"},
                    Unasked{"MoreThanItsLength", ok, " and more"},
                    Unasked{"AnInterimAnswer", ok, "HTTP/1.1 100 Continue\r\n\r\n"},
                    Unasked{"AGoodbye", ok,
                            "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"},
                    Unasked{"ASecondAnswerAtOnce",
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTALE",
                            ""},
                    Unasked{"MoreThanItsLengthAtOnce",
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", ""}),
    [](const auto& info) { return info.param.name; });

// The second answer may come too late to be seen before the next request goes out.  Then it is
// taken for that one's; so a receiver that was seen to do this gets no chance to do it again.
TEST_F(ConnectionTest, WhoSendsMoreThanAnswersGetsOneRequestAConnection) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    deliver();
    deliver();
    EXPECT_EQ(server.connections, 1);
    server.send_unasked(second_answer);
    for (int n = 2; n <= 5; ++n) {
        EXPECT_EQ(deliver().response, "ok");
        EXPECT_EQ(server.connections, n);
    }
}

TEST_F(ConnectionTest, OneThatSaysGoodbyeKeepsItsConnections) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    deliver();
    server.send_unasked("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    deliver();
    deliver();
    EXPECT_EQ(server.connections, 2);
}

TEST_F(ConnectionTest, IsSharedByHooksOfOneOwnerOnly) {
    for (const int hook : {1, 2})
        ASSERT_EQ(driver.put_hook(hook, server.url(), "", "", "", "", 10), WhispererOk);
    ASSERT_EQ(driver.put_hook(3, server.url(), "", "", "", "", 20), WhispererOk);
    for (const int hook : {1, 2, 3, 1, 3, 2})
        EXPECT_EQ(deliver(hook).kind, WhispererDelivered);
    std::vector<int> connections;
    for (const HttpRequest& request : server.requests)
        connections.push_back(request.connection);
    EXPECT_THAT(connections, testing::ElementsAre(1, 1, 2, 1, 2, 1));
    // It is given to the other one.
    ASSERT_EQ(driver.put_hook(1, server.url(), "", "", "", "", 20), WhispererOk);
    EXPECT_EQ(deliver(1).kind, WhispererDelivered);
    EXPECT_EQ(server.requests.back().connection, 2);
}

TEST_F(ConnectionTest, WhatABrokenConnectionTookIsSentOnceMore) {
    constexpr int kept = 4;
    const auto slowly = [](const HttpRequest&) {
        HttpReply reply;
        reply.delay = std::chrono::milliseconds(100);
        return reply;
    };
    for (const bool reset : {false, true}) {
        server.close_connections();
        server.set_handler(slowly);
        for (int hook = 1; hook <= kept; ++hook)
            ASSERT_EQ(driver.put_hook(hook, server.url()), WhispererOk);
        deliver_to_all(kept);
        server.set_handler([=](const HttpRequest&) {
            HttpReply reply;
            reply.bytes = "";
            reply.close = true;
            reply.reset = reset;
            return reply;
        });
        const std::size_t before = server.requests.size();
        const int connections = server.connections;
        const std::int64_t reposts_before = reposts();
        EXPECT_EQ(deliver().kind, WhispererRetry);
        EXPECT_EQ(server.requests.size() - before, 2U);
        EXPECT_EQ(server.connections - connections, 1) << "the second on a fresh one";
        EXPECT_EQ(reposts() - reposts_before, 1);
        EXPECT_EQ(deliver().kind, WhispererRetry);
        EXPECT_EQ(server.requests.size() - before, 3U) << "a fresh one is not left";
    }
}

TEST_F(ConnectionTest, BreakingOffAnAnswerIsNoReasonToSendAgain) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    deliver();
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2";
        reply.close = true;
        return reply;
    });
    EXPECT_EQ(deliver().kind, WhispererRetry);
    EXPECT_EQ(server.requests.size(), 2U);
}

// libcurl gives up after five times in a handle's life.
TEST_F(ConnectionTest, EveryEventMayFindItsConnectionLeft) {
    std::map<int, int> served;
    server.set_handler([&](const HttpRequest& request) {
        HttpReply reply;
        reply.reset = ++served[request.connection] > 1;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    for (int n = 1; n <= 20; ++n)
        EXPECT_EQ(deliver().kind, WhispererDelivered) << n;
    EXPECT_EQ(server.requests.size(), 39U);
    EXPECT_EQ(reposts(), 19);
}

// The second goes out on a connection that no other request has left behind.
TEST_F(ConnectionTest, ManyAtOnceAreSentTwiceAtMost) {
    constexpr int hooks = 8;
    constexpr int events = 25;
    std::map<int, int> served;
    server.set_handler([&](const HttpRequest& request) {
        HttpReply reply;
        reply.delay = std::chrono::milliseconds(1);
        reply.reset = ++served[request.connection] > 1;
        return reply;
    });
    for (int hook = 1; hook <= hooks; ++hook)
        ASSERT_EQ(driver.put_hook(hook, server.url()), WhispererOk);
    for (int n = 0; n < hooks * events; ++n)
        ASSERT_EQ(driver.submit(7, 1 + n % hooks, "{\"n\":" + std::to_string(n) + "}"),
                  WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, hooks * events));
    for (const Got& got : driver.got)
        EXPECT_EQ(got.kind, WhispererDelivered) << got.error;
    std::map<std::string, int> times;
    for (const HttpRequest& request : server.requests)
        EXPECT_LE(++times[request.body], 2);
}

// Where rules have changed, a connection of before may be to an address that they forbid.
TEST_F(ConnectionTest, IsLeftWhenTheRulesChange) {
    Names names;
    names.put("two.example", {"127.0.0.1", "127.0.1.1"});
    ASSERT_EQ(driver.put_hook(1, "http://two.example:" + std::to_string(server.port()) + "/"),
              WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    driver.settings.allowed_networks = {"127.0.1.0/24", 12};
    driver.settings.park_after_ms = 60 * 1000;
    ASSERT_EQ(driver.configure(), WhispererOk);
    EXPECT_EQ(deliver().error, "could not connect: connection refused") << "by the other address";
    driver.settings.allowed_networks = {"10.0.0.0/8", 10};
    ASSERT_EQ(driver.configure(), WhispererOk);
    EXPECT_THAT(deliver().error, testing::StartsWith("address 127.0."));
    EXPECT_EQ(server.requests.size(), 1U);
}

// So large that it is still being sent when the connection breaks.
TEST_F(ConnectionTest, ALargeRequestIsSentOnceMore) {
    std::map<int, int> served;
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    deliver();
    server.close_after_bytes = 100'000;
    const std::string data = "{\"fill\":\"" + std::string(5'000'000, 'f') + "\"}";
    const std::size_t before = driver.got.size();
    ASSERT_EQ(driver.submit(7, 1, data), WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, before + 1));
    EXPECT_EQ(driver.got.back().kind, WhispererDelivered) << driver.got.back().error;
    EXPECT_EQ(server.connections, 2);
    EXPECT_EQ(reposts(), 1);
}

// Garbage in place of an answer says nothing of this request where others went before.
TEST_F(ConnectionTest, WhatIsNoAnswerOnAUsedConnectionIsNotThisRequests) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    deliver();
    int n = 0;
    server.set_handler([&](const HttpRequest&) {
        HttpReply reply;
        if (++n == 1)
            reply.bytes = "{\"ok\":true}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTALE";
        return reply;
    });
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererDelivered) << got.error;
    EXPECT_EQ(got.response, "ok");
    EXPECT_EQ(server.connections, 2);
}

TEST_F(ConnectionTest, WhatIsSentAgainEndsWithItsAttempt) {
    driver.settings.request_timeout_ms = 1000;
    driver.settings.park_after_ms = 5000;
    ASSERT_EQ(driver.configure(), WhispererOk);
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    deliver();
    server.set_handler([&](const HttpRequest& request) {
        HttpReply reply;
        reply.delay = std::chrono::milliseconds(600);
        reply.reset = request.connection == 1;
        reply.hang = request.connection > 1;
        return reply;
    });
    const Got got = deliver();
    EXPECT_THAT(got.error, testing::StartsWith("no response"));
    EXPECT_EQ(server.requests.size(), 3U);
}

}  // namespace
}  // namespace whisperer::engine
