// What the answer to a batch says of its members: which have failed, if all of it can be read.
#include "tests/unit/batch_fixture.h"

namespace whisperer::engine {
namespace {

using BatchAnswerTest = BatchTest;

TEST_F(BatchAnswerTest, AnAnswerNamesWhichFailed) {
    put_batch(R"({"size": 3})");
    submit_data(1, 3);
    pump();
    wire.answer(207, milliseconds(1),
                R"({"failed": ["00000000-0000-0000-0000-000000000002"], "note": "full"})");
    const auto ended = pump();
    ASSERT_EQ(ended.size(), 3U);
    EXPECT_EQ(ended[0].kind, WhispererDelivered);
    EXPECT_EQ(ended[1].kind, WhispererRetry);
    EXPECT_EQ(ended[1].http_status, 207);
    EXPECT_NE(ended[1].error.find("names it"), std::string::npos);
    EXPECT_EQ(ended[2].kind, WhispererDelivered);
}

TEST_F(BatchAnswerTest, WhatAnAnswerNamesIsNotGuessedAt) {
    const auto failed = [&](int status, const std::string& response) {
        put_batch(R"({"size": 2})");
        submit_data(1, 2);
        pump();
        wire.answer(status, milliseconds(1), response);
        std::size_t count = 0;
        for (const Outcome& one : pump())
            count += one.kind == WhispererDelivered ? 0 : 1;
        return count;
    };
    const std::string first = "00000000000000000000000000000001";
    EXPECT_EQ(failed(200, R"({"failed": [")" + first + R"("]})"), 1U);
    EXPECT_EQ(failed(200, R"({"failed": []})"), 0U);
    EXPECT_EQ(failed(200, R"({"failed": null})"), 0U);
    EXPECT_EQ(failed(200, "ok"), 0U);
    EXPECT_EQ(failed(200, R"(["failed"])"), 0U);
    EXPECT_EQ(failed(200, R"({"data": {"failed": 3}})"), 0U);
    EXPECT_EQ(failed(202, R"({"failed": [")" + first + R"("]})"), 0U) << "of 200 and 207 alone";
    EXPECT_EQ(failed(200, R"({"failed": 1})"), 2U);
    EXPECT_EQ(failed(200, R"({"failed": ["a"]})"), 2U) << "nobody knows which one is meant";
    EXPECT_EQ(failed(200, R"( { "failed": [")" + first), 2U) << "cut off";
    EXPECT_EQ(failed(200, R"({"got": [{"failed": 1)"), 2U);
    EXPECT_EQ(failed(200, "{\"note\": \"a\nb\", \"failed\": [\"" + first + "\"]}"), 2U)
        << "no JSON";
    EXPECT_EQ(failed(200, "{ok}"), 0U);
    EXPECT_EQ(failed(200, "\xEF\xBB\xBF{\"failed\": [\"" + first + "\"]}"), 1U);
}

// Behind what was read there may be a "failed".
TEST_F(BatchAnswerTest, AnAnswerThatIsCutOffMayNameAll) {
    const auto failed = [&](const std::string& response) {
        put_batch(R"({"size": 2})");
        submit_data(1, 2);
        pump();
        wire.answer(200, milliseconds(1), response);
        wire.results.back().is_cut = true;
        std::size_t count = 0;
        for (const Outcome& one : pump())
            count += one.kind == WhispererDelivered ? 0 : 1;
        return count;
    };
    EXPECT_EQ(failed(R"({"accepted": ["a", "b)"), 2U);
    EXPECT_EQ(failed(""), 2U);
    EXPECT_EQ(failed(R"({"accepted": 2})"), 0U) << "all of it came";
    EXPECT_EQ(failed("thank y"), 0U);
    EXPECT_EQ(failed("[1, 2"), 0U);
}

// Which attempts follow which statuses says nothing of members: the status is a success.
TEST_F(BatchAnswerTest, OneThatIsNamedIsTriedAgainWhateverStatusesAre) {
    for (const char* statuses : {"[503]", "[]"}) {
        const std::string retry = R"({"choice": "fixed", "kwargs": {"seconds": 5}, "only_if": )" +
                                  std::string(statuses) + "}";
        put_batch(R"({"size": 2})", 0, retry.c_str());
        submit_data(1, 2);
        pump();
        wire.answer(200, milliseconds(1), R"({"failed": ["00000000000000000000000000000002"]})");
        const auto ended = pump();
        ASSERT_EQ(ended.size(), 2U);
        EXPECT_EQ(ended[0].kind, WhispererDelivered);
        EXPECT_EQ(ended[1].kind, WhispererRetry) << statuses;
    }
}

TEST_F(BatchAnswerTest, KeepsAsMuchOfItsAnswerAsOthersDo) {
    put_batch(R"({"size": 1})");
    submit_data(1, 1);
    pump();
    wire.answer(200, milliseconds(1), std::string(5000, 'x'));
    EXPECT_EQ(pump().at(0).response.size(), 1024U);
}

}  // namespace
}  // namespace whisperer::engine
