// What becomes of HTTP/2 connections whose path has died, that are told to go, or that are never
// idle.  Only where libcurl is new enough for HTTP/2; tests/anywhere has such.
#include "tests/unit/http2_server.h"

#if __has_include(<nghttp2/nghttp2.h>)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dispatcher_fixture.h"
#include "tests/unit/engine_driver.h"
#include "tests/unit/shifted_clock.h"
#include "worker/wire/curl_transport.h"
#include "worker/wire/http_versions.h"

namespace whisperer::engine {
namespace {

class Http2Test : public testing::Test {
  protected:
    void SetUp() override {
        if (!speaks_http2())
            GTEST_SKIP() << "no HTTP/2: " << http_versions_text();
        driver.settings.request_timeout_ms = 2000;
        driver.settings.park_after_ms = 5000;
        driver.settings.ca_file = span_of(server.certificate_file());
        driver.create();
        for (int hook = 1; hook <= hooks; ++hook)
            ASSERT_EQ(driver.put_hook(hook, server.url()), WhispererOk);
    }

    void deliver_to_all() {
        const std::size_t before = driver.got.size();
        for (int hook = 1; hook <= hooks; ++hook)
            EXPECT_EQ(driver.submit(7, hook), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_until(nullptr, [&] {
            server.step();
            return driver.got.size() >= before + std::size_t{hooks};
        }));
    }

    Got deliver(const std::string& data = "{}") {
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, 1, data), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_until(nullptr, [&] {
            server.step();
            return driver.got.size() > before;
        }));
        return driver.got.size() > before ? driver.got[before] : Got{};
    }

    std::int64_t reposts() {
        WhispererCounts counts;
        whisperer_engine_counts(driver.engine, &counts);
        return counts.reposts_total;
    }

    static constexpr int hooks = 4;
    Http2Server server;
    EngineDriver driver;
};

TEST_F(Http2Test, RequestsShareAConnection) {
    deliver_to_all();
    deliver_to_all();
    for (const Got& got : driver.got)
        EXPECT_EQ(got.kind, WhispererDelivered) << got.error;
    EXPECT_EQ(server.connections, 1);
}

TEST_F(Http2Test, OwnersShareNone) {
    ASSERT_EQ(driver.put_hook(2, server.url(), "secret", "", "", "", 20), WhispererOk);
    deliver_to_all();
    deliver_to_all();
    for (const Got& got : driver.got)
        EXPECT_EQ(got.kind, WhispererDelivered) << got.error;
    EXPECT_EQ(server.connections, 2);
}

// A receiver that knows by the headers does not read what is behind them.
TEST_F(Http2Test, AnAnswerBeforeTheBodyCounts) {
    const std::string large = "\"" + std::string(2 << 20, 'x') + "\"";
    for (const int status : {202, 410, 413, 429}) {
        server.early_status = status;
        for (const std::string& data : {std::string("{}"), large}) {
            const Got got = deliver(data);
            EXPECT_EQ(got.http_status, status) << got.error;
            EXPECT_EQ(got.hook_gone, status == 410);
        }
    }
    EXPECT_EQ(server.requests.size(), 8U);
    EXPECT_EQ(reposts(), 0);
}

// Those that it has taken are answered, the others go by another connection.
TEST_F(Http2Test, WhatAServerThatIsLeavingDidNotTakeGoesOnceMore) {
    deliver_to_all();
    int taken = 0;
    server.set_handler([&](const Http2Request& request) {
        return request.connection > 1 || ++taken <= 2 ? Http2Reply::Ok : Http2Reply::GoAway;
    });
    deliver_to_all();
    for (const Got& got : driver.got)
        EXPECT_EQ(got.kind, WhispererDelivered) << got.error;
    EXPECT_EQ(server.connections, 2);
    EXPECT_EQ(reposts(), 2);
}

// A router has forgotten it: nothing comes back, and nothing says so.
TEST_F(Http2Test, AConnectionWhosePathDiedGetsNoMoreRequests) {
    deliver_to_all();
    server.forget_connections();
    EXPECT_EQ(deliver().error, "no response within 2 s");
    for (int n = 0; n < 3; ++n)
        EXPECT_EQ(deliver().kind, WhispererDelivered);
    EXPECT_EQ(server.connections, 2);
    EXPECT_EQ(reposts(), 0);
}

class NotProcessedTest : public Http2Test, public testing::WithParamInterface<Http2Reply> {};

TEST_P(NotProcessedTest, GoesOnceMoreWithinTheAttempt) {
    deliver();
    server.set_handler([&](const Http2Request& request) {
        return request.is_first ? Http2Reply::Ok : GetParam();
    });
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererDelivered) << got.error;
    EXPECT_EQ(server.requests.size(), 3U);
    EXPECT_EQ(reposts(), 1);
}

TEST_P(NotProcessedTest, GoesNoThirdTime) {
    deliver();
    server.set_handler([](const Http2Request&) { return GetParam(); });
    EXPECT_EQ(deliver().kind, WhispererRetry);
    EXPECT_EQ(server.requests.size(), 3U);
    EXPECT_EQ(reposts(), 1);
}

INSTANTIATE_TEST_SUITE_P(All, NotProcessedTest,
                         testing::Values(Http2Reply::Refuse, Http2Reply::GoAway, Http2Reply::Drop),
                         [](const auto& info) {
                             return info.param == Http2Reply::Refuse   ? "Refused"
                                    : info.param == Http2Reply::GoAway ? "GoneAway"
                                                                       : "Dropped";
                         });

// There is always a request on it, so it never is the idle one that libcurl looks at.
TEST(Http2Age, AConnectionThatIsNeverIdleEnds) {
    if (!speaks_http2())
        GTEST_SKIP() << "no HTTP/2: " << http_versions_text();
    Http2Server server([](const Http2Request&) { return Http2Reply::Silent; });
    WhispererSettings settings = small_settings();
    settings.allowed_networks = span("127.0.0.0/8");
    settings.ca_file = span_of(server.certificate_file());
    settings.request_timeout_ms = 60 * 1000;
    settings.park_after_ms = 60 * 1000;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    ShiftedClock clock;
    {
        CurlTransport transport(clock, 100);
        transport.configure(std::make_shared<const Settings>(settings));
        const auto lane = transport.open_lane();
        const auto target = std::make_shared<const Target>(parse_url(server.url(), false));
        char cookies[10];
        std::vector<int> used;
        for (char& cookie : cookies) {
            WireRequest request;
            request.cookie = &cookie;
            request.target = target;
            request.hook_headers = std::make_shared<const HeaderLines>();
            request.body = std::make_shared<const std::string>("{}");
            transport.start(*lane, std::move(request));
            const auto end = std::chrono::steady_clock::now() + seconds(20);
            while (server.requests.size() == used.size() &&
                   std::chrono::steady_clock::now() < end) {
                transport.push_started();
                transport.step();
                server.step();
                pollfd fd{transport.fd(), POLLIN, 0};
                poll(&fd, 1, 1);
            }
            ASSERT_EQ(server.requests.size(), used.size() + 1);
            used.push_back(server.requests.back().connection);
            clock.shift += pool_age_max / 5;
        }
        EXPECT_THAT(used, testing::ElementsAre(1, 1, 1, 1, 1, 2, 2, 2, 2, 2));
    }
    curl_global_cleanup();
}

}  // namespace
}  // namespace whisperer::engine
#endif
