// Chains: requests of one line, each of which starts when the one before was delivered.
#include "tests/unit/batch_fixture.h"

namespace whisperer::engine {
namespace {

class ChainTest : public BatchTest {
  protected:
    // Numbered from first on; returns how many were taken.
    std::size_t submit_chain(std::uint64_t first, std::uint64_t last,
                             std::size_t requests_max = 100) {
        std::vector<std::string> texts;
        std::vector<WhispererEvent> events;
        std::vector<WhispererDelivery> deliveries;
        for (std::uint64_t token = first; token <= last; ++token)
            texts.push_back(std::to_string(token));
        for (std::uint64_t token = first; token <= last; ++token) {
            WhispererEvent event{};
            event.id[15] = static_cast<std::uint8_t>(token);
            event.type = span("e");
            event.data = span(texts[token - first].c_str());
            event.format = span(token == refused ? "no such format" : "data");
            events.push_back(event);
            deliveries.push_back({token, 1, 0, 0});
        }
        return dispatcher.submit_run(events.data(), deliveries.data(), events.size(), requests_max);
    }

    std::int64_t room() { return dispatcher.credit().deliveries; }

    // "1 delivered, 3 unsent behind 1" and so on, in the order in which they were told.
    std::string told(const std::vector<Outcome>& outcomes) {
        std::string text;
        for (const Outcome& outcome : outcomes) {
            text += (text.empty() ? "" : ", ") + std::to_string(outcome.token);
            switch (outcome.kind) {
                case WhispererDelivered:
                    text += " delivered";
                    break;
                case WhispererRetry:
                    text += " retry";
                    break;
                case WhispererFailed:
                    text += " failed";
                    break;
                case WhispererParked:
                    text += " parked";
                    break;
                case WhispererReturned:
                    text += " returned: " + outcome.error;
                    break;
                case WhispererUnsent:
                    text += " unsent behind " + std::to_string(outcome.front_first);
                    if (outcome.front_last != outcome.front_first)
                        text += "-" + std::to_string(outcome.front_last);
                    break;
            }
        }
        return text;
    }

    static constexpr std::int64_t all_room = std::int64_t{credit_factor} * 8;
    std::uint64_t refused = 0;
};

TEST_F(ChainTest, GoesOnWithEachSuccess) {
    put_batch("");
    EXPECT_EQ(submit_chain(1, 4), 4U);
    EXPECT_EQ(room(), all_room - 4) << "what hangs behind counts";
    for (std::uint64_t token = 1; token <= 4; ++token) {
        EXPECT_EQ(told(pump()), "");
        EXPECT_EQ(wire.sent.size(), token) << "one at a time";
        EXPECT_EQ(wire.sent.back().body, std::to_string(token));
        wire.answer(200);
        EXPECT_EQ(told(pump()), std::to_string(token) + " delivered");
    }
    EXPECT_EQ(room(), all_room);
    EXPECT_EQ(dispatcher.counts().queued, 0);
}

TEST_F(ChainTest, HasNoMoreRequestsThanItMay) {
    put_batch("");
    EXPECT_EQ(submit_chain(1, 5, 3), 3U);
    EXPECT_EQ(submit_chain(4, 5, 1), 1U);
}

TEST_F(ChainTest, OfBatchesHasFullOnesBehindTheFirst) {
    put_batch(R"({"size": 2, "wait": "10 s"})");
    EXPECT_EQ(submit_chain(1, 5), 4U) << "what may come yet goes along with the fifth";
    for (const char* body : {"[1,2]", "[3,4]"}) {
        pump();
        EXPECT_EQ(bodies().back(), body);
        wire.answer(200);
    }
    EXPECT_EQ(told(pump()), "3 delivered, 4 delivered");
    EXPECT_EQ(submit_chain(5, 5), 1U);
    EXPECT_EQ(room(), all_room - 1);
}

TEST_F(ChainTest, BreaksAtAFailure) {
    put_batch("");
    submit_chain(1, 3);
    pump();
    wire.answer(500);
    EXPECT_EQ(told(pump()), "2 unsent behind 1, 3 unsent behind 1, 1 retry")
        << "which is told last";
    EXPECT_EQ(room(), all_room);
    EXPECT_EQ(wire.sent.size(), 1U);
}

TEST_F(ChainTest, BreaksInTheMiddle) {
    put_batch(R"({"size": 2})");
    submit_chain(1, 6);
    pump();
    wire.answer(200);
    EXPECT_EQ(told(pump()), "1 delivered, 2 delivered");
    wire.answer(200, milliseconds(1), R"({"failed": ["00000000000000000000000000000003"]})");
    EXPECT_EQ(told(pump()), "5 unsent behind 3-4, 6 unsent behind 3-4, 3 retry, 4 delivered")
        << "one of a batch is enough";
    EXPECT_EQ(room(), all_room);
}

TEST_F(ChainTest, BreaksWhenARequestIsParked) {
    put_batch("");
    submit_chain(1, 2);
    pump();
    clock.now += milliseconds(1000);
    EXPECT_EQ(told(pump()), "2 unsent behind 1, 1 parked");
    EXPECT_EQ(room(), all_room);
    wire.answer(200);
    EXPECT_EQ(told(pump()), "1 delivered");
}

TEST_F(ChainTest, BreaksWhenItIsOld) {
    put_batch("");
    submit_chain(1, 3);
    pump();
    clock.now += milliseconds(600);
    wire.answer(200);
    EXPECT_EQ(told(pump()), "1 delivered");
    clock.now += milliseconds(400);
    wire.answer(200);
    EXPECT_EQ(told(pump()), "3 unsent behind 2, 2 delivered");
}

TEST_F(ChainTest, WaitsForTheRateUnlessThatTakesTooLong) {
    put_batch("", 2);
    submit_chain(1, 5);
    for (int i = 0; i < 3; ++i) {
        pump();
        if (wire.running.empty()) {
            clock.now += milliseconds(500);
            pump();
        }
        wire.answer(200);
        if (i < 2) {
            EXPECT_EQ(told(pump()), std::to_string(i + 1) + " delivered");
        }
    }
    EXPECT_EQ(told(pump()), "4 unsent behind 3, 5 unsent behind 3, 3 delivered");
    EXPECT_EQ(wire.sent.size(), 3U);
}

TEST_F(ChainTest, BreaksWithItsHook) {
    put_batch("");
    submit_chain(1, 2);
    pump();
    put_batch("", 0, R"({"choice": "fixed", "kwargs": {"seconds": 5}})");
    EXPECT_EQ(told(outcomes()), "2 unsent behind 1");
    wire.answer(200);
    EXPECT_EQ(told(pump()), "1 delivered");
    submit_chain(3, 4);
    dispatcher.drop_hook(1);
    EXPECT_EQ(told(outcomes()), "4 unsent behind 3, 3 returned: hook was dropped");
    EXPECT_EQ(room(), all_room);
}

TEST_F(ChainTest, BreaksWithItsHookWhileItsFirstIsOnItsWay) {
    put_batch("");
    submit_chain(1, 2);
    pump();
    dispatcher.drop_hook(1);
    EXPECT_EQ(told(outcomes()), "2 unsent behind 1");
    wire.answer(200);
    EXPECT_EQ(told(pump()), "1 delivered");
}

TEST_F(ChainTest, IsBrokenWhenItIsAskedFor) {
    put_batch("");
    put(2);
    submit_chain(1, 2);
    dispatcher.break_chains(2);
    EXPECT_EQ(told(outcomes()), "");
    dispatcher.break_chains(1);
    EXPECT_EQ(told(outcomes()), "2 unsent behind 1") << "also while the first is queued";
    submit_chain(3, 4);
    dispatcher.break_chains(0);
    EXPECT_EQ(told(outcomes()), "4 unsent behind 3");
    EXPECT_EQ(dispatcher.counts().queued, 2);
}

TEST_F(ChainTest, OfARequestThatComesBackIsNothingLeft) {
    put_batch("");
    submit_chain(1, 2);
    pump();
    submit_chain(3, 4);
    put_batch(R"({"size": 2})");
    const auto ended = outcomes();
    EXPECT_EQ(told(ended), "2 unsent behind 1, 4 unsent behind 3, 3 returned: endpoint is busy");
    EXPECT_EQ(ended.back().error_code, WhispererErrorEndpointBusy);
}

TEST_F(ChainTest, EndsBeforeOneThatCannotBeSent) {
    put_batch("");
    refused = 3;
    EXPECT_EQ(submit_chain(1, 4), 2U);
}

TEST_F(ChainTest, IsAsLongAsTheEndpointIsFast) {
    EXPECT_EQ(dispatcher.chain_max(1), 1U) << "an unknown hook";
    put_batch("");
    EXPECT_EQ(dispatcher.chain_max(1), 1U) << "nothing is known of it";
    submit_chain(1, 1);
    pump();
    wire.answer(200, milliseconds(5));
    pump();
    EXPECT_EQ(dispatcher.chain_max(1), 20U);
    put_batch("", 50);
    EXPECT_EQ(dispatcher.chain_max(1), 5U) << "the rate";
    put_batch("", 1);
    EXPECT_EQ(dispatcher.chain_max(1), 1U);
    put_batch("");
    submit_chain(2, 20);
    EXPECT_EQ(dispatcher.chain_max(1), 1U) << "credit is short";
    dispatcher.break_chains(1);
    EXPECT_EQ(outcomes().size(), 18U);
    EXPECT_EQ(dispatcher.chain_max(1), 20U);
    for (int i = 0; i < 10; ++i) {
        pump();
        wire.answer(0);
        pump();
        submit_chain(30, 30);
    }
    EXPECT_EQ(dispatcher.chain_max(1), 1U) << "its circuit is open";
}

}  // namespace
}  // namespace whisperer::engine
