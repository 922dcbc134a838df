// Connections to the database; see pool.h.
#include "pool.h"

#include <utility>

#include "log.h"
#include "problem.h"

namespace whisperer::gateway {

namespace {

constexpr std::chrono::seconds wait_time{2};
constexpr std::chrono::seconds lost_time{1};

Problem database_is_lost() {
    return unavailable("the database cannot be reached", 2);
}

}  // namespace

Pool::Pool(std::string conninfo, std::size_t size) : conninfo_(std::move(conninfo)), size_(size) {}

std::size_t Pool::in_use() const {
    const std::lock_guard lock(mutex_);
    return lent_;
}

std::size_t Pool::open() const {
    const std::lock_guard lock(mutex_);
    return lent_ + idle_.size();
}

void Pool::wait_turn(std::unique_lock<std::mutex>& lock) {
    if (lent_ < size_) {
        lent_++;
        return;
    }
    Waiter me;
    waiting_.push_back(&me);
    if (me.called.wait_for(lock, wait_time, [&me] { return me.has_turn; }))
        return;
    std::erase(waiting_, &me);
    throw unavailable("too many requests at once", 1);
}

void Pool::end_turn() {
    if (waiting_.empty()) {
        lent_--;
        return;
    }
    Waiter& next = *waiting_.front();
    waiting_.pop_front();
    next.has_turn = true;
    next.called.notify_one();
}

Pool::Lent Pool::take() {
    {
        std::unique_lock lock(mutex_);
        wait_turn(lock);
        while (!idle_.empty()) {
            Lent database = std::move(idle_.back());
            idle_.pop_back();
            if (database->is_usable())
                return database;
        }
        if (std::chrono::steady_clock::now() < lost_until_) {
            end_turn();
            throw database_is_lost();
        }
    }
    return connect();
}

Pool::Lent Pool::connect() {
    try {
        Lent database = std::make_unique<Database>(conninfo_);
        note(false, "");
        return database;
    } catch (const DatabaseLost& lost) {
        note(true, lost.what());
        give_back(nullptr);
        throw database_is_lost();
    } catch (...) {
        give_back(nullptr);
        throw;
    }
}

// One line when it is lost, one when it is back.
void Pool::note(bool is_lost, const char* why) {
    const std::lock_guard lock(mutex_);
    if (is_lost)
        lost_until_ = std::chrono::steady_clock::now() + lost_time;
    if (is_lost != std::exchange(is_lost_, is_lost))
        log_event(is_lost ? "database lost" : "database found", why);
}

void Pool::give_back(Lent database) {
    const std::lock_guard lock(mutex_);
    if (database && database->is_usable())
        idle_.push_back(std::move(database));
    end_turn();
}

Rows Pool::run(const Work& work) {
    for (bool is_second_try = false;; is_second_try = true) {
        Lent database = take();
        try {
            Rows rows = database->run(work);
            give_back(std::move(database));
            return rows;
        } catch (const DatabaseLost& lost) {
            give_back(nullptr);
            if (work.is_repeatable && !is_second_try)
                continue;
            log_event("work lost", lost.what());
            Problem problem = database_is_lost();
            if (!work.is_repeatable)
                problem.hint = "It may have been done all the same: look before you try again.";
            throw problem;
        } catch (...) {
            give_back(std::move(database));
            throw;
        }
    }
}

}  // namespace whisperer::gateway
