// When deliveries start, park, come back and end: with a clock that stands still and a wire that
// answers when told, so that a day of a failing endpoint takes a millisecond.
#include <map>
#include <set>

#include "tests/unit/dispatcher_fixture.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

TEST_F(DispatcherTest, ALaneStartsWithOneAndGrowsToItsLimit) {
    put(1);
    for (std::uint64_t token = 1; token <= 12; ++token)
        submit(1, token);
    pump();
    EXPECT_EQ(wire.running.size(), 1U);
    for (std::size_t expected : {2U, 3U, 4U, 4U}) {
        wire.answer(200);
        EXPECT_EQ(pump().at(0).kind, WhispererDelivered);
        EXPECT_EQ(wire.running.size(), expected);
    }
}

TEST_F(DispatcherTest, LanesTakeTurnsWithinTheWhole) {
    for (std::int64_t hook = 1; hook <= 12; ++hook)
        put(hook);
    for (std::uint64_t token = 1; token <= 12; ++token)
        submit(static_cast<std::int64_t>(token), token);
    pump();
    EXPECT_EQ(wire.running.size(), 8U) << "max_in_flight";
    wire.answer(200);
    pump();
    EXPECT_EQ(wire.sent.size(), 9U);
}

TEST_F(DispatcherTest, OnePumpFillsTheWireAndDoesNoMoreForWhatFailsAtOnce) {
    WhispererSettings settings = small_settings();
    settings.max_in_flight = 2 * push_size + 6;
    dispatcher.configure(std::make_shared<const Settings>(settings));
    const auto max = static_cast<std::size_t>(settings.max_in_flight);
    for (std::int64_t hook = 1; hook <= 4 * settings.max_in_flight; ++hook) {
        put(hook);
        submit(hook, static_cast<std::uint64_t>(hook));
    }
    pump();
    EXPECT_EQ(wire.running.size(), max) << "more than go out at once";
    wire.refused_url = "http://192.0.2.1/";
    wire.answer_all([](const std::string&) { return 200; });
    wire.sent.clear();
    pump();
    EXPECT_LE(wire.sent.size(), 2 * (max + push_size)) << "sockets are looked at between";
    EXPECT_EQ(dispatcher.wait_ms(), 0);
    for (int i = 0; i < 3; ++i)
        pump();
    EXPECT_EQ(wire.sent.size(), 3 * max);
}

TEST_F(DispatcherTest, AHangingRequestIsParkedOnceAndEndsOnce) {
    put(1);
    submit(1, 7);
    pump();
    clock.now += milliseconds(999);
    EXPECT_TRUE(pump().empty());
    EXPECT_LE(dispatcher.wait_ms(), 1);
    clock.now += milliseconds(1);
    const auto parked = pump();
    ASSERT_EQ(parked.size(), 1U);
    EXPECT_EQ(parked[0].kind, WhispererParked);
    EXPECT_EQ(parked[0].next_after, milliseconds(9000) + parked_grace);
    EXPECT_TRUE(pump().empty());
    clock.now += seconds(5);
    wire.answer(200, seconds(6));
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererDelivered);
    EXPECT_EQ(ended[0].token, 7U);
}

TEST_F(DispatcherTest, ParkedRequestsLeaveRoomForOthers) {
    for (std::int64_t hook = 1; hook <= 9; ++hook)
        put(hook);
    for (std::uint64_t token = 1; token <= 8; ++token)
        submit(static_cast<std::int64_t>(token), token);
    pump();
    submit(9, 9);
    pump();
    EXPECT_EQ(wire.sent.size(), 8U);
    clock.now += seconds(1);
    pump();
    EXPECT_EQ(wire.sent.size(), 9U);
}

TEST_F(DispatcherTest, WhatWaitsTooLongComesBackWithoutAnAttempt) {
    put(1);
    submit(1, 1);
    submit(1, 2);
    pump();
    clock.now += seconds(1);
    std::map<std::uint64_t, Outcome> got;
    for (Outcome& outcome : pump())
        got[outcome.token] = outcome;
    EXPECT_EQ(got.at(1).kind, WhispererParked);
    EXPECT_EQ(got.at(2).kind, WhispererReturned);
    EXPECT_FALSE(got.at(2).attempted);
    EXPECT_GE(got.at(2).next_after, return_wait_min);
}

TEST_F(DispatcherTest, AFailureSaysWhenToTryAgainUntilNoneIsLeft) {
    put(1, R"({"choice": "schedule", "kwargs": {"seconds": [5, 60]}})");
    const std::vector<std::pair<WhispererOutcomeKind, seconds>> expected = {
        {WhispererRetry, seconds(5)}, {WhispererRetry, seconds(60)}, {WhispererFailed, seconds(0)}};
    for (int attempt = 0; attempt < 3; ++attempt) {
        submit(1, 1, attempt);
        pump();
        wire.answer(500);
        const auto got = pump();
        ASSERT_EQ(got.size(), 1U);
        EXPECT_EQ(got[0].kind, expected[static_cast<std::size_t>(attempt)].first);
        EXPECT_EQ(got[0].next_after, expected[static_cast<std::size_t>(attempt)].second);
        EXPECT_TRUE(got[0].attempted);
    }
}

TEST_F(DispatcherTest, GoneIsForGood) {
    put(1);
    submit(1, 1);
    pump();
    wire.answer(410);
    const auto got = pump();
    EXPECT_EQ(got.at(0).kind, WhispererFailed);
    EXPECT_TRUE(got.at(0).hook_gone);
}

TEST_F(DispatcherTest, RetriesDoNotStarveFirstAttempts) {
    put(1);
    for (std::uint64_t token = 1; token <= 10; ++token)
        submit(1, token, 1);
    for (std::uint64_t token = 11; token <= 14; ++token)
        submit(1, token);
    std::set<std::uint64_t> done;
    for (int i = 0; i < 9; ++i) {
        pump();
        wire.answer(200);
        for (const Outcome& outcome : pump())
            done.insert(outcome.token);
    }
    for (std::uint64_t token = 11; token <= 14; ++token)
        EXPECT_TRUE(done.contains(token)) << token;
}

TEST_F(DispatcherTest, ADroppedHookGivesBackItsQueueAndEndsWhatRuns) {
    put(1);
    submit(1, 1);
    submit(1, 2);
    pump();
    dispatcher.drop_hook(1);
    auto got = outcomes();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].token, 2U);
    EXPECT_EQ(got[0].kind, WhispererReturned);
    EXPECT_THROW(submit(1, 3), Invalid);
    wire.answer(200);
    got = pump();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].kind, WhispererDelivered);
}

TEST_F(DispatcherTest, TheSameBytesOnEveryAttempt) {
    put(1);
    for (int attempt = 0; attempt < 3; ++attempt) {
        submit(1, 1, attempt);
        pump();
        wire.answer(500);
        pump();
        clock.now += seconds(10);
    }
    ASSERT_EQ(wire.sent.size(), 3U);
    EXPECT_EQ(wire.sent[0].body, wire.sent[2].body);
    EXPECT_EQ(wire.sent[0].headers.at(1), wire.sent[2].headers.at(1)) << "webhook-id";
    EXPECT_NE(wire.sent[0].headers.at(2), wire.sent[2].headers.at(2)) << "webhook-timestamp";
    EXPECT_EQ(wire.sent[0].headers.at(3), wire.sent[2].headers.at(3)) << "signature of the body";
}

TEST_F(DispatcherTest, CreditIsBoundedAndADeadEndpointGivesItBack) {
    put(1);
    std::uint64_t token = 0;
    int not_short = 0;
    while (dispatcher.credit().deliveries > 0) {
        not_short += dispatcher.credit().is_short == 0;
        submit(1, ++token);
    }
    EXPECT_EQ(token, static_cast<std::uint64_t>(credit_factor) * 8);
    EXPECT_EQ(not_short, credit_factor * 8 / 2 + 1) << "before each, down to half";
    pump();
    clock.now += seconds(1);
    EXPECT_EQ(pump().size(), token);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
}

TEST_F(DispatcherTest, ASlowLaneGetsFewRequestsAndAShortQueue) {
    put(1);
    for (std::uint64_t token = 1; token <= 5; ++token) {
        submit(1, token);
        pump();
        wire.answer(200, seconds(2));
        pump();
    }
    for (std::uint64_t token = 10; token < 40; ++token)
        submit(1, token);
    const auto returned = outcomes();
    EXPECT_EQ(returned.size(), 30 - struggling_lane_queue_max);
    for (const Outcome& outcome : returned)
        EXPECT_EQ(outcome.kind, WhispererReturned);
    pump();
    EXPECT_EQ(wire.running.size(), 4U);
    clock.now += milliseconds(1000);
    pump();
    EXPECT_EQ(wire.running.size(), 4U) << "parked ones count in a slow lane";
}

TEST_F(DispatcherTest, AnEndpointThatHasNotAnsweredYetHoldsLittleOfScarceCredit) {
    put(1);
    put(2);
    for (std::uint64_t token = 1; token <= 20; ++token)
        submit(1, token);
    pump();
    clock.now += unproven_after - milliseconds(1);
    submit(1, 21);
    EXPECT_TRUE(outcomes().empty()) << "it may be as fast as the others";
    clock.now += milliseconds(1);
    submit(2, 30);
    EXPECT_TRUE(outcomes().empty()) << "nothing of hook 2 is in flight";
    submit(1, 22);
    EXPECT_EQ(outcomes().size(), 21 - struggling_lane_queue_max);

    wire.answer(200);
    pump();
    for (std::uint64_t token = 40; dispatcher.credit().deliveries > 0; ++token)
        submit(1, token);
    EXPECT_TRUE(outcomes().empty()) << "it has answered";
}

TEST_F(DispatcherTest, ASlowLaneThatAnswersFastAgainIsALaneLikeOthers) {
    put(1);
    for (std::uint64_t token = 1; token <= 13; ++token) {
        submit(1, token);
        pump();
        wire.answer(200, token <= 8 ? seconds(2) : seconds(0));
        pump();
    }
    for (std::uint64_t token = 20; token < 20 + 2 * struggling_lane_queue_max; ++token)
        submit(1, token);
    EXPECT_TRUE(outcomes().empty());
}

TEST_F(DispatcherTest, ReturnedDeliveriesComeBackSpread) {
    put(1);
    for (std::uint64_t token = 1; token <= 30; ++token)
        submit(1, token);
    pump();
    clock.now += seconds(1);
    int returned = 0;
    milliseconds last = return_wait_min - milliseconds(1);
    for (const Outcome& outcome : pump()) {
        if (outcome.kind != WhispererReturned)
            continue;
        EXPECT_GT(outcome.next_after, last);
        EXPECT_LE(outcome.next_after, milliseconds(1300));
        last = outcome.next_after;
        ++returned;
    }
    EXPECT_EQ(returned, 29);
}

TEST_F(DispatcherTest, AFailedConnectionStartsTheLaneAnew) {
    put(1);
    for (std::uint64_t token = 1; token <= 20; ++token)
        submit(1, token);
    for (int i = 0; i < 5; ++i) {
        pump();
        wire.answer(200);
    }
    pump();
    ASSERT_EQ(wire.running.size(), 4U);
    for (int i = 0; i < 4; ++i)
        wire.answer(0);
    pump();
    EXPECT_EQ(wire.running.size(), 1U);
}

// The wire watches deadlines; when it does not, the dispatcher keeps the promise of Parked.
TEST_F(DispatcherTest, AnAttemptThatNeverEndsIsCutOffBeforeItsParkedPromise) {
    put(1);
    submit(1, 1);
    pump();
    clock.now += seconds(1);
    const milliseconds promised = pump().at(0).next_after;
    const microseconds parked_at = clock.now;
    std::vector<Outcome> ended;
    while (ended.empty() && clock.now < parked_at + seconds(60)) {
        const std::int64_t wait_ms = dispatcher.wait_ms();
        ASSERT_GT(wait_ms, 0);
        clock.now += milliseconds(wait_ms);
        ended = pump();
    }
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererRetry);
    EXPECT_LE(clock.now, parked_at + promised);
    EXPECT_TRUE(wire.running.empty()) << "cancelled";
}

TEST_F(DispatcherTest, LookUpsAreBoundedButHoldUpOnlyWhoNeedsOne) {
    put(1, "", "http://one.example/");
    put(2, "", "http://two.example/");
    put(3, "", "http://192.0.2.1/");
    submit(1, 1);
    pump();
    wire.answer(200);
    pump();
    wire.lookups_now = lookups_max;
    for (std::int64_t hook = 1; hook <= 3; ++hook)
        submit(hook, static_cast<std::uint64_t>(10 + hook));
    pump();
    ASSERT_EQ(wire.sent.size(), 3U);
    EXPECT_EQ(wire.sent[1].hook, "1") << "resolved lately";
    EXPECT_EQ(wire.sent[2].hook, "3") << "an address";
    wire.lookups_now = 0;
    pump();
    EXPECT_EQ(wire.sent.back().hook, "2");
}

TEST_F(DispatcherTest, OurOwnFaultConsumesNoAttempt) {
    put(1);
    submit(1, 1);
    pump();
    WireResult result;
    result.cookie = wire.running.front();
    result.end = WireEnd::OurFault;
    result.error = "could not make a socket: too many open files";
    wire.running.clear();
    wire.results.push_back(result);
    const auto got = pump();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].kind, WhispererReturned);
    EXPECT_FALSE(got[0].attempted);
    EXPECT_EQ(got[0].started_at.count(), 0);
}

TEST_F(DispatcherTest, SubmitTakesAllOrNothing) {
    put(1);
    WhispererEvent event{};
    event.type = span("e");
    event.data = span("{}");
    const WhispererDelivery deliveries[] = {{1, 1, 0, 0}, {2, 99, 0, 0}};
    EXPECT_THROW(dispatcher.submit(event, deliveries, 2), Invalid);
    event.type = span("bad\ntype");
    EXPECT_THROW(dispatcher.submit(event, deliveries, 1), Invalid);
    EXPECT_EQ(dispatcher.counts().queued, 0);
    EXPECT_EQ(dispatcher.counts().queued_bytes, 0);
    EXPECT_TRUE(pump().empty());
    EXPECT_TRUE(wire.sent.empty());
}

TEST_F(DispatcherTest, BytesAreHeldOncePerEventAndUntilItsLastDeliveryEnds) {
    put(1);
    put(2);
    WhispererEvent event{};
    event.type = span("e");
    event.data = span("{}");
    const WhispererDelivery deliveries[] = {{1, 1, 0, 0}, {2, 2, 0, 0}};
    dispatcher.submit(event, deliveries, 2);
    const std::int64_t bytes = dispatcher.counts().queued_bytes;
    EXPECT_GT(bytes, 0);
    EXPECT_LT(bytes, 100);
    pump();
    wire.answer(200);
    pump();
    EXPECT_EQ(dispatcher.counts().queued_bytes, bytes);
    wire.sent.clear();
    wire.answer(200);
    pump();
    EXPECT_EQ(dispatcher.counts().queued_bytes, 0);
}

// What a subscriber's function made must not be made anew for the next attempt.
TEST_F(DispatcherTest, ABodyOfTheHostsIsSentAsItIsAndComesBackWithEveryOutcome) {
    put(1);
    WhispererEvent event{};
    event.type = span("e");
    event.body = span("[1]");
    const WhispererDelivery delivery{7, 1, 0, 0};
    dispatcher.submit(event, &delivery, 1);
    pump();
    EXPECT_EQ(wire.sent.at(0).body, "[1]");
    clock.now += milliseconds(1500);
    const auto parked = pump();
    ASSERT_EQ(parked.size(), 1U);
    EXPECT_EQ(parked[0].kind, WhispererParked);
    ASSERT_NE(parked[0].event, nullptr);
    EXPECT_EQ(parked[0].event->body(), "[1]");
    wire.answer(500);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    ASSERT_NE(ended[0].event, nullptr);
    EXPECT_EQ(ended[0].event->body(), "[1]");

    submit(1, 8);
    dispatcher.drop_hook(1);
    const auto returned = pump();
    ASSERT_EQ(returned.size(), 1U);
    EXPECT_EQ(returned[0].event, nullptr) << "an envelope is made anew";
}

// Slow endpoints that fill the engine leave every other lane a place for its first request.
TEST_F(DispatcherTest, FullOfSlowOnesThereIsRoomForAFirst) {
    Dispatcher small(clock, wire, std::make_shared<const Settings>(small_settings()), 8);
    const auto put_small = [&](std::int64_t id) {
        WhispererHook hook{};
        hook.id = id;
        hook.target_url = span("http://192.0.2.1/");
        small.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    };
    const auto submit_small = [&](std::int64_t id, std::uint64_t token) {
        WhispererEvent event{};
        event.type = span("e");
        event.data = span("{}");
        const WhispererDelivery delivery{token, id, 0, 0};
        small.submit(event, &delivery, 1);
    };
    for (std::int64_t hook = 1; hook <= 3; ++hook)
        put_small(hook);
    // Hooks 1 and 2 prove fast, then take all they can get and hang.
    for (std::uint64_t token = 0; token < 40; ++token)
        submit_small(1 + static_cast<std::int64_t>(token % 2), token);
    for (int i = 0; i < 12; ++i) {
        small.pump();
        wire.answer(200);
    }
    small.pump();
    EXPECT_LT(wire.running.size(), 8U);
    submit_small(3, 99);
    small.pump();
    EXPECT_EQ(wire.sent.back().hook, "3");
}

// Ten hooks for a day, an event a minute, one of which fails always: the nine get everything, and
// every delivery of the tenth ends after its four attempts.
TEST_F(DispatcherTest, ADayOfOneFailingHook) {
    constexpr std::int64_t failing = 10;
    for (std::int64_t hook = 1; hook <= 10; ++hook)
        put(hook, R"({"choice": "fixed", "kwargs": {"seconds": 600}, "max_retries": 3})");
    std::map<std::int64_t, std::map<WhispererOutcomeKind, int>> ended;
    std::multimap<microseconds, std::pair<std::uint64_t, int>> due;
    std::map<std::uint64_t, int> attempts;
    constexpr int minutes = 24 * 60;
    for (int minute = 0; minute < minutes + 31; ++minute, clock.now += seconds(60)) {
        for (std::int64_t hook = 1; hook <= 10 && minute < minutes; ++hook)
            submit(hook, static_cast<std::uint64_t>(minute * 16 + hook));
        for (; !due.empty() && due.begin()->first <= clock.now; due.erase(due.begin()))
            submit(failing, due.begin()->second.first, due.begin()->second.second);
        do {
            dispatcher.pump();
            wire.answer_all([](const std::string& hook) { return hook == "10" ? 500 : 200; });
            dispatcher.pump();
            for (const Outcome& outcome : outcomes()) {
                ++ended[outcome.hook_id][outcome.kind];
                if (outcome.kind == WhispererRetry)
                    due.emplace(clock.now + outcome.next_after,
                                std::pair{outcome.token, ++attempts[outcome.token]});
            }
        } while (!wire.running.empty() || dispatcher.counts().queued > 0);
    }
    for (std::int64_t hook = 1; hook < failing; ++hook)
        EXPECT_EQ(ended[hook],
                  (std::map<WhispererOutcomeKind, int>{{WhispererDelivered, minutes}}));
    EXPECT_EQ(ended[failing], (std::map<WhispererOutcomeKind, int>{{WhispererRetry, 3 * minutes},
                                                                   {WhispererFailed, minutes}}));
}

}  // namespace
}  // namespace whisperer::engine
