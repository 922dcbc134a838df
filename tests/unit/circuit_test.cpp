// When a circuit opens, probes and closes, by itself and as the dispatcher obeys it.
#include "worker/dispatch/circuit.h"

#include <gmock/gmock.h>

#include <ctime>
#include <map>

#include "tests/unit/dispatcher_fixture.h"

namespace whisperer::engine {
namespace {

using State = Circuit::State;
using End = Circuit::End;

class CircuitTest : public testing::Test {
  protected:
    bool attempt(End end) { return circuit.ended(circuit.started(), end, now); }
    void attempts(int count, End end) {
        for (int i = 0; i < count; ++i)
            attempt(end);
    }
    void open() {
        attempts(10, End::Failure);
        ASSERT_EQ(circuit.state(), State::Open);
    }

    microseconds now = seconds(1000);
    Circuit circuit;
};

TEST_F(CircuitTest, OpensWhenSevenOfTenFailed) {
    attempts(3, End::Success);
    attempts(6, End::Failure);
    EXPECT_EQ(circuit.state(), State::Closed);
    EXPECT_TRUE(attempt(End::Failure));
    EXPECT_EQ(circuit.state(), State::Open);
    EXPECT_EQ(circuit.reason(), "7 of 10 attempts failed within 5 min");
}

TEST_F(CircuitTest, StaysClosedBelowSeventyPercentOrTenAttempts) {
    attempts(4, End::Success);
    attempts(9, End::Failure);
    EXPECT_EQ(circuit.state(), State::Closed) << "9 of 13";
    circuit.reset();
    attempts(9, End::Failure);
    EXPECT_EQ(circuit.state(), State::Closed) << "9";
}

TEST_F(CircuitTest, ForgetsWhatIsOlderThanFiveMinutes) {
    attempts(9, End::Failure);
    now += circuit_window + seconds(60);
    attempts(9, End::Failure);
    EXPECT_EQ(circuit.state(), State::Closed);
    now += circuit_window - seconds(30);
    attempt(End::Failure);
    EXPECT_EQ(circuit.state(), State::Open);
}

TEST_F(CircuitTest, OpensWhenTenInARowDoNotConnect) {
    attempts(20, End::Success);
    attempts(9, End::NoConnection);
    attempt(End::Failure);
    attempts(9, End::NoConnection);
    EXPECT_EQ(circuit.state(), State::Closed);
    EXPECT_TRUE(attempt(End::NoConnection));
    EXPECT_EQ(circuit.state(), State::Open);
    EXPECT_EQ(circuit.reason(), "10 connections failed in a row");
}

TEST_F(CircuitTest, OurOwnFaultsDoNotCount) {
    attempts(100, End::OurFault);
    attempts(9, End::NoConnection);
    attempts(100, End::OurFault);
    EXPECT_EQ(circuit.state(), State::Closed);
}

TEST_F(CircuitTest, OneProbeAfterThirtySecondsWhoseSuccessCloses) {
    open();
    now += circuit_wait_min - microseconds(1);
    EXPECT_TRUE(circuit.blocks(now));
    now += microseconds(1);
    EXPECT_FALSE(circuit.blocks(now));
    const std::uint64_t probe = circuit.started();
    EXPECT_EQ(circuit.state(), State::HalfOpen);
    EXPECT_TRUE(circuit.blocks(now));
    EXPECT_TRUE(circuit.ended(probe, End::Success, now));
    EXPECT_EQ(circuit.state(), State::Closed);
    EXPECT_EQ(circuit.reason(), "");
    attempts(9, End::Failure);
    EXPECT_EQ(circuit.state(), State::Closed) << "the history is forgotten";
}

TEST_F(CircuitTest, AFailedProbeDoublesTheWaitUpToAMinute) {
    open();
    for (int wait_s : {30, 60, 60, 60}) {
        EXPECT_EQ(circuit.probe_at(), now + seconds(wait_s));
        now = circuit.probe_at();
        EXPECT_TRUE(attempt(End::Failure));
    }
    now = circuit.probe_at();
    attempt(End::Success);
    open();
    EXPECT_EQ(circuit.probe_at(), now + circuit_wait_min);
}

TEST_F(CircuitTest, AProbeThatWasOurFaultLetsAnotherGo) {
    open();
    now = circuit.probe_at();
    EXPECT_FALSE(attempt(End::OurFault));
    EXPECT_FALSE(circuit.blocks(now));
    attempt(End::Failure);
    EXPECT_EQ(circuit.probe_at(), now + 2 * circuit_wait_min);
}

TEST_F(CircuitTest, OfWhatWasInFlightOnlyASuccessCounts) {
    const std::uint64_t first = circuit.started();
    const std::uint64_t second = circuit.started();
    const std::uint64_t third = circuit.started();
    open();
    const microseconds probe_at = circuit.probe_at();
    now += seconds(1);
    EXPECT_FALSE(circuit.ended(first, End::Failure, now));
    EXPECT_EQ(circuit.probe_at(), probe_at);
    now = probe_at;
    circuit.started();
    EXPECT_FALSE(circuit.ended(second, End::Failure, now));
    EXPECT_EQ(circuit.state(), State::HalfOpen);
    EXPECT_TRUE(circuit.ended(third, End::Success, now));
    EXPECT_EQ(circuit.state(), State::Closed);
}

TEST_F(CircuitTest, WhatBeganBeforeItClosedChangesNothing) {
    std::vector<std::uint64_t> old;
    for (int i = 0; i < 20; ++i)
        old.push_back(circuit.started());
    open();
    now = circuit.probe_at();
    attempt(End::Success);
    for (std::uint64_t attempt : old)
        EXPECT_FALSE(circuit.ended(attempt, End::NoConnection, now));
    EXPECT_EQ(circuit.state(), State::Closed);
}

class CircuitDispatchTest : public DispatcherTest {
  protected:
    CircuitDispatchTest() { breaker(true); }

    void breaker(bool on) {
        WhispererSettings changed = small_settings();
        changed.circuit_breaker = on ? 1 : 0;
        dispatcher.configure(std::make_shared<const Settings>(changed));
    }

    // Attempts of hook 1 that end so, one after the other.
    void attempts(int count, int status) {
        for (int i = 0; i < count; ++i) {
            submit(1, ++token);
            pump();
            ASSERT_EQ(wire.running.size(), 1U);
            wire.answer(status);
            pump();
        }
    }

    std::vector<WhispererCircuit> changes() {
        std::vector<WhispererCircuit> taken(1);
        while (dispatcher.take_circuit_change(taken.back()))
            taken.emplace_back();
        taken.pop_back();
        return taken;
    }

    std::uint64_t token = 100;
};

TEST_F(CircuitDispatchTest, AnOpenCircuitHandsBackAtOnceAndSpread) {
    put(1);
    attempts(9, 500);
    for (int i = 0; i < 5; ++i)
        submit(1, ++token);
    pump();
    wire.answer(500);
    auto got = pump();
    for (int i = 0; i < 5; ++i)
        submit(1, ++token);
    for (Outcome& outcome : pump())
        got.push_back(std::move(outcome));
    ASSERT_EQ(got.size(), 10U);
    EXPECT_EQ(got[0].kind, WhispererRetry);
    EXPECT_EQ(got[0].error_code, WhispererErrorNone) << "an answer speaks for itself";
    for (std::size_t i = 1; i < got.size(); ++i) {
        EXPECT_EQ(got[i].kind, WhispererReturned);
        EXPECT_FALSE(got[i].attempted);
        EXPECT_EQ(got[i].error, "circuit is open");
        EXPECT_EQ(got[i].error_code, WhispererErrorCircuitOpen);
        EXPECT_EQ(got[i].next_after,
                  milliseconds(circuit_wait_min) + milliseconds(10 * (static_cast<int>(i) - 1)));
    }
    EXPECT_EQ(wire.sent.size(), 10U);
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 30000);
    EXPECT_EQ(dispatcher.counts().queued, 0);
}

TEST_F(CircuitDispatchTest, AnOpenCircuitWaitsForNothing) {
    put(1);
    attempts(10, 500);
    submit(1, 1);
    pump();
    clock.now += seconds(2);  // the queue's age check
    pump();
    EXPECT_EQ(dispatcher.wait_ms(), -1);
}

TEST_F(CircuitDispatchTest, OneProbeGoesAndTheOthersComeBack) {
    put(1);
    attempts(10, 500);
    clock.now += circuit_wait_min;
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0);
    for (int i = 0; i < 4; ++i)
        submit(1, ++token);
    auto got = pump();
    EXPECT_EQ(wire.running.size(), 1U);
    ASSERT_EQ(got.size(), 3U);
    submit(1, ++token);
    for (Outcome& outcome : outcomes())
        got.push_back(std::move(outcome));
    ASSERT_EQ(got.size(), 4U);
    for (const Outcome& outcome : got) {
        EXPECT_EQ(outcome.error, "circuit is open");
        EXPECT_EQ(outcome.error_code, WhispererErrorCircuitOpen);
        EXPECT_GE(outcome.next_after, return_wait_min);
    }
    EXPECT_GT(dispatcher.hook_wait_ms(1), 0);
    wire.answer(500);
    pump();
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 60000);
    clock.now += seconds(60);
    submit(1, ++token);
    pump();
    wire.answer(200);
    pump();
    for (int i = 0; i < 3; ++i)
        submit(1, ++token);
    pump();
    EXPECT_EQ(wire.running.size(), 2U);
    EXPECT_EQ(dispatcher.counts().queued, 1) << "a closed circuit's lane queues again";
}

TEST_F(CircuitDispatchTest, WhoAsksIsProbedForAtOnce) {
    put(1);
    EXPECT_FALSE(dispatcher.probe_hook(1)) << "a closed circuit is not probed";
    EXPECT_FALSE(dispatcher.probe_hook(99));
    attempts(10, 500);
    changes();
    EXPECT_FALSE(dispatcher.awaits_probe(1)) << "not before its time";
    EXPECT_FALSE(dispatcher.probe_hook(1));
    EXPECT_TRUE(dispatcher.awaits_probe(1));
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0);
    const auto asked = changes();
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].state, WhispererCircuitOpen);
    EXPECT_EQ(asked[0].retry_after_ms, 0);
    submit(1, ++token);
    EXPECT_FALSE(dispatcher.awaits_probe(1)) << "it is here";
    submit(1, ++token);
    const auto others = pump();
    EXPECT_EQ(wire.running.size(), 1U);
    ASSERT_EQ(others.size(), 1U);
    EXPECT_EQ(others[0].next_after, return_wait_min) << "not when it would have been probed";
    EXPECT_TRUE(dispatcher.probe_hook(1)) << "it runs";
    EXPECT_FALSE(dispatcher.awaits_probe(1));
    wire.answer(200);
    pump();
    EXPECT_FALSE(dispatcher.probe_hook(1));
    EXPECT_FALSE(dispatcher.awaits_probe(1)) << "it has closed";
    dispatcher.drop_hook(1);
    EXPECT_FALSE(dispatcher.awaits_probe(1));
}

TEST_F(CircuitDispatchTest, OnlyWhatCannotConnectCountsAsThat) {
    put(1);
    attempts(10, 200);
    attempts(9, 0);
    EXPECT_TRUE(changes().empty());
    attempts(1, 0);
    const auto opened = changes();
    ASSERT_EQ(opened.size(), 1U);
    EXPECT_STREQ(opened[0].reason, "10 connections failed in a row");
    put(1, "", "http://192.0.2.2/");
    changes();
    attempts(10, 200);
    attempts(10, -1);
    EXPECT_TRUE(changes().empty()) << "connected, but no answer";
    attempts(10, 200);
    for (int i = 0; i < 10; ++i) {
        submit(1, ++token);
        pump();
        wire.answer(0);
        wire.results.back().refused = true;
        pump();
    }
    EXPECT_TRUE(changes().empty()) << "refused by the guard";
}

TEST_F(CircuitDispatchTest, ChangesAreTheNewestOfEachHookOldestFirst) {
    put(1);
    put(2);
    attempts(10, 500);
    for (int i = 0; i < 10; ++i) {
        submit(2, ++token);
        pump();
        wire.answer(0);
        pump();
    }
    clock.now += seconds(10);
    WhispererCircuit first{};
    ASSERT_TRUE(dispatcher.take_circuit_change(first));
    EXPECT_EQ(first.hook_id, 1);
    EXPECT_EQ(first.state, WhispererCircuitOpen);
    EXPECT_EQ(first.retry_after_ms, 20000);
    EXPECT_STREQ(first.reason, "10 of 10 attempts failed within 5 min");
    clock.now += seconds(20);
    submit(2, ++token);
    pump();
    wire.answer(200);
    pump();
    const auto rest = changes();
    ASSERT_EQ(rest.size(), 1U) << "one for a hook, and none for half-open";
    EXPECT_EQ(rest[0].hook_id, 2);
    EXPECT_EQ(rest[0].state, WhispererCircuitClosed);
    EXPECT_EQ(rest[0].retry_after_ms, 0);
    EXPECT_STREQ(rest[0].reason, "");
}

TEST_F(CircuitDispatchTest, AnotherAddressIsAnotherEndpoint) {
    put(1);
    attempts(10, 500);
    put(1, R"({"choice": "fixed", "kwargs": {"seconds": 5}})");
    EXPECT_GT(dispatcher.hook_wait_ms(1), 0) << "the same address";
    put(1, "", "http://192.0.2.2/");
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0);
    EXPECT_EQ(changes().at(0).state, WhispererCircuitClosed);
    attempts(9, 500);
    EXPECT_TRUE(changes().empty());
}

TEST_F(CircuitDispatchTest, OffItClosesAndStaysClosed) {
    put(1);
    attempts(10, 500);
    changes();
    breaker(false);
    EXPECT_EQ(changes().at(0).state, WhispererCircuitClosed);
    attempts(30, 500);
    EXPECT_TRUE(changes().empty());
    breaker(true);
    attempts(9, 500);
    EXPECT_TRUE(changes().empty()) << "nothing was counted meanwhile";
    attempts(1, 500);
    EXPECT_EQ(changes().size(), 1U);
}

TEST_F(CircuitDispatchTest, ADroppedHookTakesItsCircuitAlong) {
    put(1);
    attempts(9, 500);
    submit(1, ++token);
    pump();
    wire.answer(500);
    pump();
    dispatcher.drop_hook(1);
    EXPECT_TRUE(changes().empty());
    EXPECT_EQ(dispatcher.hook_wait_ms(1), 0);
    put(1);
    attempts(1, 500);
}

TEST_F(CircuitDispatchTest, AClosedCircuitDoesNotPostponeLaterReturns) {
    put(1);
    attempts(10, 500);
    for (int i = 0; i < 500; ++i)
        submit(1, ++token);
    clock.now += circuit_wait_min;
    submit(1, ++token);
    pump();
    wire.answer(200);
    pump();
    for (int i = 0; i < 8; ++i)
        submit(1, ++token);
    pump();
    clock.now += seconds(1);
    bool returned = false;
    for (const Outcome& outcome : pump())
        if (outcome.kind == WhispererReturned) {
            returned = true;
            EXPECT_LT(outcome.next_after, return_wait_min + milliseconds(100));
        }
    EXPECT_TRUE(returned);
}

// Ten hooks for a week, an event a minute, one of which fails always.  The host reads as it is
// told: retries of a hook only when hook_wait_ms is 0.
TEST_F(CircuitDispatchTest, AWeekOfOneFailingHook) {
    constexpr std::int64_t failing = 10;
    constexpr int minutes = 7 * 24 * 60;
    // The processor's time at the begin, in the middle and at the end.
    std::vector<std::clock_t> spent{std::clock()};
    for (std::int64_t hook = 1; hook <= 10; ++hook)
        put(hook, R"({"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 3})");
    std::vector<int> delivered(11);
    std::multimap<microseconds, std::uint64_t> due;
    std::map<std::uint64_t, int> attempted;
    int ended = 0;
    int attempts_of_failing = 0;
    for (int minute = 0; minute < minutes; ++minute, clock.now += seconds(60)) {
        if (minute == minutes / 2)
            spent.push_back(std::clock());
        for (std::int64_t hook = 1; hook <= 10; ++hook)
            submit(hook, static_cast<std::uint64_t>(minute * 16 + hook));
        for (int read = 0; read < 8 && !due.empty() && due.begin()->first <= clock.now &&
                           dispatcher.hook_wait_ms(failing) == 0;
             ++read) {
            const std::uint64_t retry = due.begin()->second;
            due.erase(due.begin());
            submit(failing, retry, attempted[retry]);
        }
        do {
            dispatcher.pump();
            wire.answer_all([](const std::string& hook) { return hook == "10" ? 500 : 200; });
            dispatcher.pump();
            for (const Outcome& outcome : outcomes()) {
                delivered.at(outcome.hook_id) += outcome.kind == WhispererDelivered ? 1 : 0;
                attempts_of_failing += outcome.hook_id == failing && outcome.attempted ? 1 : 0;
                ended += outcome.kind == WhispererFailed ? 1 : 0;
                attempted[outcome.token] += outcome.attempted ? 1 : 0;
                if (outcome.kind == WhispererRetry || outcome.kind == WhispererReturned)
                    due.emplace(clock.now + outcome.next_after, outcome.token);
            }
        } while (!wire.running.empty() || dispatcher.counts().queued > 0);
        wire.sent.clear();
    }
    for (std::int64_t hook = 1; hook < failing; ++hook)
        EXPECT_EQ(delivered.at(static_cast<std::size_t>(hook)), minutes);
    EXPECT_EQ(static_cast<int>(due.size()) + ended, minutes) << "none is lost";
    EXPECT_GE(attempts_of_failing, minutes - 5) << "one a minute is made";
    EXPECT_LE(attempts_of_failing, minutes + 20) << "and no more";
    spent.push_back(std::clock());
    EXPECT_LT(spent[2] - spent[1], 3 * (spent[1] - spent[0])) << "work grows with what was before";
}

}  // namespace
}  // namespace whisperer::engine
