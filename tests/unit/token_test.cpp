// Hooks whose token is fetched: when, how often, and what becomes of the deliveries meanwhile.
#include "tests/unit/token_fixture.h"

namespace whisperer::engine {
namespace {

TEST_F(TokenTest, OneFetchServesAllThatIsQueued) {
    put_fetching();
    submit_many(12);
    EXPECT_TRUE(pump().empty());
    ASSERT_EQ(wire.sent.size(), 1U) << "nothing starts while the token is fetched";
    EXPECT_EQ(wire.sent[0].url, "http://192.0.2.9/token");
    EXPECT_EQ(wire.sent[0].body, "grant_type=client_credentials");
    EXPECT_EQ(wire.sent[0].authorization(), "Basic bWU6czM=");
    EXPECT_EQ(dispatcher.counts().in_flight, 1);
    submit_many(1, 13);
    pump();
    EXPECT_EQ(wire.sent.size(), 1U);
    give_token("t1");
    ASSERT_EQ(wire.sent.size(), 2U);
    EXPECT_EQ(wire.sent[1].authorization(), "Bearer t1");
    const auto ended = run(200);
    EXPECT_EQ(count(ended, WhispererDelivered), 13);
    EXPECT_EQ(fetches(), 1U);
    for (std::size_t i = 1; i < wire.sent.size(); ++i)
        EXPECT_EQ(wire.sent[i].authorization(), "Bearer t1");
}

TEST_F(TokenTest, ATokenIsFetchedAnewBeforeItExpires) {
    put_fetching();
    submit(1, 1);
    run(200, "60");
    clock.now += seconds(49);
    submit(1, 2);
    run(200, "60");
    EXPECT_EQ(fetches(), 1U);
    clock.now += seconds(1);
    submit(1, 3);
    run(200, "60");
    EXPECT_EQ(fetches(), 2U);
    EXPECT_EQ(wire.sent.back().authorization(), "Bearer t2");
}

TEST_F(TokenTest, NothingStartsBesideAFetchHoweverFastTheLaneIs) {
    put_fetching();
    submit_many(8);
    run(200, "60");
    clock.now += seconds(60);
    submit_many(4, 20);
    pump();
    EXPECT_EQ(fetches(), 2U);
    EXPECT_EQ(wire.running.size(), 1U);
    give_token("t2");
    EXPECT_EQ(wire.running.size(), 4U);
    EXPECT_EQ(count(run(200), WhispererDelivered), 4);
}

TEST_F(TokenTest, AShortLivedTokenIsUsedAllTheSame) {
    put_fetching();
    submit(1, 1);
    EXPECT_EQ(count(run(200, "\"2\""), WhispererDelivered), 1);
    clock.now += milliseconds(999);
    submit(1, 2);
    run(200);
    EXPECT_EQ(fetches(), 1U);
    clock.now += milliseconds(1);
    submit(1, 3);
    EXPECT_EQ(count(run(200, "0"), WhispererDelivered), 1) << "one that has expired as it comes";
    EXPECT_EQ(fetches(), 2U);
    submit(1, 4);
    run(200);
    EXPECT_EQ(fetches(), 3U);
}

TEST_F(TokenTest, A401IsAnsweredWithAFreshTokenOnce) {
    put_fetching();
    submit(1, 1);
    run(200);
    submit(1, 2);
    pump();
    wire.answer(401);
    EXPECT_TRUE(pump().empty()) << "the attempt goes on";
    give_token("t2");
    EXPECT_EQ(wire.sent.back().authorization(), "Bearer t2");
    wire.answer(200);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererDelivered);
    EXPECT_EQ(ended[0].token, 2U);
}

TEST_F(TokenTest, ASecond401IsAFailedAttempt) {
    put_fetching();
    submit(1, 1);
    const auto ended = run(401);
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererRetry);
    EXPECT_EQ(ended[0].http_status, 401);
    EXPECT_EQ(ended[0].error, "unauthorized: HTTP status 401");
    EXPECT_EQ(fetches(), 2U);
    EXPECT_EQ(wire.sent.size(), 4U);
}

TEST_F(TokenTest, ManyRefusedAtOnceShareOneFetch) {
    put_fetching();
    submit_many(8);
    run(200);
    submit_many(4, 20);
    pump();
    ASSERT_EQ(wire.running.size(), 4U);
    for (int i = 0; i < 4; ++i)
        wire.answer(401);
    EXPECT_TRUE(pump().empty());
    EXPECT_EQ(fetches(), 2U);
    EXPECT_EQ(wire.running.size(), 1U);
    give_token("t2");
    ASSERT_EQ(wire.running.size(), 4U);
    for (int i = 0; i < 4; ++i)
        wire.answer(200);
    EXPECT_EQ(count(pump(), WhispererDelivered), 4);
}

TEST_F(TokenTest, OneRefusedLateIsSentAgainWithTheTokenThatIsThere) {
    put_fetching();
    submit_many(8);
    run(200);
    submit_many(2, 20);
    pump();
    wire.answer(401);
    pump();
    std::swap(wire.running[0], wire.running[1]);  // the fetch ends before the other delivery
    give_token("t2");
    wire.answer(401);
    pump();
    EXPECT_EQ(fetches(), 2U) << "nobody refused the second token";
    EXPECT_EQ(wire.running.size(), 2U);
    EXPECT_EQ(count(run(200), WhispererDelivered), 2);
}

TEST_F(TokenTest, AFailedFetchFailsOneDeliveryAndReturnsTheOthers) {
    put_fetching();
    submit_many(5);
    pump();
    wire.answer(503, milliseconds(1), R"({"access_token":"no"})");
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 5U);
    EXPECT_EQ(count(ended, WhispererRetry), 1);
    EXPECT_EQ(count(ended, WhispererReturned), 4);
    EXPECT_EQ(ended[0].kind, WhispererRetry);
    EXPECT_EQ(ended[0].error, "token: HTTP status 503");
    EXPECT_EQ(ended[0].http_status, 0) << "the target has not answered";
    EXPECT_EQ(ended[0].response, "");
    EXPECT_TRUE(ended[0].attempted);
    for (std::size_t i = 1; i < ended.size(); ++i)
        EXPECT_GE(ended[i].next_after, token_rest);

    submit_many(3, 10);
    EXPECT_EQ(count(pump(), WhispererReturned), 3) << "what comes at once after it";
    EXPECT_EQ(fetches(), 1U);
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 1000);
    clock.now += token_rest;
    submit(1, 20);
    EXPECT_EQ(count(run(200), WhispererDelivered), 1);
}

TEST_F(TokenTest, WhyAFetchFailed) {
    put_fetching(1, token_auth);
    const std::pair<std::string, std::string> cases[] = {
        {"", "token: the answer is not JSON"},
        {R"({"a":)", "token: the answer is not JSON"},
        {R"([])", "token: the answer has no text \"a.b\""},
        {R"({"a":"x"})", "token: the answer has no text \"a.b\""},
        {R"({"a":{"b":1}})", "token: the answer has no text \"a.b\""},
        {R"({"a":{"b":""}})", "token: the answer has no text \"a.b\""},
        {R"({"a":{"b":"x\r\nX-Y: z"}})",
         "token: \"a.b\" in the answer contains a control character"},
        {R"({"a":{"b":"x\u0000"}})", "token: \"a.b\" in the answer contains a control character"},
        {R"({"a":{"b":")" + std::string(8193, 'x') + "\"}}",
         "token: \"a.b\" in the answer is longer than 8192 bytes"},
        {std::string(60000, '['), "token: the answer is not JSON"},
    };
    std::uint64_t token = 1;
    for (const auto& [answer, error] : cases) {
        clock.now += std::chrono::minutes(10);
        submit(1, ++token);
        pump();
        wire.answer(200, milliseconds(1), answer);
        const auto ended = pump();
        ASSERT_EQ(ended.size(), 1U);
        EXPECT_EQ(ended[0].error, error);
    }
    EXPECT_EQ(fetches(), token - 1);
    clock.now += std::chrono::minutes(10);
    submit(1, ++token);
    pump();
    wire.answer(200, milliseconds(1), R"({"a":{"b":"good"}})");
    pump();
    EXPECT_EQ(wire.sent.back().authorization(), "Token good");
}

TEST_F(TokenTest, FailedFetchesOpenTheCircuit) {
    WhispererSettings settings = small_settings();
    settings.circuit_breaker = 1;
    dispatcher.configure(std::make_shared<const Settings>(settings));
    put_fetching();
    std::uint64_t token = 0;
    for (int i = 0; i < 10; ++i) {
        submit(1, ++token);
        pump();
        wire.answer(0);
        EXPECT_EQ(count(pump(), WhispererRetry), 1);
        clock.now += token_rest;
    }
    WhispererCircuit circuit{};
    ASSERT_TRUE(dispatcher.take_circuit_change(circuit));
    EXPECT_EQ(circuit.state, WhispererCircuitOpen);
    submit(1, ++token);
    EXPECT_EQ(count(pump(), WhispererReturned), 1);
    clock.now += circuit_wait_min;
    submit(1, ++token);
    submit(1, ++token);
    EXPECT_EQ(count(pump(), WhispererReturned), 1) << "the probe is one delivery, fetch and all";
    EXPECT_EQ(fetches(), 11U);
    EXPECT_EQ(count(run(200), WhispererDelivered), 1);
    ASSERT_TRUE(dispatcher.take_circuit_change(circuit));
    EXPECT_EQ(circuit.state, WhispererCircuitClosed);
}

TEST_F(TokenTest, ASlowFetchParksItsDeliveryAndReturnsTheOthers) {
    put_fetching();
    submit_many(3);
    pump();
    clock.now += seconds(1);
    const auto waiting = pump();
    EXPECT_EQ(count(waiting, WhispererParked), 1);
    EXPECT_EQ(count(waiting, WhispererReturned), 2);
    EXPECT_EQ(waiting.back().error, "token is being fetched");
    EXPECT_EQ(waiting.back().error_code, WhispererErrorAwaitsToken);
    clock.now += seconds(3);
    give_token("t1");
    wire.answer(200);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererDelivered);
}

TEST_F(TokenTest, FetchAndRequestEndWithinOneDeadline) {
    put_fetching();
    submit(1, 1);
    pump();
    clock.now += seconds(9);
    EXPECT_EQ(count(pump(), WhispererParked), 1);
    give_token("t1");
    clock.now += milliseconds(1500);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererRetry);
    EXPECT_EQ(ended[0].error, "no response in time");
    EXPECT_TRUE(wire.running.empty());
}

TEST_F(TokenTest, AFetchThatNeverEndsIsCutOff) {
    put_fetching();
    submit_many(8);
    run(200);
    submit_many(2, 20);
    pump();
    wire.answer(401);
    wire.answer(401);
    pump();
    clock.now += seconds(11);
    auto ended = pump();
    EXPECT_EQ(count(ended, WhispererRetry), 2);
    EXPECT_EQ(ended.back().kind, WhispererRetry);
    EXPECT_EQ(ended.back().error, "token: no response in time");
    EXPECT_TRUE(wire.running.empty());
    clock.now += token_rest;
    submit(1, 30);
    EXPECT_EQ(count(run(200), WhispererDelivered), 1);
}

TEST_F(TokenTest, DroppingAHookDuringTheFetchConsumesNoAttempt) {
    put_fetching();
    submit_many(3);
    pump();
    dispatcher.drop_hook(1);
    EXPECT_TRUE(wire.running.empty());
    const auto ended = pump();
    EXPECT_EQ(count(ended, WhispererReturned), 3);
    for (const Outcome& outcome : ended) {
        EXPECT_EQ(outcome.error, "hook was dropped");
        EXPECT_EQ(outcome.error_code, WhispererErrorNone) << "it may have been put anew";
    }
    put_fetching();
    submit(1, 9);
    EXPECT_EQ(count(run(200), WhispererDelivered), 1);
}

TEST_F(TokenTest, AFetchRefusedAsItStartsIsToldInTheSamePump) {
    put_fetching();
    submit(1, 1);
    run(200);
    submit(1, 2);
    pump();
    put(2, "", "http://name.example/");
    wire.lookups_now = lookups_max;  // a lane that finds no room: the pump looks once
    submit(2, 3);
    wire.refused_url = "http://192.0.2.9/token";
    wire.answer(401);
    std::swap(wire.results, wire.results_of_push);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].error, "token: refused");
}

TEST_F(TokenTest, OtherCredentialsNeedAnotherToken) {
    put_fetching();
    submit(1, 1);
    run(200);
    put_fetching(1, oauth2, "http://192.0.2.2/");
    submit(1, 2);
    run(200);
    EXPECT_EQ(fetches(), 1U) << "the same credentials";
    put_fetching(1, token_auth);
    submit(1, 3);
    pump();
    EXPECT_EQ(wire.sent.back().url, "http://192.0.2.9/login");
    EXPECT_EQ(wire.sent.back().body, R"({"password":"p","username":"u"})");
}

TEST_F(TokenTest, ATokenThatCameForOldCredentialsIsNotKept) {
    put_fetching();
    submit_many(2);
    pump();
    put_fetching(1, token_auth, "http://192.0.2.2/");
    give_token("old");
    EXPECT_EQ(wire.sent.back().url, "http://192.0.2.1/") << "it ends as it began";
    EXPECT_EQ(wire.sent.back().authorization(), "Bearer old");
    wire.answer(200);
    EXPECT_EQ(count(pump(), WhispererDelivered), 1);
    EXPECT_EQ(wire.sent.back().url, "http://192.0.2.9/login");
}

TEST_F(TokenTest, OldCredentialsAreNotRenewed) {
    put_fetching();
    submit(1, 1);
    run(200);
    submit(1, 2);
    pump();
    put_fetching(1, token_auth, "http://192.0.2.2/");
    wire.answer(401);
    EXPECT_EQ(count(pump(), WhispererRetry), 1);
    EXPECT_EQ(fetches(), 1U);
}

TEST_F(TokenTest, TheRateCountsRequestsToTheTarget) {
    put_fetching(1, oauth2, "http://192.0.2.1/", 2);
    submit(1, 1);
    EXPECT_EQ(count(run(401), WhispererRetry), 1);  // two requests: the bucket is empty
    submit(1, 2);
    pump();
    EXPECT_EQ(wire.sent.size(), 4U);
    clock.now += milliseconds(500);
    pump();
    EXPECT_EQ(wire.sent.size(), 5U);
}

TEST_F(TokenTest, AFetchCountsAgainstMaxInFlight) {
    for (std::int64_t hook = 1; hook <= 9; ++hook) {
        put_fetching(hook);
        submit(hook, static_cast<std::uint64_t>(hook));
    }
    pump();
    EXPECT_EQ(wire.running.size(), 8U);
    EXPECT_EQ(dispatcher.counts().in_flight, 8);
}

TEST_F(TokenTest, LookUpsBoundWhatIsSentWithATokenThatCame) {
    put_fetching(1, oauth2, "http://name.example/");
    submit(1, 1);
    pump();
    wire.lookups_now = lookups_max;
    give_token("t1");
    EXPECT_EQ(wire.sent.size(), 1U);
    EXPECT_NE(dispatcher.wait_ms(), 0);
    wire.lookups_now = 0;
    EXPECT_EQ(dispatcher.wait_ms(), 0);
    EXPECT_EQ(count(run(200), WhispererDelivered), 1);
}

}  // namespace
}  // namespace whisperer::engine
