// Patterns of filters: what they match, what is refused, and what they may cost.
#include <gtest/gtest.h>

#include <string>

#include "worker/base/json_contains.h"
#include "worker/engine.h"

namespace whisperer::engine {
namespace {

constexpr std::int64_t plenty = 1'000'000;

int matches(std::string_view value, std::string_view pattern, std::int64_t steps = plenty) {
    return json_matches("{\"a\":" + std::string(value) + "}",
                        "{\"a\":{\"$regex\":\"" + std::string(pattern) + "\"}}", steps);
}

std::string refusal(const std::string& filter) {
    WhispererError error = {};
    const auto code = whisperer_check_filter({filter.data(), filter.size()}, plenty, &error);
    EXPECT_EQ(code == WhispererOk, error.message[0] == '\0');
    return error.message;
}

std::string refusal_of(const std::string& pattern) {
    return refusal("{\"a\":{\"$regex\":\"" + pattern + "\"}}");
}

TEST(JsonPattern, MatchesAnywhereInAString) {
    EXPECT_EQ(matches("\"xA1y\"", "A[0-9]"), 1);
    EXPECT_EQ(matches("\"xA1y\"", "^A[0-9]"), 0);
    EXPECT_EQ(matches("\"xA1y\"", "A[0-9]$"), 0);
    EXPECT_EQ(matches("\"A1\"", "^A[0-9]$"), 1);
    EXPECT_EQ(matches("\"\"", "^$"), 1);
    EXPECT_EQ(matches("\"abc\"", ""), 1);
    EXPECT_EQ(matches("\"xa1y\"", "(?i)A\\\\d"), 1);
    EXPECT_EQ(matches("[\"b\", \"a\"]", "^a$"), 1) << "an element";
}

TEST(JsonPattern, OfStringsAlone) {
    for (const char* value : {"5", "5.0", "true", "null", "{\"a\": \"5\"}", "[5]", "[[\"5\"]]"})
        EXPECT_EQ(matches(value, ""), 0) << value;
    EXPECT_EQ(json_matches("{}", R"({"a": {"$regex": ""}})", plenty), 0) << "missing";
    EXPECT_EQ(json_matches("\"x5\"", R"({"$regex": "5$"})", plenty), 1) << "at the top";
    EXPECT_EQ(json_matches("{}", R"({"a": {"$not": {"$regex": "x"}}})", plenty), 1);
    EXPECT_EQ(json_matches(R"({"a": "xy"})", R"({"a": {"$regex": "x", "$prefix": "y"}})", plenty),
              0);
}

TEST(JsonPattern, TextsAreUtf8) {
    EXPECT_EQ(matches("\"\\u00e9\"", "^.$"), 1);
    EXPECT_EQ(matches("\"\xC3\xA9\"", "^\\\\pL$"), 1);
    EXPECT_EQ(matches("\"a\\u0000b\"", "a\\\\x00b"), 1);
    EXPECT_EQ(matches("\"a\\nb\"", "a.b"), 0);
    EXPECT_EQ(matches("\"a\\nb\"", "(?s)a.b"), 1);
    EXPECT_EQ(matches("\"\\ud83d\\ude00\"", "^.$"), 1);
    EXPECT_GE(matches("\"\\ud83d\"", "."), 0) << "half of a pair is no character";
}

TEST(JsonPattern, IsRefusedWithWhatRe2Says) {
    EXPECT_EQ(refusal_of("a(b"), "pattern of $regex is invalid: missing ): a(b");
    EXPECT_EQ(refusal_of("(a)\\\\1"), "pattern of $regex is invalid: invalid escape sequence: \\1");
    EXPECT_NE(refusal_of("(?=a)"), "");
    EXPECT_NE(refusal_of("a{1001}"), "");
    EXPECT_NE(refusal_of("((a{100}){100}){100}"), "");
    EXPECT_NE(refusal_of("(\\\\pL{1,40} ){1,20}"), "") << "more than its memory";
    EXPECT_EQ(refusal_of(std::string(1000, 'x')), "");
    EXPECT_EQ(refusal_of(std::string(1001, 'x')), "pattern of $regex is longer than 1000 bytes");
    EXPECT_EQ(refusal_of(std::string(990, '(')).substr(0, 28), "pattern of $regex is invalid");
    std::string ten = R"({"$regex":"x"})";
    for (int i = 1; i < 10; ++i)
        ten += R"(,{"$regex":"x"})";
    EXPECT_EQ(refusal("{\"$or\":[" + ten + "]}"), "");
    EXPECT_EQ(refusal("{\"$or\":[" + ten + R"(,{"$regex":"x"}]})"),
              "patterns of $regex are more than 10");
}

TEST(JsonPattern, ThatIsStoredAndRefusedIsNotPassedOver) {
    EXPECT_EQ(matches("\"a(b\"", "a(b"), -1);
    EXPECT_FALSE(JsonFilter::read_stored(R"({"a": {"$regex": "a(b"}})", plenty).has_value());
}

// Whatever the pattern and the text, the steps bound the time: it is no more for a text whose
// matching would take longer.
TEST(JsonPattern, CostsByTextAndPattern) {
    const auto filter = JsonFilter::read_stored(R"({"a": {"$regex": ".{200}x"}})", plenty);
    ASSERT_TRUE(filter.has_value());
    const auto asked = [&](std::size_t bytes) {
        const std::string data = "{\"a\":\"" + std::string(bytes, 'y') + "\"}";
        return JsonDocument(data, plenty).matches(*filter);
    };
    EXPECT_EQ(asked(1000), 0);
    EXPECT_EQ(asked(10000), 0);
    EXPECT_EQ(asked(100000), -1);
    EXPECT_EQ(matches("\"" + std::string(1000000, 'y') + "\"", "x$"), 0) << "a plain one";
    EXPECT_EQ(matches("\"" + std::string(2000, 'y') + "\"", "x$", 20), -1);
}

}  // namespace
}  // namespace whisperer::engine
