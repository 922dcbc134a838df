// Every choice of retry_countdown_config, its limits, and the errors that name the key.
#include "worker/rules/retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/fakes.h"
#include "worker/base/invalid.h"
#include "worker/dispatch/verdict.h"
#include "worker/wire/retry_after.h"

namespace whisperer::engine {
namespace {

using testing::HasSubstr;

class ScriptedClock final : public Clock {
  public:
    explicit ScriptedClock(double value) : value_(value) {}
    microseconds steady() const override { return microseconds(0); }
    microseconds unix_time() const override { return microseconds(0); }
    double random() override { return value_; }

  private:
    double value_;
};

// Waits in seconds until there is none.
std::vector<double> waits(std::string_view config, double random = 0.5, int max = 12) {
    const RetryPlan plan = RetryPlan::parse(config);
    ScriptedClock clock(random);
    std::vector<double> list;
    for (int attempts = 1; attempts <= max; ++attempts) {
        const auto wait = plan.wait_after(attempts, clock);
        if (!wait)
            break;
        list.push_back(static_cast<double>(wait->count()) / 1000);
    }
    return list;
}

TEST(Retry, TheDefaultIsTenAttemptsWithJitter) {
    const std::vector<double> plain = {5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400};
    EXPECT_EQ(waits(""), plain);
    EXPECT_EQ(waits("null"), plain);
    EXPECT_DOUBLE_EQ(waits("", 0.0)[0], 4);
    EXPECT_DOUBLE_EQ(waits("", 1.0)[0], 6);
}

TEST(Retry, EveryChoice) {
    using List = std::vector<double>;
    EXPECT_EQ(waits(R"({"choice":"fixed","kwargs":{"seconds":0.5},"max_retries":3})"),
              (List{0.5, 0.5, 0.5}));
    EXPECT_EQ(waits(R"({"choice":"fixed","kwargs":{"seconds":7}})").size(), 9U);
    EXPECT_EQ(waits(R"({"choice":"linear","kwargs":{"base":10,"limit":25},"max_retries":4})"),
              (List{10, 20, 25, 25}));
    EXPECT_EQ(waits(R"({"choice":"exponential","kwargs":{"base":2},"max_retries":4})"),
              (List{2, 4, 8, 16}));
    EXPECT_EQ(waits(R"({"choice":"exponential","kwargs":{"base":2,"factor":3,"limit":20},)"
                    R"("max_retries":4})"),
              (List{6, 12, 20, 20}));
    EXPECT_EQ(waits(R"({"choice":"random","kwargs":{"min_value":10,"max_value":20}})", 0.25)[0],
              12.5);
    EXPECT_EQ(waits(R"({"choice":"schedule","kwargs":{"seconds":[1,2]}})"), (List{1, 2}));
    EXPECT_EQ(waits(R"({"choice":"schedule","kwargs":{"seconds":[1,2]},"max_retries":4})"),
              (List{1, 2, 2, 2}));
    EXPECT_EQ(
        waits(R"({"choice":"fixed","kwargs":{"seconds":10},"jitter":0.5,"max_retries":1})", 0),
        (List{5}));
    EXPECT_EQ(waits(R"({"choice":"fixed","kwargs":{"seconds":10},"max_retries":0})"), List{});
    EXPECT_EQ(waits(R"({"choice":"custom","kwargs":{"function":"app.wait","any":[1]}})").size(),
              9U);
}

TEST(Retry, NoNumberOverflows) {
    const RetryPlan plan =
        RetryPlan::parse(R"({"choice":"exponential","kwargs":{"base":2592000,"factor":2592000},)"
                         R"("max_retries":1000})");
    ScriptedClock clock(1.0);
    EXPECT_EQ(plan.wait_after(1000, clock), milliseconds(retry_wait_max));
    EXPECT_FALSE(plan.wait_after(2147483647, clock).has_value());
    const RetryPlan zero = RetryPlan::parse(
        R"({"choice":"exponential","kwargs":{"base":2592000,"factor":0},"max_retries":1000})");
    EXPECT_GE(zero.wait_after(1000, clock).value().count(), 0);
}

std::string error_of(std::string_view config) {
    try {
        RetryPlan::parse(config);
    } catch (const Invalid& invalid) {
        return invalid.what();
    }
    return "";
}

TEST(Retry, ErrorsNameTheKey) {
    EXPECT_THAT(error_of("{"), HasSubstr("not JSON"));
    EXPECT_THAT(error_of("[]"), HasSubstr("object"));
    EXPECT_THAT(error_of("{}"), HasSubstr("\"choice\""));
    EXPECT_THAT(error_of(R"({"choice":"sometimes"})"), HasSubstr("\"choice\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":1},"retries":3})"),
                HasSubstr("\"retries\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed"})"), HasSubstr("\"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":[]})"), HasSubstr("\"kwargs\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":"1"}})"),
                HasSubstr("\"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":-1}})"),
                HasSubstr("\"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":1e99}})"),
                HasSubstr("\"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"linear","kwargs":{"base":1,"max":2}})"),
                HasSubstr("\"kwargs.max\""));
    EXPECT_THAT(error_of(R"({"choice":"random","kwargs":{"min_value":2,"max_value":1}})"),
                HasSubstr("\"kwargs.min_value\""));
    EXPECT_THAT(error_of(R"({"choice":"schedule","kwargs":{"seconds":[]}})"),
                HasSubstr("\"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"schedule","kwargs":{"seconds":[1,"x"]}})"),
                HasSubstr("\"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"custom","kwargs":{}})"), HasSubstr("\"kwargs.function\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":1},"jitter":1.5})"),
                HasSubstr("\"jitter\""));
    for (const char* bad : {"-1", "1.5", "1001", "\"3\"", "99999999999999999999"})
        EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":1},"max_retries":)" +
                             std::string(bad) + "}"),
                    HasSubstr("\"max_retries\""));
}

TEST(Retry, NullIsAsIfAbsent) {
    EXPECT_EQ(waits(R"({"choice":"linear","kwargs":{"base":10,"limit":null},"max_retries":2,)"
                    R"("jitter":null,"give_up":null,"only_if":null})",
                    0.1),
              (std::vector<double>{10, 20}));
    EXPECT_EQ(
        waits(R"({"choice":"exponential","kwargs":{"base":2,"factor":null,"limit":null}})", 0.5, 2),
        (std::vector<double>{2, 4}));
    EXPECT_EQ(
        waits(R"({"choice":"fixed","kwargs":{"seconds":7},"max_retries":null})", 0.5, 12).size(),
        9U);
    EXPECT_EQ(error_of(R"({"choice":"custom","kwargs":{"function":"app.wait","any":null}})"), "");
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":null}})"),
                HasSubstr("lacks the key \"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":null})"),
                HasSubstr("lacks the key \"kwargs.seconds\""));
    EXPECT_THAT(error_of(R"({"choice":null})"), HasSubstr("lacks the key \"choice\""));
    EXPECT_THAT(error_of(R"({"choice":"fixed","kwargs":{"seconds":1},"retries":null})"),
                HasSubstr("unknown key \"retries\""));
}

TEST(Retry, StatusesSayWhetherToTryAgain) {
    const std::string fixed = R"({"choice":"fixed","kwargs":{"seconds":1})";
    const auto again_after = [&](const std::string& rules) {
        const RetryPlan plan = RetryPlan::parse(fixed + rules + "}");
        std::vector<int> again;
        for (const int status : {302, 400, 404, 429, 500, 503, 999})
            if (plan.tries_again_after(status))
                again.push_back(status);
        return again;
    };
    using List = std::vector<int>;
    EXPECT_EQ(again_after(""), (List{302, 400, 404, 429, 500, 503, 999}));
    EXPECT_EQ(again_after(R"(,"give_up":[])"), (List{302, 400, 404, 429, 500, 503, 999}));
    EXPECT_EQ(again_after(R"(,"give_up":[400,404,404])"), (List{302, 429, 500, 503, 999}));
    EXPECT_EQ(again_after(R"(,"only_if":[500,503])"), (List{500, 503}));
    EXPECT_EQ(again_after(R"(,"only_if":[])"), List{});
    EXPECT_EQ(again_after(R"(,"give_up":[400],"only_if":[500])"), List{500});
    EXPECT_THAT(error_of(fixed + R"(,"give_up":[400,500],"only_if":[500]})"),
                HasSubstr("has 500 in \"give_up\" and in \"only_if\""));
    for (const char* bad : {"400", "[200]", "[299]", "[1000]", "[400.5]", "[\"400\"]", "[null]",
                            "{\"a\":400}", "[99999999999999999999]"})
        for (const char* key : {"give_up", "only_if"}) {
            const std::string rules = std::string(",\"") + key + "\":" + bad + "}";
            EXPECT_THAT(error_of(fixed + rules), HasSubstr(key)) << bad;
        }
}

TEST(Retry, WhatTheRulesSayEndsADelivery) {
    const RetryPlan plan = RetryPlan::parse(
        R"({"choice":"fixed","kwargs":{"seconds":1},"give_up":[404],"only_if":[500]})");
    ScriptedClock clock(0.5);
    const auto kind = [&](WireEnd end, int status, bool outdated = false) {
        WireResult result;
        result.end = end;
        result.http_status = status;
        result.outdated = outdated;
        const Outcome outcome = judge(std::move(result), plan, 0, clock);
        EXPECT_EQ(outcome.given_up, outcome.kind == WhispererFailed);
        return outcome.kind;
    };
    EXPECT_EQ(kind(WireEnd::Answered, 404), WhispererFailed);
    EXPECT_EQ(kind(WireEnd::Answered, 400), WhispererFailed) << "is not in only_if";
    EXPECT_EQ(kind(WireEnd::Answered, 500), WhispererRetry);
    EXPECT_EQ(kind(WireEnd::Failed, 0), WhispererRetry) << "no answer";
    EXPECT_EQ(kind(WireEnd::Answered, 404, true), WhispererRetry) << "of an address it has left";
    EXPECT_EQ(kind(WireEnd::Answered, 200), WhispererDelivered);
}

TEST(Retry, EachChoiceTakesItsOwnKeysOnly) {
    for (const char* kwargs : {R"("fixed","kwargs":{"seconds":1)", R"("linear","kwargs":{"base":1)",
                               R"("exponential","kwargs":{"base":1)",
                               R"("random","kwargs":{"min_value":1,"max_value":1)",
                               R"("schedule","kwargs":{"seconds":[1])"}) {
        const std::string config = R"({"choice":)" + std::string(kwargs);
        EXPECT_EQ(error_of(config + "}}"), "") << config;
        EXPECT_THAT(error_of(config + R"(,"more":1}})"), HasSubstr("\"kwargs.more\"")) << config;
    }
}

TEST(RetryAfter, SecondsOrADate) {
    constexpr std::time_t now = 1'792'000'000;  // 2026-10-14 17:46:40 GMT
    EXPECT_EQ(parse_retry_after("120", now), seconds(120));
    EXPECT_EQ(parse_retry_after("Wed, 14 Oct 2026 17:47:40 GMT", now), seconds(60));
    for (const char* nothing :
         {"", "0", "0.0", "-5", "99999999999999999999", "99999999999999999999.5",
          "-99999999999999999999", "60.", ".5", "1e2", "99999999999999999999x", "60s", "1.5.0",
          "soon", "Wed, 14 Oct 2026 17:45:40 GMT"})
        EXPECT_EQ(parse_retry_after(nothing, now), std::nullopt) << nothing;
}

// No form that RFC 9110 knows, and yet sent.
TEST(RetryAfter, ADateOfRfc3339) {
    constexpr std::time_t now = 1'792'000'000;  // 2026-10-14T17:46:40Z
    for (const char* minute :
         {"2026-10-14T17:47:40Z", "2026-10-14T17:47:40z", " 2026-10-14T17:47:40.999Z ",
          "2026-10-14T17:47:40+00:00", "2026-10-14T19:47:40+02:00", "2026-10-14T13:17:40.5-04:30"})
        EXPECT_EQ(parse_retry_after(minute, now), seconds(60)) << minute;
    for (const char* nothing :
         {"2026-10-14T17:45:40Z", "2026-10-14T17:47:40", "2026-10-14T17:47:40Zulu",
          "2026-10-14T17:47:40+0200", "2026-10-14T17:47:40.Z+1", "2026-10-14T17:47:40+02:00Z"})
        EXPECT_EQ(parse_retry_after(nothing, now), std::nullopt) << nothing;
}

TEST(RetryAfter, FractionsAndLists) {
    constexpr std::time_t now = 1'792'000'000;
    EXPECT_EQ(parse_retry_after("60.0", now), seconds(60));
    EXPECT_EQ(parse_retry_after("2.5", now), seconds(3));
    EXPECT_EQ(parse_retry_after("0.493", now), seconds(1));
    EXPECT_EQ(parse_retry_after(" 60\t", now), seconds(60));
    EXPECT_EQ(parse_retry_after("60, 90", now), seconds(90));
}

// Some receivers mean a moment; a wait of decades is none.
TEST(RetryAfter, WhatIsTooMuchForAWaitIsAMoment) {
    constexpr std::time_t now = 1'792'000'000;
    EXPECT_EQ(parse_retry_after("1792000060", now), seconds(60));
    EXPECT_EQ(parse_retry_after("1792000060.5", now), seconds(60));
    EXPECT_EQ(parse_retry_after("1792000060000", now), seconds(60));
    EXPECT_EQ(parse_retry_after("999999999", now), seconds(999999999));
    for (const char* nothing : {"1000000000", "1791999999", "1792000000", "4102444800",
                                "4102444800000", "1792000060000000"})
        EXPECT_EQ(parse_retry_after(nothing, now), std::nullopt) << nothing;
}

std::optional<seconds> asked(std::vector<std::pair<std::string, std::string>> headers) {
    return asked_wait(
        [&](const char* name) {
            std::vector<std::string> lines;
            for (const auto& [key, value] : headers)
                if (key == name)
                    lines.push_back(value);
            return lines;
        },
        1'792'000'000);
}

TEST(RetryAfter, TheLongestOfSeveralLines) {
    EXPECT_EQ(asked({{"Retry-After", "60"}, {"Retry-After", "90"}, {"Retry-After", "x"}}),
              seconds(90));
    EXPECT_EQ(asked({{"Retry-After", "60"}, {"RateLimit-Reset", "90"}}), seconds(60));
    EXPECT_EQ(asked({{"Retry-After", "0"}, {"RateLimit-Reset", "90"}}), std::nullopt);
    EXPECT_EQ(asked({}), std::nullopt);
}

TEST(RetryAfter, FieldsAboutRateLimitsSayItToo) {
    EXPECT_EQ(asked({{"RateLimit", R"("default";r=0;t=30)"}}), seconds(30));
    EXPECT_EQ(
        asked({{"RateLimit", R"("burst";r=0;t=10, "da,i;ly";r=0;t=3600, "user";r=4;t=9000)"}}),
        seconds(3600));
    EXPECT_EQ(asked({{"RateLimit", R"("a";r=0;t=10)"}, {"RateLimit", R"("b";t=20;r=0)"}}),
              seconds(20));
    EXPECT_EQ(asked({{"RateLimit", "limit=100, remaining=0, reset=50"}}), seconds(50));
    EXPECT_EQ(asked({{"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "7"}}), seconds(7));
    EXPECT_EQ(asked({{"X-RateLimit-Reset", "1792000045"}}), seconds(45));
    EXPECT_EQ(asked({{"X-RateLimit-Reset", "45"}, {"X-RateLimit-Remaining", "0"}}), seconds(45));
    EXPECT_EQ(asked({{"X-RateLimit-Reset-After", "1.25"}}), seconds(2));
    EXPECT_EQ(asked({{"X-Rate-Limit-Reset", "1792000045"}}), seconds(45));
}

TEST(RetryAfter, WhereSomethingIsLeftALimitIsNotTheReason) {
    EXPECT_EQ(asked({{"RateLimit", R"("default";r=5;t=30)"}}), std::nullopt);
    EXPECT_EQ(asked({{"RateLimit", "limit=100, remaining=3, reset=50"}}), std::nullopt);
    EXPECT_EQ(asked({{"X-RateLimit-Remaining", "4999"}, {"X-RateLimit-Reset", "1792003000"}}),
              std::nullopt);
    EXPECT_EQ(asked({{"RateLimit-Remaining", "9"}, {"RateLimit-Reset", "7"}}), std::nullopt);
    for (const char* nonsense : {"", ";;;", ",,,", "\"", "r=0;t=", "\"a\";r=0;t=-5", "t", "reset"})
        EXPECT_EQ(asked({{"RateLimit", nonsense}}), std::nullopt) << nonsense;
}

Outcome judged(int status, std::optional<seconds> retry_after = std::nullopt, int retry_count = 0) {
    ScriptedClock clock(0.5);
    WireResult result;
    result.end = WireEnd::Answered;
    result.http_status = status;
    result.retry_after = retry_after;
    return judge(std::move(result), RetryPlan(), retry_count, clock);
}

TEST(Verdict, StatusesMeanWhatTheySay) {
    for (int status : {200, 201, 202, 204, 299})
        EXPECT_EQ(judged(status).kind, WhispererDelivered) << status;
    for (int status : {301, 304, 400, 401, 404, 429, 500, 503, 999})
        EXPECT_EQ(judged(status).kind, WhispererRetry) << status;
    EXPECT_EQ(judged(500, {}, 8).kind, WhispererRetry);
    EXPECT_EQ(judged(500, {}, 9).kind, WhispererFailed);
    EXPECT_TRUE(judged(410).hook_gone);
    EXPECT_EQ(judged(410).kind, WhispererFailed);
}

TEST(Verdict, RetryAfterRaisesButNeverShortens) {
    EXPECT_EQ(judged(429, seconds(60)).next_after, seconds(60));
    EXPECT_EQ(judged(503, seconds(1)).next_after, seconds(5));
    EXPECT_EQ(judged(503, seconds(1)).asked_after, seconds(1));
    EXPECT_EQ(judged(500, seconds(1)).asked_after, seconds(0));
    EXPECT_EQ(judged(503, seconds(1LL << 32)).next_after, std::chrono::hours(24));
    EXPECT_EQ(judged(500, seconds(60)).next_after, seconds(5));
    EXPECT_EQ(judged(429, seconds(60), 9).kind, WhispererFailed);
}

}  // namespace
}  // namespace whisperer::engine
