// Batches: what they are made of, when they are sent, and what their end means for each member.
// What an answer says of members is in batch_answer_test.cpp.
#include "worker/rules/batch.h"

#include "tests/unit/batch_fixture.h"
#include "worker/base/invalid.h"
#include "worker/dispatch/batch_answer.h"

namespace whisperer::engine {
namespace {

std::string refusal(const char* json, const char* format = "", std::int32_t metadata = 0) {
    try {
        if (BatchRule::parse(json) != nullptr)
            check_batch_beside(Format::parse(format), metadata);
        return {};
    } catch (const Invalid& invalid) {
        return invalid.what();
    }
}

TEST(BatchRule, IsReadAndChecked) {
    EXPECT_EQ(BatchRule::parse(""), nullptr);
    EXPECT_EQ(BatchRule::parse("null"), nullptr);
    const auto rule =
        BatchRule::parse(R"({"size": 7, "wait": "1.5 s", "bytes": 2048, "form": "ndjson"})");
    EXPECT_EQ(rule->size, 7U);
    EXPECT_EQ(rule->wait, milliseconds(1500));
    EXPECT_EQ(rule->bytes, 2048U);
    EXPECT_EQ(rule->form, BatchForm::Ndjson);
    const auto plain = BatchRule::parse("{}");
    EXPECT_EQ(plain->size, 100U);
    EXPECT_EQ(plain->wait, milliseconds(200));
    EXPECT_EQ(BatchRule::parse(R"({"wait": "0 ms"})")->wait, milliseconds(0));
    EXPECT_EQ(BatchRule::parse(R"({"wait": "30ms"})")->wait, milliseconds(30));
    for (const char* wrong : {"[]",
                              "5",
                              "{",
                              R"({"size": 5} {})",
                              R"({"size": 0})",
                              R"({"size": 1001})",
                              R"({"size": 1.5})",
                              R"({"size": "9"})",
                              R"({"size": -1})",
                              R"({"bytes": 1023})",
                              R"({"bytes": 8388609})",
                              R"({"wait": 5})",
                              R"({"wait": "5"})",
                              R"({"wait": "ms"})",
                              R"({"wait": "-1 ms"})",
                              R"({"wait": "11 s"})",
                              R"({"wait": "1. s"})",
                              R"({"wait": "1 min"})",
                              R"({"wait": "99999999999 ms"})",
                              R"({"form": "csv"})",
                              R"({"sizes": 5})"})
        EXPECT_NE(refusal(wrong), "") << wrong;
    EXPECT_NE(refusal("{}", "form"), "");
    EXPECT_NE(refusal("{}", "cloudevents-binary"), "");
    EXPECT_NE(refusal("{}", "", WhispererMetadataTime), "");
    EXPECT_EQ(refusal("", "form", WhispererMetadataTime), "");
    for (const char* format : {"whisperer:payload", "standard", "cloudevents", "data"})
        EXPECT_EQ(refusal("{}", format), "");
}

TEST(BatchBody, IsAnArrayOrLines) {
    EXPECT_EQ(batch_body(BatchForm::Array, {"1", "{}"}), "[1,{}]");
    EXPECT_EQ(batch_body(BatchForm::Array, {"1"}), "[1]");
    EXPECT_EQ(batch_body(BatchForm::Ndjson, {"{\"a\":\n 1,\r\n\"b\":\"\\n\"}", "2"}),
              "{\"a\":  1,  \"b\":\"\\n\"}\n2\n");
}

TEST(BatchId, StandsForOneBody) {
    const std::string id = batch_id({"a", "b"}, "[1,1]");
    EXPECT_EQ(id.size(), 32U);
    EXPECT_EQ(id, batch_id({"a", "b"}, "[1,1]"));
    EXPECT_NE(id, batch_id({"a", "c"}, "[1,1]")) << "other events of which nothing else is said";
    EXPECT_NE(id, batch_id({"a", "b"}, "[1,2]"));
}

TEST(BatchHeaders, SayWhatIsTheSameForAll) {
    EXPECT_EQ(batch_header_lines(BatchForm::Array, FormatKind::Standard, {"e", "e"}),
              (HeaderLines{"Content-Type: application/json", "X-Whisperer-Batch: 2",
                           "X-Whisperer-Event: e"}));
    EXPECT_EQ(batch_header_lines(BatchForm::Array, FormatKind::Standard, {"\xc3\xbc 5%"}).back(),
              "X-Whisperer-Event: %C3%BC%205%25");
    EXPECT_EQ(batch_header_lines(BatchForm::Array, FormatKind::CloudEvents, {"e", "f"}),
              (HeaderLines{"Content-Type: application/cloudevents-batch+json; charset=utf-8",
                           "X-Whisperer-Batch: 2"}));
    EXPECT_EQ(batch_header_lines(BatchForm::Ndjson, FormatKind::CloudEvents, {"e"}).front(),
              "Content-Type: application/x-ndjson");
}

TEST_F(BatchTest, IsSentWhenFull) {
    put_batch(R"({"size": 3, "wait": "200 ms"})");
    submit_data(1, 2);
    pump();
    EXPECT_EQ(bodies(), Bodies{});
    EXPECT_EQ(dispatcher.wait_ms(), 200);
    submit_data(3, 4);
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1,2,3]"});
    wire.answer(200);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(ended[i].token, i + 1);
        EXPECT_EQ(ended[i].kind, WhispererDelivered);
        EXPECT_TRUE(ended[i].attempted);
    }
    EXPECT_EQ(dispatcher.counts().delivered_total, 3);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8 - 1);
}

TEST_F(BatchTest, IsSentWhenItHasWaited) {
    put_batch(R"({"size": 3, "wait": "200 ms"})");
    submit_data(1, 1);
    pump();
    clock.now += milliseconds(150);
    submit_data(2, 2);
    pump();
    EXPECT_EQ(dispatcher.wait_ms(), 50) << "since the first";
    clock.now += milliseconds(50);
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1,2]"});
}

TEST_F(BatchTest, WithoutAWaitIsSentAtOnce) {
    put_batch(R"({"size": 3, "wait": "0 ms"})");
    submit_data(1, 1);
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1]"});
    submit_data(2, 6);
    wire.answer(200);
    pump();
    EXPECT_EQ(bodies(), (Bodies{"[1]", "[2,3,4]", "[5,6]"}));
}

TEST_F(BatchTest, EndsWhereTheNextWouldMakeItTooLong) {
    put_batch(R"({"size": 100, "wait": "200 ms", "bytes": 1024})");
    const std::string text = '"' + std::string(400, 'x') + '"';
    for (std::uint64_t token = 1; token <= 3; ++token) {
        WhispererEvent event{};
        event.id[15] = static_cast<std::uint8_t>(token);
        event.type = span("e");
        event.data = span(text.c_str());
        event.format = span("data");
        const WhispererDelivery delivery{token, 1, 0, 0};
        dispatcher.submit(event, &delivery, 1);
    }
    pump();
    EXPECT_EQ(bodies(), Bodies{"[" + text + "," + text + "]"});
}

TEST_F(BatchTest, SaysWhatAllTransactionsSay) {
    const auto said = [&](const char* first, const char* second) {
        put_batch(R"({"size": 2})");
        for (std::uint64_t token : {1, 2}) {
            WhispererEvent event{};
            event.id[15] = static_cast<std::uint8_t>(token);
            event.type = span("e");
            event.data = span("{}");
            event.meta = span(token == 1 ? first : second);
            const WhispererDelivery delivery{token, 1, 0, 0};
            dispatcher.submit(event, &delivery, 1);
        }
        pump();
        wire.answer(200);
        pump();
        return header(wire.sent.size() - 1, "X-Whisperer-Context") + "," +
               header(wire.sent.size() - 1, "traceparent") + "," +
               header(wire.sent.size() - 1, "X-Tenant");
    };
    const char* one = R"({"context": {"actor": "ann"}})";
    EXPECT_EQ(said(one, one), R"({"actor":"ann"},,)");
    EXPECT_EQ(said(one, R"({"context": {"actor": "bob"}})"), ",,");
    EXPECT_EQ(said(one, ""), ",,");
    EXPECT_EQ(said("", one), ",,");
    // Each part by itself: what is of one event alone takes nothing else along.
    constexpr auto trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const auto keyed = [&](const std::string& key, const std::string& tenant,
                           const std::string& actor) {
        return R"({"context": {"traceparent": ")" + std::string(trace) + R"(", "actor": ")" +
               actor + R"("}, "headers": {"X-Tenant": ")" + tenant + R"("}, "idempotency_key": ")" +
               key + "\"}";
    };
    const auto said_of = [&](const std::string& first, const std::string& second) {
        return said(first.c_str(), second.c_str());
    };
    EXPECT_EQ(said_of(keyed("a", "7", "ann"), keyed("b", "7", "ann")),
              R"({"actor":"ann"},)" + std::string(trace) + ",7");
    EXPECT_EQ(said_of(keyed("a", "7", "ann"), keyed("b", "8", "ann")),
              R"({"actor":"ann"},)" + std::string(trace) + ",");
    EXPECT_EQ(said_of(keyed("a", "7", "ann"), keyed("b", "7", "bob")),
              "," + std::string(trace) + ",7");
    EXPECT_EQ(header(wire.sent.size() - 1, "X-Whisperer-Idempotency-Key"), "");
}

TEST_F(BatchTest, IsInTheOrderOfRecording) {
    put_batch(R"({"size": 3})");
    for (std::uint64_t token : {3, 1, 2})
        submit_as(token, "data");
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1,2,3]"});
}

TEST_F(BatchTest, WaitsLongerThanOthersArePutBack) {
    put_batch(R"({"size": 3, "wait": "3 s"})");
    submit_data(1, 1);
    pump();
    clock.now += milliseconds(2500);
    EXPECT_EQ(pump().size(), 0U) << "park_after is a second";
    clock.now += milliseconds(500);
    pump();
    EXPECT_EQ(bodies(), Bodies{"[1]"});
}

// Credit is 32 here.
TEST_F(BatchTest, DoesNotWaitWhenCreditIsShort) {
    put_batch(R"({"size": 100, "wait": "200 ms"})");
    submit_data(1, 16);
    pump();
    EXPECT_EQ(bodies(), Bodies{});
    submit_data(17, 17);
    pump();
    ASSERT_EQ(wire.sent.size(), 1U);
    EXPECT_EQ(header(0, "X-Whisperer-Event"), "") << "said once, with the batch";
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8 - 17) << "members hold theirs";
    wire.answer(200);
    EXPECT_EQ(pump().size(), 17U);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
}

TEST_F(BatchTest, OthersCreditDoesNotWaitForItEither) {
    put_batch(R"({"size": 100, "wait": "200 ms"})");
    submit_data(1, 2);
    pump();
    put(2);
    for (std::uint64_t token = 50; token < 66; ++token)
        submit(2, token);
    pump();
    EXPECT_EQ(wire.sent.back().body, "[1,2]");
}

// Credit was short, but there was no room for its request; when there was, credit was not short.
TEST_F(BatchTest, OneThatCouldNotHurryDoesSoTheNextTime) {
    put_batch(R"({"size": 100, "wait": "900 ms"})");
    submit_data(1, 2);
    pump();
    for (int hook = 2; hook <= 9; ++hook) {
        put(hook);
        submit(hook, static_cast<std::uint64_t>(50 + hook));
    }
    pump();
    ASSERT_EQ(wire.running.size(), 8U) << "as many as may run";
    for (std::uint64_t token = 70; token < 77; ++token)
        submit(2, token);
    pump();
    dispatcher.drop_hook(2);
    outcomes();
    while (!wire.running.empty())
        wire.answer(200);
    pump();
    EXPECT_EQ(wire.sent.size(), 8U);
    for (std::uint64_t token = 80; token < 96; ++token)
        submit(3, token);
    pump();
    EXPECT_TRUE(std::any_of(wire.sent.begin(), wire.sent.end(),
                            [](const auto& one) { return one.body == "[1,2]"; }));
}

TEST_F(BatchTest, MembersOfAParkedOneAreToldOf) {
    put_batch(R"({"size": 2})");
    submit_data(1, 2);
    pump();
    clock.now += milliseconds(1000);
    const auto parked = pump();
    ASSERT_EQ(parked.size(), 2U);
    EXPECT_EQ(parked[1].kind, WhispererParked);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
    wire.answer(500);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 2U);
    EXPECT_EQ(ended[1].kind, WhispererRetry);
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8);
}

TEST_F(BatchTest, AFailureIsEachMembersOwn) {
    put_batch(R"({"size": 2})", 0,
              R"({"choice": "fixed", "kwargs": {"seconds": 5}, "max_retries": 2})");
    submit_as(1, "data", false, 1);
    submit_as(2, "data", false, 2);
    pump();
    wire.answer(500);
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 2U);
    EXPECT_EQ(ended[0].kind, WhispererRetry);
    EXPECT_EQ(ended[1].kind, WhispererFailed) << "it had no attempt left";
    EXPECT_EQ(ended[0].http_status, 500);
    EXPECT_EQ(dispatcher.counts().failed_attempts_total, 2);
}

TEST_F(BatchTest, ARefusedMemberIsTriedAloneEvenIfNoAttemptIsLeft) {
    put_batch(R"({"size": 2, "wait": "1 s"})", 0,
              R"({"choice": "fixed", "kwargs": {"seconds": 5}, "max_retries": 0})");
    submit_data(1, 2);
    pump();
    wire.answer(422);
    auto ended = pump();
    ASSERT_EQ(ended.size(), 2U);
    for (const Outcome& one : ended) {
        EXPECT_EQ(one.kind, WhispererRetry);
        EXPECT_EQ(one.next_after, milliseconds(1000));
    }
    submit_as(1, "data", true, 1);
    submit_as(2, "data", true, 1);
    pump();
    EXPECT_EQ(bodies(), (Bodies{"[1,2]", "[1]"})) << "at once, as a batch of one";
    wire.answer(200);
    pump();
    EXPECT_EQ(bodies(), (Bodies{"[1,2]", "[1]", "[2]"}));
    wire.answer(422);
    ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererFailed) << "it fails alone";
    for (int status : {408, 425, 429, 200, 500, 301, 0})
        EXPECT_FALSE(may_be_about_one(status)) << status;
    for (int status : {400, 404, 422, 499})
        EXPECT_TRUE(may_be_about_one(status)) << status;
}

TEST_F(BatchTest, OthersDoNotGoAlongWithOneThatIsAlone) {
    put_batch(R"({"size": 10, "wait": "0 ms"})");
    submit_data(1, 1);
    pump();
    wire.answer(200);
    pump();
    submit_data(2, 3);
    submit_as(4, "data", true);
    submit_as(5, "standard");
    submit_as(6, "cloudevents");
    submit_as(7, "cloudevents-binary");
    for (int i = 0; i < 5; ++i) {
        pump();
        while (!wire.running.empty())
            wire.answer(200);
    }
    pump();
    EXPECT_EQ(bodies().at(1), "[2,3]");
    EXPECT_EQ(wire.sent.size(), 6U);
}

TEST_F(BatchTest, WhatCannotBeBatchedGoesAsItDid) {
    put_batch(R"({"size": 10, "wait": "1 s"})");
    submit_as(1, "cloudevents-binary");
    pump();
    ASSERT_EQ(wire.sent.size(), 1U);
    EXPECT_EQ(wire.sent[0].body, "1");
    EXPECT_EQ(header(0, "webhook-id"), std::string(31, '0') + "1");
    EXPECT_EQ(header(0, "X-Whisperer-Event"), "e");
}

TEST_F(BatchTest, NoIdStandsForTwoBodies) {
    put_batch(R"({"size": 2, "wait": "0 ms"})");
    submit_data(1, 2);
    pump();
    wire.answer(500);
    pump();
    submit_as(1, "data", false, 1);
    pump();
    wire.answer(500);
    pump();
    submit_as(1, "data", false, 1);
    submit_as(2, "data", false, 1);
    pump();
    EXPECT_EQ(bodies(), (Bodies{"[1,2]", "[1]", "[1,2]"}));
    EXPECT_NE(header(0, "webhook-id"), header(1, "webhook-id"));
    EXPECT_EQ(header(0, "webhook-id"), header(2, "webhook-id")) << "the same bytes once more";
}

TEST_F(BatchTest, ARateCountsRequests) {
    put_batch(R"({"size": 5, "wait": "0 ms"})", 1);
    submit_data(1, 10);
    EXPECT_EQ(pump().size(), 0U) << "a second's worth is two requests";
    EXPECT_EQ(bodies(), Bodies{"[1,2,3,4,5]"});
    wire.answer(200);
    pump();
    EXPECT_EQ(dispatcher.wait_ms(), 1000);
    submit_data(11, 32);
    const auto returned = outcomes();
    ASSERT_GT(returned.size(), 1U) << "more than the rate lets go in time";
    EXPECT_EQ(returned.back().next_after - returned.front().next_after,
              milliseconds(200) * (returned.size() - 1))
        << "five of them make a request";
    clock.now += milliseconds(1000);
    pump();
    EXPECT_EQ(wire.sent.size(), 2U);
}

// Of credit that is not short.
TEST_F(BatchTest, ALaneThatOnlyFailsMayQueueOne) {
    WhispererSettings large = small_settings();
    large.max_in_flight = 64;
    dispatcher.configure(std::make_shared<const Settings>(large));
    put_batch(R"({"size": 20, "wait": "0 ms"})");
    for (std::uint64_t token = 1; token <= 8; ++token) {
        submit_data(token, token);
        pump();
        wire.answer(500);
        pump();
    }
    submit_data(11, 32);
    EXPECT_EQ(outcomes().size(), 2U);
}

// A batch may be larger than all the credit.
TEST_F(BatchTest, ALaneThatDoesNotKeepUpLeavesCreditToOthers) {
    put_batch(R"({"size": 1000, "wait": "10 s"})");
    submit_data(1, 17);
    pump();
    clock.now += milliseconds(1000);
    EXPECT_EQ(pump().size(), 17U) << "its first request hangs, and is parked";
    submit_data(101, 132);
    EXPECT_EQ(outcomes().size(), 32 - struggling_lane_queue_max);
    EXPECT_EQ(dispatcher.credit().deliveries,
              credit_factor * 8 - static_cast<int>(struggling_lane_queue_max));
}

TEST_F(BatchTest, ALaneThatIsLimitedLeavesHalfTheCreditToOthers) {
    put_batch(R"({"size": 1000, "wait": "10 s"})", 0.01);
    submit_data(1, 17);
    pump();
    wire.answer(200);
    EXPECT_EQ(pump().size(), 17U);
    submit_data(101, 132);
    outcomes();
    EXPECT_EQ(dispatcher.credit().deliveries, credit_factor * 8 - 17);
}

TEST_F(BatchTest, ADroppedHookGivesBackWhatWaits) {
    put_batch(R"({"size": 5, "wait": "1 s"})");
    submit_data(1, 2);
    pump();
    dispatcher.drop_hook(1);
    EXPECT_EQ(outcomes().size(), 2U);
    clock.now += seconds(2);
    pump();
    EXPECT_EQ(wire.sent.size(), 0U);
}

}  // namespace
}  // namespace whisperer::engine
