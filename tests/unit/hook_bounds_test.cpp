// What one hook says of its requests: how long each may take, and how many may be open at once.
#include <gmock/gmock.h>

#include "tests/unit/dispatcher_fixture.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

class HookBoundsTest : public DispatcherTest {
  protected:
    void put_bounded(std::int64_t id, std::int32_t timeout_ms, std::int32_t max_in_flight) {
        WhispererHook hook{};
        hook.id = id;
        hook.target_url = span("http://192.0.2.1/");
        hook.timeout_ms = timeout_ms;
        hook.max_in_flight = max_in_flight;
        dispatcher.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    }

    void submit_many(std::int64_t hook_id, std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t token = first; token <= last; ++token)
            submit(hook_id, token);
    }

    // Answers as many requests one after the other, so that a lane grows to what it may have.
    void answer(int count) {
        for (int i = 0; i < count; ++i) {
            wire.answer(200);
            pump();
        }
    }
};

TEST_F(HookBoundsTest, ItsOwnNumberOfRequestsIsInTheDefaultsPlace) {
    put_bounded(1, 0, 2);
    put_bounded(2, 0, 6);
    submit_many(1, 1, 9);
    pump();
    answer(4);
    EXPECT_EQ(wire.running.size(), 2U) << "fewer than the setting says";
    answer(5);
    submit_many(2, 10, 22);
    pump();
    answer(7);
    EXPECT_EQ(wire.running.size(), 6U) << "more than the setting says";
}

TEST_F(HookBoundsTest, WhatIsParkedCounts) {
    put_bounded(1, 0, 3);
    submit_many(1, 1, 12);
    pump();
    answer(8);  // known to be fast, so not held to what a slow one may have
    ASSERT_EQ(wire.running.size(), 3U);
    clock.now += seconds(1);
    EXPECT_EQ(pump().size(), 4U) << "three parked, and the one behind is too old";
    submit_many(1, 13, 16);
    pump();
    EXPECT_EQ(wire.running.size(), 3U);
    wire.answer(200);
    pump();
    EXPECT_EQ(wire.running.size(), 3U) << "the next takes the place";
}

TEST_F(HookBoundsTest, AChangeOfTheNumberCountsAtOnce) {
    put_bounded(1, 0, 1);
    submit_many(1, 1, 9);
    pump();
    answer(5);
    ASSERT_EQ(wire.running.size(), 1U);
    put_bounded(1, 0, 3);
    pump();
    EXPECT_EQ(wire.running.size(), 3U);
}

// What its endpoint cannot take in time would keep the credit of others.
TEST_F(HookBoundsTest, QueuesNoMoreThanItCanStartInTime) {
    put_bounded(1, 0, 1);
    submit(1, 1);
    pump();
    wire.answer(200, milliseconds(400));
    pump();
    submit_many(1, 2, 31);
    std::size_t returned = 0;
    for (const Outcome& outcome : pump())
        returned += outcome.kind == WhispererReturned ? 1 : 0;
    EXPECT_EQ(returned, 14U) << "16 are queued";
}

TEST_F(HookBoundsTest, EachAttemptHasItsHooksTime) {
    put_bounded(1, 0, 0);
    put_bounded(2, 2000, 0);
    put_bounded(3, 60000, 0);
    submit(3, 3);
    pump();
    submit(1, 1);
    submit(2, 2);
    pump();
    ASSERT_EQ(wire.sent.size(), 3U);
    EXPECT_EQ(wire.sent[0].timeout, seconds(60));
    EXPECT_EQ(wire.sent[1].timeout, seconds(10));
    EXPECT_EQ(wire.sent[2].timeout, seconds(2));
    std::vector<std::uint64_t> parked;
    std::vector<std::uint64_t> ended;
    while (ended.size() < 3 && clock.now < seconds(2000)) {
        const std::int64_t wait_ms = dispatcher.wait_ms();
        ASSERT_GT(wait_ms, 0);
        clock.now += milliseconds(wait_ms);
        for (const Outcome& outcome : pump())
            (outcome.kind == WhispererParked ? parked : ended).push_back(outcome.token);
    }
    EXPECT_THAT(parked, testing::ElementsAre(3, 1, 2));
    EXPECT_THAT(ended, testing::ElementsAre(2, 1, 3)) << "cut off in the order of their ends";
    EXPECT_LE(clock.now, seconds(1000) + seconds(61));
}

TEST_F(HookBoundsTest, AFetchOfATokenHasTheSameTime) {
    WhispererHook hook{};
    hook.id = 1;
    hook.target_url = span("http://192.0.2.1/");
    hook.auth = span(R"({"type": "oauth2", "token_url": "http://192.0.2.2/",
                         "client_id": "a", "client_secret": "b"})");
    hook.timeout_ms = 3000;
    dispatcher.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    submit(1, 1);
    pump();
    ASSERT_EQ(wire.sent.size(), 1U);
    EXPECT_EQ(wire.sent[0].timeout, seconds(3));
}

TEST_F(HookBoundsTest, ABoundBelowNothingIsRefused) {
    EXPECT_THROW(put_bounded(1, -1, 0), Invalid);
    EXPECT_THROW(put_bounded(1, 0, -1), Invalid);
}

}  // namespace
}  // namespace whisperer::engine
