// How many requests a hook's rate limit lets go, when, and what that costs others.
#include <cmath>
#include <limits>

#include "tests/unit/dispatcher_fixture.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

class RateLimitTest : public DispatcherTest {
  protected:
    void put_limited(std::int64_t id, double rate) { put(id, "", "http://192.0.2.1/", rate); }

    // Goes on to the engine's next moment, as a host does; every request is answered at once.
    void turn() {
        do {
            dispatcher.pump();
            wire.answer_all([](const std::string&) { return 200; });
            dispatcher.pump();
            for (Outcome& outcome : outcomes())
                seen.push_back(std::move(outcome));
        } while (!wire.running.empty() || dispatcher.wait_ms() == 0);
        ++turns;
    }

    std::vector<Outcome> seen;
    int turns = 0;
};

TEST(TokenBucket, HoldsASecondsWorth) {
    TokenBucket bucket(2.5);
    const microseconds now = seconds(1000);
    EXPECT_LE(bucket.token_at(), now);
    bucket.take(now);
    EXPECT_LE(bucket.token_at(), now);
    bucket.take(now);
    EXPECT_EQ(bucket.token_at(), now + milliseconds(200));
    bucket.take(now + milliseconds(200));
    EXPECT_EQ(bucket.token_at(), now + milliseconds(600));
    EXPECT_FALSE(TokenBucket(0).limits());
}

TEST(TokenBucket, OneAtATimeBelowOneASecond) {
    TokenBucket bucket(0.1);
    bucket.take(seconds(1000));
    EXPECT_EQ(bucket.token_at(), seconds(1010));
    TokenBucket hardly(std::numeric_limits<double>::denorm_min());
    hardly.take(seconds(1000));
    EXPECT_GT(hardly.token_at(), seconds(1000));
}

TEST(TokenBucket, AMillionASecondIsExact) {
    TokenBucket bucket(700000);
    microseconds now = seconds(1000);
    int taken = 0;
    for (; now < seconds(1001); now += milliseconds(1))
        for (; bucket.token_at() <= now; ++taken)
            bucket.take(now);
    EXPECT_NEAR(taken, 1400000, 1000) << "the full bucket and a second of refilling";
}

TEST_F(RateLimitTest, WhatWasSentTwiceCountsTwice) {
    put_limited(1, 2);
    submit(1, 1);
    dispatcher.pump();
    wire.answer(200);
    wire.results.back().sent_again = true;
    dispatcher.pump();
    submit(1, 2);
    dispatcher.pump();
    EXPECT_TRUE(wire.running.empty());
    clock.now += milliseconds(500);
    dispatcher.pump();
    EXPECT_EQ(wire.running.size(), 1U);
}

TEST_F(RateLimitTest, FiveASecondForAMinuteEvenly) {
    put_limited(1, 5);
    const microseconds end = clock.now + seconds(60);
    std::vector<int> per_second(60);
    std::uint64_t token = 0;
    while (clock.now < end) {
        while (dispatcher.counts().queued < 2)
            submit(1, ++token);
        const std::size_t sent_before = wire.sent.size();
        turn();
        const auto second = 59 - (end - clock.now - microseconds(1)) / seconds(1);
        per_second.at(static_cast<std::size_t>(second)) +=
            static_cast<int>(wire.sent.size() - sent_before);
        if (dispatcher.counts().queued == 0)
            continue;
        const std::int64_t wait_ms = dispatcher.wait_ms();
        ASSERT_GT(wait_ms, 0);
        clock.now += milliseconds(wait_ms);
    }
    EXPECT_NEAR(static_cast<double>(wire.sent.size()), 300, 5);
    for (std::size_t second = 1; second < 60; ++second)
        EXPECT_EQ(per_second[second], 5) << "second " << second;
    EXPECT_LE(turns, 400) << "no spinning";
}

TEST_F(RateLimitTest, WaitsForExactlyTheNextToken) {
    put_limited(1, 4);
    for (std::uint64_t token = 1; token <= 6; ++token)
        submit(1, token);
    turn();
    EXPECT_EQ(wire.sent.size(), 4U);
    EXPECT_EQ(dispatcher.wait_ms(), 250);
    clock.now += milliseconds(100);
    turn();
    EXPECT_EQ(wire.sent.size(), 4U);
    EXPECT_EQ(dispatcher.wait_ms(), 150);
    clock.now += milliseconds(150);
    turn();
    EXPECT_EQ(wire.sent.size(), 5U);
}

TEST_F(RateLimitTest, AUsedUpRateCostsOthersNothing) {
    for (std::int64_t hook = 1; hook <= 3; ++hook)
        put_limited(hook, 0.5);
    put(4);
    std::uint64_t token = 0;
    for (int i = 0; i < 100; ++i)
        for (std::int64_t hook = 1; hook <= 3; ++hook)
            submit(hook, ++token);
    turn();
    EXPECT_EQ(wire.sent.size(), 3U);
    EXPECT_GE(dispatcher.credit().deliveries, credit_factor * 8 - 6) << "nor do they hold credit";
    for (int i = 0; i < 50; ++i) {
        submit(4, ++token);
        turn();
        EXPECT_EQ(wire.sent.size(), 4U + static_cast<std::size_t>(i));
    }
}

TEST_F(RateLimitTest, WhatWaitsTooLongComesBackAtItsTurn) {
    put_limited(1, 0.25);
    submit(1, 1);
    turn();
    submit(1, 2);
    submit(1, 3);
    turn();
    seen.clear();
    clock.now += seconds(1);
    turn();
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen[0].kind, WhispererReturned);
    EXPECT_EQ(seen[0].error, "rate limit");
    EXPECT_EQ(seen[0].error_code, WhispererErrorRateLimit);
    EXPECT_FALSE(seen[0].attempted);
    EXPECT_EQ(seen[0].next_after, seconds(3));
    EXPECT_EQ(seen[1].next_after, seconds(7));
}

TEST_F(RateLimitTest, MoreThanItsRateCanTakeComesBackAtOnce) {
    put_limited(1, 5);
    for (std::uint64_t token = 1; token <= 31; ++token)
        submit(1, token);
    const auto returned = outcomes();
    ASSERT_EQ(returned.size(), 20U) << "a full bucket, park_after's refill and one";
    for (std::size_t i = 0; i < returned.size(); ++i) {
        EXPECT_EQ(returned[i].error, "rate limit");
        EXPECT_EQ(returned[i].error_code, WhispererErrorRateLimit);
        EXPECT_EQ(returned[i].next_after, milliseconds(1000 + 200 * static_cast<int>(i)));
    }
}

TEST_F(RateLimitTest, AnotherRateAppliesToTheNextAttempt) {
    put_limited(1, 0.001);
    submit(1, 1);
    submit(1, 2);
    turn();
    EXPECT_EQ(wire.sent.size(), 1U);
    put_limited(1, 2);
    turn();
    EXPECT_EQ(wire.sent.size(), 2U);
    submit(1, 3);
    submit(1, 4);
    turn();
    EXPECT_EQ(wire.sent.size(), 3U);
    EXPECT_EQ(dispatcher.wait_ms(), 500) << "not the old rate's next token";
    clock.now += milliseconds(500);
    turn();
    EXPECT_EQ(wire.sent.size(), 4U);
    for (std::uint64_t token = 5; token <= 8; ++token)
        submit(1, token);
    put_limited(1, 0);
    turn();
    EXPECT_EQ(wire.sent.size(), 8U);
}

TEST_F(RateLimitTest, HostReadsRetriesWhenThereAreTokensForThem) {
    put_limited(1, 2);
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0);
    EXPECT_EQ(dispatcher.hook_wait_ms(99), 0) << "unknown";
    for (std::uint64_t token = 1; token <= 2; ++token)
        submit(1, token);
    turn();
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0) << "used up, but nothing is queued";
    submit(1, 3);
    turn();
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 1000);
    clock.now += milliseconds(500);
    turn();
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0);
}

TEST_F(RateLimitTest, ADroppedHookLeavesNoWakeUp) {
    std::uint64_t token = 0;
    for (double rate : {0.001, 0.002, 0.0005}) {
        put_limited(1, rate);
        submit(1, ++token);
        submit(1, ++token);
        turn();
        EXPECT_GT(dispatcher.wait_ms(), 0);
    }
    dispatcher.drop_hook(1);
    outcomes();
    clock.now += seconds(2);
    turn();
    EXPECT_EQ(dispatcher.wait_ms(), -1);
}

TEST_F(RateLimitTest, WaitingLanesDoNotLengthenAPump) {
    constexpr std::int64_t lanes = 5000;
    WhispererSettings roomy = small_settings();
    roomy.max_in_flight = 100000;
    dispatcher.configure(std::make_shared<const Settings>(roomy));
    std::uint64_t token = 0;
    for (std::int64_t hook = 1; hook <= lanes; ++hook) {
        put_limited(hook, 0.9);
        submit(hook, ++token);
    }
    put(lanes + 1);
    for (int i = 0; i < 100; ++i) {
        dispatcher.pump();
        for (void* cookie : wire.running) {
            WireResult result;
            result.cookie = cookie;
            result.end = WireEnd::Answered;
            result.http_status = 200;
            wire.results.push_back(result);
        }
        wire.running.clear();
        outcomes();
    }
    for (std::int64_t hook = 1; hook <= lanes; ++hook)
        submit(hook, ++token);
    dispatcher.pump();
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 20000; ++i)
        dispatcher.pump();
    EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(500));
    EXPECT_EQ(dispatcher.counts().queued, lanes);
}

TEST_F(RateLimitTest, ChecksTheRate) {
    for (double rate : {-1.0, 1e6 + 1, std::nan(""), std::numeric_limits<double>::infinity()})
        EXPECT_THROW(put_limited(1, rate), Invalid) << rate;
    for (double rate : {0.0, 0.001, 1e6})
        EXPECT_NO_THROW(put_limited(1, rate)) << rate;
    WhispererHook door{};
    door.target_url = span("http://192.0.2.1/");
    const Hook hook(door, "a", false);
    EXPECT_TRUE(hook.is_made_from(door, "a"));
    door.rate_limit = 1;
    EXPECT_FALSE(hook.is_made_from(door, "a"));
}

}  // namespace
}  // namespace whisperer::engine
