// Threads that answer requests.  Each takes one task at a time; a task blocks while it waits for
// the database, never for a client.  The queue is bounded by its users: a connection has one
// request.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace whisperer::gateway {

class Workers {
  public:
    explicit Workers(std::size_t threads);
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;
    // Ends after the tasks that were submitted.
    ~Workers();

    // From any thread.  The task must not throw.
    void submit(std::function<void()> task);

  private:
    void work();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;  // guarded by mutex_
    bool is_ending_ = false;                   // guarded by mutex_
    std::vector<std::thread> threads_;
};

}  // namespace whisperer::gateway
