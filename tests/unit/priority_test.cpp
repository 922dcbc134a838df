// Who goes first while requests wait, and that everybody goes.
#include <array>
#include <map>

#include "tests/unit/dispatcher_fixture.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

class PriorityTest : public DispatcherTest {
  protected:
    void put(std::int64_t id, Priority priority, const char* batch = "", int max_in_flight = 0) {
        WhispererHook hook{};
        hook.id = id;
        hook.target_url = span("http://192.0.2.1/");
        hook.batch = span(batch);
        hook.max_in_flight = max_in_flight;
        hook.priority = static_cast<std::int32_t>(priority);
        dispatcher.put_hook(std::make_shared<const Hook>(hook, "whisperer/1.0", false));
    }

    void allow(int max_in_flight) {
        WhispererSettings settings = small_settings();
        settings.max_in_flight = max_in_flight;
        dispatcher.configure(std::make_shared<const Settings>(settings));
    }

    // Of what has been sent since, by hook.
    std::map<std::string, int> sent_since(std::size_t first) const {
        std::map<std::string, int> counts;
        for (std::size_t i = first; i < wire.sent.size(); ++i)
            ++counts[wire.sent[i].hook];
        return counts;
    }

    // Whatever is answered is followed by another, until so many more were sent.
    std::map<std::string, int> send_more(std::size_t count,
                                         const std::vector<std::int64_t>& hooks) {
        const std::size_t first = wire.sent.size();
        while (wire.sent.size() < first + count) {
            for (std::int64_t hook : hooks)
                while (queued_by[hook] < 8) {
                    submit(hook, ++token);
                    ++queued_by[hook];
                }
            const std::size_t before = wire.sent.size();
            dispatcher.pump();
            for (std::size_t i = before; i < wire.sent.size(); ++i)
                --queued_by[std::stoll(wire.sent[i].hook)];
            if (!wire.running.empty())
                wire.answer(200);
            outcomes();
        }
        return sent_since(first);
    }

    std::map<std::int64_t, int> queued_by;
    std::uint64_t token = 0;
};

TEST_F(PriorityTest, SixteenFourAndOne) {
    allow(1);
    put(1, Priority::Low);
    put(2, Priority::Normal);
    put(3, Priority::High);
    const auto counts = send_more(210, {1, 2, 3});
    EXPECT_NEAR(counts.at("3"), 160, 4);
    EXPECT_NEAR(counts.at("2"), 40, 1);
    EXPECT_NEAR(counts.at("1"), 10, 1);
}

TEST_F(PriorityTest, EachHookHasItsTurns) {
    allow(1);
    for (std::int64_t id = 1; id <= 4; ++id)
        put(id, id <= 2 ? Priority::High : Priority::Low);
    const auto counts = send_more(170, {1, 2, 3, 4});
    for (const char* high : {"1", "2"})
        EXPECT_NEAR(counts.at(high), 80, 4);
    for (const char* low : {"3", "4"})
        EXPECT_NEAR(counts.at(low), 5, 1);
}

// Turns come to a lane by its own requests' ends, too, when it may have no more of them at once.
TEST_F(PriorityTest, OneRequestAtATimeChangesNothing) {
    allow(1);
    put(1, Priority::Low, "", 1);
    put(2, Priority::Normal, "", 1);
    put(3, Priority::High, "", 1);
    const auto counts = send_more(210, {1, 2, 3});
    EXPECT_NEAR(counts.at("3"), 160, 4);
    EXPECT_NEAR(counts.at("1"), 10, 1);
}

TEST_F(PriorityTest, WithoutADifferenceTheyTakeTurns) {
    for (Priority priority : {Priority::Low, Priority::Normal, Priority::High}) {
        allow(1);
        for (std::int64_t id = 1; id <= 3; ++id)
            put(id, priority);
        const auto counts = send_more(120, {1, 2, 3});
        for (const char* hook : {"1", "2", "3"})
            EXPECT_NEAR(counts.at(hook), 40, 4);
    }
}

TEST_F(PriorityTest, NobodyWaitsForWhatIsNotThere) {
    put(1, Priority::Low, "", 8);
    put(2, Priority::High);
    for (int i = 0; i < 8; ++i) {
        submit(1, ++token);
        dispatcher.pump();
        wire.answer_all([](const std::string&) { return 200; });
    }
    dispatcher.pump();
    EXPECT_EQ(wire.sent.size(), 8U);
    for (int i = 0; i < 8; ++i)
        submit(1, ++token);
    dispatcher.pump();
    EXPECT_EQ(wire.running.size(), 8U) << "all places are the low one's";
}

TEST_F(PriorityTest, WhatWaitsGoesByTheNewPriority) {
    allow(1);
    put(1, Priority::Normal);
    put(2, Priority::Normal);
    send_more(8, {1, 2});
    put(2, Priority::High);
    const auto counts = send_more(100, {1, 2});
    EXPECT_NEAR(counts.at("2"), 80, 4);
}

TEST_F(PriorityTest, LowerOnesHaveAShareOfTheRoom) {
    put(1, Priority::Low);
    put(2, Priority::Normal);
    for (int i = 0; i < 9; ++i)
        submit(1, ++token);
    EXPECT_EQ(dispatcher.full_priorities(), 1) << "normal is the highest";
    submit(2, ++token);
    for (int i = 0; i < 8; ++i)
        submit(2, ++token);
    EXPECT_EQ(dispatcher.full_priorities(), 1);
    put(3, Priority::High);
    EXPECT_EQ(dispatcher.full_priorities(), 3);
    EXPECT_GT(dispatcher.credit().deliveries, 8);
    put(2, Priority::High);
    EXPECT_EQ(dispatcher.full_priorities(), 1);
    dispatcher.drop_hook(2);
    dispatcher.drop_hook(3);
    EXPECT_EQ(dispatcher.full_priorities(), 0) << "none is higher";
    EXPECT_EQ(dispatcher.counts().queued, 9);
    put(2, Priority::Normal);
    EXPECT_EQ(dispatcher.full_priorities(), 1);
    dispatcher.drop_hook(1);
    EXPECT_EQ(dispatcher.counts().queued, 0);
    EXPECT_EQ(dispatcher.full_priorities(), 0);
}

TEST_F(PriorityTest, OneMayAlwaysWait) {
    WhispererSettings settings = small_settings();
    settings.queued_bytes_max = 100;
    dispatcher.configure(std::make_shared<const Settings>(settings));
    put(1, Priority::Normal);
    put(2, Priority::High);
    submit(2, ++token);
    EXPECT_EQ(dispatcher.full_priorities(), 0) << "of bytes more than half are taken";
    submit(1, ++token);
    EXPECT_EQ(dispatcher.full_priorities(), 2);
}

TEST_F(PriorityTest, ABatchDoesNotWaitForMembersThatHaveNoRoom) {
    put(1, Priority::Low, R"({"size": 100, "wait": "10 s"})");
    put(2, Priority::High);
    for (int i = 0; i < 7; ++i)
        submit(1, ++token);
    dispatcher.pump();
    EXPECT_TRUE(wire.sent.empty());
    submit(1, ++token);
    dispatcher.pump();
    ASSERT_EQ(wire.sent.size(), 1U);
    EXPECT_EQ(dispatcher.counts().queued, 0) << "all of them in one";
}

TEST_F(PriorityTest, WhatHasWaitedTooLongSaysWhy) {
    allow(1);
    put(1, Priority::Low);
    put(2, Priority::High);
    put(3, Priority::High);
    submit(2, ++token);
    dispatcher.pump();
    submit(1, ++token);
    submit(3, ++token);
    clock.now += milliseconds(1001);
    Outcome put_off;
    for (const Outcome& outcome : pump())
        if (outcome.kind == WhispererReturned)
            put_off = outcome;
    EXPECT_EQ(put_off.hook_id, 1);
    EXPECT_EQ(put_off.error, "hooks of a higher priority go first");
    EXPECT_EQ(put_off.error_code, WhispererErrorOutranked);
    EXPECT_EQ(wire.sent.back().hook, "3") << "the place of the one that is parked";
}

// Requests are few, and what they carry is all that there is room for.
TEST_F(PriorityTest, RunningBatchesCountWhileRoomIsShort) {
    put(1, Priority::Low, R"({"size": 6, "wait": "0 ms"})");
    put(2, Priority::High, R"({"size": 9, "wait": "0 ms"})");
    for (int i = 0; i < 6; ++i)
        submit(1, ++token);
    dispatcher.pump();
    ASSERT_EQ(wire.running.size(), 1U);
    EXPECT_EQ(dispatcher.full_priorities(), 0);
    for (int i = 0; i < 16; ++i)
        submit(2, ++token);
    EXPECT_EQ(dispatcher.full_priorities(), 1) << "of 32 more than half are held, 5 by low";
    wire.answer(200);
    pump();
    EXPECT_EQ(dispatcher.full_priorities(), 0);
}

TEST_F(PriorityTest, ThereAreThree) {
    WhispererHook hook{};
    hook.target_url = span("http://192.0.2.1/");
    for (int wrong : {-2, 2}) {
        hook.priority = wrong;
        EXPECT_THROW(Hook(hook, "whisperer/1.0", false), Invalid);
    }
}

}  // namespace
}  // namespace whisperer::engine
