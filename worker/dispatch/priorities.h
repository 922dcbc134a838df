// What a hook's priority is worth while requests wait: turns, and room in memory.
//
// Lanes take turns, one request each; a high one has four in each round, a low one one in four
// rounds.  So 16 requests of a high lane go with 4 of a normal and 1 of a low one, and nobody waits
// for ever: between two turns of a lane another has no more than those.  Room is what keeps the
// high ones from waiting behind others before they have reached a lane at all.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "worker/rules/hook.h"

namespace whisperer::engine {

inline constexpr int high_turns_per_round = 4;
inline constexpr int low_rounds_per_turn = 4;

// One lane's turns.  The dispatcher owns the list that they are taken in.
class Turns {
  public:
    // It may start again.  True: it goes to the head of the list, having turns left in this round;
    // false: to the end.
    bool goes_first(Priority priority) {
        if (priority != Priority::High)
            return false;
        if (left_ > 0)
            return true;
        left_ = high_turns_per_round;
        return false;
    }
    // It is at the head of the list.  False: this round passes it by.
    bool has_come(Priority priority) {
        if (priority != Priority::Low || rounds_to_pass_ == 0)
            return true;
        --rounds_to_pass_;
        return false;
    }
    void taken() {
        left_ = left_ > 0 ? left_ - 1 : 0;
        rounds_to_pass_ = low_rounds_per_turn - 1;
    }
    // There was no room for it: the others go first.
    void refused() { left_ = 0; }

  private:
    int left_ = high_turns_per_round;
    int rounds_to_pass_ = 0;
};

// How many lanes there are of each priority, what they have queued, and what goes along in their
// running batches.
class Shares {
  public:
    void note_lane(Priority priority, int change) { lanes_[place(priority)] += change; }
    void note_queued(Priority priority, std::int64_t change) { queued_[place(priority)] += change; }
    void note_batched(Priority priority, std::int64_t change) {
        batched_[place(priority)] += change;
    }
    std::int64_t batched(Priority priority) const { return batched_[place(priority)]; }
    std::int64_t batched() const { return batched_[0] + batched_[1] + batched_[2]; }
    std::int64_t queued(Priority priority) const { return queued_[place(priority)]; }
    std::int64_t queued() const { return queued_[0] + queued_[1] + queued_[2]; }
    bool has_lanes_above(Priority priority) const {
        std::int64_t above = 0;
        for (std::size_t i = place(priority) + 1; i < lanes_.size(); ++i)
            above += lanes_[i];
        return above > 0;
    }

  private:
    static std::size_t place(Priority priority) {
        return static_cast<std::size_t>(static_cast<int>(priority) + 1);
    }

    std::array<std::int64_t, 3> lanes_{};
    std::array<std::int64_t, 3> queued_{};
    std::array<std::int64_t, 3> batched_{};
};

}  // namespace whisperer::engine
