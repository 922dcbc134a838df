// Places for look-ups, and what silent names leave to the others.
#include <gtest/gtest.h>

#include "tests/unit/engine_driver.h"
#include "tests/unit/names.h"
#include "worker/wire/lookup_room.h"

namespace whisperer::engine {
namespace {

constexpr microseconds now = seconds(1000);

std::string silent(int number) {
    return "silent" + std::to_string(number) + ".example";
}

class LookupRoomTest : public testing::Test {
  protected:
    // Starts what may be started of so many names that nobody answers for.
    int start_silent(int count, microseconds at = now) {
        int started = 0;
        for (int i = 0; i < count; ++i)
            if (room.may_start(silent(i), at)) {
                room.started(silent(i));
                ++started;
            }
        return started;
    }
    void give_up(int count, microseconds at = now) {
        for (int i = 0; i < count; ++i)
            room.given_up(silent(i), at);
    }

    LookupRoom room;
};

TEST_F(LookupRoomTest, AnyNameHasAPlaceAtFirst) {
    EXPECT_TRUE(room.may_start("a.example", now));
    room.started("a.example");
    EXPECT_EQ(room.waiting(), 1);
    room.found("a.example");
    EXPECT_EQ(room.waiting(), 0);
}

TEST_F(LookupRoomTest, UnknownNamesLeavePlacesToThoseThatWereFound) {
    room.started("good.example");
    room.found("good.example");
    EXPECT_EQ(start_silent(1000), lookups_max_of_unknown);
    EXPECT_FALSE(room.may_start("another.example", now));
    EXPECT_TRUE(room.may_start("good.example", now));
}

TEST_F(LookupRoomTest, WhatWasGivenUpCountsForAWhile) {
    EXPECT_EQ(start_silent(1000), lookups_max_of_unknown);
    give_up(lookups_max_of_unknown);
    EXPECT_EQ(room.waiting(), 0);
    EXPECT_FALSE(room.may_start(silent(0), now)) << "more than those of silent names are taken";
    EXPECT_TRUE(room.may_start("new.example", now));
    EXPECT_EQ(start_silent(lookups_max_of_unknown, now + given_up_for), lookup_places_of_silent);
}

TEST_F(LookupRoomTest, OneSilentNameHasTwoPlaces) {
    room.started("slow.example");
    room.given_up("slow.example", now);
    EXPECT_TRUE(room.may_start("slow.example", now));
    room.started("slow.example");
    EXPECT_FALSE(room.may_start("slow.example", now));
    EXPECT_FALSE(room.may_start("slow.example", now + given_up_for - microseconds(1)));
    EXPECT_TRUE(room.may_start("slow.example", now + given_up_for));
}

TEST_F(LookupRoomTest, ANameThatIsAnsweredAgainIsLikeOthers) {
    room.started("slow.example");
    room.given_up("slow.example", now);
    for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(room.may_start("slow.example", now)) << i;
        room.started("slow.example");
        if (i == 0)
            room.found("slow.example");
    }
}

TEST_F(LookupRoomTest, AllTogetherNeverTakeWhatTheResolverHas) {
    microseconds at = now;
    int counted_max = 0;
    for (int round = 0; round < 40; ++round, at += seconds(5)) {
        std::vector<std::string> begun;
        for (int i = 0; i < 300; ++i) {
            const std::string name = i % 2 != 0 ? silent(i) : silent(1000 * round + i);
            if (room.may_start(name, at)) {
                room.started(name);
                begun.push_back(name);
            }
        }
        for (const std::string& name : begun)
            room.given_up(name, at + seconds(5));
        counted_max = std::max(counted_max, static_cast<int>(begun.size()));
    }
    EXPECT_LE(counted_max, lookups_max);
    EXPECT_LE(2 * lookup_places, resolver_threads_max);
}

TEST_F(LookupRoomTest, RemembersABoundedNumberOfNames) {
    for (int i = 0; i < 3 * static_cast<int>(lookup_names_max); ++i) {
        room.started(silent(i));
        room.found(silent(i));
    }
    EXPECT_EQ(room.waiting(), 0);
    EXPECT_TRUE(room.may_start(silent(0), now));
}

// With libcurl, and a name server that does not answer.
TEST(Lookups, SilentNamesHoldUpNobody) {
    Names names;
    HttpServer server;
    EngineDriver driver;
    driver.settings.connect_timeout_ms = 60 * 1000;
    driver.settings.request_timeout_ms = 120 * 1000;
    driver.settings.park_after_ms = 60 * 1000;
    driver.create();
    const std::string port = ":" + std::to_string(server.port()) + "/";
    names.put("good.example", {"127.0.0.1"});
    ASSERT_EQ(driver.put_hook(1, "http://good.example" + port), WhispererOk);
    ASSERT_EQ(driver.submit(1, 1), WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, 1));
    for (int i = 0; i < 200; ++i) {
        names.put_silent(silent(i));
        ASSERT_EQ(driver.put_hook(100 + i, "http://" + silent(i) + port), WhispererOk);
        ASSERT_EQ(driver.submit(static_cast<std::uint64_t>(100 + i), 100 + i), WhispererOk);
    }
    for (int i = 0; i < 10; ++i)
        driver.turn(&server);
    server.close_connections();
    // A hook that nothing is known of, at a name that was found before.
    ASSERT_EQ(driver.put_hook(2, "http://good.example" + port + "2"), WhispererOk);
    ASSERT_EQ(driver.submit(2, 2), WhispererOk);
    ASSERT_TRUE(driver.run_for(&server, 2));
    EXPECT_EQ(driver.got[1].token, 2U);
    EXPECT_EQ(driver.got[1].kind, WhispererDelivered) << driver.got[1].error;
}

// Whoever waits for the engine's end waits for no resolver: the names are released only behind it.
TEST(Lookups, LeavingWaitsForNone) {
    Names names;
    EngineDriver driver;
    driver.create();
    for (int i = 0; i < 20; ++i) {
        names.put_silent(silent(i));
        ASSERT_EQ(driver.put_hook(1 + i, "http://" + silent(i) + "/"), WhispererOk);
        ASSERT_EQ(driver.submit(static_cast<std::uint64_t>(1 + i), 1 + i), WhispererOk);
    }
    ASSERT_TRUE(driver.run_until(nullptr, [] { return Names::asked(silent(0)) > 0; }));
    whisperer_engine_destroy(driver.engine);
    driver.engine = nullptr;
}

}  // namespace
}  // namespace whisperer::engine
