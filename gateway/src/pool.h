// A bounded number of connections to the database, lent to one piece of work at a time.
// Thread-safe.
//
// Who finds none free waits at most 2 s.  A connection on which anything unexpected happened is
// seen off: its work is cancelled, and it counts until the server is no longer at it, so that a
// server that stands still has no more than these of us.  When PostgreSQL cannot be reached, nobody
// tries again for a second: the others are told at once.  When it gives us fewer connections than
// there may be, those that there are are shared.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
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

    // When the gateway ends: asks the server to give up all that is under way, and waits for that
    // so long at most.  False if something may be under way still; then this must not be destroyed.
    bool give_up(std::chrono::milliseconds time);

  private:
    using Lent = std::unique_ptr<Database>;

    // Who waits, first come, first served: else one could wait for ever beside many that come anew.
    struct Waiter {
        std::condition_variable called;
        bool has_turn = false;
    };

    // With mutex_ held:
    void wait_turn(std::unique_lock<std::mutex>& lock, bool is_patient);
    void end_turn();
    Lent idle_one(bool wants_primary);
    bool may_share(const char* why);
    void note(bool is_lost, const char* why);
    Lent connect(std::unique_lock<std::mutex>& lock);

    Lent take(const Work& work);
    void give_back(Lent database);
    void see_off(Lent database);
    void see_off_slowly(Lent database);
    [[noreturn]] void tell_lost(const Work& work, const DatabaseLost& lost);

    const std::string conninfo_;
    const std::size_t size_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;  // working_ or parting_
    // All below are guarded by mutex_.
    std::deque<Waiter*> waiting_;  // each on the stack of its thread
    std::vector<Lent> idle_;       // the one used last at the end, so that a quiet time needs few
    std::set<Database*> working_;  // lent
    std::size_t connecting_ = 0;
    std::size_t parting_ = 0;  // being seen off, each by a thread of its own
    std::size_t lent_ = 0;     // turns; to whom one is passed on, it counts as before
    std::size_t allowed_;      // turns at most: size_, or what the server gives us
    std::chrono::steady_clock::time_point more_at_{};        // when one more than that is tried
    std::chrono::steady_clock::time_point look_again_at_{};  // for a primary
    bool is_lost_ = false;  // PostgreSQL could not be reached, and the log says so
    std::chrono::steady_clock::time_point lost_until_{};
};

}  // namespace whisperer::gateway
