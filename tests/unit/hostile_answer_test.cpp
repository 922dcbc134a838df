// Answers that are none: each is a failed attempt of its receiver, with the reason.
#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/engine_driver.h"

namespace whisperer::engine {
namespace {

class HostileAnswerTest : public testing::Test {
  protected:
    void SetUp() override { driver.create(); }

    Got answered_with(const std::string& bytes) {
        EXPECT_EQ(driver.put_hook(1, server.url()), WhispererOk);
        return answered_to_hook(bytes);
    }

    Got answered_to_hook(const std::string& bytes) {
        server.set_handler([=](const HttpRequest&) {
            HttpReply reply;
            reply.bytes = bytes;
            reply.close = true;
            return reply;
        });
        const std::size_t before = driver.got.size();
        EXPECT_EQ(driver.submit(7, 1), WhispererOk) << driver.error.message;
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.size() > before ? driver.got[before] : Got{};
    }

    // As the answer to a batch.
    Got batch_answered_with(const std::string& bytes) {
        const std::string url = server.url();
        WhispererHook hook{};
        hook.id = 1;
        hook.target_url = span_of(url);
        hook.secret_key = {"secret", 6};
        hook.batch = {R"({"wait": "0 ms"})", 16};
        EXPECT_EQ(whisperer_engine_put_hook(driver.engine, &hook, &driver.error), WhispererOk);
        return answered_to_hook(bytes);
    }

    HttpServer server;
    EngineDriver driver;
};

// What a batch's answer says of failed members may be in the rest.
TEST_F(HostileAnswerTest, AnAnswerToABatchThatBreaksOffDeliversNothing) {
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    EXPECT_EQ(batch_answered_with(head).kind, WhispererRetry);
    EXPECT_EQ(batch_answered_with(head + R"({"accepted": 1, )").kind, WhispererRetry);
    const std::string note(80'000, 'x');
    EXPECT_EQ(batch_answered_with(head + R"({"note": ")" + note + R"(", "failed": [)").kind,
              WhispererRetry)
        << "longer than what is read";
    EXPECT_EQ(batch_answered_with(head + note).kind, WhispererDelivered) << "no JSON";
    EXPECT_EQ(batch_answered_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").kind,
              WhispererDelivered);
}

// libcurl calls it a lack of memory.  As our own fault it was tried for ever, and was no failure.
TEST_F(HostileAnswerTest, OneGiantHeaderIsTheReceiversFault) {
    const Got got =
        answered_with("HTTP/1.1 200 OK\r\nX-Giant: " + std::string(1'000'000, 'g') + "\r\n\r\n");
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_TRUE(got.attempted);
    EXPECT_EQ(got.error, "response headers are longer than 65536 bytes");
}

TEST_F(HostileAnswerTest, ManySmallHeadersAreCut) {
    std::string bytes = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 900; ++i)
        bytes += "a:\r\n";
    EXPECT_EQ(answered_with(bytes + "Content-Length: 0\r\n\r\n").kind, WhispererDelivered);
    for (int i = 0; i < 200; ++i)
        bytes += "a:\r\n";
    const Got got = answered_with(bytes + "Content-Length: 0\r\n\r\n");
    EXPECT_EQ(got.kind, WhispererRetry);
    EXPECT_EQ(got.error, "response has more than 1000 header lines");
}

TEST_F(HostileAnswerTest, ANulByteInAHeaderIsSaidInOurWords) {
    for (const char* start : {"X-Odd: a", "X", "Content-Type: "}) {
        std::string bytes = "HTTP/1.1 200 OK\r\n" + std::string(start);
        bytes += '\0';
        bytes += start[1] == '\0' ? "Y: b" : "b";
        const Got got = answered_with(bytes + "\r\nContent-Length: 0\r\n\r\n");
        EXPECT_EQ(got.kind, WhispererRetry) << start;
        EXPECT_EQ(got.error, "response header contains a NUL byte") << start;
    }
}

// libcurl takes such a line for a 200, after an interim answer, too.
TEST_F(HostileAnswerTest, AMalformedStatusLineIsNoSuccess) {
    const std::string rest = "\r\nContent-Length: 0\r\n\r\n";
    for (const char* line : {"HTTP/:.1 500 Oops", "HTTP/1.1 5x0 Oops", "HTTP/1.1500", "HTTP/ 500",
                             "HTTP/1.1 500500 Oops", "HTTP/1. 500 Oops", "HTTP/1.1"})
        for (const char* interim : {"", "HTTP/1.1 100 Continue\r\n\r\n"}) {
            const Got got = answered_with(interim + (line + rest));
            EXPECT_EQ(got.kind, WhispererRetry) << interim << line;
            EXPECT_EQ(got.http_status, 0) << interim << line;
        }
    for (const char* line : {"HTTP/1.1 200 OK", "HTTP/1.0 200", "HTTP/1.1 200 "})
        EXPECT_EQ(answered_with(line + rest).kind, WhispererDelivered) << line;
    // libcurl 8.14 refuses these two itself; RFC 9112, 4 has one space.
    const bool is_strict = curl_version_info(CURLVERSION_NOW)->version_num >= 0x080e00;
    EXPECT_EQ(answered_with("HTTP/1.1  200 OK" + rest).kind,
              is_strict ? WhispererRetry : WhispererDelivered);
    EXPECT_EQ(answered_with("HTTP/:.1 200 OK" + rest).error,
              is_strict ? "unsupported HTTP version in response"
                        : "response has a malformed status line");
}

// A newer libcurl may take it as it is.
TEST_F(HostileAnswerTest, AHeaderOfAnOldLibcurlBeginsWithAName) {
    const std::string rest = "\r\nContent-Length: 2\r\n\r\nok";
    if (curl_version_info(CURLVERSION_NOW)->version_num < 0x080101) {
        const Got got = answered_with("HTTP/1.1 200 OK\r\n\vX-A: 1" + rest);
        EXPECT_EQ(got.http_status, 0);
        EXPECT_EQ(got.error, "response has a malformed header line");
    }
    for (const char* line : {"X-A: 1", "x:", "X A: 2", "X-A: 1\r\nX-B: 2"}) {
        const Got fine = answered_with(std::string("HTTP/1.1 200 OK\r\n") + line + rest);
        EXPECT_EQ(fine.kind, WhispererDelivered) << line << ": " << fine.error;
        EXPECT_EQ(fine.response, "ok") << line;
    }
}

TEST_F(HostileAnswerTest, HeadersThatBreakOffSaySo) {
    for (const char* bytes : {"HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\n"}) {
        const Got got = answered_with(bytes);
        EXPECT_EQ(got.kind, WhispererRetry) << bytes;
        EXPECT_EQ(got.error, "connection closed within the response's headers") << bytes;
    }
}

TEST_F(HostileAnswerTest, WhatIsNoHttpHasAReason) {
    using std::string_literals::operator""s;
    for (const std::string& bytes :
         {"hello\r\n"s, "\0\1\2\3"s, "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"s,
          "HTTP/9.9 200 OK\r\n\r\n"s, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"s}) {
        const Got got = answered_with(bytes);
        EXPECT_EQ(got.kind, WhispererRetry) << bytes;
        EXPECT_THAT(got.error, testing::MatchesRegex("[a-z][^\r\n]+")) << bytes;
        EXPECT_THAT(got.error, testing::Not(testing::HasSubstr("no error"))) << bytes;
    }
}

}  // namespace
}  // namespace whisperer::engine
