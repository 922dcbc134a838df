// What is said of an event beside its data: a context as people set it, and the headers it becomes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/base/invalid.h"
#include "worker/rules/envelope.h"
#include "worker/rules/event_meta.h"
#include "worker/rules/format.h"
#include "worker/rules/trace_context.h"

namespace whisperer::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

HeaderLines said(const std::string& context) {
    return EventMeta::parse(R"({"context":)" + context + "}").lines(true);
}

std::string refusal(const std::string& context) {
    try {
        check_context(context);
    } catch (const Invalid& error) {
        return error.what();
    }
    return "";
}

TEST(TraceContext, ParentsAreAsTheRecommendationHasThem) {
    EXPECT_TRUE(is_traceparent(traceparent));
    EXPECT_TRUE(is_traceparent("cc" + traceparent.substr(2)));
    EXPECT_TRUE(is_traceparent("cc" + traceparent.substr(2) + "-what-comes-later"));
    for (const std::string& wrong :
         {std::string(), traceparent.substr(1), traceparent + "-", traceparent + "0",
          "ff" + traceparent.substr(2), "0A" + traceparent.substr(2),
          "cc" + traceparent.substr(2) + ".", "cc" + traceparent.substr(2) + "- x",
          std::string("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
          std::string("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
          std::string("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
          std::string("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01"),
          std::string("00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01"),
          std::string("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x")})
        EXPECT_FALSE(is_traceparent(wrong)) << wrong;
}

TEST(TraceContext, StatesAreListsOfKeysThatDiffer) {
    EXPECT_TRUE(is_tracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    EXPECT_TRUE(is_tracestate("a=1 ,\tb@c=2,, 0d/*_-=x y"));
    EXPECT_TRUE(is_tracestate(std::string(256, 'k') + "=" + std::string(256, 'v')));
    std::string members = "k0=0";
    for (int i = 1; i < 32; ++i)
        members += ",k" + std::to_string(i) + "=0";
    EXPECT_TRUE(is_tracestate(members));
    EXPECT_FALSE(is_tracestate(members + ",k32=0"));
    for (const std::string& wrong :
         {std::string(), std::string(","), std::string("a"), std::string("a="), std::string("=a"),
          std::string("A=1"), std::string("a=1,a=2"), std::string("a=1=2"), std::string("-a=1"),
          std::string("a=\x7f"), std::string("a=\n"), std::string("a b=1"),
          std::string(257, 'k') + "=1", "k=" + std::string(257, 'v')})
        EXPECT_FALSE(is_tracestate(wrong)) << wrong;
}

TEST(EventMeta, TracesAreHeadersOfTheirOwnAndTheRestIsOne) {
    EXPECT_THAT(said(R"( { "actor" : "ann", "traceparent":")" + traceparent +
                     R"(", "n": [1, {"a b": null}], "tracestate":"a=1" } )"),
                ElementsAre("traceparent: " + traceparent, "tracestate: a=1",
                            R"(X-Whisperer-Context: {"actor":"ann","n":[1,{"a b":null}]})"));
    EXPECT_THAT(said(R"({"traceparent":")" + traceparent + R"("})"),
                ElementsAre("traceparent: " + traceparent));
    EXPECT_THAT(said("{}"), IsEmpty());
    EXPECT_THAT(EventMeta::parse("").lines(true), IsEmpty());
    EXPECT_THAT(EventMeta::parse(R"({"later": true})").lines(true), IsEmpty());
}

TEST(EventMeta, WhatIsNotAsciiIsEscaped) {
    EXPECT_THAT(said("{\"\xc3\xbc\": \"\xe2\x82\xac \xf0\x9f\x98\x80\x7f\", \"q\": \"\\\" \\\\\"}"),
                ElementsAre(R"(X-Whisperer-Context: {"\u00fc":"\u20ac \ud83d\ude00\u007f",)"
                            R"("q":"\" \\"})"));
    // A key that only looks like another one is the same.
    EXPECT_THAT(said(R"({"trace\u0070arent":")" + traceparent + R"("})"),
                ElementsAre("traceparent: " + traceparent));
}

TEST(EventMeta, ContextsThatAreNoneAreRefused) {
    EXPECT_EQ(refusal(R"({"actor":"ann"})"), "");
    for (const char* wrong :
         {"", "[]", "1", "ann", "\"}\"", "{\"a\":}", "{\"a\":1}x", "{\"a\":\"\n\"}"})
        EXPECT_EQ(refusal(wrong), "whisperer.context is not a JSON object") << wrong;
    EXPECT_EQ(refusal(R"({"traceparent":1})"), "traceparent of whisperer.context is not a string");
    EXPECT_EQ(refusal(R"({"traceparent":"00"})"), "traceparent of whisperer.context is not valid");
    EXPECT_EQ(refusal(R"({"traceparent":""})"), "traceparent of whisperer.context is empty");
    EXPECT_EQ(refusal(R"({"tracestate":"a=1"})"),
              "tracestate of whisperer.context has no traceparent beside it");
    const std::string parent = R"("traceparent":")" + traceparent + "\"";
    EXPECT_EQ(refusal("{" + parent + R"(,"tracestate":"a"})"),
              "tracestate of whisperer.context is not valid");
    EXPECT_EQ(refusal("{" + parent + "," + parent + "}"),
              "traceparent is given twice in whisperer.context");
    EXPECT_EQ(refusal(R"({"a":")" + std::string(1024 - 8, 'x') + "\"}"), "");
    EXPECT_EQ(refusal(R"({"a":")" + std::string(1024 - 7, 'x') + "\"}"),
              "whisperer.context is longer than 1024 bytes");
}

TEST(EventMeta, HeadersOfTheEventAreItsReceiversAlone) {
    const EventMeta meta =
        EventMeta::parse(R"({"headers":{"X-Tenant":"7","X-Empty":"","TraceState":"b=2"},)"
                         R"("context":{"traceparent":")" +
                         traceparent + R"(","tracestate":"a=1"}})");
    EXPECT_THAT(meta.lines(true), ElementsAre("TraceState: b=2", "X-Empty;", "X-Tenant: 7",
                                              "traceparent: " + traceparent));
    EXPECT_THAT(meta.lines(false), ElementsAre("traceparent: " + traceparent, "tracestate: a=1"));
}

TEST(EventMeta, MomentsAreReadAsTheyAreRecorded) {
    const EventMeta meta = EventMeta::parse(R"({"deliver_at":"2023-11-14T22:13:20.000042Z",)"
                                            R"("expires_at":"2024-02-29T00:00:00.000000Z"})");
    EXPECT_EQ(meta.deliver_at_us, 1'700'000'000'000'042);
    EXPECT_EQ(meta.expires_at_us, 1'709'164'800'000'000);
    EXPECT_THAT(meta.lines(true), IsEmpty());
    for (const char* wrong :
         {R"({"deliver_at":1})", R"({"deliver_at":"2023-11-14T22:13:20Z"})",
          R"({"deliver_at":"2023-02-29T00:00:00.000000Z"})",
          R"({"deliver_at":"2023-11-14 22:13:20.000042Z"})", R"({"expires_at":null})"})
        EXPECT_THROW(EventMeta::parse(wrong), Invalid) << wrong;
}

TEST(EventMeta, AnIdempotencyKeyIsReadAsItIsRecorded) {
    const EventMeta meta = EventMeta::parse(
        R"({"idempotency_key":"a \"\u00fc","key_until":"2023-11-14T22:13:20.000042Z"})");
    EXPECT_EQ(meta.idempotency_key, "a \"\xc3\xbc");
    EXPECT_EQ(meta.key_until_us, 1'700'000'000'000'042);
    EXPECT_THAT(meta.lines(true), ElementsAre("X-Whisperer-Idempotency-Key: a%20%22%C3%BC"));
    EXPECT_THAT(meta.lines(false), meta.lines(true)) << "it is no header of the event's own";
    const std::string longest(255, 'k');
    EXPECT_NO_THROW(check_idempotency_key(longest));
    EXPECT_THROW(check_idempotency_key(longest + "k"), Invalid);
    EXPECT_THROW(check_idempotency_key(""), Invalid);
    EXPECT_THROW(check_idempotency_key("a\tb"), Invalid);
    EXPECT_THROW(check_idempotency_key("\x7f"), Invalid);
}

// Rows may come from elsewhere.
TEST(EventMeta, RowsThatNobodyCheckedPutNothingIntoHeaders) {
    for (const char* meta :
         {"[]", "{", "{} {}", R"({"context":"x"})", "{\"context\":{\"a\":\"\r\nX-Evil: 1\"}}",
          R"({"context":{"traceparent":"00\r\nX-Evil: 1"}})",
          R"({"headers":{"a":"\r\nX-Evil: 1"}})", R"({"headers":{"webhook-id":"1"}})",
          R"({"headers":["a"]})", R"({"idempotency_key":1})", R"({"idempotency_key":""})",
          R"({"idempotency_key":"a\r\nX-Evil: 1"})"})
        EXPECT_THROW(EventMeta::parse(meta), Invalid) << meta;
}

TEST(EventMeta, CloudEventsHaveTheTraceAsAttributes) {
    const std::string meta = R"({"context":{"actor":"ann","traceparent":")" + traceparent +
                             R"(","tracestate":"a=\"1 2\""}})";
    WhispererEvent event{};
    event.type = {"t", 1};
    event.data = {"{}", 2};
    event.meta = {meta.data(), meta.size()};
    const Format structured = Format::parse("cloudevents");
    std::string body(write_body(structured, event, nullptr, 0), '?');
    write_body(structured, event, body.data(), body.size());
    EXPECT_THAT(body, HasSubstr(R"(","traceparent":")" + traceparent +
                                R"(","tracestate":"a=\"1 2\"","datacontenttype":)"));
    EXPECT_THAT(body, Not(HasSubstr("ann")));
    const HeaderLines lines = format_header_lines(Format::parse("cloudevents-binary"), event);
    EXPECT_TRUE(sets_header(lines, "ce-traceparent"));
    EXPECT_EQ(lines.back(), "ce-tracestate: a=%221%202%22");
    EXPECT_THROW(check_beside_format(Format::parse("cloudevents-binary"), {"CE-Traceparent: x"}),
                 Invalid);
}

TEST(EventMeta, AHooksOwnHeaderStays) {
    HeaderLines lines{"Traceparent: mine", "X-Empty;"};
    const HeaderLines others{"Expect:"};
    add_apart({"traceparent: " + traceparent, "x-empty: 1", "expect: 2", "tracestate: a=1"},
              {&lines, &others}, lines);
    EXPECT_THAT(lines, ElementsAre("Traceparent: mine", "X-Empty;", "tracestate: a=1"));
}

TEST(EventMeta, APingIsToldAsTheTypeThatItShows) {
    WhispererEvent event = {};
    event.type = {"whisperer-ping", 14};
    event.data = {"{}", 2};
    constexpr std::string_view ping = R"({"ping_of": "order-paid"})";
    event.meta = {ping.data(), ping.size()};
    std::int64_t held_bytes = 0;
    const Event told(event, &held_bytes);
    EXPECT_EQ(told.type(), "order-paid");
    EXPECT_THAT(told.body(), HasSubstr(R"("type":"order-paid")"));
    event.meta = {};
    EXPECT_EQ(Event(event, &held_bytes).type(), "whisperer-ping");
    // What a transaction says of its events is no such member.
    constexpr std::string_view said = R"({"context": {"ping_of": "order-paid"}})";
    event.meta = {said.data(), said.size()};
    EXPECT_EQ(Event(event, &held_bytes).type(), "whisperer-ping");
}

}  // namespace
}  // namespace whisperer::engine
