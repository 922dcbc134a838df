// What a hook's requests leave to each other: the place of one that hangs, of one that ends, of
// many that fail.
#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {
namespace {

using LaneTest = DispatcherTest;

// A lane that has said how fast it is has three requests; one that hangs gives its place to the
// next.
TEST_F(LaneTest, AParkedRequestLeavesItsPlaceToTheNextOfItsHook) {
    put(1);
    for (std::uint64_t token = 1; token <= 2; ++token) {
        submit(1, token);
        pump();
        wire.answer(200);
        pump();
    }
    submit(1, 3);
    pump();
    clock.now += milliseconds(500);
    for (std::uint64_t token = 4; token <= 6; ++token)
        submit(1, token);
    pump();
    EXPECT_EQ(wire.running.size(), 3U);
    clock.now += milliseconds(500);
    const auto parked = pump();
    ASSERT_EQ(parked.size(), 1U);
    EXPECT_EQ(parked[0].kind, WhispererParked);
    EXPECT_EQ(parked[0].token, 3U);
    EXPECT_EQ(wire.running.size(), 4U) << "the last one started";
    EXPECT_EQ(dispatcher.counts().in_flight, 4) << "a parked one is still on its way";
}

// Half of the places are the retries', however many first attempts there have been.
TEST_F(LaneTest, RetriesTakeTurnsWithFirstAttempts) {
    put(1);
    for (std::uint64_t token = 1; token <= 20; ++token) {
        submit(1, token);
        pump();
        wire.answer(200);
        pump();
    }
    for (std::uint64_t token = 100; token < 120; ++token) {
        submit(1, token);
        submit(1, 100 + token, 1);
    }
    pump();
    ASSERT_GE(wire.running.size(), 2U);
    ASSERT_LT(wire.running.size(), 20U);
    while (!wire.running.empty())
        wire.answer(200);
    const auto ended = pump();
    EXPECT_TRUE(
        std::any_of(ended.begin(), ended.end(), [](const Outcome& o) { return o.token >= 200; }));
    EXPECT_TRUE(
        std::any_of(ended.begin(), ended.end(), [](const Outcome& o) { return o.token < 200; }));
}

TEST_F(LaneTest, ALaneThatOnlyFailsHasAShortQueue) {
    put(1);
    const auto fail = [&] {
        submit(1, 1);
        pump();
        wire.answer(500);
        pump();
    };
    const auto returned = [&] {
        for (std::uint64_t token = 10; token < 12 + struggling_lane_queue_max; ++token)
            submit(1, token);
        return outcomes().size();
    };
    for (int i = 0; i < 7; ++i)
        fail();
    EXPECT_EQ(returned(), 0U);
    while (!wire.running.empty() || dispatcher.counts().queued > 0) {
        pump();
        if (!wire.running.empty())
            wire.answer(200);
    }
    outcomes();
    for (int i = 0; i < 8; ++i)
        fail();
    EXPECT_EQ(returned(), 2U) << "after eight in a row";
}

// What comes back from a slow hook comes at the pace at which it answers four requests at a time.
TEST_F(LaneTest, WhatASlowHookReturnsIsSpacedByItsPace) {
    WhispererSettings settings = small_settings();
    settings.park_after_ms = 10;
    dispatcher.configure(std::make_shared<const Settings>(settings));
    put(1);
    for (std::uint64_t token = 1; token <= 8; ++token) {
        submit(1, token);
        pump();
        wire.answer(200, milliseconds(20));
        pump();
    }
    for (std::uint64_t token = 10; token < 14 + struggling_lane_queue_max; ++token)
        submit(1, token);
    const auto returned = outcomes();
    ASSERT_EQ(returned.size(), 4U);
    for (std::size_t i = 1; i < returned.size(); ++i)
        EXPECT_EQ(returned[i].next_after - returned[i - 1].next_after, milliseconds(5));
}

// Half of the last eight is not most of them.
TEST_F(LaneTest, IsSlowWhileMostOfItsLastEightAnswersAre) {
    WhispererSettings settings = small_settings();
    settings.park_after_ms = 10;
    dispatcher.configure(std::make_shared<const Settings>(settings));
    for (const int quick : {3, 4}) {
        put(quick);
        for (int i = 0; i < 9 + quick; ++i) {
            submit(quick, 1);
            pump();
            wire.answer(200, milliseconds(i < 9 ? 20 : 1));
            pump();
        }
        for (std::uint64_t token = 10; token < 14 + struggling_lane_queue_max; ++token)
            submit(quick, token);
        EXPECT_EQ(outcomes().size(), quick == 3 ? 4U : 0U) << quick;
        dispatcher.drop_hook(quick);
        while (!wire.running.empty())
            wire.answer(200);
        pump();
    }
}

// Bytes may be scarce where deliveries are not.
TEST_F(LaneTest, AnEndpointThatHasNotAnsweredYetHoldsLittleOfScarceBytes) {
    for (const std::int64_t bytes_max : {1 << 20, 3000}) {
        WhispererSettings settings = small_settings();
        settings.max_in_flight = 100;
        settings.queued_bytes_max = bytes_max;
        dispatcher.configure(std::make_shared<const Settings>(settings));
        put(bytes_max);
        submit(bytes_max, 1);
        pump();
        clock.now += unproven_after;
        for (std::uint64_t token = 2; token <= 40; ++token)
            submit(bytes_max, token);
        const bool is_short = bytes_max == 3000;
        EXPECT_EQ(outcomes().empty(), !is_short) << bytes_max;
        dispatcher.drop_hook(bytes_max);
        wire.answer(200);
        pump();
    }
}

// Requests on connections that are there may end as they are pushed out; the next need not wait for
// another turn.
TEST_F(LaneTest, WhatEndsAsItIsPushedOutMakesRoomAtOnce) {
    put(1);
    submit(1, 1);
    submit(1, 2);
    pump();
    ASSERT_EQ(wire.running.size(), 1U);
    wire.answer(200);
    wire.results_of_push.swap(wire.results);
    pump();
    EXPECT_EQ(wire.sent.size(), 2U);
}

}  // namespace
}  // namespace whisperer::engine
