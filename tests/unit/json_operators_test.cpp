// Filters whose objects are operators.
#include <gtest/gtest.h>

#include <string>

#include "worker/base/json_contains.h"
#include "worker/engine.h"

namespace whisperer::engine {
namespace {

constexpr std::int64_t plenty = 1'000'000;

int matches(std::string_view data, std::string_view filter, std::int64_t steps = plenty) {
    return json_matches(data, filter, steps);
}

// Of a member "a", whose value is given.
int of_a(std::string_view value, std::string_view filter) {
    return matches("{\"a\":" + std::string(value) + "}", "{\"a\":" + std::string(filter) + "}");
}

TEST(JsonOperators, EqualityIsOfTheWholeValue) {
    EXPECT_EQ(of_a("1.0", R"({"$eq": 1})"), 1);
    EXPECT_EQ(of_a("\"1\"", R"({"$eq": 1})"), 0);
    EXPECT_EQ(of_a(R"({"x": 1, "y": 2})", R"({"$eq": {"x": 1}})"), 0);
    EXPECT_EQ(of_a(R"({"y": 2, "x": 1})", R"({"$eq": {"x": 1, "y": 2}})"), 1);
    EXPECT_EQ(of_a(R"({"x": 0, "x": 1})", R"({"$eq": {"x": 1}})"), 1) << "the last counts";
    EXPECT_EQ(of_a(R"({"x": 1})", R"({"$eq": {"x": 1, "y": 2}})"), 0);
    EXPECT_EQ(of_a("[1, [2, 3]]", R"({"$eq": [1, [2, 3]]})"), 1);
    EXPECT_EQ(of_a("[1, 2]", R"({"$eq": [2, 1]})"), 0) << "arrays have an order";
    EXPECT_EQ(of_a("[1, 2]", R"({"$eq": [1, 2, 3]})"), 0);
    EXPECT_EQ(of_a("[1, 2, 3]", R"({"$eq": [1, 2]})"), 0);
    EXPECT_EQ(of_a("{}", R"({"$eq": {}})"), 1);
    EXPECT_EQ(of_a("[]", R"({"$eq": []})"), 1);
    EXPECT_EQ(of_a("false", R"({"$eq": false})"), 1);
    EXPECT_EQ(of_a("false", R"({"$eq": null})"), 0);
}

TEST(JsonOperators, NeIsNotEqAndNinIsNotIn) {
    for (const char* value : {"1", "\"x\"", "null", "[1]", "[]", "{}", "[[1]]"})
        for (const char* literal : {"1", "\"x\"", "null", "[1]", "{}"}) {
            const std::string text(literal);
            const int equal = of_a(value, "{\"$eq\":" + text + "}");
            EXPECT_EQ(of_a(value, "{\"$ne\":" + text + "}"), 1 - equal) << value << literal;
            EXPECT_EQ(of_a(value, "{\"$in\":[7," + text + "]}"), equal) << value << literal;
            EXPECT_EQ(of_a(value, "{\"$nin\":[" + text + ",7]}"), 1 - equal) << value << literal;
        }
    EXPECT_EQ(of_a("1", R"({"$in": []})"), 0);
    EXPECT_EQ(of_a("1", R"({"$nin": []})"), 1);
}

TEST(JsonOperators, MissingIsNotNull) {
    EXPECT_EQ(matches("{}", R"({"a": {"$eq": null}})"), 0);
    EXPECT_EQ(of_a("null", R"({"$eq": null})"), 1);
    EXPECT_EQ(matches("{}", R"({"a": {"$ne": null}})"), 1);
    EXPECT_EQ(of_a("null", R"({"$ne": null})"), 0);
    EXPECT_EQ(matches("{}", R"({"a": {"$in": [null]}})"), 0);
    EXPECT_EQ(matches("{}", R"({"a": {"$exists": false}})"), 1);
    EXPECT_EQ(matches("{}", R"({"a": {"$exists": true}})"), 0);
    EXPECT_EQ(of_a("null", R"({"$exists": true})"), 1);
    EXPECT_EQ(of_a("null", R"({"$exists": false})"), 0);
    EXPECT_EQ(matches("{}", R"({"a": {"$not": "x"}})"), 1);
    EXPECT_EQ(matches("{}", R"({"a": {"$or": ["x", {"$exists": false}]}})"), 1);
    EXPECT_EQ(matches("{}", R"({"a": {"b": {"$exists": false}}})"), 0) << "a is no object";
    EXPECT_EQ(matches(R"({"x": {}})", R"({"x": {"a": {"$exists": false}}})"), 1);
    for (const char* op : {"$gt", "$gte", "$lt", "$lte"})
        EXPECT_EQ(matches("{}", "{\"a\":{\"" + std::string(op) + "\":1}}"), 0) << op;
}

TEST(JsonOperators, NumbersOfAnySizeHaveAnOrder) {
    const char* const ascending[] = {"-1e400",
                                     "-12345678901234567890124",
                                     "-12345678901234567890123.5",
                                     "-2",
                                     "-1.5",
                                     "-1e-400",
                                     "0",
                                     "1e-400",
                                     "0.1",
                                     "0.12",
                                     "1",
                                     "1.05",
                                     "9",
                                     "10",
                                     "12345678901234567890123",
                                     "12345678901234567890123.0000000000000000001",
                                     "12345678901234567890124",
                                     "1e200000"};
    const auto holds = [](const char* op, const char* value, const char* operand) {
        return of_a(value, "{\"" + std::string(op) + "\":" + operand + "}");
    };
    for (std::size_t i = 0; i < std::size(ascending); ++i)
        for (std::size_t j = 0; j < std::size(ascending); ++j) {
            const char* value = ascending[i];
            const char* operand = ascending[j];
            EXPECT_EQ(holds("$gt", value, operand), i > j) << value << " " << operand;
            EXPECT_EQ(holds("$gte", value, operand), i >= j) << value << " " << operand;
            EXPECT_EQ(holds("$lt", value, operand), i < j) << value << " " << operand;
            EXPECT_EQ(holds("$lte", value, operand), i <= j) << value << " " << operand;
        }
    EXPECT_EQ(holds("$gte", "100", "1e2"), 1);
    EXPECT_EQ(holds("$gt", "100.0", "1e2"), 0);
    EXPECT_EQ(holds("$lte", "-0", "0.00"), 1);
}

TEST(JsonOperators, StringsHaveAnOrderAndNothingElseHas) {
    EXPECT_EQ(of_a("\"b\"", R"({"$gt": "a"})"), 1);
    EXPECT_EQ(of_a("\"a\"", R"({"$gt": "a"})"), 0);
    EXPECT_EQ(of_a("\"ab\"", R"({"$gt": "a"})"), 1);
    EXPECT_EQ(of_a(R"("\u00e9")", R"({"$gt": "z"})"), 1) << "by code point";
    EXPECT_EQ(of_a("\"2026-11-29\"", R"({"$gte": "2026-11-01", "$lt": "2026-12-01"})"), 1);
    EXPECT_EQ(of_a("\"2026-12-29\"", R"({"$gte": "2026-11-01", "$lt": "2026-12-01"})"), 0);
    EXPECT_EQ(of_a("\"5\"", R"({"$gt": 1})"), 0);
    EXPECT_EQ(of_a("5", R"({"$gt": "1"})"), 0);
    for (const char* value : {"null", "true", "{}", "[]"})
        EXPECT_EQ(of_a(value, R"({"$gte": 0})"), 0) << value;
}

TEST(JsonOperators, PartsOfStrings) {
    EXPECT_EQ(of_a(R"("order-paid")", R"({"$prefix": "order-"})"), 1);
    EXPECT_EQ(of_a(R"("order-paid")", R"({"$prefix": "paid"})"), 0);
    EXPECT_EQ(of_a(R"("order-paid")", R"({"$suffix": "-paid"})"), 1);
    EXPECT_EQ(of_a(R"("order-paid")", R"({"$suffix": "order"})"), 0);
    EXPECT_EQ(of_a(R"("order-paid")", R"({"$contains": "r-p"})"), 1);
    EXPECT_EQ(of_a(R"("order-paid")", R"({"$contains": "R-P"})"), 0);
    EXPECT_EQ(of_a(R"("aabaabaaab")", R"({"$contains": "aabaaa"})"), 1);
    EXPECT_EQ(of_a(R"("abababac")", R"({"$contains": "ababac"})"), 1);
    EXPECT_EQ(of_a(R"("abababab")", R"({"$contains": "ababac"})"), 0);
    EXPECT_EQ(of_a(R"("")", R"({"$contains": "", "$prefix": "", "$suffix": ""})"), 1);
    EXPECT_EQ(of_a("\"x\"", R"({"$contains": "xx"})"), 0);
    EXPECT_EQ(of_a(R"("a\u0041b")", R"({"$prefix": "aA", "$contains": "A", "$suffix": "Ab"})"), 1);
    EXPECT_EQ(of_a("12", R"({"$prefix": "1"})"), 0) << "a number is no string";
}

TEST(JsonOperators, ContainsTakesWhatItIsGivenAsItIs) {
    EXPECT_EQ(of_a(R"({"$type": "x", "b": 1})", R"({"$contains": {"$type": "x"}})"), 1);
    EXPECT_EQ(of_a(R"({"$type": "y"})", R"({"$contains": {"$type": "x"}})"), 0);
    EXPECT_EQ(of_a(R"({"$gt": 5})", R"({"$contains": {"$gt": 5}})"), 1);
    EXPECT_EQ(of_a(R"({"$gt": 5})", R"({"$eq": {"$gt": 5}})"), 1);
    EXPECT_EQ(of_a("[1, 2, 3]", R"({"$contains": [3, 1]})"), 1);
    EXPECT_EQ(of_a(R"([{"x": 1, "y": 2}])", R"({"$contains": {"x": 1}})"), 1);
    EXPECT_EQ(matches(R"({"$set": {"a": 1, "b": 2}})", R"({"$contains": {"$set": {"a": 1}}})"), 1);
}

TEST(JsonOperators, AnArrayMatchesIfAnElementDoes) {
    EXPECT_EQ(of_a("[1, 7]", R"({"$gt": 5})"), 1);
    EXPECT_EQ(of_a("[1, 3]", R"({"$gt": 5})"), 0);
    EXPECT_EQ(of_a("[]", R"({"$lt": 5})"), 0);
    EXPECT_EQ(of_a(R"(["x", "new"])", R"({"$eq": "new"})"), 1);
    EXPECT_EQ(of_a(R"(["x", "new"])", R"({"$ne": "new"})"), 0) << "one is";
    EXPECT_EQ(of_a(R"(["x", "new"])", R"({"$nin": ["new", "y"]})"), 0);
    EXPECT_EQ(of_a(R"(["x", "new"])", R"({"$not": {"$prefix": "n"}})"), 0);
    EXPECT_EQ(of_a(R"(["x", "new"])", R"({"$prefix": "n", "$suffix": "x"})"), 1)
        << "each is asked on its own";
    EXPECT_EQ(of_a(R"(["x", "new"])", R"([{"$prefix": "n", "$suffix": "x"}])"), 0)
        << "both of one element";
    EXPECT_EQ(of_a(R"(["x", "nox"])", R"([{"$prefix": "n", "$suffix": "x"}])"), 1);
    EXPECT_EQ(of_a("[[7]]", R"({"$gt": 5})"), 0) << "of elements no elements";
    EXPECT_EQ(of_a("[[7]]", R"({"$eq": [7]})"), 1);
    EXPECT_EQ(of_a(R"([{"n": 1}, {"n": 9}])", R"([{"n": {"$gt": 5}}])"), 1);
    EXPECT_EQ(of_a(R"([{"n": 1}, {"n": 2}])", R"([{"n": {"$gt": 5}}])"), 0);
    EXPECT_EQ(of_a(R"(["bar"])", "\"bar\""), 0) << "containment is as it was";
    EXPECT_EQ(of_a("[]", R"({"$exists": true})"), 1);
    EXPECT_EQ(matches("[1, 7]", R"({"$gt": 5})"), 1) << "at the top as well";
}

TEST(JsonOperators, FiltersOfFilters) {
    const std::string_view data = R"({"status": "paid", "total": 120, "tags": ["new"]})";
    for (const auto& [filter, answer] : {
             std::pair(R"({"$and": [{"status": "paid"}, {"total": {"$gt": 100}}]})", 1),
             {R"({"$and": [{"status": "paid"}, {"total": {"$gt": 200}}]})", 0},
             {R"({"$or": [{"status": "open"}, {"tags": ["new"]}]})", 1},
             {R"({"$or": [{"status": "open"}, {"tags": ["old"]}]})", 0},
             {R"({"$not": {"status": "open"}})", 1},
             {R"({"$not": {"$or": [{"status": "open"}, {"total": {"$lt": 200}}]}})", 0},
             {R"({"$or": [{"status": "open"}], "$not": {"total": 1}})", 0},
             {R"({"total": {"$or": [{"$lt": 10}, {"$gt": 100}]}, "status": {"$ne": "open"}})", 1},
             {R"({"\u0024or": [{"status": "paid"}]})", 1},
         })
        EXPECT_EQ(matches(data, filter), answer) << filter;
    const auto became_paid = R"({"old": {"status": {"$ne": "paid"}}, "new": {"status": "paid"}})";
    EXPECT_EQ(matches(R"({"old": {"status": "open"}, "new": {"status": "paid"}})", became_paid), 1);
    EXPECT_EQ(matches(R"({"old": {"status": "paid"}, "new": {"status": "paid"}})", became_paid), 0);
    EXPECT_EQ(matches(R"({"old": {"status": null}, "new": {"status": "paid"}})", became_paid), 1);
    EXPECT_EQ(matches(R"({"old": null, "new": {"status": "paid"}})", became_paid), 0);
}

// Keys of which one does not begin with '$' are keys.
TEST(JsonOperators, PlainObjectsStayContainment) {
    EXPECT_EQ(matches(R"({"$eq": 1, "a": 2})", R"({"$eq": 1, "a": 2})"), 1);
    EXPECT_EQ(matches(R"({"a": 2})", R"({"$exists": true, "a": 2})"), 0);
    EXPECT_EQ(matches(R"({"a": 2})", R"({"a": 2, "$not": 1})"), 0);
    EXPECT_EQ(matches(R"({"a": {"b": 1}})", R"({"a": {}})"), 1) << "no keys, no operator";
}

TEST(JsonOperators, WhatIsStoredKeepsItsMeaning) {
    const std::string_view data = R"({"$type": "x", "doc": {"$oid": "1"}, "n": {"$gt": "five"}})";
    EXPECT_EQ(matches(data, R"({"$type": "x"})"), 1);
    EXPECT_EQ(matches(data, R"({"$type": "y"})"), 0);
    EXPECT_EQ(matches(data, R"({"doc": {"$oid": "1"}})"), 1);
    EXPECT_EQ(matches(data, R"({"doc": {"$oid": "1"}, "n": {"$gt": "five"}})"), 1)
        << "all of it is containment";
    EXPECT_EQ(json_contains(R"({"a": {"$gt": 1}})", R"({"a": {"$gt": 1}})", plenty), 1)
        << "a config_filter has no operators";
    EXPECT_EQ(json_contains(R"({"a": 2})", R"({"a": {"$gt": 1}})", plenty), 0);
}

std::string refusal(std::string_view filter, std::string* hint = nullptr) {
    WhispererError error = {};
    const auto code = whisperer_check_filter({filter.data(), filter.size()}, plenty, &error);
    EXPECT_EQ(code == WhispererOk, error.message[0] == '\0') << filter;
    if (hint != nullptr)
        *hint = error.hint;
    return error.message;
}

TEST(JsonOperators, WhatIsWrittenIsChecked) {
    std::string hint;
    EXPECT_EQ(refusal(R"({"a": {"$like": "x"}})", &hint),
              R"(filter has an unknown operator "$like")");
    EXPECT_EQ(hint,
              "Operators are $eq, $ne, $in, $nin, $gt, $gte, $lt, $lte, $exists, $prefix, "
              "$suffix, $contains, $regex, $and, $or, $not.");
    EXPECT_EQ(refusal(R"([{"b": {"$eq": 1, "$EQ": 1}}])"),
              R"(filter has an unknown operator "$EQ")");
    EXPECT_EQ(refusal(R"({"$": 1})"), R"(filter has an unknown operator "$")");
    EXPECT_EQ(refusal("{\"$" + std::string(200, 'x') + "\": 1}").size(), 64 + 33U);
    for (const auto& [filter, wanted] : {
             std::pair(R"({"a": {"$in": 1}})", "$in needs an array"),
             {R"({"a": {"$nin": {}}})", "$nin needs an array"},
             {R"({"a": {"$gt": null}})", "$gt needs a number or a string"},
             {R"({"a": {"$lte": [1]}})", "$lte needs a number or a string"},
             {R"({"a": {"$exists": 1}})", "$exists needs true or false"},
             {R"({"a": {"$prefix": 1}})", "$prefix needs a string"},
             {R"({"a": {"$suffix": null}})", "$suffix needs a string"},
             {R"({"a": {"$regex": 1}})", "$regex needs a string"},
             {R"({"a": {"$contains": 1}})", "$contains needs a string, an object or an array"},
             {R"({"$or": {"a": 1}})", "$or needs an array of filters"},
             {R"({"$and": []})", "$and needs at least one filter"},
             {R"({"$not": {"$or": []}})", "$or needs at least one filter"},
         })
        EXPECT_EQ(refusal(filter), std::string("filter operator ") + wanted) << filter;
    for (const char* taken :
         {"{}", "1", "null", "[]", R"({"$x": 1, "b": 2})", R"({"a": {"$eq": {"$x": 1}}})",
          R"({"a": {"$in": [{"$x": 1}]}})", R"({"a": {"$contains": {"$x": 1}}})"})
        EXPECT_EQ(refusal(taken), "") << taken;
    const std::string deep = std::string(66, '[') + std::string(66, ']');
    EXPECT_EQ(refusal(deep), "filter is nested too deeply");
    EXPECT_EQ(refusal(deep.substr(1, 130)), "");
}

// The fewest steps with which the filter is answered.
std::int64_t cost(const std::string& data, const std::string& filter) {
    std::int64_t too_few = -1;
    std::int64_t enough = plenty;
    while (enough - too_few > 1) {
        const std::int64_t middle = (too_few + enough) / 2;
        (matches(data, filter, middle) < 0 ? too_few : enough) = middle;
    }
    return enough;
}

std::string list(const std::string& open, const std::string& element, int count,
                 const std::string& close) {
    std::string text = open;
    for (int i = 0; i < count; ++i)
        text += (i > 0 ? "," : "") + element;
    return text + close;
}

// Whatever multiplies data by filter is paid for, so that a hostile filter ends undecided.
TEST(JsonOperators, WorkCostsSteps) {
    const std::string numbers = list("{\"a\":[", "1", 4000, "]}");
    EXPECT_EQ(matches(numbers, list(R"({"a":{"$in":[)", "\"x\"", 1000, "]}}")), -1);
    EXPECT_EQ(matches(numbers, list(R"({"a":[{"$or":[)", "\"x\"", 1000, "]}]}")), -1);
    EXPECT_EQ(matches(numbers, list(R"({"a":{"$and":[)", R"({"$ne":2})", 800, "]}}")), -1);
    EXPECT_EQ(
        matches(list("{\"a\":[", "[]", 4000, "]}"), list(R"({"a":{"$nin":[)", "[[]]", 1000, "]}}")),
        -1);
    EXPECT_GT(cost("{}", list(R"({"a":{"$and":[)", R"({"$exists":false})", 300, "]}}")), 600);
    const std::string text = "{\"a\":\"" + std::string(64'000, 'x') + "\"}";
    EXPECT_GT(cost(text, R"({"a":{"$contains":"y"}})"), cost(text, R"({"a":"y"})") + 900);
}

// A naive search would compare 4000 characters for each of the text's million: for seconds.
TEST(JsonOperators, ASearchIsLinear) {
    const std::string text = "{\"a\":\"" + std::string(1'000'000, 'x') + "\"}";
    const std::string part = std::string(4000, 'x') + "y" + std::string(3000, 'x');
    EXPECT_EQ(matches(text, "{\"a\":{\"$contains\":\"" + part + "\"}}"), 0);
    EXPECT_EQ(matches(text, "{\"a\":{\"$contains\":\"" + std::string(7000, 'x') + "\"}}"), 1);
}

TEST(JsonOperators, DepthIsBounded) {
    const auto nested = [](int depth) {
        std::string filter = "1";
        for (int i = 0; i < depth; ++i)
            filter = "{\"$not\":" + filter + "}";
        return filter;
    };
    EXPECT_EQ(matches("1", nested(64)), 1);
    EXPECT_EQ(matches("1", nested(63)), 0);
    EXPECT_EQ(matches("1", nested(65)), -1);
    EXPECT_EQ(refusal(nested(65)), "filter is nested too deeply");
}

}  // namespace
}  // namespace whisperer::engine
