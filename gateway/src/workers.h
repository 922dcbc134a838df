// Threads that take errands a step further.  Each has one at a time, and blocks while it waits for
// the database, never for a client or for the worker of the extension.  The queue is bounded: who
// finds it full is told at once, and who has been in it for too long is taken out again.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "errand.h"

namespace whisperer::gateway {

class Workers {
  public:
    struct Task {
        std::uint64_t number;  // of the connection
        std::shared_ptr<Errand> errand;
        bool is_first;  // step of the errand; of others there is a bound already
        Clock::time_point queued_at = Clock::now();
    };

    // run must not throw.
    Workers(std::size_t threads, std::function<void(const Task&)> run);
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;
    // Ends after the tasks that were submitted.
    ~Workers();

    // From any thread.  False: the queue is full.
    bool submit(Task task);
    // First steps that no thread has taken for too long.
    std::vector<Task> take_late();

  private:
    void work();
    bool is_empty() const { return first_.empty() && others_.empty(); }
    Task take();  // one of them

    const std::function<void(const Task&)> run_;
    const std::size_t queued_max_;
    std::mutex mutex_;
    std::condition_variable changed_;
    // All below are guarded by mutex_.
    std::deque<Task> first_;   // first steps
    std::deque<Task> others_;  // of whom one comes after three of those
    unsigned taken_ = 0;
    bool is_ending_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace whisperer::gateway
