// Names with several addresses, some of which nobody serves or may be asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/engine_driver.h"
#include "tests/unit/names.h"

namespace whisperer::engine {
namespace {

class AddressesTest : public testing::Test {
  protected:
    void SetUp() override { driver.create(); }

    Got deliver(const std::string& host, int port) {
        EXPECT_EQ(driver.put_hook(1, "http://" + host + ":" + std::to_string(port) + "/x"),
                  WhispererOk);
        EXPECT_EQ(driver.submit(7, 1), WhispererOk) << driver.error.message;
        const std::size_t before = driver.got.size();
        EXPECT_TRUE(driver.run_for(&server, before + 1));
        return driver.got.size() > before ? driver.got[before] : Got{};
    }

    int closed_port() {
        const HttpServer closed;
        return closed.port();
    }

    Names names;
    HttpServer server;  // on 127.0.0.1
    EngineDriver driver;
};

// Nothing is said of how long a refusal takes to be noticed but that it is no part of the time that
// one may take to connect: all that is left of it was waited for once, for each address a half.
TEST_F(AddressesTest, DeadOnesCostNoTimeOut) {
    driver.settings.connect_timeout_ms = 60 * 1000;
    driver.settings.request_timeout_ms = 120 * 1000;
    ASSERT_EQ(driver.configure(), WhispererOk);
    names.put("many.example", {"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.0.1"});
    const Got got = deliver("many.example", server.port());
    EXPECT_EQ(got.kind, WhispererDelivered) << got.error;

    names.put("dead.example", {"127.0.1.1", "127.0.1.2", "127.0.1.3"});
    EXPECT_EQ(deliver("dead.example", server.port()).error,
              "could not connect: connection refused");
}

TEST_F(AddressesTest, TheReasonIsThatOfTheAllowedOne) {
    const int port = closed_port();
    for (const std::vector<std::string>& addresses :
         std::vector<std::vector<std::string>>{{"::1", "127.0.0.1"},
                                               {"127.0.0.1", "::1"},
                                               {"10.9.9.9", "127.0.0.1"},
                                               {"127.0.0.1", "10.9.9.9"},
                                               {"::1", "10.9.9.9", "127.0.0.1", "127.0.1.1"}}) {
        names.put("mixed.example", addresses);
        driver.settings.park_after_ms = 60 * 1000;
        ASSERT_EQ(driver.configure(), WhispererOk);
        EXPECT_EQ(deliver("mixed.example", port).error, "could not connect: connection refused")
            << addresses[0];
    }
}

TEST_F(AddressesTest, SoWhereItIsTheOneOfIPv6) {
    const int port = closed_port();
    driver.settings.allowed_networks = {"::1/128", 7};
    driver.settings.park_after_ms = 60 * 1000;
    ASSERT_EQ(driver.configure(), WhispererOk);
    for (const std::vector<std::string>& addresses :
         std::vector<std::vector<std::string>>{{"::1", "127.0.0.1"}, {"127.0.0.1", "::1"}}) {
        names.put("mixed.example", addresses);
        EXPECT_THAT(deliver("mixed.example", port).error,
                    testing::StartsWith("could not connect: "))
            << addresses[0];
    }
}

TEST_F(AddressesTest, AnAllowedOneIsReachedBesideOthers) {
    for (const std::vector<std::string>& addresses : std::vector<std::vector<std::string>>{
             {"::1", "127.0.0.1"}, {"127.0.0.1", "::1"}, {"10.9.9.9", "::1", "127.0.0.1"}}) {
        names.put("mixed.example", addresses);
        EXPECT_EQ(deliver("mixed.example", server.port()).kind, WhispererDelivered) << addresses[0];
    }
}

TEST_F(AddressesTest, WhereNoneIsAllowedThatIsTheReason) {
    names.put("inside.example", {"10.9.9.9", "::1"});
    const Got got = deliver("inside.example", server.port());
    EXPECT_THAT(got.error, testing::MatchesRegex("address (10.9.9.9|::1) is not allowed .*"));
    EXPECT_EQ(got.error_code, WhispererErrorNotAllowed);
}

}  // namespace
}  // namespace whisperer::engine
