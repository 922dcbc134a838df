// Fetched tokens through the door, against a real server on this machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/engine_driver.h"

namespace whisperer::engine {
namespace {

class EngineAuthTest : public testing::Test {
  protected:
    void SetUp() override {
        driver.create();
        server.set_handler([this](const HttpRequest& request) {
            return request.request_line.starts_with("POST /token ") ? token_reply : target_reply;
        });
        auth = R"({"type":"oauth2","token_url":")" + server.url("/token") +
               R"(","client_id":"me","client_secret":"s3cr3t"})";
        target = server.url("/hook");
        WhispererHook hook{};
        hook.id = 1;
        hook.target_url = span_of(target);
        hook.auth = span_of(auth);
        ASSERT_EQ(whisperer_engine_put_hook(driver.engine, &hook, &driver.error), WhispererOk)
            << driver.error.message;
    }

    Got deliver() {
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, 1), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.size() > before ? driver.got[before] : Got{};
    }

    HttpReply token_reply;
    HttpReply target_reply;
    std::string auth;
    std::string target;
    HttpServer server;
    EngineDriver driver;
};

TEST_F(EngineAuthTest, ATokenLongerThanWhatIsKeptOfAnswers) {
    const std::string token(4000, 't');
    token_reply = HttpReply::status(200, R"({"access_token":")" + token + "\"}");
    EXPECT_EQ(deliver().kind, WhispererDelivered);
    ASSERT_EQ(server.requests.size(), 2U);
    const HttpRequest& fetch = server.requests[0];
    EXPECT_EQ(fetch.body, "grant_type=client_credentials");
    EXPECT_EQ(fetch.headers.at("content-type"), "application/x-www-form-urlencoded");
    EXPECT_EQ(fetch.headers.at("authorization"), "Basic bWU6czNjcjN0");
    EXPECT_EQ(fetch.headers.at("user-agent"), "whisperer/1.0");
    EXPECT_EQ(fetch.headers.count("webhook-id"), 0U);
    EXPECT_EQ(server.requests[1].headers.at("authorization"), "Bearer " + token);
}

// What comes late on a connection can be taken for the next answer on it, and be another owner's
// token.
TEST_F(EngineAuthTest, TokensOfTwoOwnersAreFetchedOverConnectionsOfTheirOwn) {
    token_reply = HttpReply::status(200, R"({"access_token":"t1"})");
    for (const int hook_id : {1, 2}) {
        WhispererHook hook{};
        hook.id = hook_id;
        hook.owner = 10 * hook_id;
        hook.target_url = span_of(target);
        hook.auth = span_of(auth);
        ASSERT_EQ(whisperer_engine_put_hook(driver.engine, &hook, &driver.error), WhispererOk);
        ASSERT_EQ(driver.submit(7, hook_id), WhispererOk);
        ASSERT_TRUE(driver.run_for(&server, static_cast<std::size_t>(hook_id)));
    }
    std::vector<int> connections;
    for (const HttpRequest& request : server.requests)
        connections.push_back(request.connection);
    EXPECT_THAT(connections, testing::ElementsAre(1, 1, 2, 2));
}

TEST_F(EngineAuthTest, ARefusedFetchSaysWhyAndShowsNothingOfTheAnswer) {
    token_reply = HttpReply::status(302, "s3cr3t", "Location: http://192.0.2.1/a?s3cr3t\r\n");
    const Got got = deliver();
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "token: redirect refused: 302 to http://192.0.2.1/a");
    EXPECT_EQ(got.error_code, WhispererErrorNone) << "no setting of ours";
    EXPECT_EQ(got.response, "");
    EXPECT_EQ(got.http_status, 0);
    EXPECT_EQ(server.requests.size(), 1U);
}

TEST_F(EngineAuthTest, TheGuardAppliesToTokenUrls) {
    driver.settings.allowed_networks = {nullptr, 0};
    ASSERT_EQ(driver.configure(), WhispererOk);
    const Got got = deliver();
    EXPECT_THAT(got.error, testing::StartsWith("token: address 127.0.0.1 is not allowed ("));
    EXPECT_EQ(got.error_code, WhispererErrorNotAllowed);
    EXPECT_TRUE(server.requests.empty());
}

TEST_F(EngineAuthTest, AFetchThatMayNotStartEndsTheAttemptAtOnce) {
    token_reply = HttpReply::status(200, R"({"access_token":"t1"})");
    target_reply = HttpReply::status(401);
    server.set_handler([&](const HttpRequest& request) {
        if (request.request_line.starts_with("POST /token "))
            return token_reply;
        driver.settings.require_https = 1;
        EXPECT_EQ(driver.configure(), WhispererOk);
        return target_reply;
    });
    ASSERT_EQ(driver.submit(7, 1), WhispererOk);
    const auto ended = [&] {
        WhispererCounts counts{};
        whisperer_engine_counts(driver.engine, &counts);
        return counts.failed_attempts_total == 1;
    };
    ASSERT_TRUE(driver.run_until(&server, ended));
    driver.collect();
    ASSERT_EQ(driver.got.size(), 1U) << "it was not parked";
    EXPECT_EQ(driver.got[0].error, "token: http is not allowed (whisperer.require_https is on)");
    EXPECT_EQ(driver.got[0].error_code, WhispererErrorNotAllowed);
}

}  // namespace
}  // namespace whisperer::engine
