// The databases that the gateway shows (--database, which may be given several times).
//
// The first answers as if it were the only one: it knows the tokens, and has all that is not asked
// of another by name.  The others, delivery nodes mostly, are read beside it for lists, charts and
// metrics.  One that does not answer keeps nobody waiting: it is left out and named, and asked
// again some seconds later, by one request at a time.  Thread-safe.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pool.h"

namespace whisperer::gateway {

class Databases {
  public:
    // pool_size: of each.
    Databases(const std::vector<std::string>& conninfos, std::size_t pool_size);

    std::size_t count() const { return all_.size(); }
    bool are_several() const { return all_.size() > 1; }
    Pool& pool(std::size_t number) { return all_.at(number)->pool; }

    // In their order, each with a name of its own: the setting whisperer.node, or that of the
    // database; until it has been reached, where it is said to be.
    std::vector<std::string> names();
    // Throws Problem 400: there is none of the name.
    std::size_t number_of(const std::string& name);

    // What one of them said, or nothing, and why in fault.  Throws what is wrong
    // with the request.
    std::optional<Rows> read(std::size_t number, const std::function<Rows()>& read,
                             std::string& fault);

    // As of a Pool.
    bool give_up(std::chrono::milliseconds time);

  private:
    using Time = std::chrono::steady_clock::time_point;
    struct One {
        One(const std::string& conninfo, std::size_t pool_size, std::size_t number);

        Pool pool;
        std::mutex mutex;
        // All below are guarded by mutex.
        std::string name;
        Time named_until{};
        bool is_away = false;
        bool is_tried = false;        // by somebody, since it was away
        Time again_at{};              // before, nobody tries
        std::set<std::string> noted;  // what the log has said of it since it was named
    };

    static bool begin(One& one);
    static void end(One& one, bool is_away, const std::string& note);
    static bool is_named(One& one);
    static void learn_name(One& one);

    std::vector<std::unique_ptr<One>> all_;
};

}  // namespace whisperer::gateway
