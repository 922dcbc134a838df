// Which worker serves which hook: by its id, and by the loads of all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "worker/base/dealing.h"

namespace whisperer::engine {
namespace {

using testing::ElementsAre;

using Hooks = std::vector<WhispererHookLoad>;

// The first ids that their hash puts on the worker.
std::vector<std::int64_t> ids_on(int worker, int workers, std::size_t count) {
    std::vector<std::int64_t> ids;
    for (std::int64_t id = 1; ids.size() < count; ++id)
        if (place_of_hook(id, workers) == worker)
            ids.push_back(id);
    return ids;
}

// All on the worker by their hash.
Hooks loaded(const std::vector<std::int64_t>& loads, int worker, int workers) {
    const auto ids = ids_on(worker, workers, loads.size());
    Hooks hooks;
    for (std::size_t i = 0; i < loads.size(); ++i)
        hooks.push_back({ids[i], loads[i], -1});
    return hooks;
}

std::vector<int> workers_of(const Hooks& hooks) {
    std::vector<int> workers;
    for (const auto& hook : hooks)
        workers.push_back(hook.worker);
    return workers;
}

int moved(const Hooks& hooks, int workers) {
    return static_cast<int>(std::ranges::count_if(hooks, [&](const auto& hook) {
        return hook.worker != place_of_hook(hook.hook_id, workers);
    }));
}

TEST(PlaceOfHook, EachWorkerHasItsPart) {
    for (int workers : {1, 2, 3, 7, 64}) {
        std::vector<int> counts(static_cast<std::size_t>(workers));
        for (std::int64_t id = 1; id <= 6400; ++id)
            ++counts.at(static_cast<std::size_t>(place_of_hook(id, workers)));
        for (int count : counts) {
            EXPECT_GT(count, 6400 / workers / 2) << workers;
            EXPECT_LT(count, 6400 / workers * 2) << workers;
        }
    }
}

TEST(PlaceOfHook, AWorkerMoreTakesItsPartAndNothingElseMoves) {
    int taken = 0;
    for (std::int64_t id = 1; id <= 3000; ++id) {
        const int place = place_of_hook(id, 3);
        if (place == 2)
            ++taken;
        else
            EXPECT_EQ(place, place_of_hook(id, 2)) << id;
    }
    EXPECT_NEAR(taken, 1000, 100);
}

// Workers of a new release would serve other hooks than their bookmarks are about.
TEST(PlaceOfHook, IsTheSameForEver) {
    std::vector<int> places;
    for (std::int64_t id = 1; id <= 12; ++id)
        places.push_back(place_of_hook(id, 3));
    EXPECT_THAT(places, ElementsAre(0, 2, 1, 1, 2, 2, 1, 1, 1, 0, 1, 1));
    EXPECT_EQ(place_of_hook(INT64_MAX, 64), 32);
}

TEST(DealHooks, WithoutLoadEachIsWhereItsIdPutsIt) {
    Hooks hooks = loaded({0, 0, 0, 0}, 1, 2);
    deal_hooks(hooks, 2);
    EXPECT_THAT(workers_of(hooks), ElementsAre(1, 1, 1, 1));
}

TEST(DealHooks, OneOfTwoThatAreBusyMoves) {
    Hooks hooks = loaded({1000, 0, 990, 0}, 0, 2);
    deal_hooks(hooks, 2);
    EXPECT_EQ(hooks[0].worker + hooks[2].worker, 1);
    EXPECT_EQ(hooks[1].worker + hooks[3].worker, 0);
    EXPECT_EQ(largest_load(hooks, 2), 1000);
}

TEST(DealHooks, OneThatHasNearlyAllStays) {
    Hooks hooks = loaded({100000, 1, 2, 3}, 0, 2);
    deal_hooks(hooks, 2);
    EXPECT_EQ(moved(hooks, 2), 0);
}

TEST(DealHooks, FewMoveAndTheLoadsComeNear) {
    Hooks hooks = loaded(std::vector<std::int64_t>(90, 10), 2, 3);
    deal_hooks(hooks, 3);
    EXPECT_LE(largest_load(hooks, 3), 315);
    EXPECT_LE(moved(hooks, 3), 60);
}

TEST(DealHooks, WhatIsNearEnoughStays) {
    Hooks hooks = loaded({50, 2, 2}, 0, 2);
    const Hooks others = loaded({50}, 1, 2);
    hooks.insert(hooks.end(), others.begin(), others.end());
    deal_hooks(hooks, 2);
    EXPECT_EQ(moved(hooks, 2), 0);
}

TEST(DealHooks, NeverMakesTheLargestLoadLarger) {
    std::uint64_t state = 1;
    const auto next = [&] {
        return (state = state * 6364136223846793005U + 1442695040888963407U) >> 40;
    };
    for (int round = 0; round < 300; ++round) {
        const int workers = 1 + round % 9;
        Hooks hooks;
        for (std::uint64_t i = next() % 200; i > 0; --i)
            hooks.push_back({static_cast<std::int64_t>(next()),
                             static_cast<std::int64_t>(next() % 3 == 0 ? next() : next() % 10),
                             -1});
        Hooks dealt = hooks;
        deal_hooks(dealt, workers);
        for (auto& hook : hooks)
            hook.worker = place_of_hook(hook.hook_id, workers);
        EXPECT_LE(largest_load(dealt, workers), largest_load(hooks, workers)) << round;
        EXPECT_LT(moved(dealt, workers), 1 + static_cast<int>(hooks.size())) << round;
        for (const auto& hook : dealt)
            EXPECT_TRUE(hook.worker >= 0 && hook.worker < workers) << round;
    }
}

TEST(DealHooks, TheOrderOfTheHooksMakesNoDifference) {
    Hooks hooks = loaded({70, 70, 70, 70, 35, 35, 10}, 0, 4);
    Hooks reversed(hooks.rbegin(), hooks.rend());
    deal_hooks(hooks, 4);
    deal_hooks(reversed, 4);
    std::ranges::reverse(reversed);
    EXPECT_EQ(workers_of(hooks), workers_of(reversed));
}

TEST(DealHooks, OneWorkerHasAll) {
    Hooks hooks = loaded({5, 0, 7}, 0, 1);
    deal_hooks(hooks, 1);
    EXPECT_THAT(workers_of(hooks), ElementsAre(0, 0, 0));
    EXPECT_EQ(largest_load(hooks, 1), 12);
    EXPECT_EQ(largest_load({}, 1), 0);
}

}  // namespace
}  // namespace whisperer::engine
