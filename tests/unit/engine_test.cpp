// The engine through its door, against a real server on this machine.
#include "worker/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/unit/engine_driver.h"
#include "worker/rules/signature.h"

namespace whisperer::engine {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class EngineTest : public testing::Test {
  protected:
    void SetUp() override { driver.create(); }

    // Submits one delivery to hook 1 and waits for its (first) outcome.
    Got deliver(const std::string& data = R"({"id":61})") {
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, 1, data), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.size() > before ? driver.got[before] : Got{};
    }

    HttpServer server;
    EngineDriver driver;
};

TEST_F(EngineTest, DeliversByteForByteWithAllHeaders) {
    ASSERT_EQ(driver.put_hook(1, server.url("/a?b=c"), "secret", R"({"X-Tenant":"blue"})"),
              WhispererOk)
        << driver.error.message;
    const std::string data = "{ \"n\" : 1.50,\n\t\"s\":\"\\u00e9\xC3\xA9\" }";
    const Got got = deliver(data);
    EXPECT_EQ(got.kind, WhispererDelivered);
    EXPECT_EQ(got.token, 7U);
    EXPECT_EQ(got.hook_id, 1);
    EXPECT_EQ(got.http_status, 200);
    EXPECT_TRUE(got.attempted);
    EXPECT_EQ(got.response, "ok");
    EXPECT_EQ(got.error, "");
    EXPECT_GT(got.started_at_us, 1'600'000'000'000'000);
    EXPECT_GT(got.response_time_us, 0);

    ASSERT_EQ(server.requests.size(), 1U);
    auto& request = server.requests[0];
    const std::string body =
        R"({"event":{"type":"package-created","uuid":"0102030405060708090a0b0c0d0e0f10"},"data":)" +
        data + "}";
    EXPECT_EQ(request.request_line, "POST /a?b=c HTTP/1.1");
    EXPECT_EQ(request.body, body);
    EXPECT_EQ(request.headers["content-type"], "application/json");
    EXPECT_EQ(request.headers["user-agent"], "whisperer/1.0");
    EXPECT_EQ(request.headers["x-whisperer-event"], "package-created");
    EXPECT_EQ(request.headers["x-whisperer-hook"], "1");
    EXPECT_EQ(request.headers["x-tenant"], "blue");
    EXPECT_EQ(request.headers["webhook-id"], "0102030405060708090a0b0c0d0e0f10");
    EXPECT_EQ(request.headers["webhook-timestamp"], std::to_string(got.started_at_us / 1'000'000));
    const Signer signer("secret", "");
    EXPECT_EQ(request.headers["x-whisperer-signature"], signer.body_signature(body));
    EXPECT_EQ(request.headers["webhook-signature"],
              signer.webhook_signature(request.headers["webhook-id"],
                                       request.headers["webhook-timestamp"], body));
    EXPECT_EQ(request.headers.count("expect"), 0U);
}

TEST_F(EngineTest, LargeBodiesGoWithoutExpect) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const std::string data = '"' + std::string(3'000'000, 'x') + '"';
    EXPECT_EQ(deliver(data).kind, WhispererDelivered);
    ASSERT_EQ(server.requests.size(), 1U);
    EXPECT_THAT(server.requests[0].body, HasSubstr(data));
    EXPECT_EQ(server.requests[0].headers.count("expect"), 0U);
}

TEST_F(EngineTest, UnsignedWithoutSecret) {
    ASSERT_EQ(driver.put_hook(1, server.url(), ""), WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    EXPECT_EQ(server.requests[0].headers.count("webhook-signature"), 0U);
    EXPECT_EQ(server.requests[0].headers.count("x-whisperer-signature"), 0U);
    EXPECT_EQ(server.requests[0].headers.count("webhook-id"), 1U);
}

TEST_F(EngineTest, ReusesConnectionsAndCountsThem) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(deliver().kind, WhispererDelivered);
    EXPECT_EQ(server.requests.size(), 20U);
    EXPECT_EQ(server.connections, 1);
    WhispererCounts counts{};
    whisperer_engine_counts(driver.engine, &counts);
    EXPECT_EQ(counts.connections_total, 1);
    EXPECT_EQ(counts.delivered_total, 20);
    EXPECT_EQ(counts.in_flight, 0);
    EXPECT_EQ(counts.queued, 0);
    EXPECT_EQ(counts.queued_bytes, 0);
}

TEST_F(EngineTest, DroppedIdleConnectionIsNoFailure) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    server.close_connections();
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    EXPECT_EQ(server.connections, 2);
}

TEST_F(EngineTest, HangIsParkedThenRetried) {
    driver.settings.park_after_ms = 100;
    driver.settings.request_timeout_ms = 600;
    ASSERT_EQ(driver.configure(), WhispererOk);
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.hang = true;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got parked = deliver();
    EXPECT_EQ(parked.kind, WhispererParked);
    EXPECT_TRUE(parked.attempted);
    EXPECT_GE(parked.next_after_ms, 500);
    EXPECT_LE(parked.next_after_ms, 1600);
    ASSERT_TRUE(driver.run_for(&server, 2));
    const Got& got = driver.got[1];
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "no response within 600 ms");
    EXPECT_EQ(got.started_at_us, parked.started_at_us);
    EXPECT_LE(got.response_time_us, 1'000'000);
}

TEST_F(EngineTest, SlowAnswerIsParkedThenDelivered) {
    driver.settings.park_after_ms = 50;
    ASSERT_EQ(driver.configure(), WhispererOk);
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.delay = std::chrono::milliseconds(150);
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererParked);
    ASSERT_TRUE(driver.run_for(&server, 2));
    EXPECT_EQ(driver.got[1].kind, WhispererDelivered);
    EXPECT_EQ(driver.got[1].token, 7U);
}

TEST_F(EngineTest, ResetIsAFailedAttempt) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.reset = true;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "connection lost: connection reset by peer");
}

TEST_F(EngineTest, CloseWithoutAnswer) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = "";
        reply.close = true;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "connection closed without a response");
}

TEST_F(EngineTest, StatusesThatFail) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    for (int status : {300, 400, 404, 500, 503}) {
        server.set_handler(
            [=](const HttpRequest&) { return HttpReply::status(status, "no\xFF\0!"); });
        const Got got = deliver();
        EXPECT_EQ(got.kind, WhispererRetry);
        EXPECT_EQ(got.http_status, status);
        EXPECT_EQ(got.error, "HTTP status " + std::to_string(status));
        EXPECT_EQ(got.response, "no\xEF\xBF\xBD");
        EXPECT_FALSE(got.hook_gone);
    }
}

TEST_F(EngineTest, RedirectIsNotFollowed) {
    HttpServer other;
    server.set_handler([&](const HttpRequest&) {
        return HttpReply::status(301, "", "Location: " + other.url("/new") + "\r\n");
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    other.step();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.http_status, 301);
    EXPECT_EQ(got.error, "redirect refused: 301 to " + other.url("/new"));
    EXPECT_EQ(other.connections, 0);
}

TEST_F(EngineTest, GoneDisablesTheHook) {
    server.set_handler([](const HttpRequest&) { return HttpReply::status(410); });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererFailed);
    EXPECT_TRUE(got.hook_gone);
}

TEST_F(EngineTest, RetryAfterRaisesTheWait) {
    server.set_handler(
        [](const HttpRequest&) { return HttpReply::status(429, "", "Retry-After: 3600\r\n"); });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().next_after_ms, 3'600'000);
    // ... and is forgotten by the next answer on the same handle.
    server.set_handler([](const HttpRequest&) { return HttpReply::status(503); });
    EXPECT_LE(deliver().next_after_ms, 6000);
    server.set_handler(
        [](const HttpRequest&) { return HttpReply::status(500, "", "Retry-After: 3600\r\n"); });
    EXPECT_LE(deliver().next_after_ms, 6000);
    server.set_handler([](const HttpRequest&) {
        return HttpReply::status(503, "", "Retry-After: Fri, 31 Dec 2199 23:59:59 GMT\r\n");
    });
    EXPECT_EQ(deliver().next_after_ms, 24 * 3'600'000);
}

TEST_F(EngineTest, LongAnswersAreCutAndStillDelivered) {
    server.set_handler(
        [](const HttpRequest&) { return HttpReply::status(200, std::string(1'000'000, 'y')); });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    Got got = deliver();
    EXPECT_EQ(got.kind, WhispererDelivered);
    EXPECT_EQ(got.response, std::string(1024, 'y'));
    server.set_handler(
        [](const HttpRequest&) { return HttpReply::status(500, std::string(1'000'000, 'n')); });
    got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "HTTP status 500");
    EXPECT_EQ(got.response, std::string(8192, 'n'));
}

TEST_F(EngineTest, SuccessWhoseBodyBreaksOffIsDelivered) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = "HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\npart";
        reply.close = true;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererDelivered);
    EXPECT_EQ(got.http_status, 202);
    EXPECT_EQ(got.response, "part");
}

TEST_F(EngineTest, SuccessWhoseHeadersBreakOffIsNot) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = "HTTP/1.1 200 OK\r\nX-Part: ";
        reply.close = true;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.http_status, 0);
}

TEST_F(EngineTest, EndlessHeadersAreCut) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes = "HTTP/1.1 200 OK\r\n";
        for (int i = 0; i < 200; ++i)
            reply.bytes += "X-Fill-" + std::to_string(i) + ": " + std::string(600, 'f') + "\r\n";
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "response headers are longer than 65536 bytes");
}

TEST_F(EngineTest, EndlessInterimAnswersAreCut) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.bytes.clear();
        for (int i = 0; i < 5000; ++i)
            reply.bytes += "HTTP/1.1 100 Continue\r\n\r\n";
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().error, "response has more than 1000 header lines");
}

TEST_F(EngineTest, GuardRefusesLoopbackUnlessAllowed) {
    driver.settings.allowed_networks = {nullptr, 0};
    ASSERT_EQ(driver.configure(), WhispererOk);
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(
        got.error,
        "address 127.0.0.1 is not allowed (whisperer.allowed_networks does not name 127.0.0.1:" +
            std::to_string(server.port()) + ")");
    EXPECT_EQ(got.error_code, WhispererErrorNotAllowed);
    EXPECT_TRUE(got.attempted);
    EXPECT_EQ(server.connections, 0);
    ASSERT_EQ(driver.put_hook(1, "http://localhost:" + std::to_string(server.port()) + "/"),
              WhispererOk);
    got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_THAT(got.error, HasSubstr("is not allowed"));
    EXPECT_EQ(server.connections, 0);
}

TEST_F(EngineTest, GuardDecidesOnReusedConnectionsToo) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    driver.settings.allowed_networks = {"127.0.0.0/8:1", 13};
    ASSERT_EQ(driver.configure(), WhispererOk);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(
        got.error,
        "address 127.0.0.1 is not allowed (whisperer.allowed_networks does not name 127.0.0.1:" +
            std::to_string(server.port()) + ")");
    EXPECT_EQ(server.requests.size(), 1U);
}

TEST_F(EngineTest, DivertsEverything) {
    HttpServer sink;
    ASSERT_EQ(driver.put_hook(1, "https://customer.example/"), WhispererOk);
    const std::string url = sink.url("/sink");
    driver.settings.divert_to = span_of(url);
    ASSERT_EQ(driver.configure(), WhispererOk);
    ASSERT_EQ(driver.submit(1, 1), WhispererOk);
    ASSERT_TRUE(driver.run_for(&sink, 1));
    EXPECT_EQ(driver.got[0].kind, WhispererDelivered) << driver.got[0].error;
    EXPECT_EQ(sink.requests.at(0).request_line, "POST /sink HTTP/1.1");
    driver.settings.divert_to = {nullptr, 0};
}

TEST_F(EngineTest, GoesThroughTheProxyAndGuardsBeforeIt) {
    HttpServer proxy;
    const std::string url = proxy.url("");
    driver.settings.proxy = span_of(url);
    driver.settings.allowed_networks = {nullptr, 0};
    ASSERT_EQ(driver.configure(), WhispererOk);
    std::int64_t id = 0;
    for (const char* host : {"a.example", "10.0.0.1", "localhost", "localhost.", "127.0.0.1."}) {
        ASSERT_EQ(driver.put_hook(++id, "http://" + std::string(host) + "/x"), WhispererOk);
        ASSERT_EQ(driver.submit(static_cast<std::uint64_t>(id), id), WhispererOk);
    }
    ASSERT_TRUE(driver.run_for(&proxy, static_cast<std::size_t>(id)));
    for (const Got& got : driver.got)
        EXPECT_EQ(got.kind, got.token == 1 ? WhispererDelivered : WhispererRetry) << got.error;
    ASSERT_EQ(proxy.requests.size(), 1U);
    EXPECT_EQ(proxy.requests[0].request_line, "POST http://a.example/x HTTP/1.1");
    // There it is the proxy's own, whatever is allowed of ours.
    const std::string allowed = "127.0.0.0/8";
    driver.settings.allowed_networks = span_of(allowed);
    ASSERT_EQ(driver.configure(), WhispererOk);
    ASSERT_EQ(driver.put_hook(++id, "http://localhost./x"), WhispererOk);
    ASSERT_EQ(driver.submit(static_cast<std::uint64_t>(id), id), WhispererOk);
    ASSERT_TRUE(driver.run_for(&proxy, static_cast<std::size_t>(id)));
    EXPECT_EQ(driver.got.back().error, "host localhost. is not allowed");
    EXPECT_EQ(driver.got.back().error_code, WhispererErrorNotAllowed);
    driver.settings.proxy = {nullptr, 0};
}

TEST_F(EngineTest, RequireHttpsHoldsForHooksThatWereThereBefore) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    driver.settings.require_https = 1;
    ASSERT_EQ(driver.configure(), WhispererOk);
    EXPECT_EQ(driver.put_hook(2, server.url()), WhispererInvalid);
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "http is not allowed (whisperer.require_https is on)");
    EXPECT_EQ(got.error_code, WhispererErrorNotAllowed);
    EXPECT_EQ(server.connections, 0);
}

TEST_F(EngineTest, NewDefinitionServesNewAttempts) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.delay = std::chrono::milliseconds(50);
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url("/old"), "old"), WhispererOk);
    ASSERT_EQ(driver.submit(1, 1), WhispererOk);
    ASSERT_EQ(driver.submit(2, 1), WhispererOk);
    ASSERT_TRUE(driver.run_until(&server, [&] { return server.requests.size() == 1; }));
    ASSERT_EQ(driver.put_hook(1, server.url("/new"), "new", R"({"X-New":"yes"})"), WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, 2));
    ASSERT_EQ(server.requests.size(), 2U);
    EXPECT_EQ(server.requests[0].request_line, "POST /old HTTP/1.1");
    EXPECT_EQ(server.requests[1].request_line, "POST /new HTTP/1.1");
    EXPECT_EQ(server.requests[1].headers["x-new"], "yes");
    EXPECT_EQ(server.requests[1].headers["x-whisperer-signature"],
              Signer("new", "").body_signature(server.requests[1].body));
}

TEST_F(EngineTest, DestroyDropsWhatIsInFlight) {
    server.set_handler([](const HttpRequest&) {
        HttpReply reply;
        reply.hang = true;
        return reply;
    });
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    ASSERT_EQ(driver.submit(1, 1), WhispererOk);
    ASSERT_EQ(driver.submit(2, 1), WhispererOk);
    ASSERT_TRUE(driver.run_until(&server, [&] { return server.requests.size() == 1; }));
    whisperer_engine_destroy(driver.engine);
    driver.engine = nullptr;
    whisperer_engine_destroy(nullptr);
}

TEST_F(EngineTest, SaysWhatIsInvalid) {
    EXPECT_EQ(driver.put_hook(1, "ftp://x/"), WhispererInvalid);
    EXPECT_THAT(driver.error.message, HasSubstr("http"));
    EXPECT_EQ(driver.put_hook(1, server.url(), "whsec_?"), WhispererInvalid);
    EXPECT_EQ(driver.put_hook(1, server.url(), "s", R"({"Host":"x"})"), WhispererInvalid);
    EXPECT_EQ(driver.put_hook(1, server.url(), "s", "", R"({"choice":"x"})"), WhispererInvalid);
    EXPECT_EQ(driver.submit(1, 1), WhispererInvalid);
    EXPECT_STREQ(driver.error.message, "hook 1 was not put");
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    for (const std::string& type : {std::string(), std::string(513, 'x')}) {
        EXPECT_EQ(driver.submit(1, 1, "{}", type), WhispererInvalid);
        EXPECT_STREQ(driver.error.message, "event type must have 1 to 512 bytes");
    }
    EXPECT_EQ(driver.submit(1, 1, "{}", std::string(512, 'x')), WhispererOk);
    driver.settings.allowed_networks = {"10.0.0.0/33", 11};
    EXPECT_EQ(driver.configure(), WhispererInvalid);
    EXPECT_THAT(driver.error.message, HasSubstr("10.0.0.0/33"));
}

TEST_F(EngineTest, SaysWhetherTheCountdownHasAnotherAttempt) {
    ASSERT_EQ(driver.put_hook(1, "http://127.0.0.1:1/", "", "",
                              R"({"choice":"fixed","kwargs":{"seconds":2},"max_retries":1})"),
              WhispererOk);
    std::int64_t wait_ms = -1;
    EXPECT_EQ(whisperer_engine_next_attempt(driver.engine, 1, 1, &wait_ms), 1);
    EXPECT_EQ(wait_ms, 2000);
    EXPECT_EQ(whisperer_engine_next_attempt(driver.engine, 1, 2, &wait_ms), 0);
    EXPECT_EQ(whisperer_engine_next_attempt(driver.engine, 99, 1, &wait_ms), 0);
}

TEST_F(EngineTest, ACircuitOpensWhenNothingListensAndClosesForAnotherAddress) {
    driver.settings.circuit_breaker = 1;
    ASSERT_EQ(driver.configure(), WhispererOk);
    ASSERT_EQ(driver.put_hook(1, "http://127.0.0.1:1/"), WhispererOk);
    for (std::uint64_t token = 1; token <= 11; ++token) {
        ASSERT_EQ(driver.submit(token, 1), WhispererOk);
        ASSERT_TRUE(driver.run_for(&server, token));
    }
    EXPECT_EQ(driver.got[9].kind, WhispererRetry);
    EXPECT_EQ(driver.got[10].kind, WhispererReturned);
    EXPECT_GT(whisperer_engine_hook_wait_ms(driver.engine, 1), 25000);
    WhispererCircuit circuits[2];
    EXPECT_EQ(whisperer_engine_circuit_changes(driver.engine, circuits, 0), 0U);
    ASSERT_EQ(whisperer_engine_circuit_changes(driver.engine, circuits, 2), 1U);
    EXPECT_EQ(circuits[0].hook_id, 1);
    EXPECT_EQ(circuits[0].state, WhispererCircuitOpen);
    EXPECT_STREQ(circuits[0].reason, "10 connections failed in a row");
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    ASSERT_EQ(whisperer_engine_circuit_changes(driver.engine, circuits, 2), 1U);
    EXPECT_EQ(circuits[0].state, WhispererCircuitClosed);
    EXPECT_EQ(whisperer_engine_hook_wait_ms(driver.engine, 99), 0);
}

TEST_F(EngineTest, IdleEngineHasNoDeadlineAndAQuietDescriptor) {
    ASSERT_EQ(driver.put_hook(1, server.url()), WhispererOk);
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    // The queue's age check may be due once more, then there is nothing left.
    ASSERT_TRUE(driver.run_until(
        &server, [&] { return whisperer_engine_wait_ms(driver.engine) == -1; },
        std::chrono::seconds(3)));
    pollfd fd{whisperer_engine_fd(driver.engine), POLLIN, 0};
    EXPECT_EQ(poll(&fd, 1, 50), 0);
}

TEST_F(EngineTest, ManyDeliveriesWithoutSpinning) {
    for (std::int64_t id = 1; id <= 10; ++id)
        ASSERT_EQ(driver.put_hook(id, server.url("/" + std::to_string(id))), WhispererOk);
    std::uint64_t token = 0;
    const bool done = driver.run_until(&server, [&] {
        WhispererCredit credit{};
        whisperer_engine_credit(driver.engine, &credit);
        for (; credit.deliveries > 0 && token < 5000; --credit.deliveries, ++token)
            EXPECT_EQ(driver.submit(token, static_cast<std::int64_t>(token % 10 + 1)), WhispererOk);
        return driver.got.size() >= 5000;
    });
    ASSERT_TRUE(done);
    for (const Got& got : driver.got)
        EXPECT_EQ(got.kind, WhispererDelivered);
    EXPECT_LE(server.connections, 256);
}

}  // namespace
}  // namespace whisperer::engine
