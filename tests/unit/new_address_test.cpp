// A hook that got a new address while requests to the old one were out: what the old one answers
// says nothing of the new one.
#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {
namespace {

constexpr const char* before_url = "http://192.0.2.1/";
constexpr const char* after_url = "http://192.0.2.2/";

class NewAddressTest : public DispatcherTest {
  protected:
    // The outcome of a delivery whose answer comes after the hook has moved.
    Outcome late(int status, std::optional<seconds> retry_after = {}) {
        put(1, "", before_url);
        submit(1, 1);
        pump();
        put(1, "", after_url);
        wire.answer(status);
        wire.results.back().retry_after = retry_after;
        std::vector<Outcome> ended = pump();
        EXPECT_EQ(ended.size(), 1U);
        return ended.empty() ? Outcome{} : ended.front();
    }

    void divert(const char* url) {
        WhispererSettings settings = small_settings();
        settings.divert_to = span(url);
        dispatcher.configure(std::make_shared<const Settings>(settings));
    }
};

TEST_F(NewAddressTest, ALate410IsAFailureLikeOthers) {
    const Outcome outcome = late(410);
    EXPECT_EQ(outcome.kind, WhispererRetry);
    EXPECT_FALSE(outcome.hook_gone);
    EXPECT_TRUE(outcome.outdated);
    EXPECT_EQ(outcome.http_status, 410);
}

TEST_F(NewAddressTest, ALateWishToWaitIsNotFollowed) {
    EXPECT_EQ(late(429, seconds(3600)).asked_after.count(), 0);
}

TEST_F(NewAddressTest, ALateSuccessIsOne) {
    const Outcome outcome = late(200);
    EXPECT_EQ(outcome.kind, WhispererDelivered);
    EXPECT_TRUE(outcome.outdated);
}

TEST_F(NewAddressTest, AnotherChangeOfTheHookChangesNothing) {
    put(1, "", before_url);
    submit(1, 1);
    pump();
    put(1, R"({"choice":"fixed","kwargs":{"seconds":7}})", before_url);
    wire.answer(410);
    const std::vector<Outcome> ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].kind, WhispererFailed);
    EXPECT_TRUE(ended[0].hook_gone);
    EXPECT_FALSE(ended[0].outdated);
}

TEST_F(NewAddressTest, ReturnedToTheOldAddressItCounts) {
    put(1, "", before_url);
    submit(1, 1);
    pump();
    put(1, "", after_url);
    put(1, "", before_url);
    wire.answer(410);
    const std::vector<Outcome> ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_TRUE(ended[0].hook_gone);
}

TEST_F(NewAddressTest, LateFailuresDoNotMakeTheLaneStruggle) {
    WhispererSettings settings = small_settings();
    settings.max_in_flight_per_hook = 8;
    dispatcher.configure(std::make_shared<const Settings>(settings));
    put(1, "", before_url);
    std::uint64_t token = 0;
    while (wire.running.size() < 8) {
        for (int i = 0; i < 8; ++i)
            submit(1, ++token);
        pump();
        if (wire.running.size() < 8)
            wire.answer_all([](const std::string&) { return 200; });
        ASSERT_LT(token, 100U);
    }
    put(1, "", after_url);
    wire.answer_all([](const std::string&) { return 500; });
    pump();
    for (int i = 0; i < 20; ++i)
        submit(1, ++token);
    for (const Outcome& outcome : pump())
        EXPECT_NE(outcome.kind, WhispererReturned);
}

TEST_F(NewAddressTest, ALateParkedOneDoesNotMakeTheLaneSlow) {
    put(1, "", before_url);
    submit(1, 1);
    pump();
    put(1, "", after_url);
    clock.now += seconds(2);
    pump();
    for (std::uint64_t token = 2; token < 22; ++token)
        submit(1, token);
    for (const Outcome& outcome : pump())
        EXPECT_NE(outcome.kind, WhispererReturned);
}

TEST_F(NewAddressTest, WhereRequestsAreDivertedToCannotSayThatTheReceiverIsGone) {
    divert("http://192.0.2.7/sink");
    put(1, "", before_url);
    submit(1, 1);
    pump();
    wire.answer(410);
    std::vector<Outcome> ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_FALSE(ended[0].hook_gone);

    submit(1, 2);
    pump();
    divert("");
    wire.answer(410);
    ended = pump();
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_FALSE(ended[0].hook_gone);
}

}  // namespace
}  // namespace whisperer::engine
