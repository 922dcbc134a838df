// Runs: batches that the host has put together, which are sent or come back as a whole.
#include "tests/unit/batch_fixture.h"
#include "worker/base/invalid.h"

namespace whisperer::engine {
namespace {

class RunTest : public BatchTest {
  protected:
    void add(std::uint64_t token, const char* data, bool alone = false, int retry_count = 0) {
        WhispererEvent event{};
        event.id[15] = static_cast<std::uint8_t>(token);
        event.type = span("e");
        event.data = span(data);
        event.format = span(format);
        event.alone = alone ? 1 : 0;
        events.push_back(event);
        deliveries.push_back({token, 1, retry_count, retry_count});
    }
    std::size_t submit_run() {
        const std::size_t taken =
            dispatcher.submit_run(events.data(), deliveries.data(), events.size());
        events.clear();
        deliveries.clear();
        return taken;
    }
    std::size_t submit_two(std::uint64_t first = 1) {
        add(first, "1");
        add(first + 1, "2");
        return submit_run();
    }

    const char* format = "data";
    std::vector<WhispererEvent> events;
    std::vector<WhispererDelivery> deliveries;
};

TEST_F(RunTest, WaitsForNobody) {
    put_batch(R"({"size": 100, "wait": "10 s"})");
    EXPECT_EQ(submit_two(), 2U);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8 - 2);
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1,2]"});
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8 - 2);
    wire.answer(200);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 2U);
    EXPECT_EQ(ended[1].kind, WhispererDelivered);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
}

TEST_F(RunTest, TakesWhatTheRuleLetsIn) {
    put_batch(R"({"size": 3, "bytes": 1024})");
    for (std::uint64_t token = 1; token <= 4; ++token)
        add(token, "1");
    EXPECT_EQ(submit_run(), 3U);
    const std::string text = '"' + std::string(600, 'x') + '"';
    add(5, text.c_str());
    add(6, text.c_str());
    EXPECT_EQ(submit_run(), 1U);
    add(7, "1");
    add(8, "2", true);
    EXPECT_EQ(submit_run(), 1U);
    add(8, "2", true);
    add(9, "3");
    EXPECT_EQ(submit_run(), 1U);
    add(9, "3");
    format = "standard";
    add(10, "4");
    EXPECT_EQ(submit_run(), 1U);
    put_batch("");
    EXPECT_EQ(submit_two(20), 1U) << "without batches it is one delivery like others";
}

TEST_F(RunTest, IsInTheOrderOfRecording) {
    put_batch(R"({"size": 3})");
    add(3, "3");
    add(1, "1");
    add(2, "2");
    EXPECT_EQ(submit_run(), 3U);
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1,2,3]"});
}

TEST_F(RunTest, IsNotMixedWithOthers) {
    put_batch(R"({"size": 10, "wait": "0 ms"})");
    submit_data(50, 50);
    submit_two();
    submit_two(3);
    submit_data(51, 51);
    for (int i = 0; i < 4; ++i) {
        pump();
        while (!wire.running.empty())
            wire.answer(200);
    }
    EXPECT_EQ(bodies(), (Bodies{"[50]", "[1,2]", "[1,2]", "[51]"}));
}

TEST_F(RunTest, EndsBeforeOneThatCannotBeSent) {
    put_batch(R"({"size": 10})");
    format = "whisperer:payload";
    add(1, "1");
    format = "no such format";
    add(2, "2");
    EXPECT_EQ(submit_run(), 1U);
    add(2, "2");
    EXPECT_THROW(submit_run(), Invalid);
    EXPECT_EQ(dispatcher.counts().queued, 1);
}

// A member that is due a moment later than the first would stay behind.
TEST_F(RunTest, MembersThatFailedOrCameBackAreDueTogether) {
    put_batch(R"({"size": 10, "wait": "0 ms"})", 0.001);
    add(1, "1");
    add(2, "2");
    add(3, "3", false, 1);
    submit_run();
    pump();
    wire.answer(500);
    auto ended = pump();
    ASSERT_EQ(ended.size(), 3U);
    EXPECT_EQ(ended[0].next_after, ended[1].next_after) << "the countdown has a jitter";
    EXPECT_NE(ended[0].next_after, ended[2].next_after) << "of another attempt";
    submit_two(4);
    clock.now += milliseconds(1000);
    ended = pump();
    ASSERT_EQ(ended.size(), 2U);
    EXPECT_EQ(ended[0].kind, WhispererReturned);
    EXPECT_EQ(ended[0].next_after, ended[1].next_after) << "whatever the rate is";
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
}

TEST_F(RunTest, ComesBackWhenItsHookHasOtherBatches) {
    for (const char* batch : {R"({"size": 1})", R"({"size": 2, "form": "ndjson"})", ""}) {
        put_batch(R"({"size": 2})");
        EXPECT_EQ(submit_two(), 2U);
        put_batch(R"({"size": 2})", 5);
        EXPECT_EQ(outcomes().size(), 0U);
        put_batch(batch, 5);
        const auto ended = outcomes();
        ASSERT_EQ(ended.size(), 2U) << batch;
        EXPECT_EQ(ended[1].kind, WhispererReturned);
        EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
    }
    pump();
    EXPECT_EQ(wire.sent.size(), 0U);
}

TEST_F(RunTest, IsDroppedAsAWhole) {
    put_batch(R"({"size": 2})");
    submit_two();
    dispatcher.drop_hook(1);
    EXPECT_EQ(outcomes().size(), 2U);
    EXPECT_EQ(dispatcher.counts().queued, 0);
}

// Credit is 32 here, and a lane that struggles may hold 16 while it is short.
TEST_F(RunTest, ThatIsLongerThanTheRoomOfALaneGoesOut) {
    put_batch(R"({"size": 100})", 0,
              R"({"choice": "fixed", "kwargs": {"seconds": 5}, "max_retries": 100})");
    for (std::uint64_t token = 1; token <= 8; ++token) {
        add(token, "1");
        submit_run();
        pump();
        wire.answer(500);
        pump();
    }
    for (std::uint64_t token = 20; token < 45; ++token)
        add(token, "1");
    EXPECT_EQ(submit_run(), 25U);
    EXPECT_EQ(pump().size(), 0U);
    EXPECT_EQ(wire.sent.size(), 9U);
    wire.answer(200);
    EXPECT_EQ(pump().size(), 25U);
}

}  // namespace
}  // namespace whisperer::engine
