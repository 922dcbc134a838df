// Several databases; see databases.h.
#include "databases.h"

#include <algorithm>

#include "log.h"
#include "problem.h"

namespace whisperer::gateway {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds away_time{5};
constexpr std::chrono::seconds name_time{60};

const char* const cannot_be_reached = "it cannot be reached";

std::string fault_of(const DatabaseError& error) {
    if (error.is_of_role)
        return "your role is not set up there";
    return error.sqlstate == "57014" ? "it did not answer in time" : "it cannot be read";
}

}  // namespace

Databases::One::One(const std::string& conninfo, std::size_t pool_size, std::size_t number)
    : pool(conninfo, pool_size), name(place_of(conninfo)) {
    if (name.empty())
        name = "database " + std::to_string(number);
}

Databases::Databases(const std::vector<std::string>& conninfos, std::size_t pool_size) {
    for (const std::string& conninfo : conninfos)
        all_.push_back(std::make_unique<One>(conninfo, pool_size, all_.size() + 1));
}

// The name may change, so it holds for a while.
bool Databases::is_named(One& one) {
    const std::lock_guard lock(one.mutex);
    return Clock::now() < one.named_until;
}

// Asks without the mutex: a database that does not answer keeps nobody from its name.
void Databases::learn_name(One& one) {
    static const Statement look[] = {
        Statement("SELECT coalesce(nullif(current_setting('whisperer.node', true), ''), "
                  "current_database())")};
    if (is_named(one))
        return;
    const Rows rows = one.pool.run(
        {.is_repeatable = true, .answer_time = answer_time_beside, .statements = look});
    const std::lock_guard lock(one.mutex);
    one.name = rows.text(0, 0);
    one.named_until = Clock::now() + name_time;
    one.noted.clear();
}

std::vector<std::string> Databases::names() {
    const auto nothing = [] { return Rows(nullptr); };
    std::vector<std::string> names;
    for (std::size_t number = 0; number < all_.size(); number++) {
        One& one = *all_[number];
        std::string fault;
        // Whoever needs more of it than its name is told.
        if (!is_named(one))
            read(number, nothing, fault);
        const std::lock_guard lock(one.mutex);
        const bool is_taken = std::find(names.begin(), names.end(), one.name) != names.end();
        names.push_back(one.name + (is_taken ? " (" + std::to_string(number + 1) + ")" : ""));
    }
    return names;
}

std::size_t Databases::number_of(const std::string& name) {
    const std::vector<std::string> all = names();
    const auto found = std::find(all.begin(), all.end(), name);
    if (found != all.end())
        return static_cast<std::size_t>(found - all.begin());
    std::string message = "must be one of";
    for (const std::string& one : all)
        message += (&one == &all.front() ? " " : ", ") + one;
    throw bad_field("database", message);
}

// False: it is away, and it is not the time or somebody else's turn to try.
bool Databases::begin(One& one) {
    const std::lock_guard lock(one.mutex);
    if (!one.is_away)
        return true;
    if (one.is_tried || Clock::now() < one.again_at)
        return false;
    one.is_tried = true;
    return true;
}

// note: for the log, once in a while; empty: all is well.
void Databases::end(One& one, bool is_away, const std::string& note) {
    const std::lock_guard lock(one.mutex);
    one.is_tried = false;
    one.is_away = is_away;
    if (is_away)
        one.again_at = Clock::now() + away_time;
    if (!note.empty() && one.noted.insert(note).second)
        log_event("a database cannot be read", one.name + ": " + note);
}

std::optional<Rows> Databases::read(std::size_t number, const std::function<Rows()>& read,
                                    std::string& fault) {
    One& one = *all_.at(number);
    if (!begin(one)) {
        fault = cannot_be_reached;
        return std::nullopt;
    }
    try {
        learn_name(one);
        Rows rows = read();
        end(one, false, "");
        return rows;
    } catch (const Problem& problem) {
        // The pool says in the log what it is.
        end(one, problem.status == 503 && !problem.is_busy, "");
        if (problem.status != 503)
            throw;
        fault = problem.is_busy ? problem.message : cannot_be_reached;
    } catch (const DatabaseError& error) {
        end(one, false, error.sqlstate + ": " + error.message);
        fault = fault_of(error);
    } catch (...) {
        end(one, false, "");
        throw;
    }
    return std::nullopt;
}

bool Databases::give_up(std::chrono::milliseconds time) {
    const auto end = Clock::now() + time;
    bool is_quiet = true;
    for (const auto& one : all_) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
        is_quiet = one->pool.give_up(std::max(left, std::chrono::milliseconds(0))) && is_quiet;
    }
    return is_quiet;
}

}  // namespace whisperer::gateway
