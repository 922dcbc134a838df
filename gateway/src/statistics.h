// What the gateway counts of itself, for /metrics.  Thread-safe: counters are atomic, and nobody
// needs them to be of one moment.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace whisperer::gateway {

class Statistics {
  public:
    // labels: of each route, as they stand in the metrics; one more is kept for what matched none.
    explicit Statistics(std::vector<std::string> labels);

    void count(std::size_t route, int status, std::chrono::steady_clock::duration took);
    std::size_t no_route() const { return labels_.size() - 1; }

    // In the text format of Prometheus.
    std::string text() const;

  private:
    static constexpr std::array<double, 11> bounds_s{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                     0.1,   0.25,   0.5,   1,    10};
    using Counter = std::atomic<std::uint64_t>;

    std::vector<std::string> labels_;
    std::unique_ptr<Counter[]> requests_;  // by route and the first digit of the status
    std::array<Counter, bounds_s.size() + 1> durations_{};
    Counter duration_us_{};
};

}  // namespace whisperer::gateway
