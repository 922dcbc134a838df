// A circuit breaker: whether an endpoint's recent attempts say that another is not worth making.
//
// Each lane owns one; it has no clock and no wire, moments are passed in.  Attempts carry a number,
// so that those begun before the circuit last closed change nothing: they belong to a history
// that is forgotten.  Memory is fixed: a few buckets of counts.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "worker/base/clock.h"

namespace whisperer::engine {

inline constexpr int circuit_attempts_min = 10;
inline constexpr int circuit_failed_percent = 70;
inline constexpr int circuit_unconnected_in_a_row = 10;
inline constexpr seconds circuit_window{300};
inline constexpr std::size_t circuit_bucket_count = 10;
inline constexpr seconds circuit_wait_min{30};
// Whoever has mended his receiver waits no longer for the first attempt.
inline constexpr seconds circuit_wait_max{60};

class Circuit {
  public:
    enum class State {
        Closed,   // attempts start and are counted; to Open
        Open,     // none starts before probe_at; to HalfOpen, and to Closed if an old one succeeds
        HalfOpen  // one probe runs, no other starts; to Closed or Open
    };
    enum class End {
        Success,
        Failure,
        NoConnection,  // a failure without a connection
        OurFault       // says nothing about the endpoint
    };

    State state() const { return state_; }
    // No attempt may start at this moment.
    bool blocks(microseconds now) const;
    // An attempt starts; only if nothing blocks it.  Its number, for ended.
    std::uint64_t started();
    // True: the circuit opened, opened again or closed by it.
    bool ended(std::uint64_t attempt, End end, microseconds now);
    // A probe need not wait any longer.  True: it would have had to.
    bool let_probe(microseconds now);
    // Closes and forgets.  True: it was not closed.
    bool reset();
    // From when a probe may start; only when Open.
    microseconds probe_at() const { return probe_at_; }
    // Why it opened, for people; empty when Closed.
    std::string reason() const;

  private:
    struct Bucket {
        std::int64_t number = -1;  // which bucket of all time is kept here
        std::int32_t attempts = 0;
        std::int32_t failures = 0;
    };

    void count(bool failure, microseconds now);
    bool opens(microseconds now);
    void open(microseconds now);

    State state_ = State::Closed;
    std::array<Bucket, circuit_bucket_count> buckets_{};
    int unconnected_in_a_row_ = 0;
    std::uint64_t next_attempt_ = 1;
    std::uint64_t first_attempt_ = 1;  // of those that count
    std::uint64_t probe_ = 0;          // the running probe's number; 0: none
    seconds wait_ = circuit_wait_min;
    microseconds probe_at_{0};
    int attempts_at_opening_ = 0;  // 0: it opened because nothing connected
    int failures_at_opening_ = 0;
};

}  // namespace whisperer::engine
