// What each format makes of an event: body and headers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/base/invalid.h"
#include "worker/rules/format.h"

namespace whisperer::engine {
namespace {

using testing::ElementsAre;

WhispererSpan span_of(std::string_view text) {
    return {text.data(), text.size()};
}

WhispererEvent event_with(std::string_view data) {
    WhispererEvent event{};
    event.id[0] = 0xda;
    event.id[15] = 0x17;
    event.type = span_of("package-created");
    event.data = span_of(data);
    event.recorded_at_us = 1'700'000'000'000'042;
    event.source = span_of("public.\"Pack age\"");
    event.object_id = span_of("61 \xc3\xbc\"%");
    return event;
}

std::string body_in(std::string_view format, const WhispererEvent& event) {
    const Format parsed = Format::parse(format);
    std::string body(write_body(parsed, event, nullptr, 0), '?');
    EXPECT_EQ(write_body(parsed, event, body.data(), body.size() - (body.empty() ? 0 : 1)),
              body.size());
    EXPECT_EQ(body, std::string(body.size(), '?')) << "written though it did not fit";
    write_body(parsed, event, body.data(), body.size());
    EXPECT_EQ(make_body(parsed, event), body);
    return body;
}

TEST(Format, TheBodiesAreByteForByte) {
    const WhispererEvent event = event_with(R"({ "n": 1.00 })");
    const std::string id = "da000000000000000000000000000017";
    EXPECT_EQ(body_in("", event), R"({"event":{"type":"package-created","uuid":")" + id +
                                      R"("},"data":{ "n": 1.00 }})");
    EXPECT_EQ(body_in("whisperer", event), body_in("", event));
    EXPECT_EQ(
        body_in("whisperer:payload", event),
        R"({"event":{"type":"package-created","uuid":")" + id + R"("},"payload":{ "n": 1.00 }})");
    EXPECT_EQ(body_in("standard", event),
              R"({"type":"package-created","timestamp":"2023-11-14T22:13:20.000042Z",)"
              R"("data":{ "n": 1.00 }})");
    EXPECT_EQ(body_in("cloudevents", event),
              R"({"specversion":"1.0","id":")" + id +
                  R"(","source":"/whisperer/public.%22Pack%20age%22","type":"package-created",)"
                  R"("time":"2023-11-14T22:13:20.000042Z","subject":"61 )"
                  "\xc3\xbc"
                  R"(\"%","datacontenttype":"application/json","data":{ "n": 1.00 }})");
    EXPECT_EQ(body_in("cloudevents-binary", event), R"({ "n": 1.00 })");
    EXPECT_EQ(body_in("data", event), R"({ "n": 1.00 })");
    EXPECT_EQ(body_in("form", event), "n=1.00");
}

TEST(Format, WhatNoTableRecordedHasNoSubject) {
    WhispererEvent event = event_with("1");
    event.source = event.object_id = {};
    EXPECT_THAT(body_in("cloudevents", event),
                testing::HasSubstr(R"("source":"/whisperer","type")"));
    EXPECT_THAT(body_in("cloudevents", event), testing::Not(testing::HasSubstr("subject")));
}

TEST(Format, HeadersGoWithTheBody) {
    const WhispererEvent event = event_with("{}");
    for (const char* format : {"", "whisperer:x", "standard", "data"})
        EXPECT_THAT(format_header_lines(Format::parse(format), event),
                    ElementsAre("Content-Type: application/json"));
    EXPECT_THAT(format_header_lines(Format::parse("cloudevents"), event),
                ElementsAre("Content-Type: application/cloudevents+json; charset=utf-8"));
    EXPECT_THAT(format_header_lines(Format::parse("form"), event),
                ElementsAre("Content-Type: application/x-www-form-urlencoded"));
    EXPECT_THAT(format_header_lines(Format::parse("cloudevents-binary"), event),
                ElementsAre("Content-Type: application/json", "ce-specversion: 1.0",
                            "ce-id: da000000000000000000000000000017",
                            "ce-source: /whisperer/public.%2522Pack%2520age%2522",
                            "ce-type: package-created", "ce-time: 2023-11-14T22:13:20.000042Z",
                            "ce-subject: 61%20%C3%BC%22%25"));
}

TEST(Format, ALongSubjectIsNoHeader) {
    WhispererEvent event = event_with("{}");
    const std::string key(header_text_bytes_max + 1, 'k');
    event.object_id = span_of(key);
    EXPECT_EQ(format_header_lines(Format::parse("cloudevents-binary"), event).size(), 6U);
    event.object_id.size--;
    EXPECT_EQ(format_header_lines(Format::parse("cloudevents-binary"), event).size(), 7U);
}

TEST(Format, AFormHasPairs) {
    const auto form = [](std::string_view data) { return body_in("form", event_with(data)); };
    EXPECT_EQ(form(R"( { "a b" : "c&d=e", "n":1e400 ,"t":true,"z":null,)"
                   R"("\u00fc\ud83d\udce6":"~*-._\u0000"} )"),
              "a+b=c%26d%3De&n=1e400&t=true&z=&%C3%BC%F0%9F%93%A6=%7E*-._%00");
    EXPECT_EQ(form("{}"), "");
    for (const char* data : {"1", "[]", "null", R"({"a":{}})", R"({"a":[1]})", "{", ""})
        EXPECT_THROW(form(data), Invalid) << data;
}

TEST(Format, NamesAndKeysAreChecked) {
    for (const char* name : {"", "Whisperer", "standard:payload", "form:x", "json"})
        EXPECT_THROW(check_format_name(name), Invalid) << name;
    for (const char* key : {"", "event", "a b", "a\"b", "\xc3\xbc"})
        EXPECT_THROW(check_payload_key(key, "whisperer"), Invalid) << key;
    EXPECT_THROW(check_payload_key(std::string(65, 'k'), "whisperer"), Invalid);
    EXPECT_NO_THROW(check_payload_key(std::string(64, 'k'), "whisperer"));
    EXPECT_THROW(check_payload_key("payload", "standard"), Invalid);
}

TEST(Format, MetadataIsSaidAsAsked) {
    const auto lines_of = [](const WhispererEvent& event, std::int32_t asked) {
        HeaderLines lines;
        metadata_of(event).add_to(lines, asked);
        return lines;
    };
    WhispererEvent event = event_with("{}");
    EXPECT_THAT(lines_of(event, 15), ElementsAre("X-Whisperer-Time: 2023-11-14T22:13:20.000042Z",
                                                 "X-Whisperer-Object: 61%20%C3%BC%22%25",
                                                 "X-Whisperer-Source: public.%22Pack%20age%22"));
    EXPECT_THAT(lines_of(event, WhispererMetadataTime).size(), 1U);
    EXPECT_TRUE(lines_of(event, WhispererMetadataAttempt).empty()) << "is each attempt's own";
    EXPECT_TRUE(lines_of(event, 0).empty());
    event.object_id = event.source = {};
    EXPECT_THAT(lines_of(event, 15).size(), 1U);
    event.recorded_at_us = 0;
    EXPECT_TRUE(lines_of(event, 15).empty());
}

TEST(Format, ItsHeadersAreItsOwn) {
    const HeaderLines lines = parse_additional_headers(R"({"CE-Id": "1", "ce-tenant": "7"})");
    EXPECT_THROW(check_beside_format(Format::parse("cloudevents-binary"), lines), Invalid);
    EXPECT_NO_THROW(check_beside_format(Format::parse("cloudevents"), lines));
    EXPECT_NO_THROW(check_beside_format(Format::parse("cloudevents-binary"),
                                        parse_additional_headers(R"({"ce-tenant": "7"})")));
}

}  // namespace
}  // namespace whisperer::engine
