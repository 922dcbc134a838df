// What an answer's headers ask for, from the wire to the outcome.
#include <gtest/gtest.h>

#include <ctime>

#include "tests/unit/engine_driver.h"

namespace whisperer::engine {
namespace {

class AskedWaitTest : public testing::Test {
  protected:
    void SetUp() override { driver.create(); }

    // Milliseconds until the next attempt; the hook's own schedule says 1 s.
    std::int64_t wait_after(int status, const std::string& headers) {
        server.set_handler([=](const HttpRequest&) {
            HttpReply reply;
            reply.bytes = "HTTP/1.1 " + std::to_string(status) + " No\r\n" + headers +
                          "Content-Length: 0\r\n\r\n";
            return reply;
        });
        EXPECT_EQ(driver.put_hook(1, server.url(), "secret", "",
                                  R"({"choice":"fixed","kwargs":{"seconds":1},"jitter":0})"),
                  WhispererOk);
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, 1), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.size() > before ? driver.got[before].next_after_ms : -1;
    }

    HttpServer server;
    EngineDriver driver;
};

TEST_F(AskedWaitTest, OfTheAnswersThatMayAsk) {
    EXPECT_EQ(wait_after(429, "Retry-After: 60.0\r\n"), 60000);
    EXPECT_EQ(wait_after(503, "retry-after:  2.5 \r\n"), 3000);
    EXPECT_EQ(wait_after(500, "Retry-After: 60\r\n"), 1000);
    EXPECT_EQ(wait_after(429, ""), 1000);
}

TEST_F(AskedWaitTest, TheLongestOfSeveralLines) {
    EXPECT_EQ(wait_after(429, "Retry-After: 60\r\nRetry-After: 90\r\nRetry-After: 5\r\n"), 90000);
}

TEST_F(AskedWaitTest, InFieldsAboutRateLimits) {
    EXPECT_EQ(wait_after(429, "RateLimit-Policy: \"a\";q=9;w=60\r\nRateLimit: \"a\";r=0;t=30\r\n"),
              30000);
    const std::string moment = std::to_string(std::time(nullptr) + 3600);
    const std::int64_t wait =
        wait_after(429, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: " + moment + "\r\n");
    EXPECT_GT(wait, 3500 * 1000);
    EXPECT_LE(wait, 3600 * 1000);
    EXPECT_EQ(wait_after(503, "X-RateLimit-Remaining: 70\r\nX-RateLimit-Reset: 600\r\n"), 1000);
}

TEST_F(AskedWaitTest, AnAbsurdMomentIsNoDay) {
    EXPECT_EQ(wait_after(429, "Retry-After: 4102444800000\r\n"), 1000);
    EXPECT_EQ(wait_after(429, "Retry-After: 999999999\r\n"), 24 * 3600 * 1000);
}

}  // namespace
}  // namespace whisperer::engine
