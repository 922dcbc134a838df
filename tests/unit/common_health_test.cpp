// Whose fault it is that a name is not found, or that a proxy is silent: the endpoint's, or this
// machine's.
#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {
namespace {

class LookUpTest : public DispatcherTest {
  protected:
    // An attempt for which its host's name is looked up; what came of it.
    WhispererOutcomeKind look_up(std::int64_t hook_id, bool found) {
        submit(hook_id, 1);
        pump();
        wire.answer_lookup(found);
        const auto taken = pump();
        EXPECT_EQ(taken.size(), 1U);
        return taken.front().kind;
    }
};

TEST_F(LookUpTest, NamesThatFailForEverybodyConsumeNoAttempt) {
    put(1, "", "http://one.example/");
    put(2, "", "http://two.example/");
    put(3, "", "http://three.example/");
    EXPECT_EQ(look_up(1, true), WhispererDelivered);
    EXPECT_EQ(look_up(2, false), WhispererRetry) << "it may not exist";
    EXPECT_EQ(look_up(2, false), WhispererRetry);
    EXPECT_EQ(look_up(3, false), WhispererRetry) << "nor that one; a third was found";
    EXPECT_EQ(look_up(1, false), WhispererReturned) << "which now fails, too";
    EXPECT_EQ(look_up(2, false), WhispererReturned);
    EXPECT_EQ(look_up(3, true), WhispererDelivered);
    EXPECT_EQ(look_up(2, false), WhispererRetry) << "one is found again";
}

// An address needs no look-up, so its success does not say that names are found again.
TEST_F(LookUpTest, ASuccessAtAnAddressSaysNothingOfNames) {
    put(1, "", "http://one.example/");
    put(2, "", "http://two.example/");
    put(3);
    EXPECT_EQ(look_up(1, true), WhispererDelivered);
    EXPECT_EQ(look_up(1, false), WhispererRetry);
    EXPECT_EQ(look_up(2, false), WhispererReturned);
    submit(3, 1);
    pump();
    wire.answer(200);
    EXPECT_EQ(pump().front().kind, WhispererDelivered);
    EXPECT_EQ(look_up(2, false), WhispererReturned) << "names are still not found";
}

TEST_F(LookUpTest, OneNameThatFailsIsItsEndpointsFault) {
    put(1, "", "http://one.example/");
    EXPECT_EQ(look_up(1, true), WhispererDelivered);
    EXPECT_EQ(look_up(1, false), WhispererRetry);
    EXPECT_EQ(look_up(1, false), WhispererRetry);
}

class ProxyTest : public DispatcherTest {
  protected:
    WhispererOutcomeKind by_proxy(std::int64_t hook_id, WireProxy heard) {
        submit(hook_id, 1);
        pump();
        wire.answer(heard == WireProxy::Silent ? -1 : 200);
        wire.results.back().proxy = heard;
        wire.results.back().error = heard == WireProxy::Silent ? "silent" : "";
        const auto taken = pump();
        EXPECT_EQ(taken.size(), 1U);
        return taken.front().kind;
    }
};

TEST_F(ProxyTest, OneThatIsSilentForEverybodyConsumesNoAttempt) {
    put(1, "", "https://192.0.2.1/");
    put(2, "", "https://192.0.2.1:8443/");
    put(3, "", "https://192.0.2.1/another");
    EXPECT_EQ(by_proxy(1, WireProxy::Answered), WhispererDelivered);
    EXPECT_EQ(by_proxy(1, WireProxy::Silent), WhispererRetry) << "that target may be down";
    EXPECT_EQ(by_proxy(3, WireProxy::Silent), WhispererRetry) << "which is this one's, too";
    EXPECT_EQ(by_proxy(2, WireProxy::Silent), WhispererReturned);
    EXPECT_EQ(by_proxy(1, WireProxy::Silent), WhispererReturned);
    EXPECT_EQ(dispatcher.own_fault(), "silent");
    EXPECT_EQ(by_proxy(2, WireProxy::Answered), WhispererDelivered);
    EXPECT_EQ(by_proxy(1, WireProxy::Silent), WhispererRetry) << "others are reached";
}

TEST_F(ProxyTest, WhatBeganBeforeTheSettingsChangedIsNoFaultAfterIt) {
    put(1, "", "https://192.0.2.1/");
    put(2, "", "https://192.0.2.1:8443/");
    EXPECT_EQ(by_proxy(1, WireProxy::Answered), WhispererDelivered);
    EXPECT_EQ(by_proxy(1, WireProxy::Silent), WhispererRetry);
    submit(2, 1);
    pump();
    clock.now += seconds(1);
    dispatcher.configure(std::make_shared<const Settings>(small_settings()));
    wire.answer(-1);
    wire.results.back().proxy = WireProxy::Silent;
    wire.results.back().error = "silent";
    EXPECT_EQ(pump().front().kind, WhispererReturned) << "nor is an attempt used up";
    EXPECT_EQ(dispatcher.own_fault(), "");
    EXPECT_EQ(by_proxy(1, WireProxy::Silent), WhispererReturned);
    EXPECT_EQ(dispatcher.own_fault(), "silent");
}

TEST_F(ProxyTest, SilenceThatNobodyKnowsOtherwiseIsTheTargets) {
    put(1, "", "https://192.0.2.1/");
    put(2, "", "https://192.0.2.2/");
    EXPECT_EQ(by_proxy(1, WireProxy::Silent), WhispererRetry);
    EXPECT_EQ(by_proxy(2, WireProxy::Silent), WhispererRetry);
}

}  // namespace
}  // namespace whisperer::engine
