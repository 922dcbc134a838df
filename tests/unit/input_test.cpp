// What people may write: URLs and headers; and what goes out: the envelope; through the door where
// the door has a function for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/engine_driver.h"
#include "worker/base/invalid.h"
#include "worker/engine.h"
#include "worker/rules/headers.h"
#include "worker/rules/url.h"

namespace whisperer::engine {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::string url_error(const std::string& url, bool require_https = false) {
    WhispererError error{};
    const auto code = whisperer_check_url(span_of(url), require_https ? 1 : 0, &error);
    EXPECT_EQ(code == WhispererOk, error.message[0] == '\0');
    return error.message;
}

TEST(Url, GoodOnes) {
    for (const char* url :
         {"http://example.com", "https://example.com/", "HTTPS://EXAMPLE.com:8443/a/b?c=d&e=%20",
          "http://127.0.0.1:1/", "http://[::1]:8080/x", "http://example.com?x=@:y",
          "http://xn--bcher-kva.example/"})
        EXPECT_EQ(url_error(url), "") << url;
    EXPECT_EQ(url_error("https://example.com/" + std::string(2048 - 20, 'x')), "");
}

TEST(Url, BadOnesSayWhy) {
    EXPECT_THAT(url_error(""), HasSubstr("empty"));
    EXPECT_THAT(url_error("https://example.com/" + std::string(2048 - 19, 'x')), HasSubstr("2048"));
    for (const char* url : {"example.com", "/path", "ftp://example.com/", "file:///etc/passwd",
                            "http:/example.com", "http:example.com", "httpx://example.com"})
        EXPECT_THAT(url_error(url), HasSubstr("http://")) << url;
    for (const char* url : {"http://", "http:///path", "http://:80/", "http://?q"})
        EXPECT_THAT(url_error(url), HasSubstr("host")) << url;
    for (const char* url : {"http://user@example.com/", "http://user:secret@example.com/",
                            "http://@example.com/", "http://a@b@example.com/"})
        EXPECT_THAT(url_error(url), HasSubstr("user name")) << url;
    EXPECT_THAT(url_error("http://example.com/#top"), HasSubstr("fragment"));
    EXPECT_THAT(url_error("http://example.com/a b"), HasSubstr("space"));
    EXPECT_THAT(url_error("http://example.com/a\r\nX: y"), HasSubstr("control"));
    EXPECT_THAT(url_error(std::string("http://example.com/\0x", 21)), HasSubstr("control"));
    EXPECT_THAT(url_error("http://good.example\\@evil.example/"), HasSubstr("backslash"));
    EXPECT_THAT(url_error("http://example.com:0/"), HasSubstr("port"));
    EXPECT_NE(url_error("http://example.com:65536/"), "");
    EXPECT_NE(url_error("http://example.com:port/"), "");
    EXPECT_NE(url_error("http://[::1/"), "");
    EXPECT_THAT(url_error("http://example.com/", true), HasSubstr("https"));
    EXPECT_EQ(url_error("https://example.com/", true), "");
}

TEST(Url, TellsAddressesFromNames) {
    EXPECT_TRUE(parse_url("http://10.0.0.1/", false).host_is_address);
    EXPECT_TRUE(parse_url("http://[fd00::1]/", false).host_is_address);
    EXPECT_EQ(parse_url("http://[fd00::1]/", false).host, "fd00::1");
    EXPECT_FALSE(parse_url("http://example.com/", false).host_is_address);
    EXPECT_EQ(parse_url("https://Example.COM/", false).port, 443);
}

TEST(Url, OnePlaceIsWrittenInOneWay) {
    const auto sent = [](const std::string& url) { return parse_url(url, false).url; };
    for (const char* url : {"https://a.example/x", "HTTPS://A.Example/x", "https://a.example:443/x",
                            "https://A.EXAMPLE:0443/x", "https://a.example:/x"})
        EXPECT_EQ(sent(url), "https://a.example/x") << url;
    EXPECT_EQ(sent("http://a.example:80"), "http://a.example/");
    EXPECT_EQ(sent("HTTP://[FD00::1]:80?A=B"), "http://[fd00::1]/?A=B");
    EXPECT_EQ(sent("http://[FE80::1%25Eth0]:80/"), "http://[fe80::1%25Eth0]/");
    for (const char* url :
         {"http://a.example:443/", "https://a.example:80/", "http://a.example:8080/",
          "http://a.example/X?y=http://B:80/", "http://[fd00::80]/"})
        EXPECT_EQ(sent(url), url);
}

TEST(Url, WhatIsNotAsciiIsEncodedOnce) {
    const auto sent = [](const std::string& url) { return parse_url(url, false).url; };
    EXPECT_EQ(sent("http://a.example/gr\xC3\xB6\xC3\x9F"
                   "e?n=\xC3\xA9&m=%C3%A9"),
              "http://a.example/gr%C3%B6%C3%9F"
              "e?n=%C3%A9&m=%C3%A9");
    EXPECT_EQ(sent("http://a.example?\xE6\x97\xA5"), "http://a.example/?%E6%97%A5");
    for (const char* url : {"http://a.example/%zz%2f?a=b%20c+d&{x}|y", "http://a.example/%C3%BC"})
        EXPECT_EQ(sent(url), url);
    std::string umlauts;
    for (int i = 0; i < 1000; ++i)
        umlauts += "\xC3\xBC";
    EXPECT_THAT(url_error("http://a.example/" + umlauts), HasSubstr("2048"));
    EXPECT_THAT(url_error("http://a.example\xC3\xBC/"), HasSubstr("no host name has"));
}

// The guard, and what is said behind a proxy, must see the address and not its disguise.
TEST(Url, OtherWaysToWriteAnAddressBecomeThatAddress) {
    for (const char* loopback :
         {"0x7f.1", "2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7F.0x0.0x0.0x1",
          "127.1", "127.0.1", "%31%32%37.0.0.1", "127.0.0.%31"}) {
        const Target target = parse_url("http://" + std::string(loopback) + "/", false);
        EXPECT_EQ(target.host, "127.0.0.1") << loopback;
        EXPECT_TRUE(target.host_is_address) << loopback;
    }
    EXPECT_EQ(parse_url("http://[::FFFF:127.0.0.1]/", false).host, "::ffff:127.0.0.1");
    EXPECT_EQ(parse_url("http://[0:0:0:0:0:0:0:1]/", false).host, "::1");
    EXPECT_EQ(parse_url("http://[fe80::1%25eth0]/", false).host, "fe80::1");
    EXPECT_EQ(parse_url("http://LOCALHOST/", false).host, "localhost");
}

TEST(Url, WhatIsNoAddressStaysAName) {
    for (const char* name : {"127.0.0.1.", "1.2.3.4.5", "127.0.0.1.example", "256.0.0.1"}) {
        WhispererError error{};
        const std::string url = "http://" + std::string(name) + "/";
        if (whisperer_check_url(span_of(url), 0, &error) == WhispererOk) {
            // Newer versions of libcurl take the first for what it is without its dot.
            const Target target = parse_url(url, false);
            EXPECT_EQ(target.host_is_address, target.host == "127.0.0.1") << name;
        }
    }
}

TEST(Url, HostsArePlainAscii) {
    for (const char* host :
         {"b\xC3\xBC"
          "cher.example",
          "\xEF\xBC\x91\xEF\xBC\x92\xEF\xBC\x97.0.0.1",
          "127\xE3\x80\x82"
          "0.0.1",
          "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "\xE2\x91\xA0\xE2\x91\xA1\xE2\x91\xA6.0.0.1"})
        EXPECT_THAT(url_error("http://" + std::string(host) + "/"), HasSubstr("no host name has"))
            << host;
    EXPECT_EQ(url_error("http://example.com/\xC3\xBC"), "");
    for (const char* host : {"a%00b", "a%20b", "a%0d%0ab", "a%2fb", "a%40b", "a%4", "127.0.0.1%",
                             "a|b", "a~b", "[::1]x"})
        EXPECT_NE(url_error("http://" + std::string(host) + "/"), "") << host;
}

std::string header_error(const std::string& json) {
    WhispererError error{};
    whisperer_check_headers(span_of(json), &error);
    return error.message;
}

TEST(Headers, GoodOnes) {
    EXPECT_EQ(header_error(""), "");
    EXPECT_EQ(header_error("{}"), "");
    EXPECT_EQ(header_error(R"({"Authorization":"Bearer x","X-A":"tab\there","X-B":"","Cookie":"a=b",
                               "User-Agent":"mine","X-C":"\u00fc"})"),
              "");
}

TEST(Headers, BadOnesNameTheHeader) {
    EXPECT_THAT(header_error("{"), HasSubstr("JSON object"));
    EXPECT_THAT(header_error("[]"), HasSubstr("JSON object"));
    for (const char* name : {"", "a b", "a:b", "a\\r\\nb", "\\u00fc", "(x)", "a\\u0000"})
        EXPECT_THAT(header_error(R"({")" + std::string(name) + R"(":"x"})"),
                    HasSubstr("header name"))
            << name;
    for (const char* name :
         {"Content-Type", "CONTENT-LENGTH", "Content-Encoding", "Host", "Connection", "Keep-Alive",
          "Expect", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings",
          "Proxy-Authorization", "Webhook-Id", "webhook-signature", "X-Whisperer-Hook"})
        EXPECT_THAT(header_error(R"({")" + std::string(name) + R"(":"x"})"), HasSubstr("reserved"))
            << name;
    for (const char* value : {"a\\r\\nX-Evil: 1", "a\\nb", "\\u0000", "\\u007f", "\\u001b"})
        EXPECT_THAT(header_error(R"({"X-A":")" + std::string(value) + R"("})"),
                    HasSubstr("control character"))
            << value;
    EXPECT_THAT(header_error(R"({"X-A":1})"), HasSubstr("\"X-A\" is not a string"));
    EXPECT_THAT(header_error(R"({"X-A":"1","x-a":"2"})"), HasSubstr("twice"));
    EXPECT_THAT(header_error(R"({"X-A":")" + std::string(8200, 'x') + R"("})"), HasSubstr("8192"));
    std::string many = "{";
    for (int i = 0; i < 33; ++i)
        many += (i > 0 ? ",\"X-" : "\"X-") + std::to_string(i) + "\":\"\"";
    EXPECT_THAT(header_error(many + "}"), HasSubstr("32"));
}

TEST(Headers, TheirLinesHaveABoundTogether) {
    const auto error_of = [](std::size_t bytes) {
        const std::string lines = R"("X-A":")" + std::string(4000 - 5, 'x') + R"(","X-B":")";
        return header_error("{" + lines + std::string(bytes - 4000 - 5, 'x') + "\"}");
    };
    EXPECT_EQ(error_of(8192), "");
    EXPECT_THAT(error_of(8193), HasSubstr("8192"));
}

// An error's text goes to clients and into tables: it must not end in half a character.
TEST(Headers, ErrorsAreWholeCharacters) {
    std::string name(63, 'x');
    name += "\xC3\xBC";
    EXPECT_THAT(header_error("{\"" + name + "\":\"1\"}"),
                HasSubstr('"' + std::string(63, 'x') + "\" is not valid"));
    WhispererError error{};
    const std::string config = "{\"" + name + "\":1}";
    whisperer_check_retry_config(span_of(config), &error);
    EXPECT_THAT(error.message, HasSubstr('"' + std::string(63, 'x') + '"'));
    whisperer_check_networks(span_of(name), &error);
    EXPECT_THAT(error.message, HasSubstr('"' + std::string(63, 'x') + '"'));
}

TEST(Headers, LinesOfAHook) {
    const HeaderLines lines = hook_header_lines(
        parse_additional_headers(R"({"X-A":"  spaced ","X-Empty":""})"), "42", "whisperer/1.0");
    for (const char* line : {"X-A: spaced", "X-Empty;", "Expect:", "User-Agent: whisperer/1.0",
                             "X-Whisperer-Hook: 42"})
        EXPECT_THAT(lines, Contains(line));
    const HeaderLines mine = hook_header_lines(parse_additional_headers(R"({"user-agent":"mine"})"),
                                               "42", "whisperer/1.0");
    EXPECT_THAT(mine, Contains("user-agent: mine"));
    EXPECT_THAT(mine, testing::Not(Contains("User-Agent: whisperer/1.0")));
}

TEST(Envelope, IsByteForByte) {
    WhispererEvent event{};
    for (std::size_t i = 0; i < 16; ++i)
        event.id[i] = static_cast<std::uint8_t>(0xda - 13 * i);
    const std::string type = "a\"b\\c\x01";
    const std::string data = R"({ "n": 1.00 })";
    event.type = span_of(type);
    event.data = span_of(data);
    std::size_t size = 0, again = 0;
    EXPECT_EQ(whisperer_body(&event, nullptr, 0, &size, nullptr), WhispererOk);
    std::string body(size, '?');
    EXPECT_EQ(whisperer_body(&event, body.data(), size - 1, &again, nullptr), WhispererOk);
    EXPECT_EQ(body, std::string(size, '?')) << "written though it did not fit";
    EXPECT_EQ(whisperer_body(&event, body.data(), size, &again, nullptr), WhispererOk);
    EXPECT_EQ(again, size);
    EXPECT_EQ(body,
              "{\"event\":{\"type\":\"a\\\"b\\\\c\\u0001\","
              "\"uuid\":\"dacdc0b3a6998c7f7265584b3e312417\"},\"data\":{ \"n\": 1.00 }}");
}

TEST(Door, LongMessagesAreCutNotOverrun) {
    const std::string networks(5000, 'x');
    WhispererError error{};
    EXPECT_EQ(whisperer_check_networks(span_of(networks), &error), WhispererInvalid);
    EXPECT_LT(strlen(error.message), sizeof error.message);
    EXPECT_EQ(whisperer_check_networks({nullptr, 0}, nullptr), WhispererOk);
    EXPECT_EQ(whisperer_check_secret({nullptr, 0}, nullptr), WhispererInvalid);
}

}  // namespace
}  // namespace whisperer::engine
