// Containment of JSON texts, as jsonb's @> has it.
#include "worker/base/json_contains.h"

#include <gtest/gtest.h>

#include <string>

#include "worker/engine.h"

namespace whisperer::engine {
namespace {

constexpr std::int64_t plenty = 1'000'000;

int contains(std::string_view data, std::string_view filter, std::int64_t steps = plenty) {
    return json_contains(data, filter, steps);
}

TEST(JsonContains, ObjectsByKeyAndValue) {
    EXPECT_EQ(contains(R"({"a": 1, "b": {"c": 2, "d": 3}})", R"({"b": {"c": 2}})"), 1);
    EXPECT_EQ(contains(R"({"a": 1})", "{}"), 1);
    EXPECT_EQ(contains(R"({"a": 1})", R"({"a": 2})"), 0);
    EXPECT_EQ(contains(R"({"a": 1})", R"({"b": 1})"), 0);
    EXPECT_EQ(contains(R"({"a": {"b": 1}})", R"({"b": 1})"), 0);
    EXPECT_EQ(contains(R"({"a": [1]})", R"({"a": {}})"), 0);
    EXPECT_EQ(contains(R"({"a": null})", R"({"a": null})"), 1);
    EXPECT_EQ(contains(R"({"a": null})", R"({"a": false})"), 0);
}

TEST(JsonContains, SpaceMeansNothing) {
    const std::string_view spaced = " \t\r\n{ \"a\" : [ 1 , { \"b\" : null } ] , \"c\" : { } } \n";
    for (const char* filter : {R"({"a":[1,{"b":null}],"c":{}})", R"({"a":[{"b":null},1]})"})
        EXPECT_EQ(contains(spaced, filter), 1) << filter;
    EXPECT_EQ(contains(R"({"a":[1,{"b":null}],"c":{}})", spaced), 1);
    EXPECT_EQ(contains(" [ 1 ] ", " 1 "), 1);
}

TEST(JsonContains, TheLastOfEqualKeysCounts) {
    EXPECT_EQ(contains(R"({"a": 1, "a": 2})", R"({"a": 2})"), 1);
    EXPECT_EQ(contains(R"({"a": 1, "a": 2})", R"({"a": 1})"), 0);
}

TEST(JsonContains, TheLastOfEqualKeysOfTheFilterCounts) {
    EXPECT_EQ(contains(R"({"a": 2})", R"({"a": 1, "a": 2})"), 1);
    EXPECT_EQ(contains(R"({"a": 1})", R"({"a": 1, "a": 2})"), 0);
    EXPECT_EQ(contains(R"({"a": 3, "b": 2})", R"({"b": 1, "a": 1, "b": 2, "a": 2, "a": 3})"), 1);
    EXPECT_EQ(contains(R"({"b": 2})", R"({"b": 2, "b": 1})"), 0);
}

TEST(JsonContains, ArraysAsSets) {
    EXPECT_EQ(contains("[1, 2, 3]", "[3, 1, 1]"), 1);
    EXPECT_EQ(contains("[1, 2, 3]", "[4]"), 0);
    EXPECT_EQ(contains(R"([{"a": 1}, {"b": 2}])", R"([{"b": 2}])"), 1);
    EXPECT_EQ(contains("[1, [2, 3]]", "[[3]]"), 1);
    EXPECT_EQ(contains("[1, [2, 3]]", "[3]"), 0);
    EXPECT_EQ(contains(R"([[], {"a": 1}])", R"([[], {"a": 1}])"), 1)
        << "an empty one before others";
    EXPECT_EQ(contains(R"([{}, [1], 2])", "[{}, 2]"), 1);
    EXPECT_EQ(contains("[]", "[]"), 1);
}

TEST(JsonContains, AnArrayContainsAPrimitiveAtTheTopOnly) {
    EXPECT_EQ(contains(R"(["foo", "bar"])", R"("bar")"), 1);
    EXPECT_EQ(contains(R"("bar")", R"(["bar"])"), 0);
    EXPECT_EQ(contains(R"({"a": ["bar"]})", R"({"a": "bar"})"), 0);
}

TEST(JsonContains, NumbersByValueStringsByMeaning) {
    EXPECT_EQ(contains("1.0", "1"), 1);
    EXPECT_EQ(contains("100", "1e2"), 1);
    EXPECT_EQ(contains("0.1e1", "1"), 1);
    EXPECT_EQ(contains("-0", "0"), 1);
    EXPECT_EQ(contains("12345678901234567890123", "12345678901234567890124"), 0);
    EXPECT_EQ(contains("1e200000", "1e200000"), 1);
    EXPECT_EQ(contains(R"("\u00e9")", "\"\xc3\xa9\""), 1);
    EXPECT_EQ(contains(R"("a\/b")", R"("a/b")"), 1);
    EXPECT_EQ(contains("1", R"("1")"), 0);
}

// A key of the data may be written with escapes, a key of the filter as well.
TEST(JsonContains, KeysByMeaningAtEveryDepth) {
    for (const char* data : {R"({"k\u0065y": 1})", R"({"key": 1})"})
        for (const char* filter : {R"({"\u006bey": 1})", R"({"key": 1})"}) {
            const std::string data_text(data);
            const std::string filter_text(filter);
            EXPECT_EQ(contains(data_text, filter_text), 1) << data << filter;
            EXPECT_EQ(contains("{\"a\": " + data_text + "}", "{\"a\": " + filter_text + "}"), 1)
                << data << filter;
            EXPECT_EQ(contains("[" + data_text + "]", "[" + filter_text + "]"), 1)
                << data << filter;
        }
    EXPECT_EQ(contains(R"({"a": {"k\u0065y": 1, "key": 2}})", R"({"a": {"key": 2}})"), 1)
        << "both are the same key, and the last counts";
    EXPECT_EQ(contains(R"({"a": {"k\u0065y": 1, "key": 2}})", R"({"a": {"key": 1}})"), 0);
}

TEST(JsonContains, LegalJsonThatJsonbRefuses) {
    EXPECT_EQ(contains(R"({"nul": "\u0000", "a": 1})", R"({"a": 1})"), 1);
    EXPECT_EQ(contains(R"({"big": 1e200000, "a": 1})", R"({"a": 1})"), 1);
}

TEST(JsonContains, WhatIsNotJsonIsUndecided) {
    for (const char* bad : {"", "{", "{]", "[1,]", "nul", R"({"a" 1})", R"("\x")", "01", "1 2"})
        EXPECT_EQ(contains(bad, "{}"), -1) << bad;
    EXPECT_EQ(contains("{}", "{"), -1);
}

TEST(JsonContains, StopsAtItsLimits) {
    std::string wide = "[0";
    for (int i = 1; i < 5000; ++i)
        wide += "," + std::to_string(i);
    EXPECT_EQ(contains(wide + "]", "[4999, 5000, 5001]", 1000), -1);
    const std::string deep = std::string(10'000, '[') + std::string(10'000, ']');
    EXPECT_EQ(contains(R"({"deep": )" + deep + R"(, "a": 1})", R"({"a": 1})"), 1);
    EXPECT_EQ(contains("[]", deep), -1);
}

// The fewest steps with which the data is read and the filter answered.
std::int64_t cost(const std::string& data, const char* filter = "{}") {
    std::int64_t too_few = -1;
    std::int64_t enough = plenty;
    while (enough - too_few > 1) {
        const std::int64_t middle = (too_few + enough) / 2;
        (contains(data, filter, middle) < 0 ? too_few : enough) = middle;
    }
    return enough;
}

TEST(JsonContains, LongTextsCostMoreThanShortOnes) {
    const std::string x(64'000, 'x');
    const std::string zeros(64'000, '0');
    for (const std::string& data :
         {"{\"a\":\"" + x + "\"}", "{\"" + x + "\":1}", "{\"a\":1" + zeros + "}",
          "{\"a\":" + std::string(64'000, ' ') + "1}"})
        EXPECT_GT(cost(data), 1000) << data.substr(0, 10);
    EXPECT_LT(cost(R"({"a": 1})"), 20);
}

// Each element meets each value of the filter, also where a look at their kinds is enough.
TEST(JsonContains, ComparingKindsCostsSteps) {
    std::string data = "[1";
    for (int i = 1; i < 1000; ++i)
        data += ",1";
    EXPECT_GT(cost(data + "]", R"(["a","b","c","d","e","f","g","h"])"),
              cost(data + "]", R"(["a"])") + 6000);
}

// Members are sorted, so a large object costs more for each of them than a small one.
TEST(JsonContains, SortingMembersCostsSteps) {
    const auto cost_per_member = [](int count) {
        std::string data = R"({"0":0)";
        for (int i = 1; i < count; ++i)
            data += ",\"" + std::to_string(i) + "\":0";
        return static_cast<double>(cost(data + "}")) / count;
    };
    EXPECT_GT(cost_per_member(4096), cost_per_member(64) + 0.5);
}

// A small step must not hide a large amount of work: 8 kB of filter against every element.
TEST(JsonContains, ALargeFilterCostsStepsForEachContainerOfTheData) {
    std::string elements = "[[]";
    std::string objects = "[{}";
    for (int i = 1; i < 10'000; ++i) {
        elements += ",[]";
        objects += ",{}";
    }
    std::string numbers = "[[0";
    std::string members = R"([{"0":0)";
    for (int i = 1; i < 1000; ++i) {
        numbers += "," + std::to_string(i);
        members += ",\"" + std::to_string(i) + "\":0";
    }
    EXPECT_EQ(contains(elements + "]", numbers + "]]"), -1);
    EXPECT_EQ(contains(objects + "]", members + "}]"), -1);
    EXPECT_EQ(contains("[[]]", numbers + "]]"), 0);
    EXPECT_EQ(contains("[{}]", members + "}]"), 0);
}

TEST(JsonDocument, AnswersManyFiltersAsEachAlone) {
    const std::string_view data =
        R"({"b": 1, "a": {"x": [1, 2]}, "k\u0065y": "v", "b": 2, "": null})";
    const JsonDocument document(data, plenty);
    for (const char* filter :
         {R"({"b": 2})", R"({"b": 1})", R"({"key": "v"})", R"({"key": "w"})", R"({"": null})",
          R"({"a": {"x": [2]}})", R"({"a": {"x": [3]}})", R"({"a": {"x": [2]}, "b": 2, "c": 1})",
          "{}", "[]", "1", R"({"z": 1})", R"({"0": 1})"}) {
        const auto wanted = JsonFilter::parse(filter, plenty);
        ASSERT_TRUE(wanted) << filter;
        EXPECT_EQ(document.matches(*wanted), contains(data, filter)) << filter;
    }
    EXPECT_EQ(document.matches(*JsonFilter::parse(R"({"b": 2, "key": "v"})", plenty)), 1);
    EXPECT_EQ(document.matches(*JsonFilter::parse(R"({"b": 1})", plenty)), 0);
}

// What one filter uses up is not missing for the next.
TEST(JsonDocument, EachFilterHasItsOwnSteps) {
    std::string data = R"({"list": [0)";
    for (int i = 1; i < 200; ++i)
        data += "," + std::to_string(i);
    data += "]}";
    std::string many = R"({"list": [)";
    for (int i = 200; i < 400; ++i)
        many += (i > 200 ? "," : "") + std::to_string(i);
    many += "]}";
    const JsonDocument document(data, 2000);
    const auto costly = JsonFilter::parse(many, plenty);
    const auto cheap = JsonFilter::parse(R"({"list": [0]})", plenty);
    EXPECT_EQ(document.matches(*costly), -1);
    EXPECT_EQ(document.matches(*cheap), 1);
    EXPECT_EQ(document.matches(*costly), -1);
    EXPECT_EQ(JsonDocument(data, 100).matches(*cheap), -1) << "reading it took all of them";
}

WhispererSpan span_of(std::string_view text) {
    return {text.data(), text.size()};
}

TEST(JsonDocument, ThroughTheDoor) {
    WhispererError error = {};
    WhispererFilter* filter = nullptr;
    ASSERT_EQ(whisperer_filter_create(span_of(R"({"a": 1})"), plenty, &filter, &error),
              WhispererOk);
    ASSERT_NE(filter, nullptr);
    WhispererFilter* unreadable = nullptr;
    EXPECT_EQ(whisperer_filter_create(span_of("{"), plenty, &unreadable, &error), WhispererOk);
    EXPECT_EQ(unreadable, nullptr);
    for (const auto& [data, answer] : {std::pair(R"({"a": 1, "b": 2})", 1), {"{}", 0}, {"{", -1}}) {
        WhispererDocument* document = nullptr;
        ASSERT_EQ(whisperer_document_create(span_of(data), plenty, &document, &error), WhispererOk);
        ASSERT_NE(document, nullptr);
        EXPECT_EQ(whisperer_document_matches(document, filter), answer) << data;
        EXPECT_EQ(whisperer_document_matches(document, nullptr), -1);
        EXPECT_EQ(whisperer_json_contains(span_of(data), span_of(R"({"a": 1})"), plenty), answer);
        whisperer_document_destroy(document);
    }
    EXPECT_EQ(whisperer_document_matches(nullptr, filter), -1);
    whisperer_filter_destroy(filter);
}

TEST(JsonDocument, WhatIsNotJsonAnswersNobody) {
    const JsonDocument document(R"({"a": 1, )", plenty);
    EXPECT_EQ(document.matches(*JsonFilter::parse(R"({"a": 1})", plenty)), -1);
    EXPECT_EQ(document.matches(*JsonFilter::parse("{}", plenty)), -1);
    EXPECT_FALSE(JsonFilter::parse("{", plenty));
}

// A worker holds those of all hooks: some ten times their text at most, not fifty.
TEST(JsonFilter, TakesLittleMemory) {
    for (const std::string element : {"1", "\"\"", "[]", "{}", "null", "[1]", "{\"\":1}"}) {
        std::string text = "[" + element;
        while (text.size() + element.size() + 2 < 8192)
            text += "," + element;
        text += "]";
        const auto filter = JsonFilter::parse(text, plenty);
        ASSERT_TRUE(filter) << element;
        EXPECT_LT(filter->size_bytes(), 16 * text.size()) << element;
    }
}

}  // namespace
}  // namespace whisperer::engine
