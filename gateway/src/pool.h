// A bounded number of connections to the database, lent to one piece of work at a time.
// Thread-safe.
//
// Who finds none free waits at most 2 s.  A connection on which anything unexpected happened is
// closed when it comes back.  When PostgreSQL cannot be reached, nobody tries again for a second:
// the others are told at once.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "database.h"

namespace whisperer::gateway {

class Pool {
  public:
    Pool(std::string conninfo, std::size_t size);

    // Throws DatabaseError, or Problem 503.  What is repeatable is tried once more when its
    // connection turns out to be lost.
    Rows run(const Work& work);

    std::size_t size() const { return size_; }
    std::size_t in_use() const;
    std::size_t open() const;

  private:
    using Lent = std::unique_ptr<Database>;

    // Who waits, first come, first served: else one could wait for ever beside many that come anew.
    struct Waiter {
        std::condition_variable called;
        bool has_turn = false;
    };

    void wait_turn(std::unique_lock<std::mutex>& lock);
    void end_turn();  // with mutex_ held
    Lent take();
    Lent connect();
    void give_back(Lent database);
    void note(bool is_lost, const char* why);

    const std::string conninfo_;
    const std::size_t size_;
    mutable std::mutex mutex_;
    // All below are guarded by mutex_.
    std::deque<Waiter*> waiting_;  // each on the stack of its thread
    std::vector<Lent> idle_;       // the one used last at the end, so that a quiet time needs few
    std::size_t lent_ = 0;         // turns; to whom one is passed on, it counts as before
    bool is_lost_ = false;         // PostgreSQL could not be reached, and the log says so
    std::chrono::steady_clock::time_point lost_until_{};
};

}  // namespace whisperer::gateway
