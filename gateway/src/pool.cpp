// Connections to the database; see pool.h.
#include "pool.h"

#include <algorithm>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "log.h"
#include "problem.h"

namespace whisperer::gateway {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds wait_time{2};
constexpr std::chrono::seconds lost_time{1};
constexpr std::chrono::seconds look_time{1};    // before a primary is looked for again
constexpr std::chrono::seconds share_time{10};  // before one more connection is tried
constexpr std::chrono::seconds cancel_again_after{1};

Problem database_is_lost() {
    return unavailable("the database cannot be reached", 2);
}

Problem database_is_busy() {
    Problem problem = unavailable("too many requests at once", 1);
    problem.is_busy = true;
    return problem;
}

}  // namespace

Pool::Pool(std::string conninfo, std::size_t size)
    : conninfo_(std::move(conninfo)), size_(size), allowed_(size) {}

std::size_t Pool::in_use() const {
    const std::lock_guard lock(mutex_);
    return lent_;
}

std::size_t Pool::open() const {
    const std::lock_guard lock(mutex_);
    return lent_ + idle_.size();
}

// --- turns --------------------------------------------------------------------------------------

void Pool::wait_turn(std::unique_lock<std::mutex>& lock, bool is_patient) {
    if (allowed_ < size_ && Clock::now() >= more_at_) {
        allowed_++;
        more_at_ = Clock::now() + share_time;
    }
    if (lent_ < allowed_) {
        lent_++;
        return;
    }
    if (!is_patient)
        throw database_is_busy();
    Waiter me;
    waiting_.push_back(&me);
    if (me.called.wait_for(lock, wait_time, [&me] { return me.has_turn; }))
        return;
    std::erase(waiting_, &me);
    throw database_is_busy();
}

void Pool::end_turn() {
    if (waiting_.empty() || lent_ > allowed_) {
        lent_--;
        return;
    }
    Waiter& next = *waiting_.front();
    waiting_.pop_front();
    next.has_turn = true;
    next.called.notify_one();
}

// A session on a server that takes no changes is good for reading.  Who wants more gives up one of
// them, once a second at most, for a look whether there is another server by now.
Pool::Lent Pool::idle_one(bool wants_primary) {
    const auto is_read_only = [](const Lent& database) { return database->is_read_only(); };
    // With a primary, nobody need read from a standby.
    if (wants_primary && !std::all_of(idle_.begin(), idle_.end(), is_read_only))
        std::erase_if(idle_, is_read_only);
    while (!idle_.empty()) {
        Lent database = std::move(idle_.back());
        idle_.pop_back();
        if (!database->is_usable())
            continue;
        if (!wants_primary || !is_read_only(database) || Clock::now() < look_again_at_)
            return database;
        look_again_at_ = Clock::now() + look_time;
        break;
    }
    return nullptr;
}

Pool::Lent Pool::take(const Work& work) {
    const bool wants_primary = work.wants_primary || !(work.is_read_only || work.is_repeatable);
    for (auto end = Clock::time_point::max();;) {
        std::unique_lock lock(mutex_);
        wait_turn(lock, work.is_patient);
        Lent database = idle_one(wants_primary);
        if (!database && Clock::now() < lost_until_) {
            end_turn();
            throw database_is_lost();
        }
        if (!database)
            database = connect(lock);
        if (database) {
            working_.insert(database.get());
            return database;
        }
        // Refused, as others are there.  While those come and go it may be refused once more.
        end = std::min(end, Clock::now() + wait_time);
        if (Clock::now() >= end)
            throw database_is_busy();
    }
}

// With mutex_ held.  The server has no more connections for us, or a pooler in front of it lets us
// wait; but there are some.
bool Pool::may_share(const char* why) {
    const std::size_t others = working_.size() + idle_.size() + parting_ + connecting_;
    if (others == 0)
        return false;
    if (allowed_ == size_)
        log_event("fewer connections to the database than there may be", why);
    allowed_ = others;
    more_at_ = Clock::now() + share_time;
    end_turn();
    return true;
}

// Nothing: there are others to wait for, and the turn has ended.
Pool::Lent Pool::connect(std::unique_lock<std::mutex>& lock) {
    connecting_++;
    lock.unlock();
    Lent database;
    std::string why;
    try {
        database = std::make_unique<Database>(conninfo_);
    } catch (const std::exception& error) {
        why = error.what();
    }
    lock.lock();
    connecting_--;
    if (database) {
        note(false, "");
        more_at_ = {};
    } else if (!may_share(why.c_str())) {
        note(true, why.c_str());
        end_turn();
        throw database_is_lost();
    }
    return database;
}

// One line when it is lost, one when it is back.
void Pool::note(bool is_lost, const char* why) {
    if (is_lost)
        lost_until_ = Clock::now() + lost_time;
    if (is_lost != std::exchange(is_lost_, is_lost))
        log_event(is_lost ? "database lost" : "database found", why);
}

void Pool::give_back(Lent database) {
    const std::lock_guard lock(mutex_);
    working_.erase(database.get());
    changed_.notify_all();
    if (database && database->is_usable())
        idle_.push_back(std::move(database));
    // Its session ends before another one begins.
    database.reset();
    end_turn();
}

// --- parting ------------------------------------------------------------------------------------

// With its turn: which ends when the server is no longer at its work.
void Pool::see_off(Lent database) {
    {
        const std::lock_guard lock(mutex_);
        working_.erase(database.get());
        parting_++;
    }
    const auto leaving = std::make_shared<Lent>(std::move(database));
    try {
        std::thread([this, leaving] { see_off_slowly(std::move(*leaving)); }).detach();
    } catch (const std::system_error&) {
        // No thread is to be had: the turn must end all the same.
        see_off_slowly(std::move(*leaving));
    }
}

void Pool::see_off_slowly(Lent database) {
    while (!database->has_ended()) {
        database->cancel()();
        if (database->part(cancel_again_after) != Database::Parting::Working)
            break;
    }
    give_back(std::move(database));
    // Nothing of this is touched after give_up has seen the count.
    const std::lock_guard lock(mutex_);
    parting_--;
    changed_.notify_all();
}

bool Pool::give_up(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    std::vector<Database::Cancel> under_way;
    for (const Database* const database : working_)
        under_way.push_back(database->cancel());
    // It may hang, and the gateway ends all the same.
    if (!under_way.empty())
        std::thread([under_way] {
            for (const Database::Cancel& cancel : under_way)
                cancel();
        }).detach();
    return changed_.wait_for(lock, time, [this] { return working_.empty() && parting_ == 0; });
}

void Pool::tell_lost(const Work& work, const DatabaseLost& lost) {
    log_event("work lost", lost.what());
    Problem problem =
        lost.is_late ? unavailable("the database did not answer in time", 5) : database_is_lost();
    if (!work.is_repeatable)
        problem.hint = "It may have been done all the same: look before you try again.";
    throw problem;
}

Rows Pool::run(const Work& work) {
    for (bool is_second_try = false;; is_second_try = true) {
        Lent database = take(work);
        try {
            Rows rows = database->run(work);
            give_back(std::move(database));
            return rows;
        } catch (const DatabaseLost& lost) {
            see_off(std::move(database));
            if (!work.is_repeatable || is_second_try || lost.is_late)
                tell_lost(work, lost);
        } catch (const DatabaseError& error) {
            // The next one finds the primary, if there is one.  What is known to take no changes is
            // kept for those who read.
            if (error.sqlstate == "25006" && !database->is_read_only())
                database->retire();
            give_back(std::move(database));
            throw;
        } catch (...) {
            give_back(std::move(database));
            throw;
        }
    }
}

}  // namespace whisperer::gateway
